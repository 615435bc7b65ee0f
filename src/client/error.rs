//! Errors of the client: a configuration that cannot be used, and calls that are not writes of documents.

use crate::model::{CloudError, ErrorCode};

/// A part of the client's configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client configuration, {field}: {reason}")]
pub struct BuildError {
    /// The builder's method whose value is wrong.
    pub field: &'static str,
    /// The reason; never contains a secret.
    pub reason: String,
}

impl BuildError {
    pub(super) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self {
            field,
            reason: reason.into(),
        }
    }
}

/// Failure of a read, a login or a call of a cloud function. Writes of documents return
/// [`WriteOutcome`](crate::store::WriteOutcome) instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The request cannot be sent as it is; nothing was sent.
    #[error("the request is not possible: {0}")]
    Invalid(String),
    /// The server returned an error.
    #[error("{error}")]
    #[non_exhaustive]
    Rejected {
        /// The error's code, text and HTTP status.
        error: CloudError,
        /// Advice about repeating the request.
        retry: Retry,
    },
    /// No byte of the request was sent, after every attempt that the policy allows.
    #[error("the server was not reached: {0}")]
    NotSent(String),
    /// The request may have been sent, but there is no usable response: time-out, lost connection, or a body that does
    /// not fit the request.
    #[error("the server gave no usable answer: {reason}")]
    #[non_exhaustive]
    NoAnswer {
        /// The cause.
        reason: String,
        /// Advice about repeating the request.
        retry: Retry,
    },
}

/// Advice to a caller about repeating a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// The same request may succeed later, and repeating it does no harm.
    SameRequest,
    /// The request may have taken effect: read first, then decide.
    AfterRead,
}

impl ClientError {
    /// LeanCloud's error code, if the server returned one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Rejected { error, .. } => Some(error.code),
            Self::Invalid(_) | Self::NotSent(_) | Self::NoAnswer { .. } => None,
        }
    }

    /// Advice about repeating the request.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Invalid(_) => Retry::Never,
            Self::NotSent(_) => Retry::SameRequest,
            Self::Rejected { retry, .. } | Self::NoAnswer { retry, .. } => *retry,
        }
    }

    /// The error of a read that was an element of a batch.
    pub(super) fn of_read(error: CloudError) -> Self {
        let retry = if is_transient(&error) {
            Retry::SameRequest
        } else {
            Retry::Never
        };
        Self::Rejected { error, retry }
    }

    /// The error of a read whose response does not fit the request.
    pub(super) fn undecodable(reason: impl Into<String>) -> Self {
        Self::NoAnswer {
            reason: reason.into(),
            retry: Retry::Never,
        }
    }

    /// The server's error, if it returned one.
    #[must_use]
    pub fn cloud_error(&self) -> Option<&CloudError> {
        match self {
            Self::Rejected { error, .. } => Some(error),
            Self::Invalid(_) | Self::NotSent(_) | Self::NoAnswer { .. } => None,
        }
    }
}

/// The error of a cloud function that gives up on a [`ClientError`] with `?`: the server's own code and text under HTTP
/// 500, as in LeanCloud's runtime for Node.js; without a response of the server, an [internal](CloudError::internal)
/// error.
impl From<ClientError> for CloudError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Rejected { error, .. } => error.with_status(500),
            other => Self::internal(other),
        }
    }
}

/// True if the error leaves open whether the request took effect: any 5xx, as HTTP status or as the code of a layer
/// further behind (in a batch there is only the code), and the codes of failed storage.
pub(super) fn leaves_outcome_open(error: &CloudError) -> bool {
    error.status >= 500 || error.code.leaves_outcome_unknown() || (500..600).contains(&error.code.0)
}

/// True if the server refuses the request because there are too many.
pub(super) fn is_busy(error: &CloudError) -> bool {
    error.status == 429 || error.code == ErrorCode::TOO_MANY_REQUESTS
}

/// True if the same request may have another result later.
fn is_transient(error: &CloudError) -> bool {
    is_busy(error) || leaves_outcome_open(error)
}
