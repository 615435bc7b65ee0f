//! The error response of LeanCloud's API and of cloud functions.

use serde::{Deserialize, Serialize};

use crate::model::ErrorCode;

/// An error response: `{"code", "error"}` and an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct CloudError {
    /// The code, for programs.
    pub code: ErrorCode,
    /// The message, for people.
    #[serde(rename = "error")]
    pub message: String,
    /// The HTTP status, 400 to 599. Not part of the body.
    #[serde(skip, default = "bad_request")]
    pub status: u16,
    /// Details for the log. Never part of a response.
    #[serde(skip)]
    cause: Option<Box<str>>,
}

fn bad_request() -> u16 {
    400
}

impl CloudError {
    /// Creates an error with the code's usual HTTP status.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: code.status(),
            cause: None,
        }
    }

    /// Creates an unexpected error: code 1, HTTP 500, a message without details. `cause` goes to the log alone,
    /// since it may hold private data.
    #[must_use]
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            cause: Some(cause.to_string().into()),
            ..Self::other("Internal error.").with_status(500)
        }
    }

    /// The cause of an [internal](Self::internal) error. For the log, never for a response.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Replaces the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// 124, HTTP 503: a cloud function or hook has timed out.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new(ErrorCode::TIMEOUT, "The request timed out on the server.").with_status(503)
    }

    /// True for [`CloudError::timed_out`]. The status decides, since an app may refuse with any code.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.code == ErrorCode::TIMEOUT && self.status == 503
    }

    /// 107, HTTP 400: the request, or a value in it, is malformed.
    #[must_use]
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::INVALID_JSON, message)
    }

    /// Code 1, HTTP 400.
    #[must_use]
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::OTHER, message)
    }

    /// Code 401, HTTP 401.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(ErrorCode::UNAUTHORIZED, "Unauthorized.")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cloud_error_round_trips_without_status() {
        let error = CloudError::new(ErrorCode::UNAVAILABLE, "Full.").with_status(507);
        let body = serde_json::to_value(&error).unwrap();
        assert_eq!(body, json!({"code": 503, "error": "Full."}));
        // The status travels beside the body; a body alone is a refusal.
        let read: CloudError = serde_json::from_value(body).unwrap();
        assert_eq!((read.code, read.status), (ErrorCode::UNAVAILABLE, 400));
    }

    #[test]
    fn internal_error_hides_cause() {
        let error = CloudError::internal("no such table: Secret");
        assert_eq!(error.cause(), Some("no such table: Secret"));
        assert_eq!((error.code, error.status), (ErrorCode::OTHER, 500));
        let serialized = serde_json::to_string(&error).unwrap();
        assert!(!serialized.contains("Secret") && !error.to_string().contains("Secret"));
        assert_eq!(CloudError::other("x").cause(), None);
    }
}
