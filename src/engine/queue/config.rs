//! Configuration of a queue.

use std::fmt;
use std::sync::Arc;

use crate::engine::queue::{CronJob, TaskStore};

/// What a queue is run with.
#[derive(Clone)]
pub struct QueueConfig {
    /// Where tasks are kept.
    pub store: Arc<dyn TaskStore>,
    /// Functions to be called again and again.
    pub jobs: Vec<CronJob>,
    /// Tasks that run at a time. 1, as on LeanCloud, where apps rely on it.
    pub concurrency: usize,
    /// Whether no other process works on these tasks: then what is running at the start was left by a dead process, and
    /// is taken up at once.
    pub exclusive: bool,
}

impl QueueConfig {
    /// No jobs, one task at a time, not exclusive.
    #[must_use]
    pub fn new(store: Arc<dyn TaskStore>) -> Self {
        Self {
            store,
            jobs: Vec::new(),
            concurrency: 1,
            exclusive: false,
        }
    }
}

impl fmt::Debug for QueueConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueConfig")
            .field("store", &self.store)
            .field("jobs", &self.jobs.len())
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
