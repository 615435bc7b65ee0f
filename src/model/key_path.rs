//! Paths of fields, possibly inside embedded objects: `author`, `address.city`.

use std::fmt;
use std::sync::Arc;

use crate::model::{CloudError, ErrorCode, limits};

/// One key, or several joined by dots. No part is empty, starts with `$` or contains a NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Arc<str>);

/// Columns set by the store alone.
const SET_BY_STORE: [&str; 3] = ["objectId", "createdAt", "updatedAt"];

/// Reserved names: they have a meaning in every object.
const RESERVED: [&str; 5] = ["objectId", "createdAt", "updatedAt", "ACL", "className"];

impl KeyPath {
    /// Creates a path without checks. Its parts are separated by dots.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// Parses a path from a request. No part may be empty, start with `$` or contain a NUL; there are at most
    /// [`limits::VALUE_DEPTH_MAX`] parts.
    ///
    /// # Errors
    /// [`ErrorCode::INVALID_KEY_NAME`] (105).
    pub fn parse(path: &str) -> Result<Self, CloudError> {
        let illegal = |part: &str| part.is_empty() || part.starts_with('$') || part.contains('\0');
        // No value is deeper.
        if path.split('.').any(illegal) || path.split('.').nth(limits::VALUE_DEPTH_MAX).is_some() {
            return Err(Self::invalid(path));
        }
        Ok(Self::new(path))
    }

    /// Checks a column name: letters, digits and `_`. It starts neither with a digit nor with `__`.
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

    /// True if a new column cannot have this name: it is reserved, in any letter case.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
    }

    /// True for the columns that the store alone sets: `objectId`, `createdAt`, `updatedAt`.
    #[must_use]
    pub fn is_set_by_store(column: &str) -> bool {
        SET_BY_STORE.contains(&column)
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

    /// True if the path leads into an embedded object.
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
