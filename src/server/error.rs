//! The errors of the API: LeanCloud's texts, and internal errors without their details.

use std::fmt;

use crate::model::{ClassName, CloudError, ErrorCode};
use crate::store::ReadError;

/// 500: an internal error. Its details are logged, and not in the response.
pub(super) fn internal(error: &dyn fmt::Display) -> CloudError {
    tracing::error!(%error, "internal error");
    CloudError::other("Internal server error.").with_status(500)
}

/// 101: an absent class.
pub(super) fn no_such_class() -> CloudError {
    CloudError::new(ErrorCode::NOT_FOUND, "Class or object doesn't exists.")
}

/// Code 1: an update of an absent object, or of an illegal id.
pub(super) fn no_such_object(class: &ClassName, id: &str) -> CloudError {
    CloudError::other(format!("Could not find object by id '{id}' for class '{class}'."))
}

/// 305: the condition of a write does not hold.
pub(super) fn no_effect() -> CloudError {
    CloudError::new(ErrorCode::NO_EFFECT, "No effect on updating/deleting a document.")
}

/// 211: an absent user, or an invalid session.
pub(super) fn no_such_user() -> CloudError {
    CloudError::new(ErrorCode::USER_NOT_FOUND, "Could not find user.")
}

/// Code 1: the request needs the master key.
pub(super) fn master_only() -> CloudError {
    CloudError::other("The request must be signed by master key.")
}

/// Code 1: a part of LeanCloud's API that this server does not have yet.
pub(super) fn not_built_yet(what: &str) -> CloudError {
    CloudError::other(format!("{what} is not built yet in this server."))
}

/// 403: the object's ACL forbids the write.
pub(super) fn forbidden_writing() -> CloudError {
    CloudError::new(ErrorCode::FORBIDDEN, "Forbidden writing by object's ACL.")
}

/// 403: the object's ACL forbids the read.
pub(super) fn forbidden_reading() -> CloudError {
    CloudError::new(ErrorCode::FORBIDDEN, "Forbidden reading by object's ACL.")
}

/// 500: a write that may have taken effect or not. The code tells even inside a batch.
pub(super) fn outcome_unknown(reason: &str) -> CloudError {
    tracing::error!(reason, "write outcome unknown");
    CloudError::new(
        ErrorCode::DATABASE_FAILED,
        "Database error: it is not known whether the write took effect.",
    )
    .with_status(500)
}

/// The error of a failed read.
pub(super) fn read_failed(error: ReadError) -> CloudError {
    match error {
        ReadError::Rejected(error) => error,
        ReadError::Unavailable(reason) => {
            tracing::error!(reason, "read failed");
            CloudError::new(ErrorCode::UNAVAILABLE, "The database did not answer.")
        }
    }
}
