//! Conversion of a record to a step that the store loads: an object, or a link of a relation.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::migration::canonical_form;
use crate::model::user_secrets::SECRET_COLUMNS;
use crate::model::value::Kind;
use crate::model::{ClassName, Document, ObjectId, Pointer, Timestamp, hex};
use crate::store::load::{IfExists, Link, LoadStep};

/// Bytes of the digest in a derived id.
const DERIVED_ID_BYTES: usize = 12;

/// Defaults of an object without an id or without times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults<'a> {
    /// Name of the file. An object without an id gets the same one whenever the file is read.
    pub(super) file: &'a str,
    /// Number of the record in the file.
    pub(super) index: u64,
    /// Start of the import.
    pub(super) now: Timestamp,
    /// True if the class contained objects before the import. Only then an object may be replaced.
    pub(super) occupied: bool,
}

/// Converts a record to the step that stores an object.
///
/// # Errors
/// The reason if the record has an illegal `objectId`.
pub(super) fn object(
    class: &ClassName,
    mut document: Document,
    defaults: Defaults<'_>,
) -> Result<LoadStep, String> {
    // Some exports wrap objects like results of cloud functions.
    if document.text("__type") == Some("Object") {
        document.shift_remove("__type");
        document.shift_remove("className");
    }
    if document.get("ACL").is_some_and(Value::is_null) {
        document.shift_remove("ACL");
    }
    let mut if_exists = if defaults.occupied {
        IfExists::ReplaceOlder
    } else {
        IfExists::Keep
    };
    match document.get("objectId") {
        None | Some(Value::Null) => {
            let id = derived_id(class, &document, defaults);
            document.insert("objectId".to_owned(), id.into());
            if_exists = IfExists::Keep;
        }
        Some(Value::String(text)) if ObjectId::parse(text).is_ok() => {}
        Some(other) => {
            return Err(format!(
                "{other} is not an objectId: 1 to 64 letters, digits, '_' or '-'"
            ));
        }
    }
    let present =
        |document: &Document, key: &str| document.get(key).filter(|value| !value.is_null()).cloned();
    let (created, updated) = (present(&document, "createdAt"), present(&document, "updatedAt"));
    if updated.is_none() {
        if_exists = IfExists::Keep;
    }
    let now = || Value::from(defaults.now.to_string());
    let created = created.or_else(|| updated.clone()).unwrap_or_else(now);
    let updated = updated.unwrap_or_else(|| created.clone());
    document.insert("createdAt".to_owned(), created);
    document.insert("updatedAt".to_owned(), updated);
    let fill_missing: &[&str] = if *class == ClassName::user() {
        &SECRET_COLUMNS
    } else {
        &[]
    };
    Ok(LoadStep::Put {
        class: class.clone(),
        document,
        if_exists,
        fill_missing,
    })
}

/// An id derived from the record, its file and its position: the same whenever the file is read.
fn derived_id(class: &ClassName, document: &Document, defaults: Defaults<'_>) -> String {
    let text = canonical_form::text(document, &[]);
    let digest = Sha256::digest(format!("{class}\n{}\n{}\n{text}", defaults.file, defaults.index));
    hex(digest.get(..DERIVED_ID_BYTES).unwrap_or(&digest))
}

/// Converts a record to the step that adds an object to a relation.
///
/// # Errors
/// The reason if an end is missing or illegal, or if the target class is unknown.
pub(super) fn link(
    class: &ClassName,
    key: &str,
    target: Option<&ClassName>,
    document: &Document,
) -> Result<LoadStep, String> {
    let end = |name: &str| {
        let text = match document.get(name) {
            Some(Value::String(text)) => text,
            Some(Value::Object(pointer)) => pointer
                .get("objectId")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            _ => {
                return Err(format!(
                    "'{name}' is missing: a relation is a list of owningId and relatedId"
                ));
            }
        };
        ObjectId::parse(text).map_err(|_| format!("'{name}' is not an objectId: '{text}'"))
    };
    let (owner, related) = (end("owningId")?, end("relatedId")?);
    let own_class = document
        .get("relatedId")
        .and_then(|value| value.get("className"))
        .and_then(Value::as_str);
    let target = own_class
        .and_then(|name| ClassName::parse(name).ok())
        .or_else(|| target.cloned());
    let target = target.ok_or_else(|| {
        format!("the target class of the relation '{key}' of '{class}' is unknown: import the objects of both classes with it")
    })?;
    Ok(LoadStep::Link(Link {
        owner: Pointer {
            class_name: class.clone(),
            object_id: owner,
        },
        key: key.to_owned(),
        target: Pointer {
            class_name: target,
            object_id: related,
        },
    }))
}

/// All pointers of an object, including files, each with its path.
pub(super) fn pointers(document: &Document) -> Vec<(String, Pointer)> {
    let mut found = Vec::new();
    for (key, value) in document.iter() {
        collect(key, value, &mut found);
    }
    found
}

fn collect(path: &str, value: &Value, found: &mut Vec<(String, Pointer)>) {
    let mut add = |class: Option<ClassName>, id: &str| {
        if let (Some(class_name), Ok(object_id)) = (class, ObjectId::parse(id)) {
            found.push((
                path.to_owned(),
                Pointer {
                    class_name,
                    object_id,
                },
            ));
        }
    };
    match Kind::of(value) {
        Kind::Pointer {
            class_name,
            object_id,
        } => add(ClassName::parse(class_name).ok(), object_id),
        Kind::File(id) => add(Some(ClassName::file()), id),
        Kind::Array(elements) => {
            for (place, element) in elements.iter().enumerate() {
                if element.is_object() || element.is_array() {
                    collect(&format!("{path}.{place}"), element, found);
                }
            }
        }
        Kind::Object(fields) => {
            for (key, field) in fields {
                if field.is_object() || field.is_array() {
                    collect(&format!("{path}.{key}"), field, found);
                }
            }
        }
        _ => {}
    }
}
