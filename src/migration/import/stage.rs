//! The stages of an import.

use crate::migration::file_names::FileContent;

/// A stage of an import. The stages run in this order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    #[default]
    Classes,
    Objects,
    Links,
    /// The objects again, for dangling pointers.
    Pointers,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Classes, Self::Objects, Self::Links, Self::Pointers];

    /// The stages that load batches.
    pub(super) const LOADING: [Self; 3] = [Self::Objects, Self::Links, Self::Pointers];

    /// True if the stage reads files of that content.
    pub(super) fn reads(self, content: &FileContent) -> bool {
        match self {
            Self::Classes => matches!(content, FileContent::Columns(_) | FileContent::Schema),
            Self::Objects | Self::Pointers => matches!(content, FileContent::Objects(..)),
            Self::Links => matches!(content, FileContent::Links(..)),
        }
    }
}
