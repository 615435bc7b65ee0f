//! Write counters of the classes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::model::{ClassName, Timestamp};
use crate::store::{LastModified, WriteOutcome, Written};

/// Counters of the classes that were written or asked about.
#[derive(Debug, Default)]
pub(super) struct WriteCounters(RwLock<HashMap<ClassName, LastModified>>);

impl WriteCounters {
    /// The counter of a class, if known.
    pub(super) fn of(&self, class: &ClassName) -> Option<LastModified> {
        let classes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        classes.get(class).copied()
    }

    /// Starts the counter of a class with the time of its last write before the store was opened, unless it has been
    /// written since.
    pub(super) fn begin(&self, class: &ClassName, at: Option<Timestamp>) -> LastModified {
        let mut classes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let modified = LastModified { writes: 0, at };
        *classes.entry(class.clone()).or_insert(modified)
    }

    /// Counts committed writes. Call it before any of them is answered.
    pub(super) fn advance<'w>(
        &self,
        now: Timestamp,
        written: impl Iterator<Item = (&'w ClassName, Cow<'w, Written>)>,
    ) {
        let mut classes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (class, written) in written {
            let written_at = written.updated_at.unwrap_or(now);
            let modified = match classes.get_mut(class) {
                Some(modified) => modified,
                None => classes.entry(class.clone()).or_default(),
            };
            modified.writes += 1;
            modified.at = modified.at.max(Some(written_at));
        }
    }
}

/// The written document of an outcome, if any.
pub(super) fn applied(outcome: &WriteOutcome) -> Option<&Written> {
    match outcome {
        WriteOutcome::Applied(written) => Some(written),
        WriteOutcome::NotMatched | WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => None,
    }
}
