//! Calling cloud functions from cloud functions: in this process, or over HTTP.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::call::{Call, Meta};
use crate::engine::encode::Encoding;
use crate::engine::extract::{CurrentUser, FromCall};
use crate::engine::handler::Answer;
use crate::engine::queue::{TaskInfo, TaskOptions};
use crate::engine::router::{Engine, Shared};
use crate::http::RemoteAddress;
use crate::model::{CloudError, Document, ErrorCode, Value};

/// A call of a function of somebody else's.
pub struct RemoteRequest {
    /// The function.
    pub name: String,
    /// Its parameters.
    pub params: Document,
    /// Whether objects travel with their class (`/call`).
    pub rpc: bool,
    /// On whose behalf.
    pub session_token: Option<SecretString>,
    /// How long the caller waits.
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

/// The port through which functions that this app does not define are called.
#[async_trait]
pub trait RemoteCaller: Send + Sync {
    /// Calls it; no result is `null`.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) where nobody has it; 503 (code 124) where it takes too long.
    async fn call(&self, request: RemoteRequest) -> Result<Value, CloudError>;

    /// Adds a task to the queue of whoever answers these calls, and answers its unique id.
    ///
    /// # Errors
    /// The queue's own; the usual implementation has no queue.
    async fn enqueue(
        &self,
        function: &str,
        params: &Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        let _ = (function, params, options);
        Err(no_queue())
    }

    /// What became of a task of that queue; `None` where none of that id is kept.
    ///
    /// # Errors
    /// As [`RemoteCaller::enqueue`].
    async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        let _ = unique_id;
        Err(no_queue())
    }
}

/// `AV.Cloud`: calls the functions of this app in the same process, internal ones too, and those of others over HTTP.
/// An extractor; [`Engine::cloud`] makes one outside of calls.
///
/// Called from a handler, a function gets no more time than the handler itself has left, and by default no user.
#[derive(Clone, Debug)]
pub struct Cloud {
    pub(crate) engine: Engine,
    /// That of the call that this was taken from.
    deadline: Option<Duration>,
    remote_address: Option<RemoteAddress>,
    user: Option<Arc<Document>>,
    session_token: Option<SecretString>,
}

impl<S> FromCall<S> for Cloud {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        Ok(Self {
            engine: call.engine.clone(),
            deadline: Some(call.meta.deadline),
            remote_address: call.meta.remote_address.clone(),
            user: None,
            session_token: None,
        })
    }
}

impl Engine {
    /// Calls functions as the app itself, with no user.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        Cloud {
            engine: self.clone(),
            deadline: None,
            remote_address: None,
            user: None,
            session_token: None,
        }
    }
}

impl Cloud {
    /// Calls on behalf of this user from now on. A function of somebody else's needs the user's session token, which
    /// the user has where one came with the call.
    #[must_use]
    pub fn as_user(mut self, user: &CurrentUser) -> Self {
        self.session_token = user.session_token().cloned();
        self.user = Some(user.shared());
        self
    }

    /// Calls a function. `params` serialise to a JSON object, or to `null` for none.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) where there is none; 503 (code 124) where it takes too long; an
    /// [internal](CloudError::internal) error where the result is no `R`.
    pub async fn run<R: DeserializeOwned>(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<R, CloudError> {
        let params = to_params(params)?;
        read(name, self.call(name, params, Encoding::Plain).await?)
    }

    /// As [`Cloud::run`]; objects travel with their class, in both directions.
    ///
    /// # Errors
    /// As [`Cloud::run`].
    pub async fn rpc<R: DeserializeOwned>(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<R, CloudError> {
        let params = to_params(params)?;
        read(name, self.call(name, params, Encoding::Rpc).await?)
    }

    /// As [`Cloud::run`], over HTTP even where this app has such a function: another instance may answer.
    ///
    /// # Errors
    /// As [`Cloud::run`]; 404 (code 1) where no remote is configured.
    pub async fn run_remote<R: DeserializeOwned>(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<R, CloudError> {
        let params = to_params(params)?;
        read(name, self.call_remote(name, params, Encoding::Plain).await?)
    }

    /// As [`Cloud::rpc`], over HTTP even where this app has such a function.
    ///
    /// # Errors
    /// As [`Cloud::run_remote`].
    pub async fn rpc_remote<R: DeserializeOwned>(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<R, CloudError> {
        let params = to_params(params)?;
        read(name, self.call_remote(name, params, Encoding::Rpc).await?)
    }

    /// Has a function called later, at least once: in this process, or by LeanCloud's queue where the data are there.
    /// Answers the unique id of the task once it is durable.
    ///
    /// # Errors
    /// 107 where an option is out of range; 137 where a task of that unique id is kept; 503 where there is no queue; an
    /// error of the store, after which only the unique id tells whether the task was added.
    pub async fn enqueue(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        self.engine.enqueue(name, to_params(params)?, options).await
    }

    /// What became of a task; `None` where none of that id is kept (any more).
    ///
    /// # Errors
    /// 503 where there is no queue; an error of the store.
    pub async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        self.engine.task_info(unique_id).await
    }

    /// Calls end at this time at the latest, on the clock of [`Environment::elapsed`](crate::environment::Environment::elapsed).
    pub(crate) fn until_at_most(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) async fn call(
        &self,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError> {
        let shared = &self.engine.shared;
        let Some(function) = shared.registry.functions.get(name) else {
            return self.call_remote(name, params, encoding).await;
        };
        let meta = Meta {
            remote_address: self.remote_address.clone(),
            session_token: self.session_token.clone(),
            master: true,
            ..shared.meta(&function.entry.name, &shared.new_request_id(), self.until())
        };
        let call = Call {
            params,
            user: self.user.clone(),
            object: None,
            auth_data: None,
            meta,
            engine: self.engine.clone(),
            encoding,
        };
        match shared.run(&function.entry, call).await? {
            Answer::Body(body) => {
                let mut body: Document = serde_json::from_slice(&body)
                    .map_err(|error| CloudError::internal(format!("the result is no JSON: {error}")))?;
                Ok(body.shift_remove("result").unwrap_or_default())
            }
            Answer::Object(_) | Answer::Done => Ok(Value::Null),
        }
    }

    async fn call_remote(
        &self,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError> {
        let shared = &self.engine.shared;
        let remote = shared.remote().ok_or_else(|| no_function(name))?;
        let request = RemoteRequest {
            name: name.to_owned(),
            params,
            rpc: encoding == Encoding::Rpc,
            session_token: self.session_token.clone(),
            timeout: self.until().saturating_sub(shared.config.environment.elapsed()),
        };
        remote.call(request).await
    }

    /// When a call that begins now must have ended.
    fn until(&self) -> Duration {
        let config = &self.engine.shared.config;
        let own = config
            .environment
            .elapsed()
            .saturating_add(config.limits.function);
        self.deadline.map_or(own, |deadline| own.min(deadline))
    }
}

impl Engine {
    pub(crate) async fn enqueue(
        &self,
        function: &str,
        params: Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        let shared = &self.shared;
        match (&shared.queue, shared.remote()) {
            // A task that nobody can carry out is a mistake of whoever adds it.
            (Some(_), None) if !self.has_function(function) => Err(no_function(function)),
            (Some(queue), _) => queue.add(function, params, options).await,
            (None, Some(remote)) => remote.enqueue(function, &params, options).await,
            (None, None) => Err(no_queue()),
        }
    }

    pub(crate) async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        match (&self.shared.queue, self.shared.remote()) {
            (Some(queue), _) => queue.info(unique_id).await,
            (None, Some(remote)) => remote.task_info(unique_id).await,
            (None, None) => Err(no_queue()),
        }
    }
}

impl Shared {
    /// Who calls the functions that this app does not define.
    fn remote(&self) -> Option<&dyn RemoteCaller> {
        let beside = self
            .config
            .remote_app
            .as_ref()
            .map(|app| app as &dyn RemoteCaller);
        self.config.remote.as_deref().or(beside)
    }
}

fn no_queue() -> CloudError {
    let text = "There is no queue here: this engine keeps no tasks.";
    CloudError::new(ErrorCode::UNAVAILABLE, text)
}

/// 404, code 1.
pub(crate) fn no_function(name: &str) -> CloudError {
    CloudError::new(ErrorCode::OTHER, format!("No such cloud function '{name}'")).with_status(404)
}

/// The parameters of a call.
pub(crate) fn to_params(params: &(impl Serialize + ?Sized)) -> Result<Document, CloudError> {
    match serde_json::to_value(params) {
        Ok(Value::Object(fields)) => Ok(Document(fields)),
        Ok(Value::Null) => Ok(Document::new()),
        Ok(_) => Err(CloudError::internal(
            "the parameters of a cloud function are no JSON object",
        )),
        Err(error) => Err(CloudError::internal(format!(
            "the parameters are no JSON: {error}"
        ))),
    }
}

fn read<R: DeserializeOwned>(name: &str, result: Value) -> Result<R, CloudError> {
    serde_json::from_value(result).map_err(|error| {
        CloudError::internal(format!(
            "the result of {name} is not what its caller expects: {error}"
        ))
    })
}
