//! The name of a field, possibly inside an embedded object: `author`, `address.city`.

use std::fmt;
use std::sync::Arc;

use crate::model::{CloudError, ErrorCode, limits};

/// A key, or several joined by dots. Each part is non-empty and starts with neither `$` nor holds a NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Arc<str>);

/// Names that mean something in every object.
const RESERVED: [&str; 5] = ["objectId", "createdAt", "updatedAt", "ACL", "className"];

impl KeyPath {
    /// A path as it stands in a request. The parts are what lies between the dots.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// Reads a path that came from outside: no part is empty, starts with `$` or holds a NUL, and
    /// there are at most [`limits::VALUE_DEPTH_MAX`].
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_KEY_NAME`] (105).
    pub fn parse(path: &str) -> Result<Self, CloudError> {
        let illegal = |part: &str| part.is_empty() || part.starts_with('$') || part.contains('\0');
        // Deeper than a value can be, there is nothing to be found.
        if path.split('.').any(illegal) || path.split('.').nth(limits::VALUE_DEPTH_MAX).is_some() {
            return Err(Self::invalid(path));
        }
        Ok(Self::new(path))
    }

    /// Checks the name of a column: letters, digits and `_`; it starts with neither a digit nor `__`.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_KEY_NAME`] (105).
    pub fn check_column(name: &str) -> Result<(), CloudError> {
        let legal = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && !name.starts_with("__")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if legal { Ok(()) } else { Err(Self::invalid(name)) }
    }

    /// Whether a new column cannot have this name: it is one of LeanCloud's own, in whatever letter case.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
    }

    fn invalid(name: &str) -> CloudError {
        CloudError::new(
            ErrorCode::INVALID_KEY_NAME,
            format!(
                "Invalid key name. Keys are case-sensitive and 'a-zA-Z0-9_' are the only valid characters. \
                 The column is: '{name}'."
            ),
        )
    }

    /// The parts, outermost first.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The first part: the column.
    #[must_use]
    pub fn column(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// Whether the path leads into an embedded object.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.0.contains('.')
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPath({})", self.0)
    }
}

impl From<&str> for KeyPath {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}
