//! LeanCloud's HTTP interface of the queue: `/1.1/engine/cloud-queue/tasks`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::engine::dispatch::Dispatch;
use crate::engine::queue::request::TaskRequest;
use crate::engine::runtime::Engine;
use crate::http::{IncomingRequest, json_response, read_body};
use crate::model::{CloudError, ErrorCode};

/// Routes of the queue.
pub(crate) fn queue_routes() -> Router<Engine> {
    Router::new()
        .route("/1.1/engine/cloud-queue/tasks", post(add))
        .route("/1.1/engine/cloud-queue/tasks/{id}", get(info))
}

async fn add(State(engine): State<Engine>, request: Request) -> Response {
    match try_add(&engine, request).await {
        Ok(unique_id) => json_response(StatusCode::OK, &json!({"uniqueId": unique_id})),
        Err(error) => error.into_response(),
    }
}

async fn try_add(engine: &Engine, request: Request) -> Result<String, CloudError> {
    let incoming = read(engine, request).await?;
    // Tasks run as the app itself: a caller who may add tasks may do anything.
    if !incoming.caller.master {
        return Err(CloudError::unauthorized());
    }
    let task = TaskRequest::deserialize(incoming.body.into_value())
        .map_err(|error| CloudError::new(ErrorCode::INVALID_JSON, format!("Invalid task: {error}")))?;
    let (function, params, options) = task.into_parts();
    engine.runtime.enqueue(&function, params, &options).await
}

async fn info(State(engine): State<Engine>, Path(id): Path<String>, request: Request) -> Response {
    let found = match read(&engine, request).await {
        Ok(_) => engine.runtime.task_info(&id).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(Some(info)) => json_response(StatusCode::OK, &info),
        Ok(None) => CloudError::other(format!("No such task: '{id}'"))
            .with_status(404)
            .into_response(),
        Err(error) => error.into_response(),
    }
}

async fn read(engine: &Engine, request: Request) -> Result<IncomingRequest, CloudError> {
    let config = &engine.runtime.config;
    let (parts, body): (_, Body) = request.into_parts();
    let body = read_body(body, config.limits.body_bytes_max, config.limits.function).await?;
    IncomingRequest::read(&config.credentials, &parts.headers, &body)
}
