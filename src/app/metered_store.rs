//! A store that counts the calls of the payment flow.

use std::sync::Arc;

use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::store::{CommitOutcome, ReadError, Store, StoreWrapper, Write, WriteOutcome};
use crate::telemetry::Counters;

/// Counts every call and forwards it to the inner store.
#[derive(Debug)]
pub(crate) struct MeteredStore {
    inner: Arc<dyn Store>,
    counters: Arc<Counters>,
}

impl MeteredStore {
    pub(crate) fn new(inner: Arc<dyn Store>, counters: Arc<Counters>) -> Self {
        Self { inner, counters }
    }
}

impl StoreWrapper for MeteredStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.counters.store_read();
        self.inner.get(class, id).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        self.counters.store_read();
        self.inner.find(class, query).await
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        self.counters.store_read();
        self.inner.count(class, filter).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.counters.store_write();
        self.inner.write(write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.counters.store_write();
        self.inner.batch(writes).await
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        match self.inner.atomic() {
            Some(store) => {
                self.counters.store_commit();
                store.commit(writes).await
            }
            // `atomic` has not offered it: somebody holds the type itself. Nothing is sent.
            None => CommitOutcome::Unknown("this store takes no all-or-nothing batches".to_owned()),
        }
    }
}
