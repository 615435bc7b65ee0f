//! Execution of requests inside the writer's transaction.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::environment::Environment;
use crate::model::{
    Class, ClassName, CloudError, Document, Filter, ObjectId, Principal, SchemaChange, Timestamp, Update,
};
use crate::storage::change::{self, Change};
use crate::storage::index_value::{IndexValue, is_private, readers};
use crate::storage::sqlite::catalogue::{Catalogue, Needs, Table};
use crate::storage::sqlite::prepared_insert::PreparedInsert;
use crate::storage::sqlite::row;
use crate::storage::sqlite::sql_error::SqlError;
use crate::store::{Action, CommitOutcome, Write, WriteOutcome, Written};

/// SQL: adds a link to a relation, if it is absent.
pub(super) const INSERT_LINK: &str =
    "INSERT OR IGNORE INTO relation (class, owner, key, target_class, target)
     VALUES (?1, ?2, ?3, ?4, ?5)";

/// SQL: removes a link from a relation.
pub(super) const DELETE_LINK: &str = "DELETE FROM relation
     WHERE class = ?1 AND owner = ?2 AND key = ?3 AND target_class = ?4 AND target = ?5";

/// The writer's transaction, as seen by one request.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) environment: &'a Environment,
    /// The classes, including additions of this transaction.
    pub(super) catalogue: &'a mut Arc<Catalogue>,
    /// Bytes of written documents.
    pub(super) bytes: usize,
}

/// The failure of a write.
pub(super) enum WriteError {
    /// The write has this outcome. The transaction goes on.
    Refused(Box<WriteOutcome>),
    /// The whole transaction failed.
    Fatal(rusqlite::Error),
}

/// Outcome of a request that is carried out as a whole.
pub(super) enum Attempt<T> {
    /// Its writes are part of the transaction.
    Done(T),
    /// Its writes were taken back; the transaction goes on.
    RolledBack(CloudError),
}

impl<T> Attempt<T> {
    pub(super) fn into_result(self) -> Result<T, CloudError> {
        match self {
            Self::Done(done) => Ok(done),
            Self::RolledBack(error) => Err(error),
        }
    }
}

impl From<SqlError> for WriteError {
    fn from(failure: SqlError) -> Self {
        match failure {
            SqlError::Database(error) => Self::Fatal(error),
            other => other.into_refusal().into(),
        }
    }
}

impl From<CloudError> for WriteError {
    fn from(error: CloudError) -> Self {
        WriteOutcome::Rejected(error).into()
    }
}

impl From<WriteOutcome> for WriteError {
    fn from(outcome: WriteOutcome) -> Self {
        Self::Refused(Box::new(outcome))
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        SqlError::from(error).into()
    }
}

/// A validated write: its precondition holds, and its document is built.
enum ValidatedWrite<'w> {
    Put {
        class: &'w ClassName,
        change: Box<Change>,
        /// The stored form of the document.
        json: String,
        /// The index values, if the document is new or one of them changes.
        keys: Option<Vec<IndexValue>>,
        /// Number of keys of the class at the time of validation.
        keys_known: usize,
        /// Former readers of the document, if they may change.
        readers_before: Vec<String>,
    },
    Delete {
        class: &'w ClassName,
        id: &'w ObjectId,
        readers_before: Vec<String>,
    },
}

impl<'w> ValidatedWrite<'w> {
    fn put(
        class: &'w ClassName,
        change: Box<Change>,
        json: String,
        keys: Option<Vec<IndexValue>>,
        keys_known: usize,
    ) -> Result<Self, WriteError> {
        change::check_size(json.len())?;
        Ok(Self::Put {
            class,
            change,
            json,
            keys,
            keys_known,
            readers_before: Vec::new(),
        })
    }

    /// Sets the former readers of the document.
    fn after(mut self, readers: Vec<String>) -> Self {
        let (Self::Put { readers_before, .. } | Self::Delete { readers_before, .. }) = &mut self;
        *readers_before = readers;
        self
    }
}

/// Effects of earlier writes of the same request that are validated but not yet stored.
#[derive(Default)]
struct Overlay<'w> {
    /// Documents that later writes of the request concern; `None` if deleted.
    documents: BTreeMap<(&'w ClassName, &'w ObjectId), Option<(Document, Timestamp)>>,
    /// Classes with added columns.
    classes: BTreeMap<&'w ClassName, Class>,
}

impl<'w> Overlay<'w> {
    /// Adds the effects of a write that `later` writes can see.
    fn add(&mut self, step: &ValidatedWrite<'w>, known: Option<&Class>, write: &'w Write, later: &[Write]) {
        let id = match &write.action {
            Action::Create { .. } => None,
            Action::Update { id, .. } | Action::Delete { id, .. } => Some(id),
        };
        let is_same = |other: &Write| match &other.action {
            Action::Create { .. } => false,
            Action::Update { id: other_id, .. } | Action::Delete { id: other_id, .. } => {
                Some(other_id) == id && other.class == write.class
            }
        };
        let state = match step {
            ValidatedWrite::Put { class, change, .. } => {
                if !change.columns.is_empty() {
                    let noted = self.classes.get(*class).or(known);
                    let before = noted.map_or_else(|| Class::initial((*class).clone()), Class::clone);
                    self.classes.insert(class, change.extended_class(&before));
                }
                Some((&change.document, change.created_at))
            }
            ValidatedWrite::Delete { .. } => None,
        };
        if let Some(id) = id
            && later.iter().any(is_same)
        {
            let state = state.map(|(document, created_at)| (document.clone(), created_at));
            self.documents.insert((&write.class, id), state);
        }
    }
}

impl Transaction<'_> {
    /// Executes each write on its own.
    pub(super) fn batch(
        &mut self,
        writes: &[Write],
        prepared: &mut [Option<PreparedInsert>],
        principal: &Principal,
    ) -> Result<Vec<WriteOutcome>, rusqlite::Error> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for (write, prepared) in writes.iter().zip(prepared) {
            let before = Arc::clone(self.catalogue);
            outcomes.push(match self.write_one(write, prepared.as_mut(), principal) {
                Ok(written) => WriteOutcome::Applied(written),
                Err(WriteError::Refused(outcome)) => {
                    *self.catalogue = before;
                    *outcome
                }
                Err(WriteError::Fatal(error)) => return Err(error),
            });
        }
        Ok(outcomes)
    }

    /// Executes one write. All refusals come before the first changing statement, except that of a unique index,
    /// which refuses that statement itself. So no savepoint is needed.
    fn write_one(
        &mut self,
        write: &Write,
        prepared: Option<&mut PreparedInsert>,
        principal: &Principal,
    ) -> Result<Written, WriteError> {
        let step = self.validate(write, prepared, principal, &Overlay::default())?;
        self.execute(step)
    }

    /// Executes all writes or none.
    pub(super) fn commit(
        &mut self,
        writes: &[Write],
        prepared: &mut [Option<PreparedInsert>],
    ) -> Result<CommitOutcome, rusqlite::Error> {
        let before = Arc::clone(self.catalogue);
        match self.commit_all(writes, prepared) {
            Ok(written) => Ok(CommitOutcome::Applied(written)),
            Err((index, WriteError::Refused(outcome))) => {
                *self.catalogue = before;
                Ok(CommitOutcome::Refused {
                    index,
                    outcome: *outcome,
                })
            }
            Err((_, WriteError::Fatal(error))) => Err(error),
        }
    }

    /// First validates every write, each seeing the earlier ones, then stores all. After that only a unique index
    /// can refuse: a savepoint is needed if that can happen after the first statement.
    fn commit_all(
        &mut self,
        writes: &[Write],
        prepared: &mut [Option<PreparedInsert>],
    ) -> Result<Vec<Written>, (usize, WriteError)> {
        let mut steps = Vec::with_capacity(writes.len());
        let mut overlay = Overlay::default();
        let mut refused = None;
        for (index, (write, prepared)) in writes.iter().zip(prepared).enumerate() {
            match self.validate(write, prepared.as_mut(), &Principal::Master, &overlay) {
                Ok(step) => {
                    let known = self.catalogue.tables.get(&write.class).map(|table| &*table.class);
                    overlay.add(&step, known, write, writes.get(index + 1..).unwrap_or_default());
                    steps.push(step);
                }
                Err(error) => {
                    refused = Some((index, error));
                    break;
                }
            }
        }
        match refused {
            // The first refusal counts, and an index may refuse an earlier write: try, then roll back.
            Some(refused) if steps.iter().any(|step| self.can_be_refused(step)) => {
                self.with_savepoint(|this| this.execute_all(steps).and(Err(refused)))
            }
            Some(refused) => Err(refused),
            None if steps.iter().skip(1).any(|step| self.can_be_refused(step)) => {
                self.with_savepoint(|this| this.execute_all(steps))
            }
            None => self.execute_all(steps),
        }
    }

    fn execute_all(&mut self, steps: Vec<ValidatedWrite<'_>>) -> Result<Vec<Written>, (usize, WriteError)> {
        let steps = steps.into_iter().enumerate();
        steps
            .map(|(index, step)| self.execute(step).map_err(|error| (index, error)))
            .collect()
    }

    /// Rolls back the statements of `action` if it is refused.
    fn with_savepoint<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, (usize, WriteError)>,
    ) -> Result<T, (usize, WriteError)> {
        let fatal = |error: rusqlite::Error| (0, WriteError::Fatal(error));
        self.run("SAVEPOINT request").map_err(fatal)?;
        let done = action(self);
        if matches!(done, Err((_, WriteError::Refused(_)))) {
            self.run("ROLLBACK TO request").map_err(fatal)?;
        }
        self.run("RELEASE request").map_err(fatal)?;
        done
    }

    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.raw_execute().map(drop)
    }

    /// True if storing can still fail, or changes more than one row.
    fn can_be_refused(&self, step: &ValidatedWrite<'_>) -> bool {
        match step {
            ValidatedWrite::Put {
                class, change, keys, ..
            } => match self.catalogue.tables.get(*class) {
                Some(table) => table.has_unique() && (change.is_new || keys.is_some()),
                None => true,
            },
            ValidatedWrite::Delete { .. } => false,
        }
    }

    /// Validates a write.
    fn validate<'w>(
        &self,
        write: &'w Write,
        prepared: Option<&mut PreparedInsert>,
        principal: &Principal,
        overlay: &Overlay<'w>,
    ) -> Result<ValidatedWrite<'w>, WriteError> {
        let name = &write.class;
        match &write.action {
            Action::Create { fields } => self.validate_create(name, fields, prepared, overlay),
            Action::Update {
                id,
                precondition,
                update,
                ..
            } => {
                let (document, created_at) = self.authorized(name, id, precondition, principal, overlay)?;
                let class = self.class(name, overlay)?;
                let known: &[String] = self.catalogue.tables.get(name).map_or(&[], |table| &table.keys);
                let touched = known.iter().any(|key| {
                    update
                        .ops
                        .iter()
                        .any(|(path, _)| key.split('.').next() == Some(path.column()))
                });
                let before = touched.then(|| IndexValue::all(known, &document));
                let readers = if update.ops.iter().any(|(path, _)| path.column() == "ACL") {
                    readers(&document)
                } else {
                    Vec::new()
                };
                let at = (id.clone(), created_at);
                let change = Change::update(&class, document, at, update, self.environment)?;
                let keys = before
                    .map(|before| (before, IndexValue::all(known, &change.document)))
                    .and_then(|(before, after)| (before != after).then_some(after));
                let json = row::json(&change.document)?;
                let step = ValidatedWrite::put(name, Box::new(change), json, keys, known.len())?;
                Ok(step.after(readers))
            }
            Action::Delete { id, precondition } => {
                let (document, _) = self.authorized(name, id, precondition, principal, overlay)?;
                let readers_before = readers(&document);
                Ok(ValidatedWrite::Delete {
                    class: name,
                    id,
                    readers_before,
                })
            }
        }
    }

    fn validate_create<'w>(
        &self,
        name: &'w ClassName,
        fields: &Update,
        prepared: Option<&mut PreparedInsert>,
        overlay: &Overlay<'_>,
    ) -> Result<ValidatedWrite<'w>, WriteError> {
        let (id, now) = match prepared {
            Some(prepared) => {
                let is_as_before = !overlay.classes.contains_key(name);
                let table = self.catalogue.tables.get(name).filter(|_| is_as_before);
                if let Some(encoded) = prepared.take_for(table) {
                    let known = encoded.keys.len();
                    return ValidatedWrite::put(
                        name,
                        encoded.change,
                        encoded.json,
                        Some(encoded.keys),
                        known,
                    );
                }
                (prepared.id.clone(), prepared.now)
            }
            None => (self.environment.object_id(), self.environment.now()),
        };
        let class = self.class(name, overlay)?;
        let change = Change::create(&class, fields, id, now)?;
        let json = row::json(&change.document)?;
        ValidatedWrite::put(name, Box::new(change), json, None, 0)
    }

    fn class<'c>(&'c self, name: &ClassName, overlay: &'c Overlay<'_>) -> Result<Cow<'c, Class>, CloudError> {
        if let Some(class) = overlay.classes.get(name) {
            return Ok(Cow::Borrowed(class));
        }
        match self.catalogue.tables.get(name) {
            Some(table) => Ok(Cow::Borrowed(&table.class)),
            None => change::new_class(&self.catalogue.schema, name).map(Cow::Owned),
        }
    }

    fn authorized(
        &self,
        class: &ClassName,
        id: &ObjectId,
        precondition: &Filter,
        principal: &Principal,
        overlay: &Overlay<'_>,
    ) -> Result<(Document, Timestamp), WriteError> {
        let found = match overlay.documents.get(&(class, id)) {
            Some(state) => state.clone(),
            None => self.stored(class, id)?,
        };
        let (document, created_at) = found.ok_or(WriteOutcome::NotMatched)?;
        change::allow(&document, precondition, principal)?;
        Ok((document, created_at))
    }

    pub(super) fn stored(
        &self,
        class: &ClassName,
        id: &ObjectId,
    ) -> Result<Option<(Document, Timestamp)>, SqlError> {
        let Some(table) = self.catalogue.tables.get(class) else {
            return Ok(None);
        };
        let mut select = self.connection.prepare_cached(&table.select_one)?;
        let mut rows = select.query([id.as_str()])?;
        rows.next()?.map(row::timed_document).transpose()
    }

    fn execute(&mut self, step: ValidatedWrite<'_>) -> Result<Written, WriteError> {
        match step {
            ValidatedWrite::Put {
                class,
                change,
                json,
                keys,
                keys_known,
                readers_before,
            } => {
                let keys = keys.as_deref();
                let table = self.put(class, &change, &json, (keys, keys_known))?;
                self.update_relations(&table, &change)?;
                if change.is_new || change.writes_acl {
                    self.update_readers(&table, &change, &readers_before)?;
                }
                Ok(change.into_written())
            }
            ValidatedWrite::Delete {
                class,
                id,
                readers_before,
            } => {
                self.delete(class, id, &readers_before)?;
                Ok(change::deleted(id))
            }
        }
    }

    pub(super) fn delete(
        &self,
        class: &ClassName,
        id: &ObjectId,
        readers_before: &[String],
    ) -> Result<(), WriteError> {
        let Some(table) = self.catalogue.tables.get(class) else {
            return Ok(());
        };
        self.connection
            .prepare_cached(&table.delete)?
            .execute([id.as_str()])?;
        self.connection
            .prepare_cached("DELETE FROM relation WHERE class = ?1 AND owner = ?2")?
            .execute(params![table.number, id.as_str()])?;
        for reader in readers_before {
            table.remove_reader(self.connection, id.as_str(), reader)?;
        }
        Ok(())
    }

    pub(super) fn put(
        &mut self,
        class: &ClassName,
        change: &Change,
        json: &str,
        (keys, keys_known): (Option<&[IndexValue]>, usize),
    ) -> Result<Arc<Table>, WriteError> {
        self.bytes += json.len();
        let private = (change.is_new || change.writes_acl) && is_private(&change.document);
        let table = match self.catalogue.tables.get(class) {
            Some(table) => Arc::clone(table),
            None => {
                let initial = change::new_class(&self.catalogue.schema, class)?;
                self.put_class(change.extended_class(&initial), Needs { private })?
            }
        };
        // An earlier write of the request may have added keys after the validation of this one.
        let index_values = (keys_known != table.keys.len()).then(|| table.index_values(&change.document));
        let keys = index_values.as_deref().or(keys);
        if change.is_new {
            self.insert(&table, change, json, keys)?;
        } else {
            self.update(&table, change, json, keys)?;
        }
        // An earlier write of the request may have added the same columns.
        let is_missing = |(key, _): &(String, _)| !table.class.columns.contains_key(key);
        let brings_private = private && table.private_column().is_none();
        if !change.columns.iter().any(is_missing) && !brings_private {
            return Ok(table);
        }
        let widened = self.put_class(change.extended_class(&table.class), Needs { private })?;
        if widened.keys.len() > table.keys.len() {
            // This document is the first with values for the new columns.
            let index_values = widened.index_values(&change.document);
            self.update(&widened, change, json, Some(&index_values))?;
        }
        Ok(widened)
    }

    /// Updates the index of readers of a document.
    pub(super) fn update_readers(
        &self,
        table: &Table,
        change: &Change,
        before: &[String],
    ) -> Result<(), WriteError> {
        let now = readers(&change.document);
        for reader in before.iter().filter(|reader| !now.contains(reader)) {
            table.remove_reader(self.connection, change.id.as_str(), reader)?;
        }
        for reader in now.iter().filter(|reader| !before.contains(reader)) {
            table.add_reader(self.connection, change.id.as_str(), reader)?;
        }
        Ok(())
    }

    pub(super) fn put_class(&mut self, class: Class, needs: Needs) -> Result<Arc<Table>, WriteError> {
        Ok(Arc::make_mut(self.catalogue).put(self.connection, class, needs)?)
    }

    fn insert(
        &self,
        table: &Table,
        change: &Change,
        json: &str,
        keys: Option<&[IndexValue]>,
    ) -> Result<(), WriteError> {
        let mut insert = self.connection.prepare_cached(&table.insert)?;
        insert.raw_bind_parameter(1, change.id.as_str())?;
        insert.raw_bind_parameter(2, change.created_at.as_millis())?;
        insert.raw_bind_parameter(3, change.updated_at.as_millis())?;
        insert.raw_bind_parameter(4, json)?;
        let keys = match keys {
            Some(keys) => Cow::Borrowed(keys),
            None => Cow::Owned(table.index_values(&change.document)),
        };
        for (place, key) in keys.iter().enumerate() {
            insert.raw_bind_parameter(place + 5, key)?;
        }
        insert.raw_execute()?;
        Ok(())
    }

    fn update(
        &self,
        table: &Table,
        change: &Change,
        json: &str,
        keys: Option<&[IndexValue]>,
    ) -> Result<(), WriteError> {
        let sql = if keys.is_some() {
            &table.update_keys
        } else {
            &table.update
        };
        let mut update = self.connection.prepare_cached(sql)?;
        update.raw_bind_parameter(1, change.id.as_str())?;
        update.raw_bind_parameter(2, change.updated_at.as_millis())?;
        update.raw_bind_parameter(3, json)?;
        for (place, key) in keys.unwrap_or_default().iter().enumerate() {
            update.raw_bind_parameter(place + 4, key)?;
        }
        update.raw_execute()?;
        Ok(())
    }

    fn update_relations(&self, table: &Table, change: &Change) -> Result<(), WriteError> {
        for relation in &change.relations {
            let sql = if relation.add { INSERT_LINK } else { DELETE_LINK };
            self.connection.prepare_cached(sql)?.execute(params![
                table.number,
                change.id.as_str(),
                relation.key,
                relation.target.class_name.as_str(),
                relation.target.object_id.as_str(),
            ])?;
        }
        Ok(())
    }

    /// Changes the schema.
    pub(super) fn define(&mut self, change: SchemaChange) -> Result<Attempt<()>, rusqlite::Error> {
        let class = match change::apply_schema_change(&self.catalogue.schema, change) {
            Ok(Some(class)) => class,
            Ok(None) => return Ok(Attempt::Done(())),
            Err(error) => return Ok(Attempt::RolledBack(error)),
        };
        let before = Arc::clone(self.catalogue);
        self.run("SAVEPOINT request")?;
        let outcome = match self.put_class(class, Needs::default()) {
            Ok(_) => Attempt::Done(()),
            Err(WriteError::Refused(outcome)) => {
                self.run("ROLLBACK TO request")?;
                *self.catalogue = before;
                Attempt::RolledBack(match *outcome {
                    WriteOutcome::Rejected(error) => error,
                    other => CloudError::other(format!("The schema could not be changed: {other:?}")),
                })
            }
            Err(WriteError::Fatal(error)) => return Err(error),
        };
        self.run("RELEASE request")?;
        Ok(outcome)
    }
}
