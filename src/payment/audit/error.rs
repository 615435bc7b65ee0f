//! Errors of an audit.

use std::io;

use crate::store::ReadError;

/// An error that ends an audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Temporary files cannot be used for sorting what does not fit in memory.
    #[error("temporary files cannot be used: {0}; another folder for them: TMPDIR")]
    Temporary(#[from] io::Error),
}
