//! A request as the API reads it: caller and body.

use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::json::parse_object;
use crate::credentials::{Caller, Credentials, RequestCredentials};
use crate::model::{CloudError, Document, Value};

/// The body of a request as a JSON object, and its caller, by the headers or by a `text/plain` body.
#[derive(Debug)]
pub struct IncomingRequest {
    /// The authenticated caller.
    pub caller: Caller,
    /// The body, without the `_…` keys of a `text/plain` body. An empty object without a body.
    pub body: Document,
    /// `_method` of a `text/plain` body, which counts instead of the request's method.
    pub method: Option<String>,
}

impl IncomingRequest {
    /// Reads the body and checks the credentials.
    ///
    /// # Errors
    /// 401; 107 if the body is not a JSON object.
    pub fn read(credentials: &Credentials, headers: &HeaderMap, body: &Bytes) -> Result<Self, CloudError> {
        let text_plain = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.get(.."text/plain".len()))
            .is_some_and(|kind| kind.eq_ignore_ascii_case("text/plain"));
        if !text_plain {
            let shown = RequestCredentials::from_headers(headers);
            // Credentials first: a stranger learns nothing from the error of a malformed body.
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
