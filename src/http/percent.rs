//! Percent-encoding in paths and query strings.

use std::borrow::Cow;

/// Decodes `%41`; bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}
