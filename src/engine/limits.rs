//! Time-outs and size limits of an engine.

use std::time::Duration;

use crate::model::HookKind;
use crate::model::limits::BODY_BYTES_MAX;

/// Time-outs and size limits. The defaults are LeanCloud's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time from the arrival of a function call's head to its response. 15 s.
    pub function: Duration,
    /// Time-out of a before hook. 10 s.
    pub before_hook: Duration,
    /// Time-out of every other hook. 3 s.
    pub other_hook: Duration,
    /// Largest request body in bytes.
    pub body_bytes_max: usize,
    /// Largest number of concurrent calls, including those whose client already got a time-out. Further calls are
    /// refused with 503 before they can exhaust the memory. 10,000.
    pub calls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            function: Duration::from_secs(15),
            before_hook: Duration::from_secs(10),
            other_hook: Duration::from_secs(3),
            body_bytes_max: BODY_BYTES_MAX,
            calls_max: 10_000,
        }
    }
}

impl Limits {
    /// Time-out of a class hook.
    pub(crate) fn class_hook(&self, kind: HookKind) -> Duration {
        if kind.is_before() {
            self.before_hook
        } else {
            self.other_hook
        }
    }
}
