//! Why a pull came to no end.

use crate::migration::pull::SourceError;
use crate::model::CloudError;
use crate::store::ReadError;

/// What went wrong. Whatever it is: what was loaded stays, and the next pull goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(#[from] SourceError),
    /// The store here cannot be written.
    #[error("the store here: {0}")]
    Store(#[from] CloudError),
    /// The store here cannot be read.
    #[error("the store here: {0}")]
    Read(#[from] ReadError),
    /// Something that a person has to decide, or to set.
    #[error("{0}")]
    Refused(String),
}

impl PullError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Source(error) => error.may_pass(),
            Self::Store(_) | Self::Read(_) | Self::Refused(_) => false,
        }
    }
}
