//! What the server and the engine share of HTTP: error bodies, request bodies, CORS, who is calling.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

pub mod body;
pub mod cors;
pub mod remote_address;
pub mod request_id;
mod surrogates;

pub use body::read_body;
pub use cors::{CorsLayer, cors_layer};
pub use remote_address::{RemoteAddress, base_url, remote_address};
pub use request_id::{REQUEST_ID, new_request_id, request_id};

use crate::credentials::{Caller, Credentials, RequestCredentials};
use crate::model::{CloudError, Document, ErrorCode, Value};

/// Decodes `%41` in a path or a query string; bytes that are no UTF-8 become U+FFFD.
#[must_use]
pub fn percent_decode(text: &str) -> std::borrow::Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// The content type of every answer.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

impl IntoResponse for CloudError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json_response(status, &self)
    }
}

/// An answer with a JSON body.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A request's body as a JSON object, and the credentials of headers or of a `text/plain` body.
#[derive(Debug)]
pub struct IncomingRequest {
    /// Who calls.
    pub caller: Caller,
    /// The body without the `_…` keys of a `text/plain` one. Empty where there was no body.
    pub body: Document,
    /// `_method` of a `text/plain` body: the method that is meant.
    pub method: Option<String>,
}

impl IncomingRequest {
    /// Reads the body and checks the credentials. An empty body is an empty object.
    ///
    /// # Errors
    /// 401; 107 where the body is no JSON object.
    pub fn read(credentials: &Credentials, headers: &HeaderMap, body: &Bytes) -> Result<Self, CloudError> {
        let text_plain = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.get(.."text/plain".len()))
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/plain"));
        if !text_plain {
            let shown = RequestCredentials::from_headers(headers);
            // Credentials first: a stranger learns nothing from how a body fails to parse.
            let caller = credentials.authenticate(&shown)?;
            return Ok(Self {
                caller,
                body: parse_object(body)?,
                method: None,
            });
        }
        let mut body = parse_object(body)?;
        let mut take = |key: &str| match body.shift_remove(key) {
            Some(Value::String(text)) => Some(text),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            _ => None,
        };
        let shown = RequestCredentials {
            id: take("_ApplicationId"),
            key: take("_ApplicationKey"),
            master: take("_MasterKey"),
            sign: None,
            session: take("_SessionToken"),
            production: take("_ApplicationProduction"),
            hook_key: None,
        };
        let method = take("_method");
        body.retain(|key, _| !key.starts_with('_') || key.starts_with("__"));
        Ok(Self {
            caller: credentials.authenticate(&shown)?,
            body,
            method,
        })
    }
}

/// Reads a JSON object; an empty body is an empty one. So is `null`, which official clients send with a GET, and `[]`, as
/// which PHP writes what has no keys. Of a character that was cut in two U+FFFD is left.
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
