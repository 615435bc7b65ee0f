//! Cloud functions in the same process, without HTTP in between.

use crate::engine::encode::Encoding;
use crate::engine::router::Engine;
use crate::model::{CloudError, Document, Value};

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
        self.cloud().call(name, params, Encoding::Plain).await
    }
}
