//! The summary of an import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::ClassName;

/// Counts of a class's objects and links, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassCounts {
    /// Objects created.
    pub created: u64,
    /// Objects that replaced an older version.
    pub replaced: u64,
    /// Objects that existed already.
    pub unchanged: u64,
    /// Objects not imported because the store's version is as new or newer.
    pub kept: u64,
    /// Objects omitted; the report gives the reasons.
    #[serde(rename = "leftOut")]
    pub left_out: u64,
    /// Links of relations created.
    #[serde(rename = "linksCreated")]
    pub links_created: u64,
    /// Links that existed already.
    #[serde(rename = "linksUnchanged")]
    pub links_unchanged: u64,
}

/// Summary of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Counts by class.
    pub classes: BTreeMap<ClassName, ClassCounts>,
    /// Classes that the import created.
    #[serde(skip)]
    pub made: BTreeSet<ClassName>,
    /// Records omitted, including those of unknown class.
    pub left_out: u64,
    /// Dangling pointers and ends of relations. The objects that hold them were imported.
    pub dangling: u64,
    /// Other notices in the report.
    pub notices: u64,
    /// True if the import continued an interrupted one.
    pub resumed: bool,
    /// Path of the report; `None` if it has no entries.
    pub report: Option<PathBuf>,
}

impl ImportSummary {
    /// True if no record was omitted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left_out == 0
    }
}
