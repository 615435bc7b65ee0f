//! Projection of documents to the requested `keys`.

use serde_json::Map;

use crate::model::{Document, KeyPath, Keys, Value};

/// Fields of every response unless excluded by name.
const ALWAYS: [&str; 4] = ["objectId", "createdAt", "updatedAt", "ACL"];

/// Fields that expanded pointers and typed values keep. The Go SDK refuses an object that has fields beside its
/// identity but no `createdAt`.
const POINTER: [&str; 5] = ["__type", "className", "objectId", "createdAt", "updatedAt"];

impl Keys {
    /// True if a part of the column can remain.
    #[must_use]
    pub fn shows(&self, column: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|path| path.column() == column)
    }

    /// Projects a document. `ACL` stays unless excluded: `returnACL` decides on it.
    #[must_use]
    pub fn project(&self, document: Document) -> Document {
        let mut fields = document.0;
        if !self.only.is_empty() {
            let mut wanted: Vec<&str> = self.only.iter().map(KeyPath::as_str).collect();
            wanted.extend(ALWAYS);
            keep(&mut fields, &wanted);
        }
        for path in &self.except {
            exclude(&mut fields, path.as_str());
        }
        Document(fields)
    }
}

fn keep(fields: &mut Map<String, Value>, wanted: &[&str]) {
    fields.retain(|key, value| {
        let inner: Vec<&str> = wanted
            .iter()
            .filter_map(|path| path.strip_prefix(key.as_str()))
            .collect();
        if inner.contains(&"") {
            return true;
        }
        let inner: Vec<&str> = inner.iter().filter_map(|path| path.strip_prefix('.')).collect();
        !inner.is_empty() && keep_inside(value, &inner)
    });
}

fn keep_inside(value: &mut Value, wanted: &[&str]) -> bool {
    match value {
        Value::Object(fields) if fields.contains_key("__type") => {
            let wanted: Vec<&str> = wanted.iter().copied().chain(POINTER).collect();
            keep(fields, &wanted);
            true
        }
        Value::Object(fields) => {
            keep(fields, wanted);
            true
        }
        Value::Array(elements) => {
            elements.retain_mut(|element| keep_inside(element, wanted));
            true
        }
        _ => false,
    }
}

fn exclude(fields: &mut Map<String, Value>, path: &str) {
    match path.split_once('.') {
        None => {
            fields.shift_remove(path);
        }
        Some((head, tail)) => {
            if let Some(value) = fields.get_mut(head) {
                exclude_inside(value, tail);
            }
        }
    }
}

fn exclude_inside(value: &mut Value, path: &str) {
    match value {
        Value::Object(fields) => exclude(fields, path),
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|element| exclude_inside(element, path)),
        _ => {}
    }
}
