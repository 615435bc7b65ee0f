//! Parameters of the money functions beside amounts and keys.

use serde::{Deserialize, Deserializer};

use crate::model::{CloudError, ErrorCode};

/// The longest note, reason or payee, in characters: a person reads it, and a log stays small.
pub(super) const TEXT_MAX: usize = 256;

/// For serde's `deserialize_with`, together with `default`: an optional parameter for which `null` is a value, not an
/// absence. JavaScript writes `null` for NaN, and with money no default may take the place of a wrong number.
///
/// # Errors
/// Those of `T`.
pub fn present_or_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Checks the length of a text for people.
///
/// # Errors
/// 107 if it has not 1 to [`TEXT_MAX`] characters.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), CloudError> {
    if (1..=TEXT_MAX).contains(&text.chars().count()) {
        return Ok(());
    }
    let text = format!("'{name}' is a text of 1 to {TEXT_MAX} characters.");
    Err(CloudError::new(ErrorCode::INVALID_JSON, text))
}

/// Seconds as milliseconds.
pub(super) fn seconds_to_millis(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}
