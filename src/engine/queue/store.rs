//! The port through which tasks are kept.

use std::fmt;

use async_trait::async_trait;

use crate::engine::queue::Task;
use crate::model::{CloudError, Timestamp};

/// Whoever keeps tasks. What is acknowledged is durable.
///
/// **Atomicity**: each call is one change of one task. **Idempotency**: of [`add`](TaskStore::add) through the unique
/// id, of [`replace`](TaskStore::replace) and [`remove`](TaskStore::remove) through the revision.
#[async_trait]
pub trait TaskStore: Send + Sync + fmt::Debug {
    /// Adds a task; `false` where one of that unique id is kept.
    ///
    /// # Errors
    /// Where nobody knows whether it was added: asking again with the same unique id tells.
    async fn add(&self, task: &Task) -> Result<bool, CloudError>;

    /// The task of that unique id.
    ///
    /// # Errors
    /// Where the store does not answer.
    async fn get(&self, unique_id: &str) -> Result<Option<Task>, CloudError>;

    /// The tasks whose time has come, in the order of their priority, at most `limit`.
    ///
    /// # Errors
    /// Where the store does not answer.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Task>, CloudError>;

    /// When the next task is due; `None` where there is none.
    ///
    /// # Errors
    /// Where the store does not answer.
    async fn next_due(&self) -> Result<Option<Timestamp>, CloudError>;

    /// Puts `task` with the next revision in the place of the one with the same id and revision; `None` where there
    /// is none such, because somebody else was faster. Answers the task as it is now.
    ///
    /// # Errors
    /// Where nobody knows whether it took effect.
    async fn replace(&self, task: Task) -> Result<Option<Task>, CloudError>;

    /// Removes the task with this id and revision, where there is one.
    ///
    /// # Errors
    /// Where nobody knows whether it took effect.
    async fn remove(&self, task: &Task) -> Result<(), CloudError>;
}
