//! The id of a request in the log.

use axum::http::{HeaderMap, HeaderName};

use crate::environment::Environment;

/// The header with the request's id: a proxy may send one, and every response has it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the caller's id of the request, if it is 1 to 64 letters, digits, `-`, `_` or `.`; else a new one.
#[must_use]
pub fn request_id(headers: &HeaderMap, environment: &Environment) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match given {
        Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(legal) => id.to_owned(),
        _ => new_request_id(environment),
    }
}

/// Makes a new id: 16 hexadecimal digits.
#[must_use]
pub fn new_request_id(environment: &Environment) -> String {
    format!("{:016x}", u64::from_be_bytes(environment.random()))
}
