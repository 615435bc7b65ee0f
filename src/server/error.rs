//! The errors of the API: LeanCloud's texts, and what becomes of those that are nobody's business.

use std::fmt;

use crate::model::{ClassName, CloudError, ErrorCode};
use crate::store::ReadError;

/// An error that is ours: logged with all it says, answered without it.
pub(super) fn internal(error: &dyn fmt::Display) -> CloudError {
    tracing::error!(%error, "a request failed unexpectedly");
    CloudError::other("Internal server error.").with_status(500)
}

/// 101: there is no such class.
pub(super) fn no_such_class() -> CloudError {
    CloudError::new(ErrorCode::NOT_FOUND, "Class or object doesn't exists.")
}

/// Code 1: an update of what is not there. What cannot be an id is the id of nothing.
pub(super) fn no_such_object(class: &ClassName, id: &str) -> CloudError {
    CloudError::other(format!("Could not find object by id '{id}' for class '{class}'."))
}

/// 305: the condition of a write does not hold.
pub(super) fn no_effect() -> CloudError {
    CloudError::new(ErrorCode::NO_EFFECT, "No effect on updating/deleting a document.")
}

/// 211: no such user, or a session that is not valid.
pub(super) fn no_such_user() -> CloudError {
    CloudError::new(ErrorCode::USER_NOT_FOUND, "Could not find user.")
}

/// Code 1: only the master key may.
pub(super) fn master_only() -> CloudError {
    CloudError::other("The request must be signed by master key.")
}

/// Code 1: a part of LeanCloud's API that is not here yet.
pub(super) fn not_built_yet(what: &str) -> CloudError {
    CloudError::other(format!("{what} is not built yet in this server."))
}

/// 403: the ACL of an object forbids to change it.
pub(super) fn forbidden_writing() -> CloudError {
    CloudError::new(ErrorCode::FORBIDDEN, "Forbidden writing by object's ACL.")
}

/// 403: the ACL of an object forbids to read it.
pub(super) fn forbidden_reading() -> CloudError {
    CloudError::new(ErrorCode::FORBIDDEN, "Forbidden reading by object's ACL.")
}

/// A write of which nobody knows whether it took effect. The code says so even inside a batch.
pub(super) fn outcome_unknown(reason: &str) -> CloudError {
    tracing::error!(reason, "the outcome of a write is unknown");
    CloudError::new(
        ErrorCode::DATABASE_FAILED,
        "Database error: it is not known whether the write took effect.",
    )
    .with_status(500)
}

/// A read that failed, as an answer.
pub(super) fn read_failed(error: ReadError) -> CloudError {
    match error {
        ReadError::Rejected(error) => error,
        ReadError::Unavailable(reason) => {
            tracing::error!(reason, "a read failed");
            CloudError::new(ErrorCode::UNAVAILABLE, "The database did not answer.")
        }
    }
}
