//! The name of a field, possibly inside an embedded object: `author`, `address.city`.

use std::fmt;
use std::sync::Arc;

/// A key, or several joined by dots. Each part is non-empty and starts with neither `$` nor holds a NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Arc<str>);

impl KeyPath {
    /// A path as it stands in a request. The parts are what lies between the dots.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.into())
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
