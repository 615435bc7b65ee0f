//! Classification of one attempt: its result, and the failure that the retry policy decides about.

use std::time::Duration;

use http::{HeaderMap, header};

use crate::client::error::{is_busy, leaves_outcome_open};
use crate::client::{AttemptFailure, HttpResponse};
use crate::model::{CloudError, ErrorCode, Timestamp, Value};

/// Result of one attempt.
#[derive(Debug)]
pub(super) enum AttemptResult {
    /// 2xx with JSON.
    Success { status: u16, body: Value },
    /// An error in LeanCloud's form, with its HTTP status.
    Error(CloudError),
    /// A complete response that is neither.
    Undecodable(String),
    /// The request may have been sent; there is no response that tells its effect.
    Lost(String),
    /// The request was certainly not sent.
    NotSent(String),
    /// The request cannot be sent at all.
    Impossible(CloudError),
}

/// An element of a batch's response: `{"success": …}` or `{"error": {"code", "error"}}`.
#[derive(Debug)]
pub(super) enum BatchElement {
    Success(Value),
    Error(CloudError),
    /// Neither; the reason.
    Malformed(String),
}

impl AttemptResult {
    /// The reason why it is no success, for the log.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Success { .. } => None,
            Self::Error(error) | Self::Impossible(error) => Some(error.to_string()),
            Self::Undecodable(reason) | Self::Lost(reason) | Self::NotSent(reason) => Some(reason.clone()),
        }
    }

    /// The reason why the request may have taken effect although this is no success; `None` if it certainly has not.
    pub(super) fn possible_effect(&self) -> Option<String> {
        match self {
            Self::Error(error) if leaves_outcome_open(error) => {
                Some(format!("HTTP {}: {error}", error.status))
            }
            Self::Undecodable(reason) | Self::Lost(reason) => Some(reason.clone()),
            Self::Success { .. } | Self::Error(_) | Self::NotSent(_) | Self::Impossible(_) => None,
        }
    }
}

/// Classifies a response. The failure is `None` for a success.
pub(super) fn classify(response: &HttpResponse, now: Timestamp) -> (AttemptResult, Option<AttemptFailure>) {
    let status = response.status;
    let body = serde_json::from_slice::<Value>(&response.body);
    let retry_after = || retry_after(&response.headers, now);
    if (200..300).contains(&status) {
        return match body {
            Ok(body) => (AttemptResult::Success { status, body }, None),
            Err(error) => {
                let reason = format!("HTTP {status} with a body that is not JSON ({error})");
                (
                    AttemptResult::Undecodable(reason),
                    Some(AttemptFailure::Undecodable),
                )
            }
        };
    }
    let error = body.ok().as_ref().and_then(parse_error).filter(|_| status >= 400);
    let Some(error) = error else {
        let reason = format!("HTTP {status} with a body that is not an error of LeanCloud");
        let retry_after = retry_after();
        // Proxies send 429 and 5xx with texts of their own: the same request may succeed later.
        return match status {
            429 => (
                AttemptResult::Lost(reason),
                Some(AttemptFailure::Busy { retry_after }),
            ),
            500.. => (
                AttemptResult::Lost(reason),
                Some(AttemptFailure::ServerFailed { retry_after }),
            ),
            _ => (
                AttemptResult::Undecodable(reason),
                Some(AttemptFailure::Undecodable),
            ),
        };
    };
    let error = error.with_status(status);
    let failure = if is_busy(&error) {
        AttemptFailure::Busy {
            retry_after: retry_after(),
        }
    } else if leaves_outcome_open(&error) {
        AttemptFailure::ServerFailed {
            retry_after: retry_after(),
        }
    } else {
        AttemptFailure::Refused
    };
    (AttemptResult::Error(error), Some(failure))
}

/// Parses an element of a batch's response.
pub(super) fn batch_element(element: Value) -> BatchElement {
    let malformed =
        |reason: &str| BatchElement::Malformed(format!("an element of the batch's answer {reason}"));
    let Value::Object(mut element) = element else {
        return malformed("is not an object");
    };
    match (element.shift_remove("success"), element.shift_remove("error")) {
        (Some(body), None) => BatchElement::Success(body),
        (None, Some(error)) => match parse_error(&error) {
            Some(error) => BatchElement::Error(error),
            None => malformed("holds an error without a code"),
        },
        _ => malformed("is neither a success nor an error"),
    }
}

/// Parses `{"code", "error"}`. The code may be a string (one engine SDK writes it so); the text may be missing.
fn parse_error(body: &Value) -> Option<CloudError> {
    let code = match body.get("code")? {
        Value::Number(number) => i32::try_from(number.as_i64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let message = body.get("error").and_then(Value::as_str).unwrap_or_default();
    Some(CloudError::new(ErrorCode(code), message))
}

/// The delay of a `Retry-After` header: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    let millis = date.saturating_sub(now.as_millis());
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}
