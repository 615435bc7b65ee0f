//! What goes wrong in a database.

use rusqlite::ffi;

use crate::model::{CloudError, ErrorCode};
use crate::storage::change;
use crate::store::ReadError;

/// Why a request could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// The request itself is refused; others are not concerned.
    #[error(transparent)]
    Refused(CloudError),
    /// Something stored is not what was stored there.
    #[error("the database holds something unreadable: {0}")]
    Unreadable(String),
    /// SQLite, or the disk below it, failed.
    #[error("SQLite failed: {0}")]
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(cause, _) if cause.extended_code == ffi::SQLITE_TOOBIG => {
                Self::Refused(change::too_large())
            }
            error if Self::is_duplicate(error) => Self::Refused(change::duplicate()),
            _ => Self::Database(error),
        }
    }
}

impl From<rusqlite::types::FromSqlError> for SqlError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl SqlError {
    /// Whether a unique index refused a value.
    pub(super) fn is_duplicate(error: &rusqlite::Error) -> bool {
        matches!(
            error,
            rusqlite::Error::SqliteFailure(cause, _)
                if [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY]
                    .contains(&cause.extended_code)
        )
    }

    /// The answer to a write whose transaction was rolled back: it had no effect.
    pub(super) fn into_refusal(self) -> CloudError {
        match self {
            Self::Refused(error) => error,
            Self::Unreadable(what) => {
                tracing::error!(reason = what, "a stored object is unreadable");
                CloudError::other(format!("A stored object is unreadable: {what}")).with_status(500)
            }
            Self::Database(error) => {
                tracing::error!(error = %error, "the database cannot write");
                unavailable(&format!("The store cannot write now: {error}"))
            }
        }
    }

    /// The answer to a read.
    pub(super) fn into_read_error(self) -> ReadError {
        match self {
            Self::Refused(error) => ReadError::Rejected(error),
            Self::Database(rusqlite::Error::SqliteFailure(cause, _))
                if cause.code == rusqlite::ErrorCode::OperationInterrupted =>
            {
                ReadError::Rejected(too_slow())
            }
            other => {
                tracing::error!(error = %other, "the database cannot read");
                ReadError::Unavailable(other.to_string())
            }
        }
    }
}

/// 503.
pub(super) fn unavailable(message: &str) -> CloudError {
    CloudError::new(ErrorCode::UNAVAILABLE, message)
}

/// 124, for a read.
pub(super) fn too_slow() -> CloudError {
    CloudError::new(
        ErrorCode::TIMEOUT,
        "The query took too long: ask for less, or add an index over its keys.",
    )
}
