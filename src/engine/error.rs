//! Errors that the engine itself returns to a caller.

use crate::model::{ClassName, CloudError, ErrorCode, HookKind};

/// Error for an undefined function: 404, code 1.
pub(crate) fn no_function(name: &str) -> CloudError {
    CloudError::new(ErrorCode::OTHER, format!("No such cloud function '{name}'")).with_status(404)
}

/// Error for an undefined class hook: 404, code 1.
pub(crate) fn no_hook(class: &ClassName, kind: HookKind) -> CloudError {
    CloudError::new(ErrorCode::OTHER, format!("No {} hook of '{class}'", kind.name())).with_status(404)
}

/// Error for a task request to an engine without a queue: 503.
pub(crate) fn no_queue() -> CloudError {
    let text = "This engine has no task queue.";
    CloudError::new(ErrorCode::UNAVAILABLE, text)
}

/// Client's view of an unforeseen error: the request id under which the log has the cause, and nothing else.
pub(crate) fn internal(request_id: &str) -> CloudError {
    CloudError::other(format!("Internal error. (request {request_id})")).with_status(500)
}
