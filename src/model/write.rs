//! Writes of single documents, and their outcomes: the values that pass between a payment, a store and the client.
//!
//! A write never fails with an `Err`: its result is a [`WriteOutcome`], whose [`WriteOutcome::Unknown`] is a value to
//! be handled, not an exception to be passed on.

use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Timestamp, Update};

/// A write of one document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// The class of the document.
    pub class: ClassName,
    /// The action on the document.
    pub action: Action,
}

/// The action of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Creates a document; the store gives it an id, `createdAt` and `updatedAt`.
    Create {
        /// The fields; operations act on an empty document.
        fields: Update,
    },
    /// Changes the document if it exists and matches.
    Update {
        /// The id of the document.
        id: ObjectId,
        /// The condition that the document must match; [`Filter::all`] for an unconditional update.
        precondition: Filter,
        /// The changes.
        update: Update,
        /// True if the answer is to hold the changed fields as they are afterwards (`fetchWhenSave`).
        fetch: bool,
    },
    /// Deletes the document if it exists and matches.
    Delete {
        /// The id of the document.
        id: ObjectId,
        /// The condition that the document must match; [`Filter::all`] for an unconditional delete.
        precondition: Filter,
    },
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
    pub fn update(class: &ClassName, id: &ObjectId, precondition: Filter, update: Update) -> Self {
        let action = Action::Update {
            id: id.clone(),
            precondition,
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
    pub fn delete(class: &ClassName, id: &ObjectId, precondition: Filter) -> Self {
        Self {
            class: class.clone(),
            action: Action::Delete {
                id: id.clone(),
                precondition,
            },
        }
    }
}

/// The outcome of a write.
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
    /// The result of the write, for callers for whom everything else is an error: 305 if the condition did not hold,
    /// the store's own refusal under HTTP 500, and an [internal](CloudError::internal) error if nobody knows. A caller
    /// that can do something about the last one handles the outcome itself.
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
    /// The time of a create.
    pub created_at: Option<Timestamp>,
    /// The time of a create or an update.
    pub updated_at: Option<Timestamp>,
    /// With `fetch`: at least the changed fields, as they are after the write. Embedded engines always return the
    /// whole document.
    pub fields: Document,
}

/// The outcome of an all-or-nothing batch.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum CommitOutcome {
    /// Every write took effect; one durable commit.
    Applied(Vec<Written>),
    /// None took effect, because of the write at `index`, whose outcome is never `Applied` or `Unknown`.
    Refused {
        /// The index of that write, from 0.
        index: usize,
        /// Its outcome.
        outcome: WriteOutcome,
    },
    /// Nobody knows; all of them or none.
    Unknown(String),
}
