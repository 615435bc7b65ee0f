//! The ports for reading and writing documents.
//!
//! [`Store`] is all that the payment flow needs: single documents, updated under a condition. The REST client and
//! every engine of [`storage`](crate::storage) implement it. [`AtomicStore`] adds the transactions of engines that
//! have them; [`Database`] adds what the server needs (permissions, schema, relations); [`load::Loader`] is for
//! objects from elsewhere that are stored unchanged.
//!
//! A write never returns an `Err`. Its result is a [`WriteOutcome`]; [`WriteOutcome::Unknown`] is a value to handle,
//! not an exception to pass on.

pub mod fault;
pub mod files;
pub mod load;
pub mod paging;
mod wrapper;

pub use crate::model::write::{Action, CommitOutcome, Write, WriteOutcome, Written};
pub use wrapper::StoreWrapper;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    ClassName, CloudError, Document, Filter, ObjectId, Pointer, Principal, Query, Schema, SchemaChange,
    Timestamp,
};

/// A failed read. Repeating it is always safe.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The store refuses the request, and would refuse it again.
    #[error(transparent)]
    Rejected(#[from] CloudError),
    /// The store could not be reached or did not respond in time.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
}

/// A store of documents with conditional updates of one document at a time: all that is assumed of LeanCloud.
///
/// Reads go to the primary. Writes run with all rights and without hooks (`__ignore_hooks`). Acknowledged writes are
/// durable. The implementation sets the time-out of every call.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Reads one document; `None` if the document or its class does not exist.
    ///
    /// # Errors
    /// [`ReadError`]; never for an absent document.
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError>;

    /// Reads the matching documents, at most `query.limit`. An absent class is empty.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError>;

    /// Counts the matching documents.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError>;

    /// Executes one write. **Atomicity**: one document. **Idempotency**: only by its precondition.
    async fn write(&self, write: Write) -> WriteOutcome;

    /// Executes writes in order, in one round trip, each on its own: one may fail and a later one take effect.
    /// Returns as many outcomes as writes.
    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome>;

    /// The store's all-or-nothing batches, if it has them.
    fn atomic(&self) -> Option<&dyn AtomicStore> {
        None
    }
}

/// A store with all-or-nothing batches.
#[async_trait]
pub trait AtomicStore: Store {
    /// Executes all writes in order in one durable commit, each seeing the earlier ones, or none of them.
    /// **Atomicity**: the batch.
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome;
}

/// The engine's side of the server, beyond [`Store`].
#[async_trait]
pub trait Database: AtomicStore {
    /// The current classes. Cheap; call it once per request.
    fn schema(&self) -> Arc<Schema>;

    /// Changes the schema, durably.
    ///
    /// # Errors
    /// 137 if stored objects violate a new unique index; 303 if the store fails.
    async fn define(&self, change: SchemaChange) -> Result<Arc<Schema>, CloudError>;

    /// The last modification of a class, as visible to reads after this call; `None` if the engine cannot tell
    /// because others write too. Cheap.
    fn last_modified(&self, class: &ClassName) -> Option<LastModified> {
        let _ = class;
        None
    }

    /// As [`Store::get`], for `principal`: also `None` if the ACL forbids reading.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn get_as(
        &self,
        class: &ClassName,
        id: &ObjectId,
        principal: &Principal,
    ) -> Result<Option<Document>, ReadError>;

    /// As [`Store::find`], without documents that the ACL hides from `principal`.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn find_as(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Found, ReadError>;

    /// As [`Store::batch`], for `principal`. A document whose ACL forbids the write is `Rejected` with 403 and
    /// LeanCloud's message. First writes create classes and columns; a value of another type is refused with 111.
    async fn write_as(&self, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome>;

    /// The targets of the relation `key` of `owner`, sorted by `objectId`.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn related(&self, owner: &Pointer, key: &str) -> Result<Vec<Pointer>, ReadError>;

    /// The objects of `class` whose relation `key` contains one or more of `targets`, sorted by `objectId`, each
    /// once.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn owners(
        &self,
        class: &ClassName,
        key: &str,
        targets: &[Pointer],
    ) -> Result<Vec<ObjectId>, ReadError>;
}

/// The last modification of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastModified {
    /// Number of documents created, updated and deleted since the store was opened. Data read at one count is
    /// current while the count is unchanged.
    pub writes: u64,
    /// Time of the last write; if the class was not written since the store was opened, of the latest write among
    /// its documents.
    pub at: Option<Timestamp>,
}

/// The result of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The rows.
    pub results: Vec<Document>,
    /// With `query.count`: the number of matches, regardless of the limit.
    pub count: Option<u64>,
}
