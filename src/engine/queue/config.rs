//! Configuration of a queue.

use std::fmt;
use std::sync::Arc;

use crate::engine::queue::{CronJob, TaskStore};

/// Configuration of a queue.
#[derive(Clone)]
pub struct QueueConfig {
    /// Store of the tasks.
    pub store: Arc<dyn TaskStore>,
    /// Cron jobs.
    pub jobs: Vec<CronJob>,
    /// Number of tasks that run at the same time. 1, as on LeanCloud; apps rely on it.
    pub concurrency: usize,
    /// True if no other process works on these tasks. A task that is running at the start then belongs to a dead
    /// process, and is reclaimed at once.
    pub exclusive: bool,
}

impl QueueConfig {
    /// A queue without jobs that runs one task at a time and is not exclusive.
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
