//! Errors of an import.

use std::path::PathBuf;

use crate::model::CloudError;
use crate::store::ReadError;

/// Reason why an import ended early. A repeated import continues from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be read, or the report cannot be written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// No file can be imported.
    #[error(
        "there is nothing to import in {}: files such as Post.0.jsonl, Post.json, Post.csv, Post.bson are looked for, \
         in a folder or a .tar.gz (for a file of another name, say its class with --class)", .0.display()
    )]
    Nothing(PathBuf),
    /// The store cannot write.
    #[error("the store cannot write: {}", .0.message)]
    Store(#[from] CloudError),
    /// The store cannot read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store's record of an earlier import is unreadable.
    #[error("the store's record of an earlier import is unreadable: {0}")]
    Note(serde_json::Error),
    /// The reading thread has failed.
    #[error("the import stopped: {0}")]
    Stopped(String),
}
