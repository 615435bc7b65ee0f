//! Port to the store of tasks.

use std::fmt;

use async_trait::async_trait;

use crate::engine::queue::Task;
use crate::model::{CloudError, Timestamp};

/// Store of tasks. Acknowledged writes are durable.
///
/// **Atomicity**: each call changes one task. **Idempotency**: [`add`](TaskStore::add) is safe to repeat because of the
/// unique id, [`replace`](TaskStore::replace) and [`remove`](TaskStore::remove) because of the revision.
#[async_trait]
pub trait TaskStore: Send + Sync + fmt::Debug {
    /// Adds a task; returns `false` if one of that unique id is kept.
    ///
    /// # Errors
    /// The outcome is unknown. A repeated call with the same unique id shows it.
    async fn add(&self, task: &Task) -> Result<bool, CloudError>;

    /// Returns the task of that unique id.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn get(&self, unique_id: &str) -> Result<Option<Task>, CloudError>;

    /// Returns at most `limit` due tasks, in the order of their priority.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Task>, CloudError>;

    /// Returns the earliest due time; `None` if there is no task.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn next_due(&self) -> Result<Option<Timestamp>, CloudError>;

    /// Replaces the task of the same id and revision by `task` with the next revision, and returns the new task. Returns
    /// `None` if another worker changed it first.
    ///
    /// # Errors
    /// The outcome is unknown.
    async fn replace(&self, task: Task) -> Result<Option<Task>, CloudError>;

    /// Removes the task of this id and revision, if it exists.
    ///
    /// # Errors
    /// The outcome is unknown.
    async fn remove(&self, task: &Task) -> Result<(), CloudError>;
}
