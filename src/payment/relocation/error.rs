//! Errors of a relocation.

use crate::model::{ClassName, CloudError, ObjectId};
use crate::payment::ProtocolError;
use crate::payment::protocol::relocation::Decision;
use crate::payment::protocol::target::Target;
use crate::payment::relocation::report::Side;

/// An error that stops a relocation. Repair its cause and call again: nothing is done twice.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RelocationError {
    /// A store did not answer, again and again.
    #[error("the {side} store did not answer: {why}")]
    Unavailable {
        /// The store.
        side: Side,
        /// Its last error.
        why: String,
    },
    /// A document is malformed.
    #[error("{target}: {error}")]
    Malformed {
        /// The document.
        target: Target,
        /// The error in it.
        error: ProtocolError,
    },
    /// The class of the decision has no unique index on `key`.
    #[error("the class {0} needs a unique index on `key`: create the class, add the index, and begin again")]
    NotUnique(ClassName),
    /// The target refused a document.
    #[error("the target store refused {target}: {error}")]
    Refused {
        /// The document.
        target: Target,
        /// Its error.
        error: CloudError,
    },
    /// A document is in use at the target before the decision.
    #[error("{0} is in use at the target store already: only the relocation may put it there")]
    Occupied(Target),
    /// A document names a log that the source does not show.
    #[error("{target} has a mark of the log {log}, which the source store does not show")]
    NoLog {
        /// The document.
        target: Target,
        /// The log.
        log: ObjectId,
    },
    /// The source shows no relocation to be finished or rolled back. A replica that lags shows a new one late: call again
    /// before you rely on it.
    #[error(
        "no relocation has begun, or the source store does not show it yet: prepare it first, or try again"
    )]
    NotBegun,
    /// Another relocator has ended this attempt, or begun another one.
    #[error("attempt {} of the relocation is {} by now", .0.attempt.get(), .0.resolution.name())]
    Superseded(Decision),
}

pub(super) fn malformed(target: &Target, error: ProtocolError) -> RelocationError {
    RelocationError::Malformed {
        target: target.clone(),
        error,
    }
}
