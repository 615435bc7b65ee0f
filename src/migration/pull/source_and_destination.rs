//! The stores of a move, as the [`Relocator`](crate::payment::relocation::Relocator) sees them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::client::Client;
use crate::migration::pull::row_conversion::to_stored;
use crate::migration::pull::source::Source;
use crate::model::user_secrets::SECRET_AND_LOGIN_COLUMNS;
use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::payment::SchemaNames;
use crate::payment::relocation::{self, IfExists, ImportDocument, ImportOutcome, ImportStore};
use crate::store::load::{self, LoadBatch, LoadOutcome, LoadStep, Loader};
use crate::store::{ReadError, Store, StoreWrapper, Write, WriteOutcome};

/// The source of a move, over its API: the client's own store, except that objects are read with their ACLs and within
/// the source's rate limit.
#[derive(Clone, Debug)]
pub struct SourceStore {
    client: Client,
    source: Source,
}

impl SourceStore {
    /// The source through this client, within the rate limit of `source`.
    #[must_use]
    pub fn new(client: Client, source: Source) -> Self {
        Self { client, source }
    }
}

#[async_trait]
impl Store for SourceStore {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        let query = Query::new(Filter::all().eq("objectId", id.as_str())).limit(1);
        Ok(self.find(class, &query).await?.pop())
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        self.source.acquire().await;
        let query = Query {
            return_acl: true,
            ..query.clone()
        };
        Store::find(&self.client, class, &query).await
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        self.source.acquire().await;
        Store::count(&self.client, class, filter).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.source.acquire().await;
        self.client.write(write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.source.acquire().await;
        self.client.batch(writes).await
    }
}

/// The destination of a move: the store that is pulled into.
///
/// Rounds and imports have copied accounts and orders long before the move, as they were at the source: unfenced, in use.
/// With `hides_copies`, an unfenced document counts as absent, and a fenced copy replaces it. This is safe because nobody
/// serves the store before the app has moved. The part of a move after the decision must see the documents that it
/// opens, so it hides nothing.
#[derive(Clone, Debug)]
pub struct DestinationStore {
    store: Arc<dyn Loader>,
    names: Arc<SchemaNames>,
    hides_copies: bool,
}

impl DestinationStore {
    /// The destination before the decision: unfenced copies are hidden.
    #[must_use]
    pub fn before_decision(store: Arc<dyn Loader>, names: Arc<SchemaNames>) -> Self {
        Self {
            store,
            names,
            hides_copies: true,
        }
    }

    /// The destination after the decision: nothing is hidden.
    #[must_use]
    pub fn from_decision(store: Arc<dyn Loader>, names: Arc<SchemaNames>) -> Self {
        Self {
            store,
            names,
            hides_copies: false,
        }
    }

    /// The filter of a class's documents that are in use, i.e. not fenced. Closed logs never change: they are neither.
    fn in_use(&self, class: &ClassName) -> Option<Filter> {
        let holds_money = self.names.classes().contains(&class);
        holds_money.then(|| relocation::in_use(&self.names, class))
    }

    /// The filter without hidden documents.
    fn visible(&self, class: &ClassName, filter: &Filter) -> Filter {
        match self.in_use(class).filter(|_| self.hides_copies) {
            None => filter.clone(),
            Some(in_use) => Filter::And(vec![filter.clone(), Filter::Nor(vec![in_use])]),
        }
    }

    fn is_hidden(&self, class: &ClassName, document: &Document) -> bool {
        self.hides_copies
            && self
                .in_use(class)
                .is_some_and(|in_use| in_use.matches(document).unwrap_or(false))
    }

    async fn load(&self, steps: Vec<LoadStep>) -> Vec<ImportOutcome> {
        let count = steps.len();
        match self.store.load(LoadBatch::new(steps)).await {
            Ok(loaded) => loaded.into_iter().map(import_outcome).collect(),
            Err(error) => vec![ImportOutcome::Unknown(error.to_string()); count],
        }
    }
}

/// The import outcome of a loaded step.
fn import_outcome(loaded: LoadOutcome) -> ImportOutcome {
    match loaded {
        LoadOutcome::Created | LoadOutcome::Replaced | LoadOutcome::Unchanged | LoadOutcome::Removed => {
            ImportOutcome::Imported
        }
        LoadOutcome::Kept { .. } => ImportOutcome::PreconditionFailed,
        LoadOutcome::Refused(error) => ImportOutcome::Refused(error),
    }
}

/// The step that stores an imported document.
fn put_step(import: &ImportDocument, if_exists: load::IfExists) -> LoadStep {
    let class = import.class.clone();
    let fill_missing: &[&str] = if class == ClassName::user() {
        &SECRET_AND_LOGIN_COLUMNS
    } else {
        &[]
    };
    LoadStep::Put {
        document: to_stored(&class, import.document.clone(), false),
        class,
        if_exists,
        fill_missing,
    }
}

impl StoreWrapper for DestinationStore {
    fn inner(&self) -> &dyn Store {
        &*self.store
    }

    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        let found = self.store.get(class, id).await?;
        Ok(found.filter(|document| !self.is_hidden(class, document)))
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        let query = Query {
            filter: self.visible(class, &query.filter),
            ..query.clone()
        };
        self.store.find(class, &query).await
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        self.store.count(class, &self.visible(class, filter)).await
    }
}

#[async_trait]
impl ImportStore for DestinationStore {
    async fn import(&self, imports: Vec<ImportDocument>) -> Vec<ImportOutcome> {
        let if_exists = |import: &ImportDocument| match &import.if_exists {
            IfExists::Keep => load::IfExists::Keep,
            IfExists::ReplaceMatching(filter) => load::IfExists::ReplaceMatching(filter.clone()),
        };
        let steps = imports.iter().map(|import| put_step(import, if_exists(import)));
        let mut outcomes = self.load(steps.collect()).await;
        if !self.hides_copies {
            return outcomes;
        }
        // A held document may be a hidden copy: replace it if it is in use.
        let retried: Vec<usize> = imports
            .iter()
            .zip(&outcomes)
            .enumerate()
            .filter(|(_, (import, outcome))| {
                import.if_exists == IfExists::Keep && **outcome == ImportOutcome::PreconditionFailed
            })
            .map(|(index, _)| index)
            .collect();
        let steps = retried.iter().filter_map(|index| {
            let import = imports.get(*index)?;
            let in_use = self.in_use(&import.class)?;
            Some(put_step(import, load::IfExists::ReplaceMatching(in_use)))
        });
        let steps: Vec<LoadStep> = steps.collect();
        if steps.len() != retried.len() || steps.is_empty() {
            return outcomes;
        }
        for (index, outcome) in retried.into_iter().zip(self.load(steps).await) {
            if let Some(one) = outcomes.get_mut(index) {
                *one = outcome;
            }
        }
        outcomes
    }
}
