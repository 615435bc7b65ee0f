//! The settings that all loads share.

use indicatif::ProgressBar;

use super::connection::Target;
use crate::environment::Environment;

/// A load: the server, the number of concurrent requests, the clock and the progress bar.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) target: &'a Target,
    /// Concurrent requests, each on a connection of its own.
    pub(crate) in_flight: usize,
    pub(crate) environment: &'a Environment,
    /// Makes the bar of one phase, from its name and its number of requests.
    pub(crate) progress_bar: fn(&'static str, u64) -> ProgressBar,
}
