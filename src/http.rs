//! What the server and the engine share of HTTP: error bodies, request bodies, CORS, who is calling.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::credentials::{Caller, Credentials, Presented};
use crate::model::{CloudError, Document, ErrorCode, Value};

/// The content type of every answer.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The names that browsers may send; the official SDKs' own list. `lean` (the command line tool) recognises a modern
/// engine by finding `X-LC-Hook-Key` here.
const ALLOWED_HEADERS: [&str; 21] = [
    "Content-Type",
    "X-AVOSCloud-Application-Id",
    "X-AVOSCloud-Application-Key",
    "X-AVOSCloud-Application-Production",
    "X-AVOSCloud-Client-Version",
    "X-AVOSCloud-Request-Sign",
    "X-AVOSCloud-Session-Token",
    "X-AVOSCloud-Super-Key",
    "X-LC-Hook-Key",
    "X-LC-Id",
    "X-LC-Key",
    "X-LC-Prod",
    "X-LC-Session",
    "X-LC-Sign",
    "X-LC-UA",
    "X-Requested-With",
    "X-Uluru-Application-Id",
    "X-Uluru-Application-Key",
    "X-Uluru-Application-Production",
    "X-Uluru-Client-Version",
    "X-Uluru-Session-Token",
];

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

/// Browsers may call from everywhere: the keys, not the origin, decide.
pub fn cors_layer() -> CorsLayer {
    // A preflight is answered here, before authentication.
    CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods(AllowMethods::list([
            Method::HEAD,
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ]))
        .allow_headers(AllowHeaders::list(
            ALLOWED_HEADERS
                .iter()
                .filter_map(|name| HeaderName::try_from(*name).ok()),
        ))
        .max_age(std::time::Duration::from_secs(86_400))
}

/// A request's body as a JSON object, and the credentials of headers or of a `text/plain` body.
#[derive(Debug)]
pub struct Incoming {
    /// Who calls.
    pub caller: Caller,
    /// The body without the `_…` keys of a `text/plain` one. Empty where there was no body.
    pub body: Document,
    /// `_method` of a `text/plain` body: the method that is meant.
    pub method: Option<String>,
}

impl Incoming {
    /// Reads the body and checks the credentials. An empty body is an empty object.
    ///
    /// # Errors
    /// 401; 107 where the body is no JSON object.
    pub fn read(credentials: &Credentials, headers: &HeaderMap, body: &Bytes) -> Result<Self, CloudError> {
        let text_plain = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/plain"));
        if !text_plain {
            let shown =
                Presented::from_headers(|name| headers.get(name).and_then(|value| value.to_str().ok()));
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
        let shown = Presented {
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

/// Reads a JSON object; an empty body is an empty one.
///
/// # Errors
/// 107.
pub fn parse_object(body: &[u8]) -> Result<Document, CloudError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Document::new());
    }
    serde_json::from_slice::<Document>(body).map_err(|error| {
        CloudError::new(
            ErrorCode::INVALID_JSON,
            format!("Malformed json object. A json dictionary is expected. ({error})"),
        )
    })
}
