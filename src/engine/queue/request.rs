//! Body of a request to the queue, by LeanCloud's names.

use serde::Deserialize;
use serde_json::json;

use crate::engine::queue::{Delivery, TaskOptions};
use crate::model::{Document, Value};

/// Body of a request to the queue. Absent options have LeanCloud's defaults.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskRequest {
    function: String,
    #[serde(default)]
    params: Option<Document>,
    attempts: Option<u32>,
    backoff: Option<u64>,
    delay: Option<u64>,
    delivery_mode: Option<Delivery>,
    keep_result: Option<u64>,
    priority: Option<i64>,
    timeout: Option<u64>,
    unique_id: Option<String>,
}

impl TaskRequest {
    /// Returns the function, its parameters, and the task's options.
    pub(super) fn into_parts(self) -> (String, Document, TaskOptions) {
        let defaults = TaskOptions::new();
        let options = TaskOptions {
            attempts: self.attempts.unwrap_or(defaults.attempts),
            backoff: self.backoff.unwrap_or(defaults.backoff),
            delay: self.delay.unwrap_or(defaults.delay),
            delivery: self.delivery_mode.unwrap_or(defaults.delivery),
            keep_result: self.keep_result.unwrap_or(defaults.keep_result),
            priority: self.priority,
            timeout: self.timeout.unwrap_or(defaults.timeout),
            unique_id: self.unique_id,
        };
        (self.function, self.params.unwrap_or_default(), options)
    }
}

/// Builds the body of a request to LeanCloud's own queue.
pub(crate) fn to_request(function: &str, params: &Document, options: &TaskOptions) -> Document {
    let body = json!({
        "function": function,
        "params": params,
        "attempts": options.attempts,
        "backoff": options.backoff,
        "delay": options.delay,
        "deliveryMode": options.delivery,
        "keepResult": options.keep_result,
        "timeout": options.timeout,
    });
    let mut body = match body {
        Value::Object(fields) => Document(fields),
        _ => Document::new(),
    };
    if let Some(priority) = options.priority {
        body.insert("priority".to_owned(), priority.into());
    }
    if let Some(unique_id) = &options.unique_id {
        body.insert("uniqueId".to_owned(), unique_id.as_str().into());
    }
    body
}
