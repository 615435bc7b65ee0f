//! A running app: its handlers, and the state that all its calls share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::call::{Call, Meta};
use crate::engine::call_runner::{HandlerRun, run_handler};
use crate::engine::cloud::Cloud;
use crate::engine::config::EngineConfig;
use crate::engine::dispatch::{Dispatch, Origin};
use crate::engine::encode::Encoding;
use crate::engine::error::{no_function, no_queue};
use crate::engine::handler::HandlerOutput;
use crate::engine::metrics::Metrics;
use crate::engine::queue::{Queue, TaskInfo, TaskOptions};
use crate::engine::registry::{Entry, Registry};
use crate::engine::remote_call::{RemoteCaller, RemoteRequest};
use crate::http::new_request_id;
use crate::model::{CloudError, Document, ErrorCode, Value};

/// An app that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) runtime: Arc<Runtime>,
}

/// State shared by all calls of an engine.
pub(crate) struct Runtime {
    pub(crate) registry: Registry,
    pub(crate) config: EngineConfig,
    /// Names of everything defined, as in `_ops/metadatas`.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) queue: Option<Queue>,
    pub(crate) metrics: Metrics,
    /// Calls in flight, including those whose client has gone or already got a time-out.
    tasks: TaskTracker,
    /// One permit for each call that may run.
    slots: Arc<Semaphore>,
}

impl Engine {
    pub(crate) fn new(
        registry: Registry,
        names: Vec<Arc<str>>,
        metrics: Metrics,
        config: EngineConfig,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(config.limits.calls_max));
        let queue = config
            .queue
            .clone()
            .map(|queue| Queue::new(queue, config.environment.clone()));
        Self {
            runtime: Arc::new(Runtime {
                registry,
                config,
                names,
                queue,
                metrics,
                tasks: TaskTracker::new(),
                slots,
            }),
        }
    }

    /// Caller of functions as the app itself, with no user.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        Cloud::new(self.dispatch())
    }

    /// True if the app defines a cloud function of that name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.runtime.registry.functions.contains_key(name)
    }

    /// Calls a cloud function of this app as the app itself: internal ones too, with no user and no session. The
    /// time-out is that of a call over HTTP; a panic is an error.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) if it is not defined; 503 (code 124) if it takes too long.
    pub async fn call_function(&self, name: &str, params: Document) -> Result<Value, CloudError> {
        self.cloud().call(name, params, Encoding::Plain).await
    }

    /// Runs the tasks and cron jobs of the queue until `stop`, then finishes the tasks in flight. Returns at once if
    /// this engine has no queue.
    pub async fn run_queue(&self, stop: &CancellationToken) {
        if let Some(queue) = &self.runtime.queue {
            queue.run(&self.cloud(), stop).await;
        }
    }

    /// Names of everything defined, as in `_ops/metadatas`.
    #[must_use]
    pub fn metadata(&self) -> &[Arc<str>] {
        &self.runtime.names
    }

    /// Number of calls in flight, including those whose client has gone or already got a time-out.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.runtime.tasks.len()
    }

    /// Waits for the calls in flight. To be called once the listener is closed, and under a deadline.
    pub async fn close(&self) {
        self.runtime.tasks.close();
        self.runtime.tasks.wait().await;
    }

    pub(crate) fn dispatch(&self) -> Arc<dyn Dispatch> {
        Arc::clone(&self.runtime) as Arc<dyn Dispatch>
    }
}

impl Runtime {
    /// Runs a handler.
    ///
    /// # Errors
    /// As [`run_handler`]; 503 if [`calls_max`](crate::engine::Limits::calls_max) calls are running.
    pub(crate) async fn run(&self, entry: &Entry, call: Call) -> Result<HandlerOutput, CloudError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let text = "Too many calls are running. Try again later.";
            return Err(CloudError::new(ErrorCode::UNAVAILABLE, text));
        };
        let run = HandlerRun {
            handler: &entry.handler,
            metrics: &entry.metrics,
            detached: entry.detached,
        };
        run_handler(&self.tasks, slot, run, call).await
    }

    pub(crate) fn new_request_id(&self) -> Arc<str> {
        new_request_id(&self.config.environment).into()
    }

    /// Facts about a call with no user, address or key.
    pub(crate) fn meta(&self, name: &Arc<str>, request_id: &Arc<str>, deadline: Duration) -> Meta {
        Meta {
            name: Arc::clone(name),
            request_id: Arc::clone(request_id),
            remote_address: None,
            session_token: None,
            master: false,
            production: true,
            deadline,
            environment: self.config.environment.clone(),
        }
    }

    /// Caller of the functions that this app does not define.
    fn remote(&self) -> Option<&dyn RemoteCaller> {
        let remote_app = self.config.remote_app.as_ref();
        let remote_app = remote_app.map(|app| app as &dyn RemoteCaller);
        self.config.remote.as_deref().or(remote_app)
    }

    /// Latest end of a call that begins now.
    fn deadline(&self, origin: &Origin) -> Duration {
        let elapsed = self.config.environment.elapsed();
        let own = elapsed.saturating_add(self.config.limits.function);
        origin.deadline.map_or(own, |deadline| own.min(deadline))
    }
}

#[async_trait]
impl Dispatch for Runtime {
    async fn call(
        self: Arc<Self>,
        origin: &Origin,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError> {
        let Some(function) = self.registry.functions.get(name) else {
            return self.call_remote(origin, name, params, encoding).await;
        };
        let meta = Meta {
            remote_address: origin.remote_address.clone(),
            session_token: origin.session_token.clone(),
            master: true,
            ..self.meta(
                &function.entry.name,
                &self.new_request_id(),
                self.deadline(origin),
            )
        };
        let call = Call {
            params,
            user: origin.user.clone(),
            object: None,
            auth_data: None,
            meta,
            dispatch: Arc::clone(&self) as Arc<dyn Dispatch>,
            encoding,
        };
        match self.run(&function.entry, call).await? {
            HandlerOutput::Body(body) => {
                let mut body: Document = serde_json::from_slice(&body)
                    .map_err(|error| CloudError::internal(format!("the result is not JSON: {error}")))?;
                Ok(body.shift_remove("result").unwrap_or_default())
            }
            HandlerOutput::Object(_) | HandlerOutput::Done => Ok(Value::Null),
        }
    }

    async fn call_remote(
        &self,
        origin: &Origin,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError> {
        let remote = self.remote().ok_or_else(|| no_function(name))?;
        let elapsed = self.config.environment.elapsed();
        let request = RemoteRequest {
            name: name.to_owned(),
            params,
            rpc: encoding == Encoding::Rpc,
            session_token: origin.session_token.clone(),
            timeout: self.deadline(origin).saturating_sub(elapsed),
        };
        remote.call(request).await
    }

    async fn enqueue(
        &self,
        function: &str,
        params: Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        match (&self.queue, self.remote()) {
            // Refused here, because the caller can still correct it.
            (Some(_), None) if !self.registry.functions.contains_key(function) => Err(no_function(function)),
            (Some(queue), _) => queue.add(function, params, options).await,
            (None, Some(remote)) => remote.enqueue(function, &params, options).await,
            (None, None) => Err(no_queue()),
        }
    }

    async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        match (&self.queue, self.remote()) {
            (Some(queue), _) => queue.info(unique_id).await,
            (None, Some(remote)) => remote.task_info(unique_id).await,
            (None, None) => Err(no_queue()),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("names", &self.runtime.names)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
