//! A condition and its parameters.

use rusqlite::types::Value as SqlValue;

/// What follows `WHERE`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::storage) struct Condition {
    /// The text, with a `?` for each parameter.
    pub(in crate::storage) sql: String,
    /// The parameters, in order.
    pub(in crate::storage) parameters: Vec<SqlValue>,
    /// Whether it holds exactly for the rows that match. Otherwise it holds for all of these, and maybe for others.
    pub(in crate::storage) exact: bool,
    /// Whether an index can find the rows.
    pub(in crate::storage) uses_index: bool,
    /// Whether a sparse index can, which holds few of them.
    pub(in crate::storage) is_selective: bool,
    /// Whether it names the ids of the rows.
    names_ids: bool,
}

impl Condition {
    /// Holds for no row, exactly; or for every row, exactly.
    pub(super) fn constant(holds: bool) -> Self {
        Self {
            sql: if holds { "1" } else { "0" }.to_owned(),
            parameters: Vec::new(),
            exact: true,
            uses_index: false,
            is_selective: false,
            names_ids: false,
        }
    }

    /// Holds for every row: SQL cannot tell.
    pub(super) fn unknown() -> Self {
        Self::constant(true).widened()
    }

    /// A text with parameters.
    pub(super) fn new(sql: impl Into<String>, parameters: impl IntoIterator<Item = SqlValue>) -> Self {
        Self {
            sql: sql.into(),
            parameters: parameters.into_iter().collect(),
            exact: true,
            uses_index: false,
            is_selective: false,
            names_ids: false,
        }
    }

    /// The same, of ids.
    pub(super) fn of_ids(mut self) -> Self {
        self.names_ids = true;
        self
    }

    /// The same, of a column with an index.
    pub(super) fn indexed(mut self) -> Self {
        self.uses_index = !self.is_open();
        self
    }

    /// The same, of a column with a sparse index.
    pub(super) fn sparse(mut self) -> Self {
        self.is_selective = self.uses_index;
        self
    }

    /// The same, to be confirmed by the evaluator.
    pub(super) fn widened(mut self) -> Self {
        self.exact = false;
        self
    }

    /// Whether it restricts nothing.
    pub(super) fn is_open(&self) -> bool {
        self.sql == "1"
    }

    /// The opposite.
    pub(super) fn negated(self) -> Self {
        if !self.exact {
            return Self::unknown();
        }
        match self.sql.as_str() {
            "0" => Self::constant(true),
            "1" => Self::constant(false),
            // `NOT` alone would keep out the rows for which the condition is NULL.
            _ => Self {
                sql: format!("({}) IS NOT TRUE", self.sql),
                uses_index: false,
                is_selective: false,
                names_ids: false,
                ..self
            },
        }
    }

    /// The same, kept from SQLite's indexes.
    fn without_index(self) -> Self {
        Self {
            sql: format!("+({})", self.sql),
            uses_index: false,
            is_selective: false,
            ..self
        }
    }

    /// All of them.
    ///
    /// Rows whose ids are named are found by these. SQLite, which knows nothing of the values, takes an equality on
    /// another column for the better one of the two, and goes through all rows that have it.
    pub(in crate::storage) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: Vec<Self> = parts.into_iter().collect();
        let names_ids = parts.iter().any(|part| part.names_ids);
        let mut joined = Self::constant(true);
        joined.names_ids = names_ids;
        for part in parts {
            let part = if names_ids && !part.names_ids && part.uses_index {
                part.without_index()
            } else {
                part
            };
            joined.exact &= part.exact;
            joined.uses_index |= part.uses_index;
            joined.is_selective |= part.is_selective;
            if part.is_open() {
                continue;
            }
            if joined.sql == "1" {
                joined.sql = part.sql;
            } else {
                joined.sql.push_str(" AND ");
                joined.sql.push_str(&part.sql);
            }
            joined.parameters.extend(part.parameters);
        }
        joined
    }

    /// At least one of them.
    pub(super) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut terms = Vec::new();
        let mut joined = Self::constant(false);
        joined.uses_index = true;
        joined.is_selective = true;
        joined.names_ids = true;
        for part in parts {
            if part.is_open() {
                return if part.exact { part } else { Self::unknown() };
            }
            joined.exact &= part.exact;
            if part.sql != "0" {
                joined.uses_index &= part.uses_index;
                joined.is_selective &= part.is_selective;
                joined.names_ids &= part.names_ids;
                terms.push(part.sql);
                joined.parameters.extend(part.parameters);
            }
        }
        if !terms.is_empty() {
            joined.sql = format!("({})", terms.join(" OR "));
        }
        joined
    }
}
