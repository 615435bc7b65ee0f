//! Defaults and builder methods of queries.

use crate::model::{Direction, Filter, KeyPath, OrderKey, Query};

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
    /// Default limit in rows.
    pub const LIMIT_DEFAULT: u32 = 100;
    /// Maximum limit in rows.
    pub const LIMIT_MAX: u32 = 1000;

    /// Creates a query with the default parameters.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    /// Sets the order, in wire form: `-createdAt,name`.
    #[must_use]
    pub fn order_by(mut self, keys: &str) -> Self {
        self.order = OrderKey::parse_list(keys);
        self
    }

    /// Sets the limit in rows.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

impl OrderKey {
    /// Parses `a,-b`. Ignores blanks around the commas.
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
