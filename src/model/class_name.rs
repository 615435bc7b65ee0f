//! The name of a class.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, ErrorCode};

/// LeanCloud's own classes that requests may name. Requests cannot name other classes with a leading `_`.
const BUILT_IN: [&str; 8] = [
    "_User",
    "_Role",
    "_Installation",
    ClassName::FILE,
    "_Conversation",
    "_Followee",
    "_Follower",
    "_Status",
];

/// The name of a class: a letter, then letters, digits and `_`; LeanCloud's own classes start with `_`.
/// Case-sensitive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ClassName(Arc<str>);

impl ClassName {
    /// Maximum length in bytes.
    pub const LENGTH_MAX: usize = 128;

    /// The name of the class of files.
    pub(crate) const FILE: &str = "_File";

    /// Parses a class name from a request.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_CLASS_NAME`] (103).
    pub fn parse(text: &str) -> Result<Self, CloudError> {
        let body = text.strip_prefix('_').unwrap_or(text);
        let legal = body.len() < Self::LENGTH_MAX
            && body.starts_with(|first: char| first.is_ascii_alphabetic())
            && body
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !legal {
            return Err(CloudError::new(
                ErrorCode::INVALID_CLASS_NAME,
                format!("Invalid class name '{text}': letters, digits and '_' only, starting with a letter."),
            ));
        }
        Ok(Self(text.into()))
    }

    /// `_User`.
    #[must_use]
    pub fn user() -> Self {
        Self("_User".into())
    }

    /// `_Role`.
    #[must_use]
    pub fn role() -> Self {
        Self("_Role".into())
    }

    /// `_File`.
    #[must_use]
    pub fn file() -> Self {
        Self(Self::FILE.into())
    }

    /// True for LeanCloud's own classes: the name starts with `_`.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.0.starts_with('_')
    }

    /// True if requests may name the class. Internal classes that a program keeps beside the app's have a leading
    /// `_` too and are not part of the API.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        !self.is_built_in() || BUILT_IN.contains(&self.as_str())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClassName({})", self.0)
    }
}

impl AsRef<str> for ClassName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClassName {
    type Error = CloudError;
    fn try_from(text: String) -> Result<Self, CloudError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_name_is_validated() {
        let longest = "A".repeat(ClassName::LENGTH_MAX - 1);
        for text in ["A", "a1_b", "_User", "_Own", &longest] {
            let class = ClassName::parse(text).unwrap();
            assert_eq!((class.as_str(), class.as_ref()), (text, text));
        }
        let too_long = format!("{longest}A");
        for text in ["", "_", "1A", "__A", "A.b", "A-b", "A b", "文", &too_long] {
            let error = ClassName::parse(text).unwrap_err();
            assert_eq!(error.code, ErrorCode::INVALID_CLASS_NAME, "{text}");
        }
    }

    #[test]
    fn internal_class_is_not_reachable() {
        for (text, is_built_in, is_reachable) in [
            ("Post", false, true),
            ("User", false, true),
            ("_User", true, true),
            ("_Status", true, true),
            ("_Own", true, false),
        ] {
            let class = ClassName::parse(text).unwrap();
            assert_eq!(
                (class.is_built_in(), class.is_reachable()),
                (is_built_in, is_reachable),
                "{text}"
            );
        }
    }
}
