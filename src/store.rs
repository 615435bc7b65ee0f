//! The ports through which documents are read and written.
//!
//! [`Store`] is all that the payment flow assumes: single documents, changed under a condition. The REST client
//! implements it, and so does every engine of [`storage`](crate::storage). [`AtomicStore`] is what an engine with
//! transactions offers besides; [`Database`] is what the server needs on top (permissions, schema, relations);
//! [`load::Loader`] is for objects that come from elsewhere and are to be kept as they are.
//!
//! A write never answers with an `Err`: its result is a [`WriteOutcome`], whose [`WriteOutcome::Unknown`] is a value
//! to be handled, not an exception to be passed on.

pub mod fault;
pub mod files;
pub mod load;
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

/// A read that failed. Reading again is always safe.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The store refuses the request; the same one will be refused again.
    #[error(transparent)]
    Rejected(#[from] CloudError),
    /// The store could not be reached, or did not answer in time.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
}

/// Documents behind conditional updates of one document at a time; the only thing assumed of LeanCloud.
///
/// Reads go to the primary. Writes run with all rights and no hooks (`__ignore_hooks`). An acknowledged write is
/// durable. The time-out of every call is the implementation's.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Reads one document; `None` where there is none, or no such class.
    ///
    /// # Errors
    /// [`ReadError`]; never for an absent document.
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError>;

    /// Reads what matches, at most `query.limit` documents. An absent class is empty.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError>;

    /// Counts what matches.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError>;

    /// Performs one write. **Atomicity**: the document's. **Idempotency**: only what the guard gives.
    async fn write(&self, write: Write) -> WriteOutcome;

    /// Performs writes in order, in one round trip, each on its own: any may fail while a later one takes effect.
    /// As many outcomes as writes.
    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome>;

    /// This store's all-or-nothing batches, where it has them.
    fn atomic(&self) -> Option<&dyn AtomicStore> {
        None
    }
}

/// A store whose batches can be all-or-nothing.
#[async_trait]
pub trait AtomicStore: Store {
    /// Performs all writes in one durable commit, in order, each seeing those before it, or none of them.
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome;
}

/// What the server needs of an engine beyond [`Store`].
#[async_trait]
pub trait Database: AtomicStore {
    /// The classes as they are now. Cheap; call it once per request.
    fn schema(&self) -> Arc<Schema>;

    /// Changes the schema, durably.
    ///
    /// # Errors
    /// 137 where stored objects break a new unique index; 303 where the store fails.
    async fn define(&self, change: SchemaChange) -> Result<Arc<Schema>, CloudError>;

    /// How far a class has been written, as anybody sees it who reads after this call; `None` where the engine cannot
    /// tell, as others write too. Cheap.
    fn last_modified(&self, class: &ClassName) -> Option<LastModified> {
        let _ = class;
        None
    }

    /// As [`Store::get`], for `principal`: `None` also where the ACL forbids reading.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn get_as(
        &self,
        class: &ClassName,
        id: &ObjectId,
        principal: &Principal,
    ) -> Result<Option<Document>, ReadError>;

    /// As [`Store::find`], leaving out what the ACL keeps from `principal`.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn find_as(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Found, ReadError>;

    /// As [`Store::batch`], where each document's ACL must let `principal` write it: otherwise
    /// `Rejected` 403 with LeanCloud's text. Classes and columns are made at the first write; 111 for another type.
    async fn write_as(&self, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome>;

    /// The targets of the relation `key` of `owner`, by `objectId`.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn related(&self, owner: &Pointer, key: &str) -> Result<Vec<Pointer>, ReadError>;

    /// The objects of `class` whose relation `key` holds one of `targets` or more of them, by `objectId`, each once.
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

/// How far a class has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastModified {
    /// Documents created, changed and deleted since the store was opened. What was read at one count is still so while
    /// the count is the same.
    pub writes: u64,
    /// The last write; of a class that was not written since the store was opened, that of the youngest document.
    pub at: Option<Timestamp>,
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The rows.
    pub results: Vec<Document>,
    /// With `query.count`: how many match, whatever the limit.
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
