//! Cloud functions, and the server's clock.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::request::{Request, encode};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{Document, Timestamp, Value};

impl Client {
    /// Calls a cloud function. `parameters` serialise to a JSON object (or to `null`, for none); no result is `null`.
    ///
    /// **Idempotency**: not assumed; never sent again once it may have been sent. See [`Client::run_idempotent`].
    ///
    /// # Errors
    /// [`ClientError`]; what the function refuses carries its own code.
    ///
    /// ```no_run
    /// # use paylog::client::Client;
    /// #[derive(serde::Serialize)]
    /// struct Sum { a: i64, b: i64 }
    ///
    /// # async fn example(client: Client) -> anyhow::Result<()> {
    /// let sum: i64 = client.run("sum", &Sum { a: 1, b: 2 }).await?;
    /// # let _ = sum; Ok(()) }
    /// ```
    pub async fn run<P, R>(&self, name: &str, parameters: &P) -> Result<R, ClientError>
    where
        P: Serialize + Sync + ?Sized,
        R: DeserializeOwned,
    {
        self.call("functions", name, parameters, Idempotent::No).await
    }

    /// As [`Client::run`], for a function that does nothing more when it is called again with the same parameters
    /// (it only reads, or it takes an idempotency key). Repeated as the policy says.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn run_idempotent<P, R>(&self, name: &str, parameters: &P) -> Result<R, ClientError>
    where
        P: Serialize + Sync + ?Sized,
        R: DeserializeOwned,
    {
        self.call("functions", name, parameters, Idempotent::Yes).await
    }

    /// As [`Client::run`] over `/call`, where objects travel with `__type` and `className`, in both directions.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn rpc<P, R>(&self, name: &str, parameters: &P) -> Result<R, ClientError>
    where
        P: Serialize + Sync + ?Sized,
        R: DeserializeOwned,
    {
        self.call("call", name, parameters, Idempotent::No).await
    }

    /// [`Client::rpc`] and [`Client::run_idempotent`] in one.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn rpc_idempotent<P, R>(&self, name: &str, parameters: &P) -> Result<R, ClientError>
    where
        P: Serialize + Sync + ?Sized,
        R: DeserializeOwned,
    {
        self.call("call", name, parameters, Idempotent::Yes).await
    }

    async fn call<P, R>(
        &self,
        prefix: &str,
        name: &str,
        parameters: &P,
        idempotent: Idempotent,
    ) -> Result<R, ClientError>
    where
        P: Serialize + Sync + ?Sized,
        R: DeserializeOwned,
    {
        // A path of dots would lead elsewhere.
        if matches!(name, "" | "." | "..") {
            return Err(ClientError::Invalid(format!("'{name}' is no name of a function")));
        }
        let body = match serde_json::to_value(parameters) {
            Ok(Value::Object(fields)) => Document(fields),
            Ok(Value::Null) => Document::new(),
            Ok(_) => {
                return Err(ClientError::Invalid(
                    "the parameters are no JSON object".to_owned(),
                ));
            }
            Err(error) => {
                return Err(ClientError::Invalid(format!(
                    "the parameters are no JSON: {error}"
                )));
            }
        };
        let path = format!("/1.1/{prefix}/{}", encode(name));
        let request = Request::new(Method::POST, path, idempotent).with_body(body);
        self.send(&request).await.read(idempotent, |body| {
            let Value::Object(mut body) = body else {
                return Err("the answer is no object".to_owned());
            };
            let result = body.shift_remove("result").unwrap_or_default();
            // serde's own text quotes the value, which may be a secret.
            serde_json::from_value(result)
                .map_err(|_| format!("the result is no {}", std::any::type_name::<R>()))
        })
    }

    /// The server's clock.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn date(&self) -> Result<Timestamp, ClientError> {
        let request = Request::get("/1.1/date");
        self.send(&request).await.read(Idempotent::Yes, |body| {
            let text = body
                .get("iso")
                .and_then(Value::as_str)
                .ok_or("the answer holds no date")?;
            Timestamp::parse(text).map_err(|error| error.message)
        })
    }
}

impl Client {
    /// Adds a task to the cloud queue, with the master key; `task` is the request's body by LeanCloud's names
    /// (`function`, `params`, `uniqueId`, …). Answers the task's unique id.
    ///
    /// **Idempotency**: through `uniqueId`: a second task of an id that is kept is refused. Never sent again here.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enqueue(&self, task: Document) -> Result<String, ClientError> {
        let path = "/1.1/engine/cloud-queue/tasks";
        let request = Request::new(Method::POST, path, Idempotent::No)
            .with_body(task)
            .with_master(true);
        self.send(&request).await.read(Idempotent::No, |body| {
            let id = body.get("uniqueId").and_then(Value::as_str);
            Ok(id.ok_or("the answer holds no uniqueId")?.to_owned())
        })
    }

    /// What became of a task of the cloud queue, by LeanCloud's names; `None` where none of that id is kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn task(&self, unique_id: &str) -> Result<Option<Document>, ClientError> {
        let request = Request::get(format!("/1.1/engine/cloud-queue/tasks/{}", encode(unique_id)));
        let found = self
            .send(&request)
            .await
            .read(Idempotent::Yes, |body| match body {
                Value::Object(fields) => Ok(Document(fields)),
                _ => Err("the answer is no object".to_owned()),
            });
        match found {
            Ok(task) => Ok(Some(task)),
            Err(error) if error.cloud_error().is_some_and(|error| error.status == 404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
