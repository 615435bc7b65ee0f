//! Import: the port of a store that takes documents of another store as they are.

use async_trait::async_trait;

use crate::model::{ClassName, CloudError, Document, Filter};
use crate::store::Store;

/// A document to be imported as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImportDocument {
    /// Class of the document.
    pub class: ClassName,
    /// The whole document, with `objectId`, `createdAt` and `updatedAt`.
    pub document: Document,
    /// The condition on a document of this id that exists already.
    pub if_exists: IfExists,
}

/// Treatment of a document with the same class and id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IfExists {
    /// No such document may exist.
    Keep,
    /// Such a document must exist and match; it is replaced.
    ReplaceMatching(Filter),
}

/// Outcome of the import of one document.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum ImportOutcome {
    /// The document is stored, and durable.
    Imported,
    /// No effect: the [`IfExists`] condition does not hold.
    PreconditionFailed,
    /// No effect: another document has a value of a unique index (137), or the document cannot be stored.
    Refused(CloudError),
    /// The outcome is not known.
    Unknown(String),
}

/// A store that takes documents of another store as they are.
///
/// Only the relocator may put accounts, orders and logs there, even before the relocation: an account that exists there
/// and is not fenced counts as one in use, and ends the relocation with
/// [`Occupied`](crate::payment::relocation::RelocationError::Occupied). All other data of the app is copied by other
/// means. Until the relocation is final nothing may serve the target.
///
/// Reads show what was acknowledged before.
#[async_trait]
pub trait ImportStore: Store {
    /// Stores each document whole and unchanged: no hook, no default, no new time, its own id. Fields that the source
    /// does not show (password hashes) may be added from elsewhere; fields of a replaced document that the source shows
    /// are removed.
    ///
    /// Returns one outcome per document. **Atomicity**: one document, condition included; any may fail while others
    /// take effect. **Idempotency**: by the condition.
    async fn import(&self, documents: Vec<ImportDocument>) -> Vec<ImportOutcome>;
}
