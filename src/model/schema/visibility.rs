//! How a class shows its objects.

use serde_json::json;

use crate::model::{Class, ClassName, ColumnType, Document};

impl Class {
    /// The relation columns, each with the class that it leads to.
    pub fn relations(&self) -> impl Iterator<Item = (&str, &ClassName)> {
        self.columns
            .iter()
            .filter_map(|(key, column)| match &column.column_type {
                ColumnType::Relation { class_name } => Some((key.as_str(), class_name)),
                _ => None,
            })
    }

    /// `document` as a client sees it: hidden columns removed, defaults and relation columns filled in.
    #[must_use]
    pub fn visible(&self, mut document: Document) -> Document {
        for (name, column) in &self.columns {
            if column.hidden {
                document.shift_remove(name);
                continue;
            }
            if let ColumnType::Relation { class_name } = &column.column_type {
                let relation = json!({"__type": "Relation", "className": class_name.as_str()});
                document.insert(name.clone(), relation);
            } else if let Some(default) = &column.default
                && !document.contains_key(name)
            {
                document.insert(name.clone(), default.clone());
            }
        }
        document
    }
}
