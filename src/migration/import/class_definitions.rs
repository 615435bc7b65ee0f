//! Definitions of classes, and what is known of them while objects are read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Mutex;

use serde_json::Value;

use crate::migration::export::SchemaFile;
use crate::migration::file_names::FileContent;
use crate::migration::import::batch_reader::BatchReader;
use crate::migration::import::checkpoint::{Checkpoint, ReportEntry};
use crate::migration::import::input_files::Flow;
use crate::migration::import::{ImportError, Stage, lock};
use crate::model::{
    Acl, Class, ClassName, CloudError, Column, ColumnType, Document, ObjectId, Pointer, SchemaChange,
};
use crate::store::load::Loader;

/// Rows that are looked at to find out where a relation leads.
const SAMPLE: usize = 100;

/// What is known before a stage is read.
#[derive(Clone, Debug, Default)]
pub(super) struct StagePlan {
    /// Classes that held objects before.
    pub(super) occupied: BTreeSet<ClassName>,
    /// Where relations lead.
    pub(super) targets: BTreeMap<(ClassName, String), ClassName>,
}

impl StagePlan {
    pub(super) async fn of(
        store: &dyn Loader,
        feeder: &BatchReader,
        stage: Stage,
        occupied: &BTreeSet<ClassName>,
    ) -> Result<Self, ImportError> {
        let mut plan = Self {
            occupied: occupied.clone(),
            targets: BTreeMap::new(),
        };
        if stage != Stage::Links {
            return Ok(plan);
        }
        let schema = store.schema();
        for (class, key, sample) in feeder.link_samples(SAMPLE)? {
            let column = schema
                .classes
                .get(&class)
                .and_then(|class| class.columns.get(&key).cloned());
            let initial = || Class::initial(class.clone()).columns.get(&key).cloned();
            let known = match column.or_else(initial).map(|column| column.column_type) {
                Some(ColumnType::Relation { class_name }) => Some(class_name),
                _ => only_home(store, schema.classes.keys(), &sample).await?,
            };
            if let Some(target) = known {
                plan.targets.insert((class, key), target);
            }
        }
        Ok(plan)
    }
}

/// The one class that holds some of these objects; `None` where none or several do.
async fn only_home(
    store: &dyn Loader,
    classes: impl Iterator<Item = &ClassName>,
    ids: &[ObjectId],
) -> Result<Option<ClassName>, ImportError> {
    let mut homes = Vec::new();
    for class in classes {
        let pointers: Vec<Pointer> = ids
            .iter()
            .map(|id| Pointer {
                class_name: class.clone(),
                object_id: id.clone(),
            })
            .collect();
        if store.exist(&pointers).await?.contains(&true) {
            homes.push(class.clone());
        }
    }
    Ok((homes.len() == 1).then(|| homes.remove(0)))
}

/// Makes the classes that the files define, and their columns. Done anew when an import goes on: it changes nothing.
pub(super) async fn define(
    store: &dyn Loader,
    feeder: &BatchReader,
    ledger: &Mutex<Checkpoint>,
) -> Result<(), ImportError> {
    let mut files: Vec<(String, FileContent, Vec<u8>)> = Vec::new();
    feeder.source().each(
        |piece| Stage::Classes.reads(&piece.holds),
        None,
        |piece, mut reader| {
            let mut text = Vec::new();
            reader.read_to_end(&mut text)?;
            files.push((piece.name.clone(), piece.holds.clone(), text));
            Ok::<_, ImportError>(Flow::Continue)
        },
    )?;
    let is_first = lock(ledger).state().stage == Stage::Classes;
    for (name, holds, text) in files {
        let changes = match changes(store, &holds, &text) {
            Ok(changes) => changes.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        for change in changes {
            let done = match change {
                Ok(change) => store.define(change).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = done
                && is_first
            {
                let notice = format!("not all of the definition could be taken over: {}", error.message);
                let entry = ReportEntry {
                    file: &name,
                    notice: Some(&notice),
                    ..ReportEntry::default()
                };
                lock(ledger).write(&entry)?;
            }
        }
    }
    Ok(())
}

fn changes(store: &dyn Loader, holds: &FileContent, text: &[u8]) -> Result<Vec<SchemaChange>, CloudError> {
    let unreadable =
        |error: serde_json::Error| CloudError::other(format!("it is no such definition: {error}"));
    let schema = store.schema();
    let mut changes = Vec::new();
    match holds {
        FileContent::Columns(class) => {
            let columns: Document = serde_json::from_slice(text).map_err(unreadable)?;
            let there = schema.classes.get(class);
            let initial = Class::initial(class.clone());
            for (key, definition) in columns.0 {
                let is_known = there.is_some_and(|class| class.columns.contains_key(&key))
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
                let there = schema.classes.get(&class.name);
                changes.extend(there.map_or_else(
                    || vec![SchemaChange::CreateClass(class.clone())],
                    |there| missing(there, &class),
                ));
            }
        }
        FileContent::Objects(..) | FileContent::Links(..) | FileContent::Nothing | FileContent::Unknown => {}
    }
    Ok(changes)
}

/// A column as LeanCloud defines it; `None` where its type is none of ours.
fn column(mut definition: Value) -> Option<Column> {
    let fields = definition.as_object_mut()?;
    // What the console calls it.
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

/// What a class that is there lacks of `wanted`. Permissions and default ACL are those of the export.
fn missing(there: &Class, wanted: &Class) -> Vec<SchemaChange> {
    let name = &wanted.name;
    let mut changes = Vec::new();
    for (key, column) in &wanted.columns {
        if there.columns.get(key) != Some(column) {
            changes.push(SchemaChange::SetColumn(name.clone(), key.clone(), column.clone()));
        }
    }
    if there.permissions != wanted.permissions {
        changes.push(SchemaChange::SetPermissions(
            name.clone(),
            wanted.permissions.clone(),
        ));
    }
    if there.default_acl != wanted.default_acl {
        let acl = wanted.default_acl.as_ref().and_then(|acl| Acl::parse(acl).ok());
        changes.push(SchemaChange::SetDefaultAcl(name.clone(), acl));
    }
    for index in wanted
        .indexes
        .iter()
        .filter(|index| !there.indexes.contains(index))
    {
        changes.push(SchemaChange::AddIndex(name.clone(), index.clone()));
    }
    changes
}
