//! Execution of load batches inside the writer's transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::model::{ClassName, CloudError, Filter, ObjectId, Pointer};
use crate::storage::change;
use crate::storage::index_value::{IndexValue, readers};
use crate::storage::loaded_object::{LoadedObject, link_column};
use crate::storage::sqlite::catalogue::{Catalogue, Needs, Table};
use crate::storage::sqlite::row;
use crate::storage::sqlite::sql_error::SqlError;
use crate::storage::sqlite::transaction::{Attempt, DELETE_LINK, INSERT_LINK, Transaction, WriteError};
use crate::store::load::{IfExists, Link, LoadBatch, LoadOutcome, LoadStep, MakeNotes, Note};
use crate::store::{WriteOutcome, Written};

/// A batch whose steps are prepared, as far as possible, before the writer's turn.
pub(super) struct PreparedLoad {
    steps: Vec<Step>,
    make_notes: MakeNotes,
}

#[derive(Clone)]
enum Step {
    Put(Box<Put>),
    Remove(ClassName, ObjectId, Filter),
    Link(Link),
    Unlink(Link),
    Refused(CloudError),
}

#[derive(Clone)]
struct Put {
    class: ClassName,
    object: LoadedObject,
    if_exists: IfExists,
    fill_missing: &'static [&'static str],
    /// The stored form of the document.
    json: String,
    /// Prepared for the state of the class at that time.
    encoded: Option<EncodedFor>,
}

/// An object encoded for one state of its class: the added columns and the index values.
#[derive(Clone)]
struct EncodedFor {
    table: Arc<Table>,
    columns: Vec<(String, crate::model::Column)>,
    keys: Vec<IndexValue>,
}

impl std::fmt::Debug for PreparedLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedLoad")
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

impl PreparedLoad {
    pub(super) fn of(batch: LoadBatch, catalogue: &Catalogue) -> Self {
        let steps = batch.steps.into_iter().map(|step| match step {
            LoadStep::Put {
                class,
                document,
                if_exists,
                fill_missing,
            } => match LoadedObject::read(document) {
                Ok(object) => Step::put(class, object, (if_exists, fill_missing), catalogue),
                Err(error) => Step::Refused(error),
            },
            LoadStep::Remove {
                class,
                id,
                precondition,
            } => Step::Remove(class, id, precondition),
            LoadStep::Link(link) => Step::Link(link),
            LoadStep::Unlink(link) => Step::Unlink(link),
        });
        Self {
            steps: steps.collect(),
            make_notes: batch.make_notes,
        }
    }
}

impl Step {
    fn put(
        class: ClassName,
        object: LoadedObject,
        (if_exists, fill_missing): (IfExists, &'static [&'static str]),
        catalogue: &Catalogue,
    ) -> Self {
        let json = match json(&object) {
            Ok(json) => json,
            Err(error) => return Self::Refused(error),
        };
        let table = catalogue.tables.get(&class).map(Arc::clone);
        // The class may change before the writer's turn, so errors are left to the writer.
        let encoded = table.and_then(|table| {
            let columns = object.columns(&table.class).ok()?;
            let keys = table.index_values(&object.document);
            Some(EncodedFor { table, columns, keys })
        });
        Self::Put(Box::new(Put {
            class,
            object,
            if_exists,
            fill_missing,
            json,
            encoded,
        }))
    }
}

fn json(object: &LoadedObject) -> Result<String, CloudError> {
    let json = row::json(&object.document).map_err(SqlError::into_refusal)?;
    change::check_size(json.len())?;
    Ok(json)
}

impl Transaction<'_> {
    /// Executes a batch.
    pub(super) fn load(
        &mut self,
        prepared: &mut PreparedLoad,
    ) -> Result<Attempt<Vec<LoadOutcome>>, rusqlite::Error> {
        let before = Arc::clone(self.catalogue);
        self.run("SAVEPOINT request")?;
        let mut done = Vec::with_capacity(prepared.steps.len());
        for step in &prepared.steps {
            done.push(self.step(step)?);
        }
        let concluded = match (prepared.make_notes)(&done) {
            Ok(notes) => {
                notes.iter().try_for_each(|note| self.put_note(note))?;
                Attempt::Done(done)
            }
            Err(error) => {
                self.run("ROLLBACK TO request")?;
                *self.catalogue = before;
                Attempt::RolledBack(error)
            }
        };
        self.run("RELEASE request")?;
        Ok(concluded)
    }

    fn step(&mut self, step: &Step) -> Result<LoadOutcome, rusqlite::Error> {
        let before = Arc::clone(self.catalogue);
        let done = match step {
            Step::Put(put) => self.put_object(put),
            Step::Remove(class, id, precondition) => self.remove(class, id, precondition),
            Step::Link(link) => self.link(link),
            Step::Unlink(link) => self.unlink(link),
            Step::Refused(error) => Ok(LoadOutcome::Refused(error.clone())),
        };
        match done {
            Ok(loaded) => Ok(loaded),
            Err(WriteError::Refused(outcome)) => {
                *self.catalogue = before;
                Ok(LoadOutcome::Refused(match *outcome {
                    WriteOutcome::Rejected(error) => error,
                    other => CloudError::other(format!("The object could not be stored: {other:?}")),
                }))
            }
            Err(WriteError::Fatal(error)) => Err(error),
        }
    }

    fn put_object(&mut self, put: &Put) -> Result<LoadOutcome, WriteError> {
        if put.if_exists == IfExists::Keep
            || put.if_exists == IfExists::Replace
            || put.if_exists == IfExists::ReplaceOlder
        {
            // Most objects are new, so an insert is tried first.
            match self.insert_object(put) {
                Ok(()) => return Ok(LoadOutcome::Created),
                Err(WriteError::Refused(outcome)) => {
                    if self.stored(&put.class, &put.object.id)?.is_none() {
                        return Err(WriteError::Refused(outcome));
                    }
                }
                Err(fatal @ WriteError::Fatal(_)) => return Err(fatal),
            }
        }
        let Some((stored, created_at)) = self.stored(&put.class, &put.object.id)? else {
            let refused = put.object.check_replace(None, &put.if_exists).err();
            return Ok(refused.unwrap_or(LoadOutcome::Kept { updated_at: None }));
        };
        let object = match put
            .object
            .clone()
            .merge_into(&stored, &put.if_exists, put.fill_missing)
        {
            Ok(object) => object,
            Err(loaded) => return Ok(loaded),
        };
        let json = json(&object)?;
        let readers_before = readers(&stored);
        let table = self.catalogue.tables.get(&put.class).map(Arc::clone);
        let table = table.ok_or_else(|| CloudError::other("The class has gone."))?;
        let columns = object.columns(&table.class)?;
        let keys = table.index_values(&object.document);
        let change = object.into_change(columns, false);
        let table = self.put(&put.class, &change, &json, (Some(&keys), keys.len()))?;
        if change.created_at != created_at {
            self.connection
                .prepare_cached(&table.update_created)?
                .execute(params![change.id.as_str(), change.created_at.as_millis()])?;
        }
        self.update_readers(&table, &change, &readers_before)?;
        Ok(LoadOutcome::Replaced)
    }

    fn insert_object(&mut self, put: &Put) -> Result<(), WriteError> {
        let table = self.catalogue.tables.get(&put.class);
        let encoded = put.encoded.as_ref();
        let encoded = encoded.filter(|encoded| table.is_some_and(|table| Arc::ptr_eq(table, &encoded.table)));
        let (columns, keys) = match (encoded, table) {
            (Some(encoded), _) => (encoded.columns.clone(), encoded.keys.clone()),
            (None, Some(table)) => (
                put.object.columns(&table.class)?,
                table.index_values(&put.object.document),
            ),
            (None, None) => {
                let class = change::new_class(&self.catalogue.schema, &put.class)?;
                (put.object.columns(&class)?, Vec::new())
            }
        };
        let change = put.object.clone().into_change(columns, true);
        let table = self.put(&put.class, &change, &put.json, (Some(&keys), keys.len()))?;
        self.update_readers(&table, &change, &[])
    }

    fn remove(
        &mut self,
        class: &ClassName,
        id: &ObjectId,
        precondition: &Filter,
    ) -> Result<LoadOutcome, WriteError> {
        let Some((stored, _)) = self.stored(class, id)? else {
            return Ok(LoadOutcome::Unchanged);
        };
        if !precondition.matches(&stored)? {
            let updated_at = stored.updated_at();
            return Ok(LoadOutcome::Kept { updated_at });
        }
        self.delete(class, id, &readers(&stored))?;
        Ok(LoadOutcome::Removed)
    }

    fn link(&mut self, link: &Link) -> Result<LoadOutcome, WriteError> {
        let name = &link.owner.class_name;
        let class = match self.catalogue.tables.get(name) {
            Some(table) => Arc::clone(&table.class),
            None => Arc::new(change::new_class(&self.catalogue.schema, name)?),
        };
        let column = link_column(&class, link)?;
        let is_there = self.catalogue.tables.contains_key(name);
        if column.is_some() || !is_there {
            let mut class = (*class).clone();
            class.columns.extend(column);
            self.put_class(class, Needs::default())?;
        }
        let changed = self.change_link(link, INSERT_LINK)?;
        Ok(if changed {
            LoadOutcome::Created
        } else {
            LoadOutcome::Unchanged
        })
    }

    fn unlink(&mut self, link: &Link) -> Result<LoadOutcome, WriteError> {
        let changed = self.change_link(link, DELETE_LINK)?;
        Ok(if changed {
            LoadOutcome::Removed
        } else {
            LoadOutcome::Unchanged
        })
    }

    fn change_link(&self, link: &Link, sql: &str) -> Result<bool, WriteError> {
        let Some(table) = self.catalogue.tables.get(&link.owner.class_name) else {
            return Ok(false);
        };
        let rows = self.connection.prepare_cached(sql)?.execute(params![
            table.number,
            link.owner.object_id.as_str(),
            link.key,
            link.target.class_name.as_str(),
            link.target.object_id.as_str(),
        ])?;
        Ok(rows > 0)
    }

    /// Stores a note. The first note creates the table; a store without notes has no such table, and older versions
    /// ignore it.
    fn put_note(&self, note: &Note) -> rusqlite::Result<()> {
        self.run("CREATE TABLE IF NOT EXISTS note (name TEXT NOT NULL PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID")?;
        match &note.text {
            Some(text) => self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO note (name, text) VALUES (?1, ?2)")?
                .execute([&note.name, text])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM note WHERE name = ?1")?
                .execute([&note.name])?,
        };
        Ok(())
    }
}

impl PreparedLoad {
    /// The written classes, each once, for the write counters.
    pub(super) fn written(&self, done: &[LoadOutcome]) -> Vec<(&ClassName, Written)> {
        let changed = |loaded: &LoadOutcome| {
            matches!(
                loaded,
                LoadOutcome::Created | LoadOutcome::Replaced | LoadOutcome::Removed
            )
        };
        let mut classes: Vec<&ClassName> = Vec::new();
        for (step, loaded) in self.steps.iter().zip(done) {
            let class = match step {
                Step::Put(put) => &put.class,
                Step::Remove(class, ..) => class,
                Step::Link(link) | Step::Unlink(link) => &link.owner.class_name,
                Step::Refused(_) => continue,
            };
            if changed(loaded) && !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
            .into_iter()
            .map(|class| (class, Written::default()))
            .collect()
    }
}

/// Reads a note.
pub(super) fn note(connection: &Connection, name: &str) -> Result<Option<String>, SqlError> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'note'";
    let there: i64 = connection
        .prepare_cached(there)?
        .query_row([], |row| row.get(0))?;
    if there == 0 {
        return Ok(None);
    }
    let mut select = connection.prepare_cached("SELECT text FROM note WHERE name = ?1")?;
    Ok(select.query_row([name], |row| row.get(0)).optional()?)
}

/// Checks for each object if it exists.
pub(super) fn exist(
    connection: &Connection,
    tables: &[(Option<Arc<Table>>, ObjectId)],
) -> Result<Vec<bool>, SqlError> {
    let mut there = Vec::with_capacity(tables.len());
    for (table, id) in tables {
        there.push(match table {
            Some(table) => {
                let sql = format!("SELECT 1 FROM c{} WHERE id = ?1", table.number);
                connection.prepare_cached(&sql)?.exists([id.as_str()])?
            }
            None => false,
        });
    }
    Ok(there)
}

/// The links of a relation after `after`.
pub(super) fn links(
    connection: &Connection,
    (class, table): (&ClassName, &Table),
    key: &str,
    after: Option<&Link>,
    limit: u32,
) -> Result<Vec<Link>, SqlError> {
    let mut select = connection.prepare_cached(
        "SELECT owner, target_class, target FROM relation
         WHERE class = ?1 AND key = ?2 AND (owner, target, target_class) > (?3, ?4, ?5)
         ORDER BY owner, target, target_class LIMIT ?6",
    )?;
    let (owner, target, target_class) = after.map_or(("", "", ""), |link| {
        let target = &link.target;
        (
            link.owner.object_id.as_str(),
            target.object_id.as_str(),
            target.class_name.as_str(),
        )
    });
    let mut rows = select.query(params![table.number, key, owner, target, target_class, limit])?;
    let mut links = Vec::new();
    let unreadable = |error: CloudError| SqlError::Unreadable(error.message);
    while let Some(row) = rows.next()? {
        let owner: String = row.get(0)?;
        links.push(Link {
            owner: Pointer {
                class_name: class.clone(),
                object_id: owner.try_into().map_err(unreadable)?,
            },
            key: key.to_owned(),
            target: Pointer {
                class_name: row.get::<_, String>(1)?.try_into().map_err(unreadable)?,
                object_id: row.get::<_, String>(2)?.try_into().map_err(unreadable)?,
            },
        });
    }
    Ok(links)
}
