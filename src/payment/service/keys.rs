//! Idempotency keys.

use serde::Deserialize;

use crate::model::{CloudError, ErrorCode, Filter, ObjectId, Test, Value};
use crate::payment::Kind;

/// The caller's idempotency key: 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct CallerKey(String);

impl CallerKey {
    /// The longest key, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Reads a key that came from outside.
    ///
    /// # Errors
    /// 107.
    pub fn from_value(value: &Value) -> Result<Self, CloudError> {
        let legal = |key: &&str| (1..=Self::LENGTH_MAX).contains(&key.chars().count());
        let key = value.as_str().filter(legal).ok_or_else(|| {
            CloudError::new(
                ErrorCode::INVALID_JSON,
                "'key' is a text of 1 to 64 characters that the caller makes up, one for each payment.",
            )
        })?;
        Ok(Self(key.to_owned()))
    }

    /// The unique form in a log: `<user id>:<kind>:<key>`.
    #[must_use]
    pub fn of_payment(&self, user: &ObjectId, kind: Kind) -> String {
        format!("{user}:{kind}:{}", self.0)
    }

    /// The unique form in an order: `<user id>:<key>`.
    #[must_use]
    pub fn of_order(&self, user: &ObjectId) -> String {
        format!("{user}:{}", self.0)
    }
}

impl TryFrom<Value> for CallerKey {
    type Error = CloudError;

    fn try_from(value: Value) -> Result<Self, CloudError> {
        Self::from_value(&value)
    }
}

/// The key of the one log that ends the hold or withdrawal `held`.
pub(super) fn of_settlement(held: &ObjectId) -> String {
    format!("settle:{held}")
}

/// The key of the refund `n` of the order `number`.
pub(super) fn of_refund(number: &str, n: u32) -> String {
    format!("refund:{number}:{n}")
}

/// The keys `<prefix>:<n>`.
pub(super) fn between(prefix: &str) -> Filter {
    // The colon is followed by the semicolon.
    Filter::all()
        .gte("key", format!("{prefix}:"))
        .and_key("key", Test::Lt(format!("{prefix};").into()))
}

/// 9003.
pub(super) fn reused() -> CloudError {
    CloudError::new(
        ErrorCode::KEY_REUSED,
        "This key was used with other parameters. Every payment needs a key of its own.",
    )
}
