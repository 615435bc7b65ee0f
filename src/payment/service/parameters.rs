//! What callers may hand over beside amounts and keys.

use serde::{Deserialize, Deserializer};

use crate::model::{CloudError, ErrorCode};

/// The longest note, reason or payee, in characters: a person reads it, and a log stays small.
pub(super) const TEXT_MAX: usize = 256;

/// For serde's `deserialize_with`, together with `default`: an optional parameter whose `null` is a value, and a wrong
/// one for a number. JavaScript writes `null` for a number that is none, and no default may take its place where
/// money is concerned.
///
/// # Errors
/// Those of `T`.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Checks a text for people.
///
/// # Errors
/// 107.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), CloudError> {
    if (1..=TEXT_MAX).contains(&text.chars().count()) {
        return Ok(());
    }
    let text = format!("'{name}' is a text of 1 to {TEXT_MAX} characters.");
    Err(CloudError::new(ErrorCode::INVALID_JSON, text))
}
