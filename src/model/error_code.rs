//! LeanCloud's error codes, and those of the money functions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An error code of LeanCloud's API or of the money functions. Unnamed codes are preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The usual HTTP status of the code.
            #[must_use]
            pub fn status(self) -> u16 {
                match self.0 { $($code => $status,)* _ => 400 }
            }
        }
    };
}

codes! {
    /// Anything without a code of its own.
    OTHER = 1, 400;
    /// The class or the object does not exist.
    NOT_FOUND = 101, 404;
    /// The class name is invalid.
    INVALID_CLASS_NAME = 103, 400;
    /// An object id is missing or malformed.
    MISSING_OBJECT_ID = 104, 400;
    /// A key (column) name is invalid.
    INVALID_KEY_NAME = 105, 400;
    /// A pointer is malformed.
    INVALID_POINTER = 106, 400;
    /// The body is not a JSON object, or a value in it is malformed.
    INVALID_JSON = 107, 400;
    /// The value's type differs from the column's.
    INCORRECT_TYPE = 111, 400;
    /// A required key is missing.
    KEY_REQUIRED = 113, 400;
    /// The object is larger than 16 MB.
    OBJECT_TOO_LARGE = 116, 400;
    /// The key is read-only.
    KEY_READ_ONLY = 117, 400;
    /// Clients may not perform the operation.
    OPERATION_FORBIDDEN = 119, 403;
    /// A nested key contains `$` or `.`.
    INVALID_NESTED_KEY = 121, 400;
    /// The ACL is malformed.
    INVALID_ACL = 123, 400;
    /// The request took too long; on a write, its outcome is unknown.
    TIMEOUT = 124, 400;
    /// The e-mail address is malformed.
    INVALID_EMAIL = 125, 400;
    /// The phone number is malformed.
    INVALID_PHONE = 127, 400;
    /// A relation operation is malformed.
    INVALID_RELATION = 128, 400;
    /// A unique index already holds the value.
    DUPLICATE_VALUE = 137, 400;
    /// The role name is invalid.
    INVALID_ROLE_NAME = 139, 400;
    /// The cloud function or hook took too long.
    HOOK_TIMEOUT = 141, 400;
    /// A before hook refused the write.
    HOOK_REFUSED = 142, 400;
    /// The app has the maximum number of classes.
    TOO_MANY_CLASSES = 154, 400;
    /// No user name.
    USERNAME_MISSING = 200, 400;
    /// No password.
    PASSWORD_MISSING = 201, 400;
    /// The user name is taken.
    USERNAME_TAKEN = 202, 400;
    /// The e-mail address is taken.
    EMAIL_TAKEN = 203, 400;
    /// A client tried to change another user.
    USER_NOT_THEIRS = 206, 403;
    /// The password is wrong.
    PASSWORD_MISMATCH = 210, 400;
    /// The user does not exist, or the session token is invalid.
    USER_NOT_FOUND = 211, 400;
    /// The phone number is taken.
    PHONE_TAKEN = 214, 400;
    /// The user name is blank.
    USERNAME_BLANK = 217, 400;
    /// The password is blank.
    PASSWORD_BLANK = 218, 400;
    /// Too many failed logins.
    TOO_MANY_LOGINS = 219, 400;
    /// `authData` does not identify the user on a platform.
    AUTH_DATA_INCOMPLETE = 250, 400;
    /// A CQL statement is malformed.
    CQL_SYNTAX = 300, 400;
    /// The insert failed; the outcome is unknown.
    INSERT_FAILED = 301, 400;
    /// A geo point is out of range.
    INVALID_GEO_POINT = 302, 400;
    /// The store failed; the outcome is unknown.
    STORAGE_FAILED = 303, 400;
    /// The store failed; the outcome is unknown.
    DATABASE_FAILED = 304, 400;
    /// A conditional update or delete had no effect.
    NO_EFFECT = 305, 400;
    /// Credentials are missing or wrong.
    UNAUTHORIZED = 401, 401;
    /// An ACL or a class permission forbids the request.
    FORBIDDEN = 403, 403;
    /// The body is too large.
    PAYLOAD_TOO_LARGE = 413, 413;
    /// Too many requests.
    TOO_MANY_REQUESTS = 429, 429;
    /// The service cannot write now (disk full, stopping).
    UNAVAILABLE = 503, 503;
    /// The API is temporarily unavailable; the outcome is unknown.
    API_UNAVAILABLE = 511, 503;
    /// A proxy timed out; the outcome is unknown.
    UPSTREAM_TIMEOUT = 524, 524;
    /// A query names keys that no object has.
    UNKNOWN_KEYS = 700, 400;
    /// Money: the amount is not an integer from 1 to 10^12.
    INVALID_AMOUNT = 9001, 400;
    /// Money: the balance is too low.
    INSUFFICIENT_BALANCE = 9002, 400;
    /// Money: the idempotency key was used with other parameters.
    KEY_REUSED = 9003, 422;
    /// Money: no such payment, order or product.
    NO_SUCH_PAYMENT = 9004, 404;
    /// Money: the payment belongs to another user.
    NOT_YOURS = 9005, 403;
    /// Money: not payable in this state.
    NOT_PAYABLE = 9006, 400;
    /// Money: the app's policy refused.
    REFUSED_BY_POLICY = 9007, 400;
    /// Money: the gateway refused.
    GATEWAY_REFUSED = 9008, 400;
    /// Money: the amount exceeds the remainder.
    AMOUNT_EXCEEDS_REST = 9009, 400;
    /// Money: the outcome is not known yet. Repeat the request with the same key.
    OUTCOME_UNKNOWN = 9010, 503;
    /// Money: the account has been moved to another app.
    ACCOUNT_MOVED = 9011, 409;
}

impl ErrorCode {
    /// True if a *write* that failed with this code may have taken effect, whatever its HTTP status.
    #[must_use]
    pub fn leaves_outcome_unknown(self) -> bool {
        [
            Self::TIMEOUT,
            Self::INSERT_FAILED,
            Self::STORAGE_FAILED,
            Self::DATABASE_FAILED,
            Self::API_UNAVAILABLE,
            Self::UPSTREAM_TIMEOUT,
        ]
        .contains(&self)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such a write is never taken for one that had no effect.
    #[test]
    fn codes_leave_write_outcome_unknown() {
        for code in [124, 301, 303, 304, 511, 524] {
            assert!(ErrorCode(code).leaves_outcome_unknown(), "{code}");
        }
        for code in [1, 101, 137, 142, 305, 401, 403, 429, 503, 9002] {
            assert!(!ErrorCode(code).leaves_outcome_unknown(), "{code}");
        }
    }
}
