//! SQL conditions with their parameters.

use rusqlite::types::Value as SqlValue;

/// The condition after `WHERE`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::storage) struct Condition {
    /// SQL with a `?` for each parameter.
    pub(in crate::storage) sql: String,
    /// The parameters, in order.
    pub(in crate::storage) parameters: Vec<SqlValue>,
    /// True if it holds exactly for the matching rows. Otherwise it may hold for others too.
    pub(in crate::storage) exact: bool,
    /// True if an index can find the rows.
    pub(in crate::storage) uses_index: bool,
    /// True if a sparse index can find them, which holds few rows.
    pub(in crate::storage) is_selective: bool,
    /// True if it names the ids of the rows.
    names_ids: bool,
}

impl Condition {
    /// An exact condition that holds for every row or for none.
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

    /// An inexact condition that holds for every row.
    pub(super) fn unknown() -> Self {
        Self::constant(true).widened()
    }

    /// An exact condition.
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

    /// Marks a condition on ids.
    pub(super) fn of_ids(mut self) -> Self {
        self.names_ids = true;
        self
    }

    /// Marks a condition on an indexed column.
    pub(super) fn indexed(mut self) -> Self {
        self.uses_index = !self.is_open();
        self
    }

    /// Marks a condition on a column with a sparse index.
    pub(super) fn sparse(mut self) -> Self {
        self.is_selective = self.uses_index;
        self
    }

    /// Marks the condition as inexact: the evaluator decides.
    pub(super) fn widened(mut self) -> Self {
        self.exact = false;
        self
    }

    /// True if it holds for every row.
    pub(super) fn is_open(&self) -> bool {
        self.sql == "1"
    }

    /// The negation.
    pub(super) fn negated(self) -> Self {
        if !self.exact {
            return Self::unknown();
        }
        match self.sql.as_str() {
            "0" => Self::constant(true),
            "1" => Self::constant(false),
            // `NOT` alone would exclude the rows for which the condition is NULL.
            _ => Self {
                sql: format!("({}) IS NOT TRUE", self.sql),
                uses_index: false,
                is_selective: false,
                names_ids: false,
                ..self
            },
        }
    }

    /// The same condition, hidden from SQLite's indexes.
    fn without_index(self) -> Self {
        Self {
            sql: format!("+({})", self.sql),
            uses_index: false,
            is_selective: false,
            ..self
        }
    }

    /// The conjunction.
    ///
    /// If ids are named, rows are found by them. SQLite does not know the values, prefers an equality on another
    /// column, and would scan all rows with that value.
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

    /// The disjunction.
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
