//! Errors that several operations of the service return.

use crate::model::{CloudError, ErrorCode};

/// 9010: the outcome is not known yet. The same key asks again.
pub(in crate::payment) fn undecided() -> CloudError {
    CloudError::new(
        ErrorCode::OUTCOME_UNKNOWN,
        "The outcome is not known yet. Ask again with the same key.",
    )
}

/// 9004: there is no such payment, order, product, user.
pub(in crate::payment) fn no_such(what: &str) -> CloudError {
    CloudError::new(ErrorCode::NO_SUCH_PAYMENT, format!("There is no such {what}."))
}

/// 9003: the key stands for another request.
pub(in crate::payment) fn key_reused() -> CloudError {
    CloudError::new(
        ErrorCode::KEY_REUSED,
        "This key was used with other parameters. Every payment needs a key of its own.",
    )
}

/// 9006: the money is secured, and the payment can no longer be cancelled.
pub(in crate::payment) fn secured() -> CloudError {
    let text = "The money is secured: the payment cannot be cancelled any more, and is not stopped half-way. Resume \
                it; what it has moved can be given back then.";
    CloudError::new(ErrorCode::NOT_PAYABLE, text)
}
