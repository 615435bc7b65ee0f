//! Running one handler: its deadline, its span, its panics.

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
use crate::engine::handler::{Answer, Bound};
use crate::engine::metrics::{CallMetrics, UnderWay, Verdict};
use crate::environment::{Environment, hook_depth};
use crate::model::CloudError;

/// What is run.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) handler: &'a Bound,
    pub(crate) metrics: &'a Arc<CallMetrics>,
    /// Whether the handler goes on after its deadline.
    pub(crate) detached: bool,
}

/// Runs a handler, and answers at the deadline of the call at the latest; then the handler is dropped, unless it is
/// one that runs on.
///
/// A client that has gone away changes nothing: a handler that does not answer at once runs in a task of its own, and
/// a graceful stop waits for it through `tasks`. It holds its `slot` to the end. Whatever becomes of it is logged here,
/// with the id of the request, and nowhere else.
///
/// # Errors
/// The handler's own; 503 (code 124) at the deadline; 500 (code 1), without its message, for a panic and for what the
/// handler did not foresee.
pub(crate) async fn run(
    tasks: &TaskTracker,
    slot: OwnedSemaphorePermit,
    work: Work<'_>,
    call: Call,
) -> Result<Answer, CloudError> {
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
    let ending = Ending {
        name: Arc::clone(&call.meta.name),
        request_id: Arc::clone(&call.meta.request_id),
        started: environment.elapsed(),
        environment,
        metrics: Arc::clone(work.metrics),
        span: span.clone(),
        _under_way: work.metrics.begin(),
        _slot: slot,
    };
    let handled = match hook_depth::current() {
        0 => (work.handler)(call),
        // A task of its own begins outside of any hook.
        depth => hook_depth::at(depth, (work.handler)(call)).boxed(),
    };
    let mut running = AssertUnwindSafe(handled).catch_unwind().instrument(span);
    // Many a handler has its answer at once, and needs neither a task nor a timer.
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut running).poll(context))).await;
    if let Poll::Ready(outcome) = first {
        return ending.conclude(Some(outcome));
    }
    let left = deadline.saturating_sub(ending.environment.elapsed());
    if !work.detached {
        let task = tasks.spawn(async move {
            let outcome = within(left, running).await;
            ending.conclude(outcome)
        });
        return task
            .await
            .unwrap_or_else(|failure| Err(CloudError::internal(failure)));
    }
    let (name, request_id) = (Arc::clone(&ending.name), Arc::clone(&ending.request_id));
    let task = tasks.spawn(async move {
        let outcome = running.await;
        ending.conclude(Some(outcome))
    });
    match within(left, task).await {
        Some(Ok(result)) => result,
        Some(Err(failure)) => Err(CloudError::internal(failure)),
        None => {
            tracing::warn!(function = %name, request.id = %request_id, "a cloud function has taken too long; it runs on");
            Err(CloudError::timed_out())
        }
    }
}

/// What became of a handler: its result or its panic; `None` where it was stopped at its deadline.
type Outcome = Option<Result<Result<Answer, CloudError>, Box<dyn Any + Send>>>;

/// What is to be done when a handler has ended.
struct Ending {
    name: Arc<str>,
    request_id: Arc<str>,
    started: Duration,
    environment: Environment,
    metrics: Arc<CallMetrics>,
    span: tracing::Span,
    _under_way: UnderWay,
    _slot: OwnedSemaphorePermit,
}

impl Ending {
    /// Counts and logs the outcome, and makes of it what the caller may know.
    fn conclude(self, outcome: Outcome) -> Result<Answer, CloudError> {
        let duration = self.environment.elapsed().saturating_sub(self.started);
        let (function, id) = (&*self.name, &*self.request_id);
        let (verdict, result) = match outcome {
            Some(Ok(Ok(answer))) => (Verdict::Ok, Ok(answer)),
            Some(Ok(Err(error))) if error.status < 500 => (Verdict::Refused, Err(error)),
            Some(Ok(Err(error))) => {
                let cause = error.cause();
                tracing::warn!(function, request.id = id, %error, cause, "a cloud function failed");
                let error = match cause {
                    Some(_) => internal(id),
                    None => error,
                };
                (Verdict::Failed, Err(error))
            }
            Some(Err(panic)) => {
                let text = panic_text(&*panic);
                tracing::error!(
                    function,
                    request.id = id,
                    panic = text,
                    "a cloud function panicked"
                );
                (Verdict::Failed, Err(internal(id)))
            }
            None => {
                tracing::warn!(
                    function,
                    request.id = id,
                    "a cloud function has taken too long and was stopped"
                );
                (Verdict::TimedOut, Err(CloudError::timed_out()))
            }
        };
        self.metrics.end(verdict, duration);
        if !self.span.is_disabled() {
            let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            self.span.record("duration_ms", duration_ms);
            self.span.record("outcome", verdict.word());
            tracing::debug!(parent: &self.span, "a cloud function has ended");
        }
        result
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text")
}

/// The future's output, or `None` where it takes longer.
pub(crate) fn within<T>(limit: Duration, future: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    // No async function: that would hold the future twice.
    tokio::time::timeout(limit, future).map(Result::ok)
}

/// What a client is told of an error that nobody foresaw: how to find it in the log, and nothing else.
pub(crate) fn internal(request_id: &str) -> CloudError {
    CloudError::other(format!("Internal error. (request {request_id})")).with_status(500)
}
