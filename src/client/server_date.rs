//! The server's clock.

use crate::client::request::ApiRequest;
use crate::client::{Client, ClientError, Idempotent};
use crate::model::{Timestamp, Value};

impl Client {
    /// Reads the server's clock.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn date(&self) -> Result<Timestamp, ClientError> {
        let request = ApiRequest::get("/1.1/date");
        self.send(&request).await.read(Idempotent::Yes, |body| {
            let text = body
                .get("iso")
                .and_then(Value::as_str)
                .ok_or("the answer holds no date")?;
            Timestamp::parse(text).map_err(|error| error.message)
        })
    }
}
