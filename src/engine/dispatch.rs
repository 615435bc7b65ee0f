//! Internal port through which a running call reaches the functions and the queue of its own engine.
//!
//! A call carries this port and not the engine, so that calls, extractors and handlers do not depend on the engine
//! that holds them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::engine::encode::Encoding;
use crate::engine::queue::{TaskInfo, TaskOptions};
use crate::http::RemoteAddress;
use crate::model::{CloudError, Document, Value};

/// The caller of a function in the same process. The default is the app itself, with no user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) user: Option<Arc<Document>>,
    pub(crate) session_token: Option<SecretString>,
    pub(crate) remote_address: Option<RemoteAddress>,
    /// Latest end of the call, on the clock of [`Environment::elapsed`](crate::environment::Environment::elapsed). The
    /// function's own time-out holds too.
    pub(crate) deadline: Option<Duration>,
}

/// Port to the functions and the queue of an engine.
#[async_trait]
pub(crate) trait Dispatch: Send + Sync + fmt::Debug {
    /// Calls a function: this app's own, internal ones too, or else a remote one.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) if it is not defined; 503 (code 124) if it takes too long.
    async fn call(
        self: Arc<Self>,
        origin: &Origin,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError>;

    /// Calls a remote function, even if this app defines one of that name.
    ///
    /// # Errors
    /// As [`Dispatch::call`]; 404 (code 1) if no remote is configured.
    async fn call_remote(
        &self,
        origin: &Origin,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError>;

    /// Adds a task to the queue of this process, or else to the remote one. Returns the task's unique id once it is
    /// durable.
    ///
    /// # Errors
    /// 107 if an option is out of range; 137 if a task of that unique id is kept; 404 (code 1) if nobody can run the
    /// function; 503 if there is no queue; an error of the store, after which only the unique id tells whether the task
    /// was added.
    async fn enqueue(
        &self,
        function: &str,
        params: Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError>;

    /// Returns the state of a task; `None` if no task of that id is kept.
    ///
    /// # Errors
    /// 503 if there is no queue; an error of the store.
    async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError>;
}
