//! Routes of an engine.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;
use tower::Layer;

use crate::credentials::RequestCredentials;
use crate::engine::call_handler::{CallHandler, PREFIXES};
use crate::engine::call_runner::with_timeout;
use crate::engine::metrics;
use crate::engine::queue::queue_routes;
use crate::engine::runtime::{Engine, Runtime};
use crate::environment::hook_depth;
use crate::http::{REQUEST_ID, cors_layer, json_response, request_id};
use crate::model::CloudError;

impl Engine {
    /// Returns the engine's routes: functions and hooks under `/1.1`, `/1` and `/__engine`, the health check
    /// `/__engine/1/ping`, and for the master key the metrics `/__engine/1/metrics`. Merge them into the routes of your
    /// own app, or serve them alone with [`serve()`](crate::engine::serve()).
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
        if self.runtime.queue.is_some() {
            let with_id = middleware::from_fn_with_state(self.clone(), with_request_id);
            router = router.merge(queue_routes().layer(with_id));
        }
        router = router.layer(cors_layer());
        // Wrapped once here: the router would box and clone the handler for every call.
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
}

impl Runtime {
    /// Id of a request: the sender's, if the sender is trusted.
    fn request_id(&self, headers: &HeaderMap) -> Arc<str> {
        if self.config.trust_proxy {
            request_id(headers, &self.config.environment).into()
        } else {
            self.new_request_id()
        }
    }
}

async fn ping() -> Response {
    let body = json!({"runtime": "rust", "version": env!("CARGO_PKG_VERSION")});
    json_response(StatusCode::OK, &body)
}

async fn metrics_page(State(engine): State<Engine>, headers: HeaderMap) -> Response {
    let presented = RequestCredentials::from_headers(&headers);
    match engine.runtime.config.credentials.authenticate(&presented) {
        Ok(caller) if caller.holds_master_key => match engine.runtime.metrics.render() {
            Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
            Err(error) => CloudError::internal(error).into_response(),
        },
        _ => CloudError::unauthorized().into_response(),
    }
}

/// Sets `X-Request-Id` on the response.
async fn with_request_id(State(engine): State<Engine>, request: Request, next: Next) -> Response {
    let id = engine.runtime.request_id(request.headers());
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::try_from(&*id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

const HOOK_DEPTH: HeaderName = HeaderName::from_static(hook_depth::HEADER);

async fn handle(State(engine): State<Engine>, request: Request) -> Response {
    let runtime = &engine.runtime;
    let arrived = runtime.config.environment.elapsed();
    let (parts, body) = request.into_parts();
    let id = runtime.request_id(&parts.headers);
    let handler = CallHandler {
        engine: &engine,
        parts: &parts,
        request_id: &id,
        arrived,
    };
    // The hook depth is trusted: a false one only gets the call refused sooner.
    let depth = parts.headers.get(HOOK_DEPTH);
    let depth = depth.and_then(|depth| depth.to_str().ok()?.parse().ok());
    // The time-out covers a slow body and a slow session store too.
    let limit = runtime.config.limits.function;
    let answered = match depth {
        None => with_timeout(limit, handler.handle(body)).await,
        Some(depth) => Box::pin(with_timeout(limit, hook_depth::at(depth, handler.handle(body)))).await,
    };
    let mut response = match answered.unwrap_or_else(|| Err(CloudError::timed_out())) {
        Ok(response) => response,
        Err(error) => {
            if error.status >= 500 {
                tracing::warn!(request.id = %id, http.path = parts.uri.path(), %error, "a call could not be made");
            }
            error.into_response()
        }
    };
    if let Ok(id) = HeaderValue::try_from(&*id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
