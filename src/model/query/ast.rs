//! The syntax tree of a query: its filter, and what is asked for beside it.
//!
//! One file, since a filter holds queries (`$inQuery`) and a query holds a filter.

use crate::model::{ClassName, KeyPath, Pattern, Pointer, Value};

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
    pub class: ClassName,
    /// What is searched for. `limit` 100 by default, 1000 at most.
    pub query: Query,
    /// `$select` only: whose values count.
    pub key: Option<String>,
}

/// Ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first (`-key`).
    Descending,
}

/// One key of `order`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderKey {
    /// What to sort by.
    pub key: KeyPath,
    /// Which way.
    pub direction: Direction,
}

/// The `keys` parameter: which fields an answer holds. `objectId`, `createdAt`, `updatedAt` are always included
/// unless excluded by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keys {
    /// Only these, where not empty.
    pub only: Vec<KeyPath>,
    /// Not these (`-key`).
    pub except: Vec<KeyPath>,
}

/// A query over one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// `where`.
    pub filter: Filter,
    /// `order`; without it the order is that of `objectId`.
    pub order: Vec<OrderKey>,
    /// `limit`: 0 to 1000.
    pub limit: u32,
    /// `skip`.
    pub skip: u32,
    /// `count=1`: also count everything that matches.
    pub count: bool,
    /// `keys`. A store may answer more than is asked for; the server projects.
    pub keys: Option<Keys>,
    /// `include`: pointers to expand. Stores ignore it.
    pub include: Vec<KeyPath>,
    /// `returnACL`. Stores always answer the ACL; the server removes it where it was not asked for.
    pub return_acl: bool,
}
