//! Reports of a relocation: its sides, stages and progress.

use std::fmt;

use crate::model::{ClassName, ObjectId};
use crate::payment::protocol::target::Target;

/// One of the two stores of a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The store that is left.
    Source,
    /// The store that takes over.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// Stage of a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelocationStage {
    /// Closed logs are copied; the source works.
    CopyingAhead,
    /// Documents are fenced at the source and copied.
    Copying,
    /// Every log that a document names is looked for at the target.
    Checking,
    /// The copies are opened at the target.
    Opening,
    /// Documents are opened again at the source.
    RollingBack,
}

/// Progress of a relocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelocationProgress {
    /// The stage.
    pub stage: RelocationStage,
    /// The class of the documents.
    pub class: ClassName,
    /// Number of documents done in this stage of this call.
    pub done: u64,
}

/// Result of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelocationReport {
    /// Number of documents fenced.
    pub fenced: u64,
    /// Number of documents created or replaced at the target.
    pub copied: u64,
    /// Number of documents opened at the target, or again at the source.
    pub opened: u64,
    /// Documents of the source that came too late: at the target their key belongs to another document. They have moved
    /// no money; money that a gateway had confirmed for such a log has been credited at the target, except for
    /// [`left`](Self::left).
    pub stranded: Vec<Target>,
    /// Those of the stranded logs whose money is left to an operator: a log at the target contradicts them about the
    /// same `tradeNo`.
    pub left: Vec<ObjectId>,
}
