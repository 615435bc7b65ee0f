//! `AV.Cloud`: calls of cloud functions from handlers, in this process or over HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::call::Call;
use crate::engine::dispatch::{Dispatch, Origin};
use crate::engine::encode::Encoding;
use crate::engine::extract::{CurrentUser, FromCall};
use crate::engine::queue::{TaskInfo, TaskOptions};
use crate::model::{CloudError, Document, Value};

/// `AV.Cloud`: calls this app's functions in the same process, internal ones too, and other functions over HTTP.
/// An extractor; outside of calls, [`Engine::cloud`](crate::engine::Engine::cloud) makes one.
///
/// A function called from a handler gets no more time than the handler has left, and by default no user.
#[derive(Clone, Debug)]
pub struct Cloud {
    dispatch: Arc<dyn Dispatch>,
    origin: Origin,
}

impl<S> FromCall<S> for Cloud {
    fn from_call(call: &Call, _: &S) -> Result<Self, CloudError> {
        let origin = Origin {
            deadline: Some(call.meta.deadline),
            remote_address: call.meta.remote_address.clone(),
            ..Origin::default()
        };
        Ok(Self {
            dispatch: Arc::clone(&call.dispatch),
            origin,
        })
    }
}

impl Cloud {
    /// Calls functions as the app itself, with no user.
    pub(crate) fn new(dispatch: Arc<dyn Dispatch>) -> Self {
        Self {
            dispatch,
            origin: Origin::default(),
        }
    }

    /// Makes further calls on behalf of `user`. A remote function needs the user's session token; the user has it if it
    /// came with the call.
    #[must_use]
    pub fn as_user(mut self, user: &CurrentUser) -> Self {
        self.origin.session_token = user.session_token().cloned();
        self.origin.user = Some(user.shared());
        self
    }

    /// Calls a function. `params` serialise to a JSON object, or to `null` for none.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) if it is not defined; 503 (code 124) if it takes too long; an
    /// [internal](CloudError::internal) error if the result is not an `R`.
    pub async fn run<R: DeserializeOwned>(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<R, CloudError> {
        let params = to_params(params)?;
        read(name, self.call(name, params, Encoding::Plain).await?)
    }

    /// Calls a function like [`Cloud::run`]; objects travel with their class, in both directions.
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

    /// Calls a function like [`Cloud::run`], but over HTTP even if this app defines it: another instance may run it.
    ///
    /// # Errors
    /// As [`Cloud::run`]; 404 (code 1) if no remote is configured.
    pub async fn run_remote<R: DeserializeOwned>(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
    ) -> Result<R, CloudError> {
        let params = to_params(params)?;
        read(name, self.call_remote(name, params, Encoding::Plain).await?)
    }

    /// Calls a function like [`Cloud::rpc`], but over HTTP even if this app defines it.
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

    /// Schedules a call of a function, to run at least once: in the queue of this process, or in LeanCloud's if the data
    /// are there. Returns the task's unique id once the task is durable.
    ///
    /// # Errors
    /// 107 if an option is out of range; 137 if a task of that unique id is kept; 503 if there is no queue; an error of
    /// the store, after which only the unique id tells whether the task was added.
    pub async fn enqueue(
        &self,
        name: &str,
        params: &(impl Serialize + ?Sized),
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        self.dispatch.enqueue(name, to_params(params)?, options).await
    }

    /// Returns the state of a task; `None` if no task of that id is kept.
    ///
    /// # Errors
    /// 503 if there is no queue; an error of the store.
    pub async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        self.dispatch.task_info(unique_id).await
    }

    /// Sets the latest end of further calls, on the clock of
    /// [`Environment::elapsed`](crate::environment::Environment::elapsed).
    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.origin.deadline = Some(deadline);
        self
    }

    pub(crate) async fn call(
        &self,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError> {
        let dispatch = Arc::clone(&self.dispatch);
        dispatch.call(&self.origin, name, params, encoding).await
    }

    async fn call_remote(
        &self,
        name: &str,
        params: Document,
        encoding: Encoding,
    ) -> Result<Value, CloudError> {
        self.dispatch
            .call_remote(&self.origin, name, params, encoding)
            .await
    }
}

/// Serialises the parameters of a call.
fn to_params(params: &(impl Serialize + ?Sized)) -> Result<Document, CloudError> {
    match serde_json::to_value(params) {
        Ok(Value::Object(fields)) => Ok(Document(fields)),
        Ok(Value::Null) => Ok(Document::new()),
        Ok(_) => Err(CloudError::internal(
            "the parameters of a cloud function are not a JSON object",
        )),
        Err(error) => Err(CloudError::internal(format!(
            "the parameters cannot be written as JSON: {error}"
        ))),
    }
}

/// Deserialises the result of a call.
fn read<R: DeserializeOwned>(name: &str, result: Value) -> Result<R, CloudError> {
    serde_json::from_value(result).map_err(|error| {
        CloudError::internal(format!(
            "the result of {name} does not have the expected type: {error}"
        ))
    })
}
