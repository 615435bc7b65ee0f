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

/// Adds the health check, `/` and the 404 of every other path to the routes of `inner`.
pub(crate) fn routes(inner: Router, health: Arc<Health>) -> Router {
    let context = RouteContext {
        environment: health.environment.clone(),
        counters: Arc::clone(&health.counters),
    };
    let own = Router::new()
        .route("/health", get(health::get))
        .with_state(health)
        .route("/", get(root));
    inner
        .merge(own)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(context, count_request))
}

#[derive(Clone)]
struct RouteContext {
    environment: Environment,
    counters: Arc<Counters>,
}

/// Counts the request, and gives the response a request id if it has none yet.
async fn count_request(State(context): State<RouteContext>, request: Request, next: Next) -> Response {
    context.counters.request();
    let mut response = next.run(request).await;
    if !response.headers().contains_key(REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(new_request_id(&context.environment))
    {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn root() -> Response {
    let body = json!({"name": "paylog", "version": env!("CARGO_PKG_VERSION"), "health": "/health"});
    json_response(axum::http::StatusCode::OK, &body)
}

async fn not_found() -> Response {
    CloudError::other("There is nothing at this path.")
        .with_status(404)
        .into_response()
}
