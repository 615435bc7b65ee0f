//! Port for calling functions that this app does not define.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::engine::error::no_queue;
use crate::engine::queue::{TaskInfo, TaskOptions};
use crate::model::{CloudError, Document, Value};

/// A call of a function that this app does not define.
pub struct RemoteRequest {
    /// Name of the function.
    pub name: String,
    /// Its parameters.
    pub params: Document,
    /// True if objects are sent with their class (`/call`).
    pub rpc: bool,
    /// Session token of the user on whose behalf the call is made.
    pub session_token: Option<SecretString>,
    /// Time that the caller waits.
    pub timeout: Duration,
}

impl fmt::Debug for RemoteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRequest")
            .field("name", &self.name)
            .field("rpc", &self.rpc)
            .finish_non_exhaustive()
    }
}

/// Port for calling functions that this app does not define.
#[async_trait]
pub trait RemoteCaller: Send + Sync {
    /// Calls the function. A missing result is returned as `null`.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) if nobody defines it; 503 (code 124) if it takes too long.
    async fn call(&self, request: RemoteRequest) -> Result<Value, CloudError>;

    /// Adds a task to the remote queue and returns the task's unique id.
    ///
    /// # Errors
    /// The queue's own; the default implementation has no queue and returns 503.
    async fn enqueue(
        &self,
        function: &str,
        params: &Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        let _ = (function, params, options);
        Err(no_queue())
    }

    /// Returns the state of a task of the remote queue; `None` if no task of that id is kept.
    ///
    /// # Errors
    /// As [`RemoteCaller::enqueue`].
    async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        let _ = unique_id;
        Err(no_queue())
    }
}
