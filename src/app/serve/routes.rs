//! The routes around those of the engine and the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::health::{self, Health};
use crate::environment::Environment;
use crate::http::{REQUEST_ID, json_response, new_request_id};
use crate::model::CloudError;
use crate::telemetry::Counters;

/// `inner`, the health check, a word for whoever looks at `/`, and an answer for every other path.
pub(crate) fn routes(inner: Router, health: Arc<Health>) -> Router {
    let around = Around {
        environment: health.environment.clone(),
        counters: Arc::clone(&health.counters),
    };
    let own = Router::new()
        .route("/health", get(health::answer))
        .with_state(health)
        .route("/", get(hello));
    inner
        .merge(own)
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(around, counted))
}

#[derive(Clone)]
struct Around {
    environment: Environment,
    counters: Arc<Counters>,
}

/// Counts the request, and gives the answer an id where it has none yet.
async fn counted(State(around): State<Around>, request: Request, next: Next) -> Response {
    around.counters.request();
    let mut response = next.run(request).await;
    if !response.headers().contains_key(REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(new_request_id(&around.environment))
    {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn hello() -> Response {
    let body = json!({"name": "paylog", "version": env!("CARGO_PKG_VERSION"), "health": "/health"});
    json_response(axum::http::StatusCode::OK, &body)
}

async fn nothing_here() -> Response {
    CloudError::other("There is nothing at this path.")
        .with_status(404)
        .into_response()
}
