//! Execution of one handler: its deadline, its span, its panics.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::engine::call::Call;
use crate::engine::error::internal;
use crate::engine::handler::{BoundHandler, HandlerOutput};
use crate::engine::metrics::{CallMetrics, CallOutcome, InFlight};
use crate::environment::{Environment, hook_depth};
use crate::model::CloudError;

/// A handler to run, and the way to run it.
#[derive(Clone, Copy)]
pub(crate) struct HandlerRun<'a> {
    pub(crate) handler: &'a BoundHandler,
    pub(crate) metrics: &'a Arc<CallMetrics>,
    /// True if the handler continues after its deadline.
    pub(crate) detached: bool,
}

/// Runs a handler and returns at the call's deadline at the latest. The handler is dropped then, unless it is detached.
///
/// A client that disconnects changes nothing: a handler that is not ready at once runs in a task of its own, and a
/// graceful stop waits for it through `tasks`. The call holds its `slot` to the end. Its outcome is logged here, with
/// the id of the request, and nowhere else.
///
/// # Errors
/// The handler's own; 503 (code 124) at the deadline; 500 (code 1), without its message, for a panic and for an
/// unforeseen error.
pub(crate) async fn run_handler(
    tasks: &TaskTracker,
    slot: OwnedSemaphorePermit,
    run: HandlerRun<'_>,
    call: Call,
) -> Result<HandlerOutput, CloudError> {
    let environment = call.meta.environment.clone();
    let deadline = call.meta.deadline;
    let user = call.user.as_ref().and_then(|user| user.text("objectId"));
    let span = tracing::info_span!(
        "call",
        function = %call.meta.name,
        request.id = %call.meta.request_id,
        user.id = user,
        duration_ms = tracing::field::Empty,
        outcome = tracing::field::Empty,
    );
    let completion = CallCompletion {
        name: Arc::clone(&call.meta.name),
        request_id: Arc::clone(&call.meta.request_id),
        started: environment.elapsed(),
        environment,
        metrics: Arc::clone(run.metrics),
        span: span.clone(),
        _in_flight: run.metrics.begin(),
        _slot: slot,
    };
    let handled = match hook_depth::current() {
        0 => (run.handler)(call),
        // A task of its own begins outside of any hook.
        depth => hook_depth::at(depth, (run.handler)(call)).boxed(),
    };
    let mut running = AssertUnwindSafe(handled).catch_unwind().instrument(span);
    // Most handlers are ready at the first poll, and need neither a task nor a timer.
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut running).poll(context))).await;
    if let Poll::Ready(caught) = first {
        return completion.complete(caught.into());
    }
    let left = deadline.saturating_sub(completion.environment.elapsed());
    if !run.detached {
        let task = tasks.spawn(async move {
            let outcome = match with_timeout(left, running).await {
                Some(caught) => caught.into(),
                None => HandlerOutcome::TimedOut,
            };
            completion.complete(outcome)
        });
        return task
            .await
            .unwrap_or_else(|failure| Err(CloudError::internal(failure)));
    }
    let (name, request_id) = (Arc::clone(&completion.name), Arc::clone(&completion.request_id));
    let task = tasks.spawn(async move {
        let caught = running.await;
        completion.complete(caught.into())
    });
    match with_timeout(left, task).await {
        Some(Ok(result)) => result,
        Some(Err(failure)) => Err(CloudError::internal(failure)),
        None => {
            tracing::warn!(function = %name, request.id = %request_id, "a cloud function timed out and continues in the background");
            Err(CloudError::timed_out())
        }
    }
}

/// End of a handler.
enum HandlerOutcome {
    Returned(Result<HandlerOutput, CloudError>),
    /// It panicked with this payload.
    Panicked(Box<dyn Any + Send>),
    /// It was dropped at its deadline.
    TimedOut,
}

impl From<Result<Result<HandlerOutput, CloudError>, Box<dyn Any + Send>>> for HandlerOutcome {
    fn from(caught: Result<Result<HandlerOutput, CloudError>, Box<dyn Any + Send>>) -> Self {
        match caught {
            Ok(result) => Self::Returned(result),
            Err(panic) => Self::Panicked(panic),
        }
    }
}

/// Bookkeeping of a call, to be done once its handler has ended.
struct CallCompletion {
    name: Arc<str>,
    request_id: Arc<str>,
    started: Duration,
    environment: Environment,
    metrics: Arc<CallMetrics>,
    span: tracing::Span,
    _in_flight: InFlight,
    _slot: OwnedSemaphorePermit,
}

impl CallCompletion {
    /// Counts and logs the outcome, and returns the caller's view of it.
    fn complete(self, outcome: HandlerOutcome) -> Result<HandlerOutput, CloudError> {
        let duration = self.environment.elapsed().saturating_sub(self.started);
        let (function, id) = (&*self.name, &*self.request_id);
        let (outcome, result) = match outcome {
            HandlerOutcome::Returned(Ok(output)) => (CallOutcome::Ok, Ok(output)),
            HandlerOutcome::Returned(Err(error)) if error.status < 500 => (CallOutcome::Refused, Err(error)),
            HandlerOutcome::Returned(Err(error)) => {
                let cause = error.cause();
                tracing::warn!(function, request.id = id, %error, cause, "a cloud function failed");
                let error = match cause {
                    Some(_) => internal(id),
                    None => error,
                };
                (CallOutcome::Failed, Err(error))
            }
            HandlerOutcome::Panicked(panic) => {
                let text = panic_text(&*panic);
                tracing::error!(
                    function,
                    request.id = id,
                    panic = text,
                    "a cloud function panicked"
                );
                (CallOutcome::Failed, Err(internal(id)))
            }
            HandlerOutcome::TimedOut => {
                tracing::warn!(
                    function,
                    request.id = id,
                    "a cloud function timed out and was stopped"
                );
                (CallOutcome::TimedOut, Err(CloudError::timed_out()))
            }
        };
        self.metrics.end(outcome, duration);
        if !self.span.is_disabled() {
            let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            self.span.record("duration_ms", duration_ms);
            self.span.record("outcome", outcome.label());
            tracing::debug!(parent: &self.span, "a cloud function has ended");
        }
        result
    }
}

/// Message of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

/// Returns the future's output, or `None` after `limit`.
pub(crate) fn with_timeout<T>(
    limit: Duration,
    future: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    // Not an async function: that would hold the future twice.
    tokio::time::timeout(limit, future).map(Result::ok)
}
