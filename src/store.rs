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

pub use wrapper::StoreWrapper;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Pointer, Principal, Query, Schema,
    SchemaChange, Timestamp, Update,
};

/// A write of one document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// The class of the document.
    pub class: ClassName,
    /// What is done.
    pub action: Action,
}

/// What a [`Write`] does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Creates a document; the store gives it an id, `createdAt` and `updatedAt`.
    Create {
        /// Its fields; operations act on an empty document.
        fields: Update,
    },
    /// Changes the document if it exists and matches.
    Update {
        /// Which.
        id: ObjectId,
        /// Only if it matches this; [`Filter::all`] for an unconditional update.
        guard: Filter,
        /// How.
        update: Update,
        /// Whether the answer should hold the changed fields as they are afterwards (`fetchWhenSave`).
        fetch: bool,
    },
    /// Deletes the document if it exists and matches.
    Delete {
        /// Which.
        id: ObjectId,
        /// Only if it matches this.
        guard: Filter,
    },
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum WriteOutcome {
    /// It took effect, and is durable.
    Applied(Written),
    /// It had no effect: the condition did not hold, or there is no such document (305).
    NotMatched,
    /// The store refused it; it had no effect and never will.
    Rejected(CloudError),
    /// Nobody knows: time-out, lost connection, 5xx, an undecodable answer. It may even take effect later.
    Unknown(String),
}

impl WriteOutcome {
    /// What was written, for callers for whom everything else is an error: 305 where the condition did not hold, the
    /// store's own refusal under HTTP 500, and an [internal](CloudError::internal) error where nobody knows. Whoever
    /// can do something about the last one handles the outcome itself.
    ///
    /// # Errors
    /// Every outcome but [`WriteOutcome::Applied`].
    pub fn applied(self) -> Result<Written, CloudError> {
        match self {
            Self::Applied(written) => Ok(written),
            Self::NotMatched => Err(CloudError::new(
                ErrorCode::NO_EFFECT,
                "No effect on updating/deleting a document.",
            )),
            Self::Rejected(error) => Err(error.with_status(500)),
            Self::Unknown(reason) => Err(CloudError::internal(format!(
                "whether a write took effect is not known: {reason}"
            ))),
        }
    }
}

/// The answer to a write that took effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The document's id.
    pub object_id: Option<ObjectId>,
    /// Creates: when.
    pub created_at: Option<Timestamp>,
    /// Updates and creates: when.
    pub updated_at: Option<Timestamp>,
    /// With `fetch`: at least the changed fields, as they are after the write. Embedded engines answer the whole
    /// document, always.
    pub fields: Document,
}

/// What became of an all-or-nothing batch.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum CommitOutcome {
    /// Every write took effect; one durable commit.
    Applied(Vec<Written>),
    /// None took effect, because of the write at `index`, which answered `outcome` (never `Applied` or `Unknown`).
    Refused {
        /// Which write, from 0.
        index: usize,
        /// Why.
        outcome: WriteOutcome,
    },
    /// Nobody knows; all of them or none.
    Unknown(String),
}

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

impl Write {
    /// Creates a document.
    #[must_use]
    pub fn create(class: &ClassName, fields: Update) -> Self {
        Self {
            class: class.clone(),
            action: Action::Create { fields },
        }
    }

    /// Changes a document under a condition, and asks for the changed fields.
    #[must_use]
    pub fn update(class: &ClassName, id: &ObjectId, guard: Filter, update: Update) -> Self {
        let action = Action::Update {
            id: id.clone(),
            guard,
            update,
            fetch: true,
        };
        Self {
            class: class.clone(),
            action,
        }
    }

    /// Deletes a document under a condition.
    #[must_use]
    pub fn delete(class: &ClassName, id: &ObjectId, guard: Filter) -> Self {
        Self {
            class: class.clone(),
            action: Action::Delete {
                id: id.clone(),
                guard,
            },
        }
    }
}
