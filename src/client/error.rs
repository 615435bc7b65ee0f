//! Why a call that is not a write of a document failed.

use crate::model::{CloudError, ErrorCode};

/// A read, a login or a call of a cloud function that failed. Writes of documents answer
/// [`WriteOutcome`](crate::store::WriteOutcome) instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The request cannot be sent as it is; nothing was sent.
    #[error("the request is not possible: {0}")]
    Invalid(String),
    /// The server answered an error.
    #[error("{error}")]
    #[non_exhaustive]
    Rejected {
        /// Its code, text and HTTP status.
        error: CloudError,
        /// Whether the request may be repeated.
        retry: Retry,
    },
    /// No byte of the request left, after every attempt that the policy allows.
    #[error("the server was not reached: {0}")]
    NotSent(String),
    /// The request may have been sent, but there is no usable answer: time-out, lost connection, a body that is not
    /// what the request answers.
    #[error("the server gave no usable answer: {reason}")]
    #[non_exhaustive]
    NoAnswer {
        /// What happened.
        reason: String,
        /// Whether the request may be repeated.
        retry: Retry,
    },
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// The same request may succeed later, and sending it again does no harm.
    SameRequest,
    /// The request may have taken effect: look first, then decide.
    AfterRead,
}

impl ClientError {
    /// LeanCloud's code, where the server answered one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Rejected { error, .. } => Some(error.code),
            Self::Invalid(_) | Self::NotSent(_) | Self::NoAnswer { .. } => None,
        }
    }

    /// Whether the same request may be sent again.
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
        let retry = if super::answer::may_pass(&error) {
            Retry::SameRequest
        } else {
            Retry::Never
        };
        Self::Rejected { error, retry }
    }

    /// A read was answered with something else.
    pub(super) fn undecodable(reason: impl Into<String>) -> Self {
        Self::NoAnswer {
            reason: reason.into(),
            retry: Retry::Never,
        }
    }

    /// The server's error, where it answered one.
    #[must_use]
    pub fn cloud_error(&self) -> Option<&CloudError> {
        match self {
            Self::Rejected { error, .. } => Some(error),
            Self::Invalid(_) | Self::NotSent(_) | Self::NoAnswer { .. } => None,
        }
    }
}

/// What a cloud function answers that gives up on an error of the client, by `?`: the server's own code and text, under
/// HTTP 500 as LeanCloud's runtime for Node.js does it; where there is no answer of the server, an
/// [internal](CloudError::internal) error.
impl From<ClientError> for CloudError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Rejected { error, .. } => error.with_status(500),
            other => Self::internal(other),
        }
    }
}
