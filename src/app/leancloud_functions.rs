//! The functions and the queue of the app on LeanCloud, called over its REST API.

use async_trait::async_trait;

use crate::client::{Client, ClientError};
use crate::engine::queue::to_request;
use crate::engine::{RemoteCaller, RemoteRequest, TaskInfo, TaskOptions};
use crate::model::{CloudError, Document, ErrorCode, Value};

/// The functions and the queue of the app on LeanCloud.
#[derive(Debug)]
pub(crate) struct LeanCloudFunctions(pub(crate) Client);

#[async_trait]
impl RemoteCaller for LeanCloudFunctions {
    async fn call(&self, request: RemoteRequest) -> Result<Value, CloudError> {
        let client = match request.session_token {
            Some(token) => self.0.with_session(token),
            None => self.0.clone(),
        };
        let call = async {
            if request.rpc {
                client.rpc(&request.name, &request.params).await
            } else {
                client.run(&request.name, &request.params).await
            }
        };
        match tokio::time::timeout(request.timeout, call).await {
            Ok(answer) => answer.map_err(of_function),
            Err(_) => Err(
                CloudError::new(ErrorCode::TIMEOUT, "The request timed out on the server.").with_status(503),
            ),
        }
    }

    async fn enqueue(
        &self,
        function: &str,
        params: &Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        let master = self.0.as_master()?;
        Ok(master.enqueue(to_request(function, params, options)).await?)
    }

    async fn task_info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        let Some(info) = self.0.task(unique_id).await? else {
            return Ok(None);
        };
        serde_json::from_value(info.into_value())
            .map(Some)
            .map_err(|error| CloudError::internal(format!("the state of a task: {error}")))
    }
}

/// Returns the function's own error unchanged.
fn of_function(error: ClientError) -> CloudError {
    match error.cloud_error() {
        Some(error) => error.clone(),
        None => CloudError::from(error),
    }
}
