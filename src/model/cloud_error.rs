//! The error that LeanCloud's API and cloud functions answer with.

use serde::{Deserialize, Serialize};

use crate::model::ErrorCode;

/// An error as it travels: `{"code", "error"}` and an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct CloudError {
    /// The code that programs decide by.
    pub code: ErrorCode,
    /// The text that people read.
    #[serde(rename = "error")]
    pub message: String,
    /// The HTTP status, 400 to 599. Not part of the body.
    #[serde(skip, default = "bad_request")]
    pub status: u16,
}

fn bad_request() -> u16 {
    400
}

impl CloudError {
    /// An error with the code's usual HTTP status.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: code.status(),
        }
    }

    /// The same error under another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
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
