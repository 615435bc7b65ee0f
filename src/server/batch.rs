//! `POST /batch`: several requests in order, each with a response of its own.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::api_request::{ApiRequest, Method};
use super::classes;
use super::context::Context;
use super::dispatch::{self, BatchedRequest};
use super::parameters::parse_query;
use super::response::ApiResponse;
use super::write_path::{self, WriteRequest};
use crate::model::{CloudError, Document, ErrorCode};

/// Requests of one batch. LeanCloud names no bound and advises 100; the body's size would allow a million reads.
const REQUESTS_MAX: usize = 10_000;

/// Performs a batch. One request's failure does not stop the others.
///
/// # Errors
/// 107 if the list of requests is missing or too long.
pub(super) async fn perform(context: &Arc<Context>, body: Document) -> Result<ApiResponse, CloudError> {
    let requests = take_requests(body)?;
    let mut responses = Vec::with_capacity(requests.len());
    // Writes that wait for a common trip to the database.
    let mut waiting: Vec<WriteRequest> = Vec::new();
    for request in requests {
        let trip = match BatchRequest::parse(request).and_then(|request| request.trip(context)) {
            Ok(Trip::Shared(write)) => {
                waiting.push(write);
                continue;
            }
            other => other,
        };
        send_waiting(context, &mut waiting, &mut responses).await;
        responses.push(match trip {
            Ok(Trip::Own(write)) => classes::perform(context, write).await,
            Ok(Trip::None(path, request)) => Box::pin(dispatch::dispatch(context, &path, request)).await,
            Ok(Trip::Shared(_)) => Ok(ApiResponse::object(None)),
            Err(error) => Err(error),
        });
    }
    send_waiting(context, &mut waiting, &mut responses).await;
    Ok(ApiResponse::ok(
        responses.into_iter().map(to_element).collect::<Vec<_>>(),
    ))
}

/// Takes the list of requests out of the body of a batch.
///
/// # Errors
/// 107.
pub(super) fn take_requests(mut body: Document) -> Result<Vec<Value>, CloudError> {
    let Some(Value::Array(requests)) = body.shift_remove("requests") else {
        return Err(malformed("A batch needs 'requests', an array."));
    };
    if requests.len() > REQUESTS_MAX {
        return Err(malformed(&format!(
            "A batch has at most {REQUESTS_MAX} requests."
        )));
    }
    Ok(requests)
}

async fn send_waiting(
    context: &Arc<Context>,
    waiting: &mut Vec<WriteRequest>,
    responses: &mut Vec<Result<ApiResponse, CloudError>>,
) {
    if !waiting.is_empty() {
        responses.extend(write_path::perform_batch(context, std::mem::take(waiting)).await);
    }
}

/// One request of a batch.
pub(super) struct BatchRequest {
    pub(super) path: String,
    pub(super) request: ApiRequest,
    /// True if `new` stands beside the method: the object is to be created.
    pub(super) is_new: bool,
}

/// The way of a batch's request to the database.
enum Trip {
    /// A write that shares its trip with its neighbours.
    Shared(WriteRequest),
    /// A write that calls hooks, or whose class has rules of its own.
    Own(WriteRequest),
    /// No write of a class.
    None(String, ApiRequest),
}

impl BatchRequest {
    /// Reads one request.
    ///
    /// # Errors
    /// 107.
    pub(super) fn parse(request: Value) -> Result<Self, CloudError> {
        let Value::Object(mut request) = request else {
            return Err(malformed("A request of a batch is an object."));
        };
        let method = request
            .get("method")
            .and_then(Value::as_str)
            .and_then(Method::parse);
        let method = method.ok_or_else(|| malformed("A request of a batch needs 'method'."))?;
        let Some(Value::String(path)) = request.shift_remove("path") else {
            return Err(malformed("A request of a batch needs 'path'."));
        };
        let (path, query) = path.split_once('?').unwrap_or((path.as_str(), ""));
        let mut parameters = parse_query(query);
        parameters.extend(object(request.shift_remove("params"), "params")?);
        let body = object(request.shift_remove("body"), "body")?;
        Ok(Self {
            path: path.to_owned(),
            request: ApiRequest {
                method,
                parameters,
                body: body.into(),
            },
            is_new: request.get("new") == Some(&Value::Bool(true)),
        })
    }

    fn trip(self, context: &Context) -> Result<Trip, CloudError> {
        match dispatch::sort(&self.path, self.request)? {
            BatchedRequest::Write(write) if write_path::needs_own_trip(context, &write) => {
                Ok(Trip::Own(write))
            }
            BatchedRequest::Write(write) => Ok(Trip::Shared(write)),
            BatchedRequest::Other(request) => Ok(Trip::None(self.path, request)),
        }
    }
}

/// Takes a parameter or body that is an object.
fn object(value: Option<Value>, name: &str) -> Result<Map<String, Value>, CloudError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(fields)) => Ok(fields),
        // PHP writes an object without keys so.
        Some(Value::Array(elements)) if elements.is_empty() => Ok(Map::new()),
        Some(_) => Err(malformed(&format!("'{name}' of a request is an object."))),
    }
}

/// The element of the response to a batch.
fn to_element(response: Result<ApiResponse, CloudError>) -> Value {
    let (name, value) = match response {
        Ok(response) => ("success", response.into_success()),
        Err(error) => (
            "error",
            serde_json::json!({"code": error.code, "error": error.message}),
        ),
    };
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn malformed(text: &str) -> CloudError {
    CloudError::new(ErrorCode::INVALID_JSON, text)
}
