//! JSON bodies of requests and responses, and errors as responses.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::surrogates;
use crate::model::{CloudError, Document, ErrorCode};

/// The content type of every JSON response.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

impl IntoResponse for CloudError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json_response(status, &self)
    }
}

/// Makes a response with a JSON body; 500 if the body cannot be written as JSON.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Err(error) => {
            tracing::error!(%error, "serializing a response failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Reads a JSON object. An empty body is an empty object; so are `null`, which official clients send with a GET, and `[]`,
/// PHP's form of an object without keys. U+FFFD replaces a lone surrogate.
///
/// # Errors
/// 107.
pub fn parse_object(body: &[u8]) -> Result<Document, CloudError> {
    let body = body.trim_ascii();
    if body.is_empty() || body == b"null" || body == b"[]" {
        return Ok(Document::new());
    }
    let read = serde_json::from_slice::<Document>(body).or_else(|error| {
        let mended = surrogates::replace_lone(body).ok_or(error)?;
        serde_json::from_slice(&mended)
    });
    read.map_err(|error| {
        CloudError::new(
            ErrorCode::INVALID_JSON,
            format!("Malformed json object. A json dictionary is expected. ({error})"),
        )
    })
}
