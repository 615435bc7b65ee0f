//! Documents in memory: the oracle of the other engines, and a store for tests and simulations. Nothing is durable.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::environment::Environment;
use crate::model::{
    Class, ClassName, CloudError, Column, Document, Filter, ObjectId, OrderKey, Pointer, Principal, Query,
    Schema, SchemaChange,
};
use crate::storage::change::{self, Change};
use crate::storage::index_value::unique_key;
use crate::storage::loaded_object::{LoadedObject, link_column};
use crate::store::load::{IfExists, Link, LoadBatch, LoadOutcome, LoadStep, Loader};
use crate::store::{
    Action, AtomicStore, CommitOutcome, Database, Found, ReadError, Store, Write, WriteOutcome, Written,
};

/// Documents in memory. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    environment: Environment,
    state: Arc<Mutex<State>>,
    single_documents: bool,
}

#[derive(Debug, Default)]
struct State {
    schema: Arc<Schema>,
    documents: BTreeMap<ClassName, BTreeMap<ObjectId, Document>>,
    /// Unique values and their objects, by class and position of the index.
    taken: BTreeMap<(ClassName, usize), UniqueValues>,
    relations: BTreeSet<Link>,
    notes: BTreeMap<String, String>,
}

/// The values of one unique index, with their objects.
type UniqueValues = BTreeMap<Vec<Vec<u8>>, ObjectId>;

/// The inverse of one step of a write.
#[derive(Debug)]
enum Undo {
    Document(ClassName, ObjectId, Option<Document>),
    Link(Link, bool),
    Schema(Arc<Schema>),
}

impl MemoryStore {
    /// Creates an empty store. Ids and times come from `environment`.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            state: Arc::default(),
            single_documents: false,
        }
    }

    /// The same documents in a store without all-or-nothing batches ([`Store::atomic`] is `None`), like LeanCloud.
    #[must_use]
    pub fn single_documents(mut self) -> Self {
        self.single_documents = true;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome> {
        let mut state = self.state();
        writes
            .into_iter()
            .map(|write| {
                let mut undo = Vec::new();
                match state.write(&write, principal, &self.environment, &mut undo) {
                    Ok(written) => WriteOutcome::Applied(written),
                    Err(outcome) => {
                        state.roll_back(undo);
                        outcome
                    }
                }
            })
            .collect()
    }

    fn read(&self, class: &ClassName, query: &Query, principal: &Principal) -> Result<Found, ReadError> {
        change::check_resolved(&query.filter)?;
        let state = self.state();
        let mut matching = Vec::new();
        for document in state.documents.get(class).into_iter().flat_map(BTreeMap::values) {
            if principal.may_read(document) && query.filter.matches(document)? {
                matching.push(document);
            }
        }
        let count = query.count.then_some(matching.len() as u64);
        if query.near().is_some() {
            let mut sorted: Vec<Document> = matching.into_iter().cloned().collect();
            query.sort(&mut sorted);
            let results = sorted
                .into_iter()
                .skip(query.skip as usize)
                .take(query.limit as usize)
                .collect();
            return Ok(Found { results, count });
        }
        // The map is sorted by id and the sort is stable, so the id breaks ties.
        matching.sort_by(|a, b| compare(&query.order, a, b));
        let results = matching
            .into_iter()
            .skip(query.skip as usize)
            .take(query.limit as usize)
            .cloned()
            .collect();
        Ok(Found { results, count })
    }
}

fn compare(order: &[OrderKey], a: &Document, b: &Document) -> Ordering {
    if order.is_empty() {
        Ordering::Equal
    } else {
        OrderKey::compare(order, a, b)
    }
}

impl State {
    fn write(
        &mut self,
        write: &Write,
        principal: &Principal,
        environment: &Environment,
        undo: &mut Vec<Undo>,
    ) -> Result<Written, WriteOutcome> {
        let name = &write.class;
        match &write.action {
            Action::Create { fields } => {
                let (id, now) = (environment.object_id(), environment.now());
                let class = self.class(name).map_err(WriteOutcome::Rejected)?;
                let change = Change::create(&class, fields, id, now).map_err(WriteOutcome::Rejected)?;
                self.store(&class, change, undo)
            }
            Action::Update {
                id,
                precondition,
                update,
                ..
            } => {
                let document = self.authorized(name, id, precondition, principal)?;
                let class = self.class(name).map_err(WriteOutcome::Rejected)?;
                let created_at = document.created_at().unwrap_or(crate::model::Timestamp::EPOCH);
                let change = Change::update(&class, document, (id.clone(), created_at), update, environment)
                    .map_err(WriteOutcome::Rejected)?;
                self.store(&class, change, undo)
            }
            Action::Delete { id, precondition } => {
                self.authorized(name, id, precondition, principal)?;
                self.put(name, id, None, undo).map_err(WriteOutcome::Rejected)?;
                self.unlink_owner(name, id, undo);
                Ok(change::deleted(id))
            }
        }
    }

    fn class(&self, name: &ClassName) -> Result<Arc<Class>, CloudError> {
        match self.schema.classes.get(name) {
            Some(class) => Ok(Arc::clone(class)),
            None => change::new_class(&self.schema, name).map(Arc::new),
        }
    }

    fn authorized(
        &self,
        class: &ClassName,
        id: &ObjectId,
        precondition: &Filter,
        principal: &Principal,
    ) -> Result<Document, WriteOutcome> {
        let document = self
            .documents
            .get(class)
            .and_then(|documents| documents.get(id))
            .ok_or(WriteOutcome::NotMatched)?;
        change::allow(document, precondition, principal)?;
        Ok(document.clone())
    }

    fn store(
        &mut self,
        class: &Class,
        change: Change,
        undo: &mut Vec<Undo>,
    ) -> Result<Written, WriteOutcome> {
        let size = serde_json::to_vec(&change.document).map_or(usize::MAX, |bytes| bytes.len());
        change::check_size(size).map_err(WriteOutcome::Rejected)?;
        if !change.columns.is_empty() || !self.schema.classes.contains_key(&class.name) {
            undo.push(Undo::Schema(Arc::clone(&self.schema)));
            self.schema = change::with_class(&self.schema, change.extended_class(class));
        }
        self.put(&class.name, &change.id, Some(&change.document), undo)
            .map_err(WriteOutcome::Rejected)?;
        for relation in &change.relations {
            let link = Link {
                owner: Pointer {
                    class_name: class.name.clone(),
                    object_id: change.id.clone(),
                },
                key: relation.key.clone(),
                target: relation.target.clone(),
            };
            self.link(link, relation.add, undo);
        }
        Ok(change.into_written())
    }

    /// Replaces the stored document, or deletes it; 137 if a unique index refuses.
    fn put(
        &mut self,
        class: &ClassName,
        id: &ObjectId,
        document: Option<&Document>,
        undo: &mut Vec<Undo>,
    ) -> Result<(), CloudError> {
        let definition = self.schema.classes.get(class).map(Arc::clone);
        let documents = self.documents.entry(class.clone()).or_default();
        let before = documents.remove(id);
        let indexes = definition
            .iter()
            .flat_map(|class| class.indexes.iter().enumerate());
        for (place, index) in indexes.clone().filter(|(_, index)| index.unique) {
            let taken = self.taken.entry((class.clone(), place)).or_default();
            if let Some(key) = before.as_ref().and_then(|before| unique_key(index, before)) {
                taken.remove(&key);
            }
        }
        let clash = indexes
            .clone()
            .filter(|(_, index)| index.unique)
            .any(|(place, index)| {
                let key = document.and_then(|document| unique_key(index, document));
                let taken = self.taken.get(&(class.clone(), place));
                key.is_some_and(|key| taken.is_some_and(|taken| taken.contains_key(&key)))
            });
        let kept = if clash { before.as_ref() } else { document };
        for (place, index) in indexes.filter(|(_, index)| index.unique) {
            if let Some(key) = kept.and_then(|kept| unique_key(index, kept)) {
                let taken = self.taken.entry((class.clone(), place)).or_default();
                taken.insert(key, id.clone());
            }
        }
        let documents = self.documents.entry(class.clone()).or_default();
        if let Some(kept) = kept {
            documents.insert(id.clone(), kept.clone());
        }
        if clash {
            return Err(change::duplicate());
        }
        undo.push(Undo::Document(class.clone(), id.clone(), before));
        Ok(())
    }

    fn link(&mut self, link: Link, add: bool, undo: &mut Vec<Undo>) {
        let changed = if add {
            self.relations.insert(link.clone())
        } else {
            self.relations.remove(&link)
        };
        if changed {
            undo.push(Undo::Link(link, add));
        }
    }

    fn unlink_owner(&mut self, class: &ClassName, id: &ObjectId, undo: &mut Vec<Undo>) {
        let owned = |link: &&Link| link.owner.class_name == *class && link.owner.object_id == *id;
        let links: Vec<Link> = self.relations.iter().filter(owned).cloned().collect();
        for link in links {
            self.link(link, false, undo);
        }
    }

    fn roll_back(&mut self, undo: Vec<Undo>) {
        for step in undo.into_iter().rev() {
            match step {
                Undo::Document(class, id, before) => {
                    // Every index allowed the earlier state, so this cannot fail.
                    let _ = self.put(&class, &id, before.as_ref(), &mut Vec::new());
                }
                Undo::Link(link, added) => self.link(link, !added, &mut Vec::new()),
                Undo::Schema(schema) => self.schema = schema,
            }
        }
    }

    fn load(&mut self, step: LoadStep, undo: &mut Vec<Undo>) -> Result<LoadOutcome, CloudError> {
        match step {
            LoadStep::Put {
                class,
                document,
                if_exists,
                fill_missing,
            } => self.put_object(&class, document, (&if_exists, fill_missing), undo),
            LoadStep::Remove {
                class,
                id,
                precondition,
            } => {
                let stored = self
                    .documents
                    .get(&class)
                    .and_then(|documents| documents.get(&id));
                let Some(stored) = stored else {
                    return Ok(LoadOutcome::Unchanged);
                };
                if !precondition.matches(stored)? {
                    let updated_at = stored.updated_at();
                    return Ok(LoadOutcome::Kept { updated_at });
                }
                self.put(&class, &id, None, undo)?;
                self.unlink_owner(&class, &id, undo);
                Ok(LoadOutcome::Removed)
            }
            LoadStep::Link(link) => {
                let class = self.class(&link.owner.class_name)?;
                let column = link_column(&class, &link)?;
                self.widen(&class, column.into_iter().collect(), undo);
                let is_new = !self.relations.contains(&link);
                self.link(link, true, undo);
                Ok(if is_new {
                    LoadOutcome::Created
                } else {
                    LoadOutcome::Unchanged
                })
            }
            LoadStep::Unlink(link) => {
                let was_there = self.relations.contains(&link);
                self.link(link, false, undo);
                Ok(if was_there {
                    LoadOutcome::Removed
                } else {
                    LoadOutcome::Unchanged
                })
            }
        }
    }

    fn put_object(
        &mut self,
        name: &ClassName,
        document: Document,
        (if_exists, fill_missing): (&IfExists, &[&str]),
        undo: &mut Vec<Undo>,
    ) -> Result<LoadOutcome, CloudError> {
        let mut object = LoadedObject::read(document)?;
        let stored = self
            .documents
            .get(name)
            .and_then(|documents| documents.get(&object.id));
        let loaded = match stored {
            None => match object.check_replace(None, if_exists) {
                Ok(()) => LoadOutcome::Created,
                Err(loaded) => return Ok(loaded),
            },
            Some(stored) => match object.merge_into(stored, if_exists, fill_missing) {
                Ok(settled) => {
                    object = settled;
                    LoadOutcome::Replaced
                }
                Err(loaded) => return Ok(loaded),
            },
        };
        let size = serde_json::to_vec(&object.document).map_or(usize::MAX, |bytes| bytes.len());
        change::check_size(size)?;
        let class = self.class(name)?;
        let columns = object.columns(&class)?;
        self.widen(&class, columns, undo);
        self.put(name, &object.id, Some(&object.document), undo)?;
        Ok(loaded)
    }

    fn widen(&mut self, class: &Class, columns: Vec<(String, Column)>, undo: &mut Vec<Undo>) {
        if columns.is_empty() && self.schema.classes.contains_key(&class.name) {
            return;
        }
        undo.push(Undo::Schema(Arc::clone(&self.schema)));
        let mut class = class.clone();
        class.columns.extend(columns);
        self.schema = change::with_class(&self.schema, class);
    }

    fn define(&mut self, change: SchemaChange) -> Result<Arc<Schema>, CloudError> {
        let Some(class) = change::apply_schema_change(&self.schema, change)? else {
            return Ok(Arc::clone(&self.schema));
        };
        let known = self.schema.classes.get(&class.name);
        if known.map_or(0, |known| known.indexes.len()) < class.indexes.len() {
            let mut documents = self.documents.get(&class.name).into_iter().flatten();
            documents
                .try_for_each(|(_, document)| change::check_indexed_lengths(&class, document, |_| true))?;
        }
        let mut rebuilt = BTreeMap::new();
        for (place, index) in class.indexes.iter().enumerate().filter(|(_, index)| index.unique) {
            let taken: &mut UniqueValues = rebuilt.entry((class.name.clone(), place)).or_default();
            for (id, document) in self.documents.get(&class.name).into_iter().flatten() {
                if let Some(key) = unique_key(index, document)
                    && taken.insert(key, id.clone()).is_some()
                {
                    return Err(change::duplicate());
                }
            }
        }
        self.taken.extend(rebuilt);
        self.schema = change::with_class(&self.schema, class);
        Ok(Arc::clone(&self.schema))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.get_as(class, id, &Principal::Master).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        Ok(self.read(class, query, &Principal::Master)?.results)
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        let query = Query {
            count: true,
            ..Query::new(filter.clone()).limit(0)
        };
        let found = self.read(class, &query, &Principal::Master)?;
        Ok(found.count.unwrap_or_default())
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        let mut outcomes = self.write_all(vec![write], &Principal::Master);
        outcomes
            .pop()
            .unwrap_or_else(|| WriteOutcome::Unknown("the store answered nothing".to_owned()))
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.write_all(writes, &Principal::Master)
    }

    fn atomic(&self) -> Option<&dyn AtomicStore> {
        (!self.single_documents).then_some(self)
    }
}

#[async_trait]
impl AtomicStore for MemoryStore {
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let mut state = self.state();
        let mut undo = Vec::new();
        let mut answers = Vec::with_capacity(writes.len());
        for (index, write) in writes.iter().enumerate() {
            match state.write(write, &Principal::Master, &self.environment, &mut undo) {
                Ok(written) => answers.push(written),
                Err(outcome) => {
                    state.roll_back(undo);
                    return CommitOutcome::Refused { index, outcome };
                }
            }
        }
        CommitOutcome::Applied(answers)
    }
}

#[async_trait]
impl Database for MemoryStore {
    fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.state().schema)
    }

    async fn define(&self, change: SchemaChange) -> Result<Arc<Schema>, CloudError> {
        self.state().define(change)
    }

    async fn get_as(
        &self,
        class: &ClassName,
        id: &ObjectId,
        principal: &Principal,
    ) -> Result<Option<Document>, ReadError> {
        let state = self.state();
        let document = state.documents.get(class).and_then(|documents| documents.get(id));
        Ok(document.filter(|document| principal.may_read(document)).cloned())
    }

    async fn find_as(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Found, ReadError> {
        self.read(class, query, principal)
    }

    async fn write_as(&self, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome> {
        self.write_all(writes, principal)
    }

    async fn related(&self, owner: &Pointer, key: &str) -> Result<Vec<Pointer>, ReadError> {
        let state = self.state();
        let links = state.relations.iter();
        let mut targets: Vec<Pointer> = links
            .filter(|link| link.owner == *owner && link.key == key)
            .map(|link| link.target.clone())
            .collect();
        targets.sort_by(|a, b| (&a.object_id, &a.class_name).cmp(&(&b.object_id, &b.class_name)));
        Ok(targets)
    }

    async fn owners(
        &self,
        class: &ClassName,
        key: &str,
        targets: &[Pointer],
    ) -> Result<Vec<ObjectId>, ReadError> {
        let state = self.state();
        let links = state.relations.iter();
        let mut owners: Vec<ObjectId> = links
            .filter(|link| link.owner.class_name == *class && link.key == key)
            .filter(|link| targets.contains(&link.target))
            .map(|link| link.owner.object_id.clone())
            .collect();
        owners.sort();
        owners.dedup();
        Ok(owners)
    }
}

#[async_trait]
impl Loader for MemoryStore {
    fn load(&self, mut batch: LoadBatch) -> BoxFuture<'static, Result<Vec<LoadOutcome>, CloudError>> {
        let store = self.clone();
        Box::pin(async move {
            let mut state = store.state();
            let mut undo = Vec::new();
            let mut done = Vec::with_capacity(batch.steps.len());
            for step in batch.steps {
                let mut own = Vec::new();
                match state.load(step, &mut own) {
                    Ok(loaded) => {
                        done.push(loaded);
                        undo.extend(own);
                    }
                    Err(error) => {
                        state.roll_back(own);
                        done.push(LoadOutcome::Refused(error));
                    }
                }
            }
            let notes = match (batch.make_notes)(&done) {
                Ok(notes) => notes,
                Err(error) => {
                    state.roll_back(undo);
                    return Err(error);
                }
            };
            for note in notes {
                match note.text {
                    Some(text) => state.notes.insert(note.name, text),
                    None => state.notes.remove(&note.name),
                };
            }
            Ok(done)
        })
    }

    async fn note(&self, name: &str) -> Result<Option<String>, ReadError> {
        Ok(self.state().notes.get(name).cloned())
    }

    async fn exist(&self, pointers: &[Pointer]) -> Result<Vec<bool>, ReadError> {
        let state = self.state();
        let there = |pointer: &Pointer| {
            let documents = state.documents.get(&pointer.class_name);
            documents.is_some_and(|documents| documents.contains_key(&pointer.object_id))
        };
        Ok(pointers.iter().map(there).collect())
    }

    async fn links(
        &self,
        class: &ClassName,
        key: &str,
        after: Option<&Link>,
        limit: u32,
    ) -> Result<Vec<Link>, ReadError> {
        let order = |link: &Link| {
            let target = &link.target;
            (
                link.owner.object_id.clone(),
                target.object_id.clone(),
                target.class_name.clone(),
            )
        };
        let after = after.map(order);
        let state = self.state();
        let mut links: Vec<Link> = state
            .relations
            .iter()
            .filter(|link| link.owner.class_name == *class && link.key == key)
            .filter(|link| after.as_ref().is_none_or(|after| order(link) > *after))
            .cloned()
            .collect();
        links.sort_by_key(order);
        links.truncate(limit as usize);
        Ok(links)
    }
}
