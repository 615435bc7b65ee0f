//! Errors of the protocol, and the refusals of payments.

use crate::model::{CloudError, ErrorCode};
use crate::payment::protocol::target::Target;

/// An error that the protocol cannot resolve by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProtocolError {
    /// The document has moved to another store (its epoch, or the log's state, is fenced).
    #[error("{0} has moved to another store; ask there")]
    Moved(String),
    /// A document of a leg does not exist. It must never have been deleted: restore it, then resume the log.
    #[error("there is no document {0}; restore it, then resume the log")]
    NoDocument(Target),
    /// A stored field is not what the protocol writes there. Repair it, then resume the log.
    #[error("the field `{field}` should be {expected}; repair it, then resume the log")]
    Malformed {
        /// The name of the field.
        field: String,
        /// The expected value.
        expected: String,
    },
    /// The order shows a status that its attempts do not explain.
    #[error("the order {order} shows the status `{status}`, which its attempts do not say; look at both")]
    OrderDisagrees {
        /// The order.
        order: Target,
        /// The status that it shows.
        status: String,
    },
    /// A sum is beyond 2^53 − 1, or legs cannot be merged.
    #[error("an amount is beyond what a balance can hold")]
    Overflow,
    /// The driver gave an input that was not asked for. A bug in this program.
    #[error("the machine asked for {asked}, and was given {given}")]
    UnexpectedInput {
        /// The expected input.
        asked: &'static str,
        /// The input that came.
        given: &'static str,
    },
}

impl ProtocolError {
    /// The error for a field with an unexpected value.
    #[must_use]
    pub fn malformed(field: &str, expected: &str) -> Self {
        Self::Malformed {
            field: field.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// The error as the caller of a cloud function sees it.
    #[must_use]
    pub fn to_cloud_error(&self) -> CloudError {
        match self {
            Self::Moved(_) => CloudError::new(ErrorCode::ACCOUNT_MOVED, self.to_string()),
            Self::NoDocument(_)
            | Self::Malformed { .. }
            | Self::OrderDisagrees { .. }
            | Self::Overflow
            | Self::UnexpectedInput { .. } => CloudError::new(
                ErrorCode::OUTCOME_UNKNOWN,
                format!("The payment cannot go on by itself: {self}."),
            ),
        }
    }
}

/// The reason for which a payment was refused, for good. It is stored as the log's `reason` and returned to every
/// repetition of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refusal {
    /// The error code that the caller gets.
    pub code: ErrorCode,
    /// The text that goes with it.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// The balance is too low.
    #[must_use]
    pub fn insufficient_balance() -> Self {
        Self::new(ErrorCode::INSUFFICIENT_BALANCE, "The balance is too low.")
    }

    /// The form in the log: the code, a space, the text.
    #[must_use]
    pub fn to_reason(&self) -> String {
        format!("{} {}", self.code, self.text)
    }

    /// Reads a log's `reason`. The free text of another program becomes 9006.
    #[must_use]
    pub fn from_reason(reason: &str) -> Self {
        let parsed = reason.split_once(' ').and_then(|(code, text)| {
            let code = code.parse().ok().filter(|code| (9001..=9011).contains(code))?;
            Some(Self::new(ErrorCode(code), text))
        });
        parsed.unwrap_or_else(|| Self::new(ErrorCode::NOT_PAYABLE, reason))
    }
}

impl From<Refusal> for CloudError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_reason_round_trips() {
        let refusal = Refusal::new(ErrorCode::AMOUNT_EXCEEDS_REST, "More than what is held: 1.");
        assert_eq!(Refusal::from_reason(&refusal.to_reason()), refusal);
        // Another program's text, even one that begins with a number.
        for text in ["", "9006", "because", "12 monkeys", "9000 x", "9012 x", "x 9006"] {
            let expected = Refusal::new(ErrorCode::NOT_PAYABLE, text);
            assert_eq!(Refusal::from_reason(text), expected);
        }
    }

    #[test]
    fn protocol_errors_map_to_cloud_error_codes() {
        let code = |error: ProtocolError| error.to_cloud_error().code;
        assert_eq!(code(ProtocolError::Moved("x".into())), ErrorCode::ACCOUNT_MOVED);
        assert_eq!(code(ProtocolError::Overflow), ErrorCode::OUTCOME_UNKNOWN);
        assert_eq!(
            code(ProtocolError::malformed("x", "y")),
            ErrorCode::OUTCOME_UNKNOWN
        );
    }
}
