//! The `where` filter, with MongoDB's semantics. One evaluator for the server, the storage engines and every checker.

mod evaluate;
mod geo;
mod parse;
mod path;
mod pattern;
mod write;

pub use geo::Area;
pub use pattern::Pattern;

use crate::model::{KeyPath, ObjectId, Pointer, Query, Value};

pub(in crate::model) use path::{Place, index_of, visit};

/// A parsed `where`. Built by [`Filter::parse`] or with the methods below:
///
/// ```
/// use paylog::model::Filter;
/// let filter = Filter::all().ne("paylogs", "5f…").gte("account", 100);
/// assert_eq!(filter.to_value().to_string(), r#"{"paylogs":{"$ne":"5f…"},"account":{"$gte":100}}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Every part matches; `{}` is the empty conjunction, which matches everything.
    And(Vec<Filter>),
    /// At least one part matches.
    Or(Vec<Filter>),
    /// No part matches.
    Nor(Vec<Filter>),
    /// A test of one key.
    Key(KeyPath, Test),
    /// `$relatedTo`: the object is in the relation `key` of `object`. The server resolves it before evaluation.
    RelatedTo {
        /// The owner of the relation.
        object: Pointer,
        /// The relation column.
        key: String,
    },
}

/// What is asked of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// Equal, or an array with an equal element. `null` matches a missing field.
    Eq(Value),
    /// Not [`Test::Eq`].
    Ne(Value),
    /// Less, of the same type (number, text, boolean, date).
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Equal to one of them.
    In(Vec<Value>),
    /// Equal to none of them.
    Nin(Vec<Value>),
    /// Whether the field is there (`null` counts as there).
    Exists(bool),
    /// An array with all of these elements.
    All(Vec<Value>),
    /// An array of exactly this length.
    Size(u64),
    /// Text that a Perl-compatible regular expression finds.
    Regex(Pattern),
    /// The inner test does not hold.
    Not(Box<Test>),
    /// `$inQuery`: a pointer to one of the objects found. The server resolves it before evaluation.
    InQuery(Box<Subquery>),
    /// `$notInQuery`.
    NotInQuery(Box<Subquery>),
    /// `$select`: equal to the field `key` of one of the objects found. The server resolves it before evaluation.
    Select(Box<Subquery>),
    /// `$dontSelect`.
    DontSelect(Box<Subquery>),
    /// `$nearSphere` with its distances, or a `$within` box: in wire form, as an object of these operators. The
    /// distances are bounds; [`Query::near`] says where they sort.
    Geo(Value),
}

/// The query inside `$inQuery`, `$select` and their negations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subquery {
    /// The class that is searched.
    pub class: crate::model::ClassName,
    /// What is searched for. `limit` 100 by default, 1000 at most.
    pub query: Query,
    /// `$select` only: whose values count.
    pub key: Option<String>,
}

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

#[cfg(test)]
mod tests;
