//! Running one handler: its deadline, its span, its panics.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::engine::call::Call;
use crate::engine::handler::{Answer, Bound};
use crate::environment::hook_depth;
use crate::model::{CloudError, ErrorCode};

/// Runs `handler`, and answers at the deadline of the call at the latest.
///
/// The handler runs in a task of its own: neither a time-out nor a client that has gone away cancels it half way, and
/// a graceful stop waits for it through `tasks`. It holds its `slot` to the end.
///
/// # Errors
/// The handler's own; 503 (code 124) at the deadline; 500 (code 1), without its message, for a panic.
pub(crate) async fn run(
    tasks: &TaskTracker,
    slot: OwnedSemaphorePermit,
    handler: &Bound,
    call: Call,
) -> Result<Answer, CloudError> {
    let environment = call.meta.environment.clone();
    let remaining = call.meta.remaining();
    let request_id = Arc::clone(&call.meta.request_id);
    let name = Arc::clone(&call.meta.name);
    let started = environment.elapsed();
    let user = call
        .user
        .as_ref()
        .and_then(|user| user.text("objectId"))
        .map(ToOwned::to_owned);
    let span = tracing::info_span!("call", function = %name, request.id = %request_id, user.id = user);
    // A task of its own begins outside of any hook.
    let running = hook_depth::at(hook_depth::current(), handler(call)).instrument(span.clone());
    let task = tasks.spawn(async move {
        let result = running.await;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(error) if error.status >= 500 => "failed",
            Err(_) => "refused",
        };
        let duration_ms = millis(environment.elapsed().saturating_sub(started));
        let code = result.as_ref().err().map(|error| error.code.0);
        tracing::debug!(parent: &span, duration_ms, outcome, code, "a cloud function has ended");
        drop(slot);
        result
    });
    match within(remaining, task).await {
        None => {
            tracing::warn!(function = %name, request.id = %request_id, "a cloud function has taken too long; it runs on");
            Err(timed_out())
        }
        Some(Ok(result)) => result,
        Some(Err(failure)) => {
            tracing::error!(function = %name, request.id = %request_id, %failure, "a cloud function panicked");
            Err(internal(&request_id))
        }
    }
}

/// The future's output, or `None` where it takes longer.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// What a client is told at the deadline.
pub(crate) fn timed_out() -> CloudError {
    CloudError::new(ErrorCode::TIMEOUT, "The request timed out on the server.").with_status(503)
}

/// What a client is told of an error that nobody foresaw: how to find it in the log, and nothing else.
pub(crate) fn internal(request_id: &str) -> CloudError {
    CloudError::other(format!("Internal error. (request {request_id})")).with_status(500)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
