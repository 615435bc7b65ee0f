//! Discrepancies: values in the store that the logs do not account for.

use std::fmt;

use serde::Serialize;

use crate::model::ObjectId;
use crate::payment::protocol::names::SchemaNames;

/// The maximum number of logs that a [`Discrepancy`] names; there may be millions on one account, and the newest are
/// looked at first.
pub const LOGS_NAMED: usize = 10;

/// A value that the logs do not account for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Discrepancy {
    /// The class of the document.
    pub class: String,
    /// The id of the document.
    pub id: ObjectId,
    /// The field that differs, `legs` of a log, or `objectId` where the document is missing.
    pub field: String,
    /// The value that the logs require.
    pub expected: String,
    /// The value that was found.
    pub found: String,
    /// The newest logs that have an effect on the document, newest first, at most [`LOGS_NAMED`].
    pub logs: Vec<ObjectId>,
    /// The number of such logs.
    #[serde(rename = "logsTotal")]
    pub logs_total: u64,
}

impl Discrepancy {
    /// The discrepancy of a log by itself.
    pub(super) fn of_log(
        names: &SchemaNames,
        log: &ObjectId,
        field: &str,
        expected: &str,
        found: &str,
    ) -> Self {
        Self {
            class: names.log_class.to_string(),
            id: log.clone(),
            field: field.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            logs: vec![log.clone()],
            logs_total: 1,
        }
    }
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}: `{}` is {}, the payments say {}",
            self.class, self.id, self.field, self.found, self.expected
        )
    }
}
