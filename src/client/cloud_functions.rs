//! Calls of cloud functions.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::request::{ApiRequest, encode};
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{Document, Value};

impl Client {
    /// Calls a cloud function. `parameters` serialise to a JSON object (or to `null` for none); a missing result is
    /// `null`.
    ///
    /// **Idempotency**: not assumed; never sent again once it may have been sent. See [`Client::run_idempotent`].
    ///
    /// # Errors
    /// [`ClientError`]; an error of the function has the function's own code.
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

    /// Like [`Client::run`], for a function without a further effect when it is called again with the same parameters
    /// (it only reads, or it takes an idempotency key). Repeated by the policy.
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

    /// Like [`Client::run`] over `/call`, which encodes objects with `__type` and `className` in both directions.
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

    /// Like [`Client::rpc`], repeated like [`Client::run_idempotent`].
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
        // A path of dots is another path.
        if matches!(name, "" | "." | "..") {
            return Err(ClientError::Invalid(format!("'{name}' is not a function name")));
        }
        let body = match serde_json::to_value(parameters) {
            Ok(Value::Object(fields)) => Document(fields),
            Ok(Value::Null) => Document::new(),
            Ok(_) => {
                return Err(ClientError::Invalid(
                    "the parameters are not a JSON object".to_owned(),
                ));
            }
            Err(error) => {
                return Err(ClientError::Invalid(format!(
                    "the parameters are not JSON: {error}"
                )));
            }
        };
        let path = format!("/1.1/{prefix}/{}", encode(name));
        let request = ApiRequest::new(Method::POST, path, idempotent).with_body(body);
        self.send(&request).await.read(idempotent, |body| {
            let Value::Object(mut body) = body else {
                return Err("the answer is not an object".to_owned());
            };
            let result = body.shift_remove("result").unwrap_or_default();
            // serde's own text quotes the value, which may be a secret.
            serde_json::from_value(result)
                .map_err(|_| format!("the result is not a {}", std::any::type_name::<R>()))
        })
    }
}
