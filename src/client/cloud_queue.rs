//! The cloud queue: tasks that call a cloud function later.

use http::Method;

use crate::client::request::{ApiRequest, encode};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{Document, Value};

impl Client {
    /// Adds a task to the cloud queue and returns its unique id. Needs the master key. `task` is the request's body with
    /// LeanCloud's names (`function`, `params`, `uniqueId`, …).
    ///
    /// **Idempotency**: through `uniqueId`: a second task with the id of a kept task is refused. Never sent again here.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enqueue(&self, task: Document) -> Result<String, ClientError> {
        let path = "/1.1/engine/cloud-queue/tasks";
        let request = ApiRequest::new(Method::POST, path, Idempotent::No)
            .with_body(task)
            .with_master(true);
        self.send(&request).await.read(Idempotent::No, |body| {
            let id = body.get("uniqueId").and_then(Value::as_str);
            Ok(id.ok_or("the answer holds no uniqueId")?.to_owned())
        })
    }

    /// Reads the state of a task of the cloud queue, with LeanCloud's names; `None` if no task of that id is kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn task(&self, unique_id: &str) -> Result<Option<Document>, ClientError> {
        let request = ApiRequest::get(format!("/1.1/engine/cloud-queue/tasks/{}", encode(unique_id)));
        let found = self
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Object(fields) => Ok(Document(fields)),
                _ => Err("the answer is not an object".to_owned()),
            });
        match found {
            Ok(task) => Ok(Some(task)),
            Err(error) if error.cloud_error().is_some_and(|error| error.status == 404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
