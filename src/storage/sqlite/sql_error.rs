//! Errors of the database.

use rusqlite::ffi;

use crate::model::{CloudError, ErrorCode};
use crate::storage::change;
use crate::store::ReadError;

/// The failure of a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// The request is refused. Others are not affected.
    #[error(transparent)]
    Refused(CloudError),
    /// Stored data is damaged.
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
    /// True if a unique index refused a value.
    pub(super) fn is_duplicate(error: &rusqlite::Error) -> bool {
        matches!(
            error,
            rusqlite::Error::SqliteFailure(cause, _)
                if [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY]
                    .contains(&cause.extended_code)
        )
    }

    /// The error of a write whose transaction was rolled back: it had no effect.
    pub(super) fn into_refusal(self) -> CloudError {
        match self {
            Self::Refused(error) => error,
            Self::Unreadable(what) => {
                tracing::error!(reason = what, "stored object is damaged");
                CloudError::other(format!("A stored object is unreadable: {what}")).with_status(500)
            }
            Self::Database(error) => {
                tracing::error!(error = %error, "database write failed");
                unavailable(&format!("The store cannot write now: {error}"))
            }
        }
    }

    /// The error of a read.
    pub(super) fn into_read_error(self) -> ReadError {
        match self {
            Self::Refused(error) => ReadError::Rejected(error),
            Self::Database(rusqlite::Error::SqliteFailure(cause, _))
                if cause.code == rusqlite::ErrorCode::OperationInterrupted =>
            {
                ReadError::Rejected(too_slow())
            }
            other => {
                tracing::error!(error = %other, "database read failed");
                ReadError::Unavailable(other.to_string())
            }
        }
    }
}

/// 503: the store is not available.
pub(super) fn unavailable(message: &str) -> CloudError {
    CloudError::new(ErrorCode::UNAVAILABLE, message)
}

/// 124: a query took too long.
pub(super) fn too_slow() -> CloudError {
    CloudError::new(
        ErrorCode::TIMEOUT,
        "The query took too long: ask for less, or add an index over its keys.",
    )
}
