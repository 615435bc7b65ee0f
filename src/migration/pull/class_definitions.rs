//! The classes of the source, made here.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use crate::migration::pull::{Event, FollowedSource, PullError, Puller};
use crate::model::schema::definition::{COMMON_COLUMNS, Definition};
use crate::model::{Class, ClassName, Document, SchemaChange, Value};

/// The classes of the source, each with its relation columns and their targets.
#[derive(Clone, Debug, Default)]
pub struct SourceClasses {
    /// By name.
    pub relations: BTreeMap<ClassName, BTreeMap<String, ClassName>>,
    /// Those whose permissions and indexes the source does not tell.
    pub permissions_unknown: Vec<ClassName>,
}

impl Puller {
    /// Asks for the classes of the source, and makes here what is missing: classes, columns, and, where the source
    /// tells them and this is the first time, permissions, indexes and default ACLs.
    ///
    /// # Errors
    /// [`PullError`]; [`PullError::Refused`] where the store follows another source, where it has moved already, and
    /// where the source keeps ACLs back.
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
            if self.left_out.contains(&name) {
                continue;
            }
            let definition = match before {
                None => self.source.definition(&name).await?,
                Some(_) => None,
            };
            if before.is_none() && definition.is_none() {
                classes.permissions_unknown.push(name.clone());
            }
            self.adopt(&name, &shown, definition).await?;
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

    async fn adopt(
        &self,
        name: &ClassName,
        shown: &Document,
        definition: Option<Document>,
    ) -> Result<(), PullError> {
        let standing = self.store.schema().classes.get(name).cloned();
        let mut class = match &standing {
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
        if standing.is_none() {
            let (now, later) = split(changes);
            for change in now {
                put(&mut class, change);
            }
            self.store.define(SchemaChange::CreateClass(class)).await?;
            changes = later;
        }
        for change in changes
            .into_iter()
            .filter(|change| is_news(standing.as_deref(), change))
        {
            if let Err(error) = self.store.define(change).await {
                self.notice(&format!("{name}: not as at the source: {error}"));
            }
        }
        Ok(())
    }

    pub(super) fn notice(&self, text: &str) {
        self.observer.on_event(Event::Notice(text));
    }
}

fn check_source(before: Option<&FollowedSource>, wanted: &FollowedSource) -> Result<(), PullError> {
    let Some(before) = before else { return Ok(()) };
    if before.moved {
        return Err(PullError::Refused(format!(
            "the app has moved here from {} already: what is here is the app, and nothing is pulled over it any more",
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

/// What the source says of a class, each part on its own, so that one that does not fit leaves the others.
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

/// The attributes of a column that mean something here.
fn known(column: Value) -> Value {
    let Value::Object(mut column) = column else {
        return column;
    };
    let names = ["type", "className", "default", "readOnly", "hidden", "required"];
    column.retain(|name, _| names.contains(&name.as_str()));
    Value::Object(column)
}

/// What a class can be made with, and what comes after.
fn split(changes: Vec<SchemaChange>) -> (Vec<SchemaChange>, Vec<SchemaChange>) {
    changes
        .into_iter()
        .partition(|change| !matches!(change, SchemaChange::AddIndex(..)))
}

fn put(class: &mut Class, change: SchemaChange) {
    match change {
        SchemaChange::SetColumn(_, key, column) => {
            class.columns.insert(key, column);
        }
        SchemaChange::SetPermissions(_, permissions) => class.permissions = permissions,
        SchemaChange::SetDefaultAcl(_, acl) => class.default_acl = acl.map(crate::model::Acl::into_value),
        SchemaChange::AddIndex(..) | SchemaChange::CreateClass(_) => {}
    }
}

fn is_news(standing: Option<&Class>, change: &SchemaChange) -> bool {
    let Some(standing) = standing else { return true };
    match change {
        SchemaChange::SetColumn(_, key, column) => standing.columns.get(key) != Some(column),
        SchemaChange::SetPermissions(_, permissions) => standing.permissions != *permissions,
        SchemaChange::AddIndex(_, index) => !standing.indexes.contains(index),
        SchemaChange::SetDefaultAcl(..) | SchemaChange::CreateClass(_) => true,
    }
}
