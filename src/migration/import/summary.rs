//! What came of an import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::ClassName;

/// What became of the objects of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassCounts {
    /// They are there now.
    pub created: u64,
    /// They took the place of an older version.
    pub replaced: u64,
    /// They were there already.
    pub unchanged: u64,
    /// A version that is as new or newer stays.
    pub kept: u64,
    /// They were left out; the report says why.
    #[serde(rename = "leftOut")]
    pub left_out: u64,
    /// Links of relations that are there now.
    #[serde(rename = "linksCreated")]
    pub links_created: u64,
    /// Links that were there already.
    #[serde(rename = "linksUnchanged")]
    pub links_unchanged: u64,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// By class.
    pub classes: BTreeMap<ClassName, ClassCounts>,
    /// Classes that were not there before.
    #[serde(skip)]
    pub made: BTreeSet<ClassName>,
    /// Records that were left out, those of which nobody knows the class included.
    pub left_out: u64,
    /// Pointers, and ends of relations, behind which there is no object. What points there has arrived.
    pub dangling: u64,
    /// Other notices in the report.
    pub notices: u64,
    /// Whether the import went on where an earlier one was interrupted.
    pub resumed: bool,
    /// Where everything that was left out or noticed is listed; `None` where there is nothing.
    pub report: Option<PathBuf>,
}

impl ImportSummary {
    /// Whether everything arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left_out == 0
    }
}
