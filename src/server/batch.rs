//! `POST /batch`: requests in order, each answered on its own.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::context::Context;
use super::parameters::parse_query;
use super::response::ApiResponse;
use super::router::{self, ApiRequest, Method};
use super::write_path::{self, WriteRequest};
use crate::model::{CloudError, Document, ErrorCode};

/// Elements of one batch. LeanCloud names no bound and advises 100; the body's size would allow a million reads.
const REQUESTS_MAX: usize = 10_000;

/// Performs a batch. One element's failure does not stop the others.
///
/// # Errors
/// 107 where there is no list of requests, or too long a one.
pub(super) async fn perform(context: &Arc<Context>, body: Document) -> Result<ApiResponse, CloudError> {
    let requests = take_requests(body)?;
    let mut answers = Vec::with_capacity(requests.len());
    // Writes that wait for a common trip to the database.
    let mut waiting: Vec<WriteRequest> = Vec::new();
    for request in requests {
        let element = match BatchRequest::parse(request).and_then(|element| element.prepare(context)) {
            Ok(Prepared::Together(write)) => {
                waiting.push(write);
                continue;
            }
            other => other,
        };
        send_waiting(context, &mut waiting, &mut answers).await;
        answers.push(match element {
            Ok(Prepared::Alone(write)) => write_path::perform(context, write).await,
            Ok(Prepared::Other(path, call)) => Box::pin(router::dispatch(context, &path, call)).await,
            Ok(Prepared::Together(_)) => Ok(ApiResponse::object(None)),
            Err(error) => Err(error),
        });
    }
    send_waiting(context, &mut waiting, &mut answers).await;
    Ok(ApiResponse::ok(
        answers.into_iter().map(into_element).collect::<Vec<_>>(),
    ))
}

/// The list of requests in the body of a batch.
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
    answers: &mut Vec<Result<ApiResponse, CloudError>>,
) {
    if !waiting.is_empty() {
        answers.extend(write_path::perform_batch(context, std::mem::take(waiting)).await);
    }
}

/// One request of a batch.
pub(super) struct BatchRequest {
    pub(super) path: String,
    pub(super) call: ApiRequest,
    /// `new`, beside the method: the object is to be created.
    pub(super) is_new: bool,
}

/// What is to be done with an element.
enum Prepared {
    /// A write that may share a trip to the database with its neighbours.
    Together(WriteRequest),
    /// A write that calls hooks, or has rules of its own.
    Alone(WriteRequest),
    /// Everything else.
    Other(String, ApiRequest),
}

impl BatchRequest {
    /// Reads one of the requests.
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
            call: ApiRequest {
                method,
                parameters,
                body: body.into(),
            },
            is_new: request.get("new") == Some(&Value::Bool(true)),
        })
    }

    fn prepare(self, context: &Context) -> Result<Prepared, CloudError> {
        match router::as_write(&self.path, self.call)? {
            Ok(write) if write_path::needs_own_trip(context, &write) => Ok(Prepared::Alone(write)),
            Ok(write) => Ok(Prepared::Together(write)),
            Err(call) => Ok(Prepared::Other(self.path, call)),
        }
    }
}

fn object(value: Option<Value>, name: &str) -> Result<Map<String, Value>, CloudError> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(fields)) => Ok(fields),
        // As PHP writes what has no keys.
        Some(Value::Array(elements)) if elements.is_empty() => Ok(Map::new()),
        Some(_) => Err(malformed(&format!("'{name}' of a request is an object."))),
    }
}

fn into_element(answer: Result<ApiResponse, CloudError>) -> Value {
    let (name, value) = match answer {
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
