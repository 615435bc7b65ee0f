//! The syntax tree of queries: the filter and the other parameters.
//!
//! One file, because a filter can contain queries (`$inQuery`) and a query contains a filter.

use crate::model::{ClassName, KeyPath, Pattern, Pointer, Value};

/// A parsed `where`. Built by [`Filter::parse`] or by its builder methods:
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
    /// Tests one key.
    Key(KeyPath, Test),
    /// `$relatedTo`: the object is in the relation `key` of `object`. The server resolves it before evaluation.
    RelatedTo {
        /// The owner of the relation.
        object: Pointer,
        /// The relation column.
        key: String,
    },
}

/// A test of one key.
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
    /// Equal to one of these.
    In(Vec<Value>),
    /// Equal to none of these.
    Nin(Vec<Value>),
    /// The field is present (true) or absent (false). `null` counts as present.
    Exists(bool),
    /// An array with all of these elements.
    All(Vec<Value>),
    /// An array of exactly this length.
    Size(u64),
    /// A text matched by a Perl-compatible regular expression.
    Regex(Pattern),
    /// The inner test does not hold.
    Not(Box<Test>),
    /// `$inQuery`: a pointer to one of the found objects. The server resolves it before evaluation.
    InQuery(Box<Subquery>),
    /// `$notInQuery`.
    NotInQuery(Box<Subquery>),
    /// `$select`: equal to the field `key` of one of the found objects. The server resolves it before evaluation.
    Select(Box<Subquery>),
    /// `$dontSelect`.
    DontSelect(Box<Subquery>),
    /// `$nearSphere` with its distances, or a `$within` box, as an object of these operators in wire form. The
    /// distances are bounds; [`Query::near`] defines the sort order.
    Geo(Value),
}

/// The query inside `$inQuery`, `$select` and their negations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subquery {
    /// The searched class.
    pub class: ClassName,
    /// The query. `limit` is 100 by default, 1000 at most.
    pub query: Query,
    /// `$select` only: the key of the compared values.
    pub key: Option<String>,
}

/// A sort direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first (`-key`).
    Descending,
}

/// A sort key of `order`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderKey {
    /// The key.
    pub key: KeyPath,
    /// The direction.
    pub direction: Direction,
}

/// The `keys` parameter: the fields of a response. `objectId`, `createdAt`, `updatedAt` are included unless excluded
/// by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keys {
    /// Only these fields, unless empty.
    pub only: Vec<KeyPath>,
    /// Excluded fields (`-key`).
    pub except: Vec<KeyPath>,
}

/// A query over one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// `where`.
    pub filter: Filter,
    /// `order`; by `objectId` if empty.
    pub order: Vec<OrderKey>,
    /// `limit`: 0 to 1000.
    pub limit: u32,
    /// `skip`.
    pub skip: u32,
    /// `count=1`: also count everything that matches.
    pub count: bool,
    /// `keys`. A store may return more fields; the server projects.
    pub keys: Option<Keys>,
    /// `include`: pointers to expand. Stores ignore it.
    pub include: Vec<KeyPath>,
    /// `returnACL`. Stores always return the ACL; the server removes it unless requested.
    pub return_acl: bool,
}
