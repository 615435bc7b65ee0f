//! The parameters of a query.

mod near;
mod order;
mod parse;
mod project;

use crate::model::{Filter, KeyPath};

pub use near::Near;

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

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: Filter::all(),
            order: Vec::new(),
            limit: Self::LIMIT_DEFAULT,
            skip: 0,
            count: false,
            keys: None,
            include: Vec::new(),
            return_acl: false,
        }
    }
}

impl Query {
    /// Rows where nothing is said.
    pub const LIMIT_DEFAULT: u32 = 100;
    /// Rows at most.
    pub const LIMIT_MAX: u32 = 1000;

    /// A query for what `filter` matches.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Sorted by `keys`, as in the wire form: `-createdAt,name`.
    #[must_use]
    pub fn order_by(mut self, keys: &str) -> Self {
        self.order = OrderKey::parse_list(keys);
        self
    }

    /// At most `limit` rows.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

impl OrderKey {
    /// Reads `a,-b`; blanks around the commas are ignored.
    #[must_use]
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(|key| match key.strip_prefix('-') {
                Some(key) => Self {
                    key: KeyPath::new(key),
                    direction: Direction::Descending,
                },
                None => Self {
                    key: KeyPath::new(key.strip_prefix('+').unwrap_or(key)),
                    direction: Direction::Ascending,
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
