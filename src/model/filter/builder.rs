//! Builder methods of filters.

use crate::model::{Filter, KeyPath, ObjectId, Test, Value};

impl Filter {
    /// A filter that matches everything.
    #[must_use]
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    /// Adds a condition.
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

    /// Adds a disjunction: at least one of `parts` must match.
    #[must_use]
    pub fn and_any(self, parts: Vec<Filter>) -> Self {
        self.and(Self::Or(parts))
    }

    /// Adds a test of one key.
    #[must_use]
    pub fn and_key(self, key: &str, test: Test) -> Self {
        self.and(Self::Key(KeyPath::new(key), test))
    }

    /// Restricts to ids after `last`: the next page in the order of `objectId`.
    #[must_use]
    pub fn after_id(self, last: Option<&ObjectId>) -> Self {
        match last {
            Some(last) => self.and_key("objectId", Test::Gt(last.as_str().into())),
            None => self,
        }
    }

    /// Requires `key` equal to `value`.
    #[must_use]
    pub fn eq(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Eq(value.into()))
    }

    /// Requires `key` not equal to `value`; for an array, no element equal to it.
    #[must_use]
    pub fn ne(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Ne(value.into()))
    }

    /// Requires `key` at least `value`.
    #[must_use]
    pub fn gte(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Gte(value.into()))
    }

    /// Requires `key` at most `value`.
    #[must_use]
    pub fn lte(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Lte(value.into()))
    }

    /// Requires `key` less than `value`.
    #[must_use]
    pub fn lt(self, key: &str, value: impl Into<Value>) -> Self {
        self.and_key(key, Test::Lt(value.into()))
    }

    /// Requires `key` present or absent.
    #[must_use]
    pub fn exists(self, key: &str, there: bool) -> Self {
        self.and_key(key, Test::Exists(there))
    }

    /// Requires `key` equal to one of `values`.
    #[must_use]
    pub fn one_of(self, key: &str, values: Vec<Value>) -> Self {
        self.and_key(key, Test::In(values))
    }
}
