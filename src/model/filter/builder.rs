//! Filters built in code.

use crate::model::{Filter, KeyPath, ObjectId, Test, Value};

impl Filter {
    /// Matches everything.
    #[must_use]
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    /// This and a further test.
    #[must_use]
    pub fn and(self, other: Filter) -> Self {
        match (self, other) {
            (Self::And(mut parts), Self::And(more)) => {
                parts.extend(more);
                Self::And(parts)
            }
            (Self::And(mut parts), other) => {
                parts.push(other);
                Self::And(parts)
            }
            (first, other) => Self::And(vec![first]).and(other),
        }
    }

    /// This, and at least one of `parts`.
    #[must_use]
    pub fn and_any(self, parts: Vec<Filter>) -> Self {
        self.and(Self::Or(parts))
    }

    /// This, and a test of one key.
    #[must_use]
    pub fn and_key(self, key: &str, test: Test) -> Self {
        self.and(Self::Key(KeyPath::new(key), test))
    }

    /// This, of the objects whose ids come after `last`: the next page in the order of `objectId`.
    #[must_use]
    pub fn after_id(self, last: Option<&ObjectId>) -> Self {
        match last {
            Some(last) => self.and_key("objectId", Test::Gt(last.as_str().into())),
            None => self,
        }
    }

    /// This, and `key` equal to `value`.
    #[must_use]
    pub fn eq(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Eq(value.into()))
    }

    /// This, and `key` not equal to `value` (no element of it, where it is an array).
    #[must_use]
    pub fn ne(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Ne(value.into()))
    }

    /// This, and `key` at least `value`.
    #[must_use]
    pub fn gte(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Gte(value.into()))
    }

    /// This, and `key` at most `value`.
    #[must_use]
    pub fn lte(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Lte(value.into()))
    }

    /// This, and `key` less than `value`.
    #[must_use]
    pub fn lt(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Lt(value.into()))
    }

    /// This, and `key` present or absent.
    #[must_use]
    pub fn exists(self, key: &str, there: bool) -> Self {
        self.and_key(key, Test::Exists(there))
    }

    /// This, and `key` one of `values`.
    #[must_use]
    pub fn one_of(self, key: &str, values: Vec<Value>) -> Self {
        self.and_key(key, Test::In(values))
    }
}
