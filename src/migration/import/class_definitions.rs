//! Definitions of classes in an export: columns, permissions, indexes and default ACLs.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Mutex;

use serde_json::Value;

use crate::migration::export::SchemaFile;
use crate::migration::file_names::FileContent;
use crate::migration::import::ImportError;
use crate::migration::import::checkpoint::{Checkpoint, lock};
use crate::migration::import::input_files::InputFiles;
use crate::migration::import::report::ReportEntry;
use crate::migration::import::stage::Stage;
use crate::model::{Acl, Class, CloudError, Column, Document, SchemaChange};
use crate::store::load::Loader;

/// Creates the classes that the files define, and their columns. A resumed import repeats it, which changes nothing.
pub(super) async fn define(
    store: &dyn Loader,
    input: &InputFiles,
    checkpoint: &Mutex<Checkpoint>,
) -> Result<(), ImportError> {
    let mut files: Vec<(String, FileContent, Vec<u8>)> = Vec::new();
    input.for_each(
        |file| Stage::Classes.reads(&file.content),
        None,
        |file, mut reader| {
            let mut text = Vec::new();
            reader.read_to_end(&mut text)?;
            files.push((file.name.clone(), file.content.clone(), text));
            Ok::<_, ImportError>(ControlFlow::Continue(()))
        },
    )?;
    let is_first = lock(checkpoint).state().stage == Stage::Classes;
    for (name, content, text) in files {
        let changes = match changes(store, &content, &text) {
            Ok(changes) => changes.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        for change in changes {
            let defined = match change {
                Ok(change) => store.define(change).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = defined
                && is_first
            {
                let notice = format!(
                    "the definition could not be imported completely: {}",
                    error.message
                );
                let entry = ReportEntry {
                    file: &name,
                    notice: Some(&notice),
                    ..ReportEntry::default()
                };
                lock(checkpoint).write(&entry)?;
            }
        }
    }
    Ok(())
}

/// The schema changes that a definition file asks for.
fn changes(store: &dyn Loader, content: &FileContent, text: &[u8]) -> Result<Vec<SchemaChange>, CloudError> {
    let unreadable =
        |error: serde_json::Error| CloudError::other(format!("this is not a definition: {error}"));
    let schema = store.schema();
    let mut changes = Vec::new();
    match content {
        FileContent::Columns(class) => {
            let columns: Document = serde_json::from_slice(text).map_err(unreadable)?;
            let existing = schema.classes.get(class);
            let initial = Class::initial(class.clone());
            for (key, definition) in columns.0 {
                let is_known = existing.is_some_and(|class| class.columns.contains_key(&key))
                    || initial.columns.contains_key(&key)
                    || matches!(key.as_str(), "objectId" | "createdAt" | "updatedAt" | "ACL");
                if let Some(column) = column(definition).filter(|_| !is_known) {
                    changes.push(SchemaChange::SetColumn(class.clone(), key, column));
                }
            }
        }
        FileContent::Schema => {
            let document: SchemaFile = serde_json::from_slice(text).map_err(unreadable)?;
            for class in document.classes {
                let existing = schema.classes.get(&class.name);
                changes.extend(existing.map_or_else(
                    || vec![SchemaChange::CreateClass(class.clone())],
                    |existing| missing(existing, &class),
                ));
            }
        }
        FileContent::Objects(..) | FileContent::Links(..) | FileContent::Nothing | FileContent::Unknown => {}
    }
    Ok(changes)
}

/// Parses a column in LeanCloud's form; `None` if its type is unknown.
fn column(mut definition: Value) -> Option<Column> {
    let fields = definition.as_object_mut()?;
    // The console's names.
    for (theirs, ours) in [("readOnly", "read_only"), ("className", "className")] {
        if let Some(value) = fields.remove(theirs) {
            fields.insert(ours.to_owned(), value);
        }
    }
    for flag in ["read_only", "hidden", "required"] {
        if !fields.get(flag).is_some_and(Value::is_boolean) {
            fields.remove(flag);
        }
    }
    serde_json::from_value(definition).ok()
}

/// The changes that make an existing class like `wanted`. Permissions and default ACL are those of the export.
fn missing(existing: &Class, wanted: &Class) -> Vec<SchemaChange> {
    let name = &wanted.name;
    let mut changes = Vec::new();
    for (key, column) in &wanted.columns {
        if existing.columns.get(key) != Some(column) {
            changes.push(SchemaChange::SetColumn(name.clone(), key.clone(), column.clone()));
        }
    }
    if existing.permissions != wanted.permissions {
        changes.push(SchemaChange::SetPermissions(
            name.clone(),
            wanted.permissions.clone(),
        ));
    }
    if existing.default_acl != wanted.default_acl {
        let acl = wanted.default_acl.as_ref().and_then(|acl| Acl::parse(acl).ok());
        changes.push(SchemaChange::SetDefaultAcl(name.clone(), acl));
    }
    for index in wanted
        .indexes
        .iter()
        .filter(|index| !existing.indexes.contains(index))
    {
        changes.push(SchemaChange::AddIndex(name.clone(), index.clone()));
    }
    changes
}
