//! Errors of a pull.

use crate::client::{ClientError, Retry};
use crate::model::CloudError;
use crate::store::ReadError;

/// Failure to read the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The server refused, or did not respond, after all retries.
    #[error("{what}: {error}")]
    Client {
        /// The part of the source that was read.
        what: String,
        /// The client's error.
        #[source]
        error: ClientError,
    },
    /// The server's response makes no sense.
    #[error("{what}: {reason}")]
    Response {
        /// The part of the source that was read.
        what: String,
        /// The reason.
        reason: String,
    },
}

impl SourceError {
    /// True if the same read may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client { error, .. } => error.retry() != Retry::Never,
            Self::Response { .. } => false,
        }
    }
}

/// Failure of a pull. Loaded objects stay, and the next pull continues from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(#[from] SourceError),
    /// The destination cannot be written.
    #[error("the store here: {0}")]
    Store(#[from] CloudError),
    /// The destination cannot be read.
    #[error("the store here: {0}")]
    Read(#[from] ReadError),
    /// A person has to decide or to set something.
    #[error("{0}")]
    Refused(String),
}

impl PullError {
    /// True if the same pull may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => error.is_transient(),
            Self::Store(_) | Self::Read(_) | Self::Refused(_) => false,
        }
    }
}
