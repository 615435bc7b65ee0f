//! Cloud functions in the same process, without HTTP in between.

use crate::engine::call::Call;
use crate::engine::handler::Answer;
use crate::engine::router::Engine;
use crate::model::{CloudError, Document, ErrorCode, Value};

impl Engine {
    /// Whether the app has a cloud function of that name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.shared.registry.functions.contains_key(name)
    }

    /// Calls a cloud function of this app as the app itself: internal ones too, with no user and no session. Its
    /// time-out is that of a call over HTTP; a panic is an error.
    ///
    /// # Errors
    /// The function's own; 404 (code 1) where there is none; 503 (code 124) where it takes too long.
    pub async fn call_function(&self, name: &str, params: Document) -> Result<Value, CloudError> {
        let function = self.shared.registry.functions.get(name).ok_or_else(|| {
            let text = format!("No such cloud function '{name}'");
            CloudError::new(ErrorCode::OTHER, text).with_status(404)
        })?;
        let limit = self.shared.config.limits.function;
        let mut meta = self
            .shared
            .meta(&function.name, &self.shared.new_request_id(), limit);
        meta.master = true;
        let call = Call {
            params,
            user: None,
            object: None,
            auth_data: None,
            meta,
        };
        match self.shared.run(&function.handler, call).await? {
            Answer::Body(body) => {
                let mut body: Document = serde_json::from_slice(&body).map_err(|error| {
                    CloudError::other(format!("The result is no JSON: {error}")).with_status(500)
                })?;
                Ok(body.shift_remove("result").unwrap_or_default())
            }
            Answer::Object(_) | Answer::Done => Ok(Value::Null),
        }
    }
}
