//! An app that runs: its routes, and what all its calls share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer;

use crate::credentials::RequestCredentials;
use crate::engine::call::{Call, Meta};
use crate::engine::config::EngineConfig;
use crate::engine::exchange::Exchange;
use crate::engine::handler::Answer;
use crate::engine::metrics::{self, Metrics};
use crate::engine::queue::{Queue, queue_routes};
use crate::engine::registry::{Entry, Registry};
use crate::engine::run::{Work, run, within};
use crate::environment::hook_depth;
use crate::http::{REQUEST_ID, cors_layer, json_response, new_request_id, request_id};
use crate::model::{CloudError, ErrorCode};

/// An app that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What every call works with.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) config: EngineConfig,
    /// Calls under way, those included whose client has gone or has been answered with a time-out.
    pub(crate) tasks: TaskTracker,
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) queue: Option<Queue>,
    metrics: Metrics,
    slots: Arc<Semaphore>,
}

/// The prefixes of all routes; under `call`, results and parameters may hold encoded objects. The SDK for Python has
/// the last four too.
pub(crate) const PREFIXES: [&str; 8] = [
    "/1.1/functions",
    "/1.1/call",
    "/1/functions",
    "/1/call",
    "/__engine/1.1/functions",
    "/__engine/1.1/call",
    "/__engine/1/functions",
    "/__engine/1/call",
];

impl Engine {
    pub(crate) fn new(
        registry: Registry,
        names: Vec<Arc<str>>,
        metrics: Metrics,
        config: EngineConfig,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(config.limits.calls_max));
        let queue = config
            .queue
            .clone()
            .map(|queue| Queue::new(queue, config.environment.clone()));
        Self {
            shared: Arc::new(Shared {
                registry,
                config,
                tasks: TaskTracker::new(),
                names,
                queue,
                metrics,
                slots,
            }),
        }
    }

    /// The engine's routes: functions and hooks under `/1.1`, `/1` and `/__engine`, the health check
    /// `/__engine/1/ping`, and for the master key the metrics `/__engine/1/metrics`. To be merged into the routes of
    /// an app of one's own, or served alone by [`serve()`](crate::engine::serve()).
    ///
    /// ```
    /// use axum::{Router, routing::get};
    ///
    /// fn site(engine: &paylog::engine::Engine) -> Router {
    ///     Router::new().route("/", get(async || "Welcome!")).merge(engine.router())
    /// }
    /// ```
    pub fn router(&self) -> Router {
        let mut router = Router::new().route("/__engine/1/metrics", get(metrics_page));
        for path in ["/__engine/1/ping", "/__engine/1.1/ping", "/__engine/1.1/ping/"] {
            router = router.route(path, any(ping));
        }
        if self.shared.queue.is_some() {
            let named = middleware::from_fn_with_state(self.clone(), with_request_id);
            router = router.merge(queue_routes().layer(named));
        }
        router = router.layer(cors_layer());
        // Wrapped once, not by the router, which would box and copy what it wraps for every call.
        let call = cors_layer().layer(handle.with_state(self.clone()));
        for prefix in PREFIXES {
            for path in [
                prefix.to_owned(),
                format!("{prefix}/"),
                format!("{prefix}/{{*path}}"),
            ] {
                router = router.route_service(&path, call.clone());
            }
        }
        router.with_state(self.clone())
    }

    /// Runs the tasks of the queue, and the jobs of its clock, until `stop`; what is running then is finished first.
    /// Returns at once where this engine has no queue.
    pub async fn run_queue(&self, stop: &CancellationToken) {
        if let Some(queue) = &self.shared.queue {
            queue.run(self, stop).await;
        }
    }

    pub(crate) fn config(&self) -> &EngineConfig {
        &self.shared.config
    }

    /// Everything defined, as in `_ops/metadatas`.
    #[must_use]
    pub fn metadata(&self) -> &[Arc<str>] {
        &self.shared.names
    }

    /// How many calls are running, those included whose client has gone or has been answered with a time-out.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.shared.tasks.len()
    }

    /// Waits for the calls under way. To be called once the listener is closed, and under a deadline.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("names", &self.shared.names)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs a handler, unless too many are running.
    pub(crate) async fn run(&self, entry: &Entry, call: Call) -> Result<Answer, CloudError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let text = "Too many calls are under way. Try again later.";
            return Err(CloudError::new(ErrorCode::UNAVAILABLE, text));
        };
        let work = Work {
            handler: &entry.handler,
            metrics: &entry.metrics,
            detached: entry.detached,
        };
        run(&self.tasks, slot, work, call).await
    }

    pub(crate) fn new_request_id(&self) -> Arc<str> {
        new_request_id(&self.config.environment).into()
    }

    /// That of the request, where whoever sent it is believed.
    fn request_id(&self, headers: &HeaderMap) -> Arc<str> {
        if self.config.trust_proxy {
            request_id(headers, &self.config.environment).into()
        } else {
            self.new_request_id()
        }
    }

    pub(crate) fn meta(&self, name: &Arc<str>, request_id: &Arc<str>, deadline: Duration) -> Meta {
        Meta {
            name: Arc::clone(name),
            request_id: Arc::clone(request_id),
            remote_address: None,
            session_token: None,
            master: false,
            production: true,
            deadline,
            environment: self.config.environment.clone(),
        }
    }
}

async fn ping() -> Response {
    let body = json!({"runtime": "rust", "version": env!("CARGO_PKG_VERSION")});
    json_response(StatusCode::OK, &body)
}

async fn metrics_page(State(engine): State<Engine>, headers: HeaderMap) -> Response {
    let shown = RequestCredentials::from_headers(&headers);
    match engine.shared.config.credentials.authenticate(&shown) {
        Ok(caller) if caller.holds_master_key => match engine.shared.metrics.render() {
            Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
            Err(error) => CloudError::internal(error).into_response(),
        },
        _ => CloudError::unauthorized().into_response(),
    }
}

/// Gives an answer the id of its request.
async fn with_request_id(State(engine): State<Engine>, request: Request, next: Next) -> Response {
    let id = engine.shared.request_id(request.headers());
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::try_from(&*id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

const HOOK_DEPTH: HeaderName = HeaderName::from_static(hook_depth::HEADER);

async fn handle(State(engine): State<Engine>, request: Request) -> Response {
    let shared = &engine.shared;
    let arrived = shared.config.environment.elapsed();
    let (parts, body) = request.into_parts();
    let id = shared.request_id(&parts.headers);
    let exchange = Exchange {
        engine: &engine,
        parts: &parts,
        request_id: &id,
        arrived,
    };
    // Whoever calls from inside of a hook says so, and is believed: it can only be refused sooner.
    let depth = parts.headers.get(HOOK_DEPTH);
    let depth = depth.and_then(|depth| depth.to_str().ok()?.parse().ok());
    // The clock covers everything from here: a slow body and a slow session store count too.
    let limit = shared.config.limits.function;
    let answered = match depth {
        None => within(limit, exchange.answer(body)).await,
        Some(depth) => Box::pin(within(limit, hook_depth::at(depth, exchange.answer(body)))).await,
    };
    let mut response = match answered.unwrap_or_else(|| Err(CloudError::timed_out())) {
        Ok(response) => response,
        Err(error) => {
            if error.status >= 500 {
                tracing::warn!(request.id = %id, http.path = parts.uri.path(), %error, "a call was not possible");
            }
            error.into_response()
        }
    };
    if let Ok(id) = HeaderValue::try_from(&*id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
