//! A store in front of another store, for faults, counters and tests.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::store::{AtomicStore, CommitOutcome, ReadError, Store, Write, WriteOutcome};

/// A store that passes every call on to an inner store, except those that it overrides.
///
/// Each implementor is a [`Store`] and an [`AtomicStore`] too. A method has the contract of the method of the same name
/// there. Both traits have the same method names: a module that calls one on the wrapper's own type names the trait.
pub trait StoreWrapper: Send + Sync + Debug {
    /// The store that calls are passed on to.
    fn inner(&self) -> &dyn Store;

    /// Reads one document.
    ///
    /// # Errors
    /// [`ReadError`], as from [`Store::get`].
    fn get(
        &self,
        class: &ClassName,
        id: &ObjectId,
    ) -> impl Future<Output = Result<Option<Document>, ReadError>> + Send {
        async move { self.inner().get(class, id).await }
    }

    /// Reads the documents that match.
    ///
    /// # Errors
    /// [`ReadError`], as from [`Store::find`].
    fn find(
        &self,
        class: &ClassName,
        query: &Query,
    ) -> impl Future<Output = Result<Vec<Document>, ReadError>> + Send {
        async move { self.inner().find(class, query).await }
    }

    /// Counts the documents that match.
    ///
    /// # Errors
    /// [`ReadError`], as from [`Store::count`].
    fn count(
        &self,
        class: &ClassName,
        filter: &Filter,
    ) -> impl Future<Output = Result<u64, ReadError>> + Send {
        async move { self.inner().count(class, filter).await }
    }

    /// Performs one write. **Atomicity** and **Idempotency**: as [`Store::write`].
    fn write(&self, write: Write) -> impl Future<Output = WriteOutcome> + Send {
        async move { self.inner().write(write).await }
    }

    /// Performs writes in order, each on its own.
    fn batch(&self, writes: Vec<Write>) -> impl Future<Output = Vec<WriteOutcome>> + Send {
        async move { self.inner().batch(writes).await }
    }

    /// True if this store offers all-or-nothing batches; by default, if the inner store does.
    fn is_atomic(&self) -> bool {
        self.inner().atomic().is_some()
    }

    /// Performs all writes or none. `Unknown`, with nothing sent, if the inner store has no such batches.
    fn commit(&self, writes: Vec<Write>) -> impl Future<Output = CommitOutcome> + Send {
        async move {
            match self.inner().atomic() {
                Some(atomic) => atomic.commit(writes).await,
                None => CommitOutcome::Unknown("this store takes no all-or-nothing batches".to_owned()),
            }
        }
    }
}

#[async_trait]
impl<W: StoreWrapper> Store for W {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        StoreWrapper::get(self, class, id).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        StoreWrapper::find(self, class, query).await
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        StoreWrapper::count(self, class, filter).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        StoreWrapper::write(self, write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        StoreWrapper::batch(self, writes).await
    }

    fn atomic(&self) -> Option<&dyn AtomicStore> {
        self.is_atomic().then_some(self)
    }
}

#[async_trait]
impl<W: StoreWrapper> AtomicStore for W {
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        StoreWrapper::commit(self, writes).await
    }
}
