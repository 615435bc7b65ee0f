//! Loading objects as they are: what an import, a copy of another store and their repetition need of an engine.
//!
//! Nothing of a client's write happens here: no hook, no default, no new time. What an object is said to be, it is
//! afterwards: id, times, ACL, secrets. Columns are made as at a first write, and keep their type.
//!
//! All objects of a class, secrets included, are read with [`Store::find`](crate::store::Store::find) in pages
//! ordered by `objectId`; [`Loader::links`] reads the relations.

use std::fmt;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Pointer, Timestamp};
use crate::store::{Database, ReadError};

/// One step of a [`LoadBatch`].
#[derive(Clone, Debug, PartialEq)]
pub enum LoadStep {
    /// Puts an object in place.
    Put {
        /// Its class, made where it is missing.
        class: ClassName,
        /// The whole of it: `objectId`, `createdAt` and `updatedAt` must be there. Values are brought into the form of
        /// [`normalize`](crate::model::value::normalize); a `Relation` only says that there is such a column.
        document: Document,
        /// What it may replace.
        if_exists: IfExists,
        /// Fields which the object that stands in the end gets from the other one, where it lacks them: what one
        /// source of the object does not show (password hashes, which the REST API keeps back).
        fill_missing: &'static [&'static str],
    },
    /// Removes an object and its relations.
    Remove {
        /// Its class.
        class: ClassName,
        /// Its id.
        id: ObjectId,
        /// Only if it matches this; [`Filter::all`] for any.
        precondition: Filter,
    },
    /// Puts an object into a relation. Neither end needs to be there.
    Link(Link),
    /// Takes it out again.
    Unlink(Link),
}

/// What an object that is put may replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// Whatever is there, or nothing.
    Replace,
    /// Nothing: no object may be there.
    Keep,
    /// Nothing, or an object whose `updatedAt` is earlier.
    ReplaceOlder,
    /// An object that must be there, and match.
    ReplaceMatching(Filter),
}

/// `target` is in the relation `key` of `owner`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The object that has the relation.
    pub owner: Pointer,
    /// The column.
    pub key: String,
    /// The object that is in it.
    pub target: Pointer,
}

/// A text under a name, beside the objects, such as how far an import has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The name; any text.
    pub name: String,
    /// The text; `None` removes the note.
    pub text: Option<String>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum LoadOutcome {
    /// The object or link was not there, and is now.
    Created,
    /// The object has taken the place of another version.
    Replaced,
    /// It was there already, just so; or what was to be removed was not there.
    Unchanged,
    /// What is there stays: [`IfExists`], or the precondition of a removal, did not allow it.
    Kept {
        /// Of the object that stays; `None` where none is there.
        updated_at: Option<Timestamp>,
    },
    /// The object or link is gone.
    Removed,
    /// The step cannot be carried out and had no effect: 105 (name of a column), 106, 107 (malformed), 111 (type of a
    /// column), 116 (too large), 121, 123 (ACL), 137 (unique index), 302.
    Refused(CloudError),
}

/// From what became of the steps, in their order, to the notes that are made with them.
pub type MakeNotes = Box<dyn FnMut(&[LoadOutcome]) -> Result<Vec<Note>, CloudError> + Send>;

/// Steps that are carried out together.
pub struct LoadBatch {
    /// In order, each seeing those before it.
    pub steps: Vec<LoadStep>,
    /// Called inside the transaction, with as many results as steps. An error takes the whole batch back. Called again
    /// where a batch must be begun anew, so a second call must do as the first.
    pub make_notes: MakeNotes,
}

impl LoadBatch {
    /// Steps without a note.
    #[must_use]
    pub fn new(steps: Vec<LoadStep>) -> Self {
        Self {
            steps,
            make_notes: Box::new(|_| Ok(Vec::new())),
        }
    }

    /// Steps, and a note whatever becomes of them.
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

/// A store that objects can be loaded into as they are.
#[async_trait]
pub trait Loader: Database {
    /// Carries out a batch, and keeps its notes, in one durable commit. **Atomicity**: the batch's; a step that is
    /// refused leaves the others. **Idempotency**: `Put`, `Link`, `Unlink` and `Remove` may be repeated.
    ///
    /// What can be worked out beforehand is, on the calling thread, before this returns; batches are carried out in the
    /// order in which their futures are first polled.
    ///
    /// # Errors
    /// What `make_notes` answers, 503 or 303 where the store fails: nothing of the batch took effect, or, after 303,
    /// nobody knows: its notes tell.
    fn load(&self, batch: LoadBatch) -> BoxFuture<'static, Result<Vec<LoadOutcome>, CloudError>>;

    /// The note of this name.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn note(&self, name: &str) -> Result<Option<String>, ReadError>;

    /// Which of the objects are there, in the order of the pointers.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn exist(&self, pointers: &[Pointer]) -> Result<Vec<bool>, ReadError>;

    /// The links of the relation `key` of all objects of `class`, by owner, target, and class of the target: those that
    /// come after `after`, at most `limit`.
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
