//! Loading of unchanged objects: the port for imports, copies of other stores, and their repetition.
//!
//! None of the effects of a client's write apply: no hook, no default, no new time. The object is stored as given,
//! with id, times, ACL and secrets. Columns are created as by a first write, and keep their type.
//!
//! To read all objects of a class, secrets included, use [`Store::find`](crate::store::Store::find) in pages ordered
//! by `objectId`; for the relations, use [`Loader::links`].

use std::fmt;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Pointer, Timestamp};
use crate::store::{Database, ReadError};

/// One step of a [`LoadBatch`].
#[derive(Clone, Debug, PartialEq)]
pub enum LoadStep {
    /// Stores an object.
    Put {
        /// Its class, created if missing.
        class: ClassName,
        /// The whole object, with `objectId`, `createdAt` and `updatedAt`. Values are
        /// [normalized](crate::model::value::normalize); a `Relation` value only declares the column.
        document: Document,
        /// Condition on an existing object with this id.
        if_exists: IfExists,
        /// Fields that the resulting object takes from the other version if it lacks them, such as password hashes,
        /// which the REST API does not return.
        fill_missing: &'static [&'static str],
    },
    /// Removes an object and its relations.
    Remove {
        /// Its class.
        class: ClassName,
        /// Its id.
        id: ObjectId,
        /// The removal's condition; [`Filter::all`] for none.
        precondition: Filter,
    },
    /// Adds an object to a relation. Neither object needs to exist.
    Link(Link),
    /// Removes an object from a relation.
    Unlink(Link),
}

/// The treatment of an existing object with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// Always store.
    Replace,
    /// Store only if there is none.
    Keep,
    /// Store if there is none, or one with an earlier `updatedAt`.
    ReplaceOlder,
    /// Store only if there is one that matches.
    ReplaceMatching(Filter),
}

/// A link: `target` is in the relation `key` of `owner`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The owner of the relation.
    pub owner: Pointer,
    /// The column.
    pub key: String,
    /// The target.
    pub target: Pointer,
}

/// A named text beside the objects, such as the progress of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The name; any text.
    pub name: String,
    /// The text; `None` removes the note.
    pub text: Option<String>,
}

/// Outcome of a step.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum LoadOutcome {
    /// The object or link was created.
    Created,
    /// The object replaced another version.
    Replaced,
    /// The object or link existed unchanged, or the one to remove did not exist.
    Unchanged,
    /// The stored state was kept: [`IfExists`], or the precondition of a removal, did not hold.
    Kept {
        /// Of the kept object; `None` if there is none.
        updated_at: Option<Timestamp>,
    },
    /// The object or link was removed.
    Removed,
    /// The step failed and had no effect: 105 (name of a column), 106, 107 (malformed), 111 (type of a column), 116
    /// (too large), 121, 123 (ACL), 137 (unique index), 302.
    Refused(CloudError),
}

/// Computes the notes of a batch from the outcomes of its steps, in order.
pub type MakeNotes = Box<dyn FnMut(&[LoadOutcome]) -> Result<Vec<Note>, CloudError> + Send>;

/// Steps that are executed together.
pub struct LoadBatch {
    /// In order, each seeing those before it.
    pub steps: Vec<LoadStep>,
    /// Called inside the transaction, with as many outcomes as steps. An error rolls back the whole batch. Called
    /// again if the batch is restarted, with the same result.
    pub make_notes: MakeNotes,
}

impl LoadBatch {
    /// Creates a batch without notes.
    #[must_use]
    pub fn new(steps: Vec<LoadStep>) -> Self {
        Self {
            steps,
            make_notes: Box::new(|_| Ok(Vec::new())),
        }
    }

    /// Creates a batch with one note, regardless of the outcomes.
    #[must_use]
    pub fn with_note(steps: Vec<LoadStep>, name: &str, text: &str) -> Self {
        let note = Note {
            name: name.to_owned(),
            text: Some(text.to_owned()),
        };
        Self {
            steps,
            make_notes: Box::new(move |_| Ok(vec![note.clone()])),
        }
    }
}

impl fmt::Debug for LoadBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadBatch")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// A store that objects can be loaded into unchanged.
#[async_trait]
pub trait Loader: Database {
    /// Executes a batch and stores its notes, in one durable commit. **Atomicity**: the batch; a refused step does
    /// not affect the others. **Idempotency**: `Put`, `Link`, `Unlink` and `Remove` may be repeated.
    ///
    /// Preparation happens on the calling thread, before this returns. Batches are executed in the order in which
    /// their futures are first polled.
    ///
    /// # Errors
    /// The error of `make_notes`, or 503 or 303 if the store fails. The batch then had no effect; after 303 its
    /// effect is unknown, and its notes tell.
    fn load(&self, batch: LoadBatch) -> BoxFuture<'static, Result<Vec<LoadOutcome>, CloudError>>;

    /// Reads a note.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn note(&self, name: &str) -> Result<Option<String>, ReadError>;

    /// Checks for each object if it exists, in the order of the pointers.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn exist(&self, pointers: &[Pointer]) -> Result<Vec<bool>, ReadError>;

    /// The links of the relation `key` of all objects of `class` that come after `after`, at most `limit`, sorted by
    /// owner, target and the target's class.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn links(
        &self,
        class: &ClassName,
        key: &str,
        after: Option<&Link>,
        limit: u32,
    ) -> Result<Vec<Link>, ReadError>;
}
