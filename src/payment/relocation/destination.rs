//! The new home of a move, as the [`Mover`](crate::payment::relocation::Mover) needs it.

use async_trait::async_trait;

use crate::model::{ClassName, CloudError, Document, Filter};
use crate::store::Store;

/// A document that is to stand at the new home as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Its class.
    pub class: ClassName,
    /// The whole of it, with `objectId`, `createdAt` and `updatedAt`.
    pub document: Document,
    /// What it may replace.
    pub over: Over,
}

/// What a placement may replace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// Nothing: no object of this class and id may be there.
    Nothing,
    /// An object of this class and id that must be there, and match.
    Matching(Filter),
}

/// What became of a placement.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Placed {
    /// It stands, and is durable.
    Stands,
    /// No effect: what is there, or that nothing is there, was not allowed by [`Over`].
    Held,
    /// No effect: another object holds a value of a unique index (137), or the document cannot be stored.
    Refused(CloudError),
    /// Nobody knows.
    Unknown(String),
}

/// A store that takes documents of another one as they are.
///
/// What the mover moves (accounts, orders, logs) no one else may put there, not even before the move: an account that
/// is there and not fenced counts as one in use, and ends the move with
/// [`Occupied`](crate::payment::relocation::MoveError::Occupied). Everything else of the app is copied by other means.
/// Until the move is final nothing may serve the new home.
///
/// Reads show what was acknowledged before.
#[async_trait]
pub trait NewHome: Store {
    /// Puts each document in place, whole and unchanged: no hook, no default, no new time, its own id. Fields that the
    /// old home keeps back (password hashes) may be added from elsewhere; fields of the object that it replaces and
    /// that the old home has shown go.
    ///
    /// As many answers as placements. **Atomicity**: each placement's, condition included; any may fail while others
    /// take effect. **Idempotency**: by the condition.
    async fn place(&self, placements: Vec<Placement>) -> Vec<Placed>;
}
