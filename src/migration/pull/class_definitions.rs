//! Definitions of the source's classes, created here.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use crate::migration::pull::{FollowedSource, PullError, Puller};
use crate::model::schema::definition::{COMMON_COLUMNS, Definition};
use crate::model::{Class, ClassName, Document, SchemaChange, Value};

/// The classes of the source, each with its relation columns and their targets.
#[derive(Clone, Debug, Default)]
pub struct SourceClasses {
    /// Target class of each relation column, by class and column.
    pub relations: BTreeMap<ClassName, BTreeMap<String, ClassName>>,
    /// Classes whose permissions and indexes the source does not show.
    pub permissions_unknown: Vec<ClassName>,
}

impl Puller {
    /// Reads the classes of the source, and creates missing classes and columns here. The first time it also adopts
    /// permissions, indexes and default ACLs, if the source shows them.
    ///
    /// # Errors
    /// [`PullError`]; [`PullError::Refused`] if the store follows another source, if the app has moved already, or if the
    /// source hides ACLs.
    pub async fn prepare(&self, following: &FollowedSource) -> Result<SourceClasses, PullError> {
        let before = FollowedSource::read(&*self.store).await?;
        check_source(before.as_ref(), following)?;
        if !self.source.shows_acls().await? {
            return Err(PullError::Refused(
                "the source does not show the ACLs of objects, and without them everybody could read and write \
                 everything here. In LeanCloud's console, under the settings of data storage, switch on that queries \
                 return the ACL"
                    .to_owned(),
            ));
        }
        let mut classes = SourceClasses::default();
        for (name, shown) in self.source.classes().await? {
            if self.excluded.contains(&name) {
                continue;
            }
            let definition = match before {
                None => self.source.definition(&name).await?,
                Some(_) => None,
            };
            if before.is_none() && definition.is_none() {
                classes.permissions_unknown.push(name.clone());
            }
            self.adopt_class(&name, &shown, definition).await?;
            let class = self.store.schema().classes.get(&name).cloned();
            let relations = class.iter().flat_map(|class| class.relations());
            let relations = relations.map(|(key, target)| (key.to_owned(), target.clone()));
            let relations = relations.collect();
            classes.relations.insert(name, relations);
        }
        if before.is_none() {
            following.write(&*self.store).await?;
        }
        Ok(classes)
    }

    /// Creates a class, or adds what an existing one lacks.
    async fn adopt_class(
        &self,
        name: &ClassName,
        shown: &Document,
        definition: Option<Document>,
    ) -> Result<(), PullError> {
        let existing = self.store.schema().classes.get(name).cloned();
        let mut class = match &existing {
            Some(class) => Class::clone(class),
            None => Class::initial(name.clone()),
        };
        let mut changes = Vec::new();
        for part in parts(shown, definition) {
            match Definition::parse(&part, &class) {
                Ok(definition) => changes.extend(definition.into_changes(name)),
                Err(error) => self.notice(&format!("{name}: not as at the source: {error}")),
            }
        }
        if existing.is_none() {
            let (now, later) = split_indexes(changes);
            for change in now {
                apply(&mut class, change);
            }
            self.store.define(SchemaChange::CreateClass(class)).await?;
            changes = later;
        }
        for change in changes
            .into_iter()
            .filter(|change| is_change(existing.as_deref(), change))
        {
            if let Err(error) = self.store.define(change).await {
                self.notice(&format!("{name}: not as at the source: {error}"));
            }
        }
        Ok(())
    }
}

/// Refuses a store that follows another source, or an app that has moved.
fn check_source(before: Option<&FollowedSource>, wanted: &FollowedSource) -> Result<(), PullError> {
    let Some(before) = before else { return Ok(()) };
    if before.moved {
        return Err(PullError::Refused(format!(
            "the app has moved here from {} already: this is the live app now, and nothing is pulled over it any more",
            before.server
        )));
    }
    if before.app_id != wanted.app_id {
        return Err(PullError::Refused(format!(
            "this store follows the app {} of {}: pull another app into another folder",
            before.app_id, before.server
        )));
    }
    Ok(())
}

/// The parts of a class's definition, each on its own: one that does not fit leaves the others.
fn parts(shown: &Document, definition: Option<Document>) -> Vec<Map<String, Value>> {
    let part = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
    let mut definition = definition.unwrap_or_default();
    let columns = match definition.shift_remove("columns") {
        Some(Value::Object(columns)) => columns,
        _ => shown.0.clone(),
    };
    let mut parts: Vec<_> = columns
        .into_iter()
        .filter(|(key, _)| COMMON_COLUMNS.iter().all(|(own, _)| own != key))
        .map(|(key, column)| part("columns", json!({key: known(column)})))
        .collect();
    for name in ["permissions", "indexes", "acl"] {
        if let Some(value) = definition.shift_remove(name) {
            parts.push(part(name, value));
        }
    }
    parts
}

/// The attributes of a column that have a meaning here.
fn known(column: Value) -> Value {
    let Value::Object(mut column) = column else {
        return column;
    };
    let names = ["type", "className", "default", "readOnly", "hidden", "required"];
    column.retain(|name, _| names.contains(&name.as_str()));
    Value::Object(column)
}

/// Separates the changes that a new class is created with from the indexes, which are added afterwards.
fn split_indexes(changes: Vec<SchemaChange>) -> (Vec<SchemaChange>, Vec<SchemaChange>) {
    changes
        .into_iter()
        .partition(|change| !matches!(change, SchemaChange::AddIndex(..)))
}

fn apply(class: &mut Class, change: SchemaChange) {
    match change {
        SchemaChange::SetColumn(_, key, column) => {
            class.columns.insert(key, column);
        }
        SchemaChange::SetPermissions(_, permissions) => class.permissions = permissions,
        SchemaChange::SetDefaultAcl(_, acl) => class.default_acl = acl.map(crate::model::Acl::into_value),
        SchemaChange::AddIndex(..) | SchemaChange::CreateClass(_) => {}
    }
}

/// True if a change makes a difference to the existing class.
fn is_change(existing: Option<&Class>, change: &SchemaChange) -> bool {
    let Some(existing) = existing else { return true };
    match change {
        SchemaChange::SetColumn(_, key, column) => existing.columns.get(key) != Some(column),
        SchemaChange::SetPermissions(_, permissions) => existing.permissions != *permissions,
        SchemaChange::AddIndex(_, index) => !existing.indexes.contains(index),
        SchemaChange::SetDefaultAcl(..) | SchemaChange::CreateClass(_) => true,
    }
}
