//! Where a key of a document is found in its row.

use std::borrow::Cow;

use crate::model::{Class, ColumnType, KeyPath};
use crate::storage::index_value::derived;

/// How the rows of a class are laid out: `id`, `created`, `updated`, `doc`, and `k1`, `k2`, … for the keys of its
/// indexes, in the form of [`IndexValue`](crate::storage::index_value::IndexValue).
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct ColumnMap<'a> {
    /// The class.
    pub(in crate::storage) class: &'a Class,
    /// The keys with columns of their own, `k1` first.
    pub(in crate::storage) indexed: &'a [String],
    /// Whether points are found by their cells.
    pub(in crate::storage) finds_points: bool,
}

/// Where a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnLocation<'a> {
    /// The primary key: text, always there.
    Id,
    /// `created` or `updated`: milliseconds, always there.
    Time(&'static str),
    /// A column of its own, in the form of indexes.
    Indexed {
        /// Its name.
        column: String,
        /// The type of the key, where it is a column of the class.
        kind: Option<&'a ColumnType>,
        /// Whether an array can be there, or on the way there.
        may_be_array: bool,
    },
    /// In `doc`, a point whose cell has a column of its own.
    Point {
        /// The column's name.
        cell: String,
        /// The key, safe to stand in a path.
        key: Cow<'a, str>,
    },
    /// In `doc`, where every value is of this type, or null, or missing.
    Typed {
        /// The key, safe to stand in a path.
        key: Cow<'a, str>,
        /// The type.
        kind: &'a ColumnType,
    },
    /// In `doc`, of any type.
    Untyped {
        /// The key, safe to stand in a path.
        key: Cow<'a, str>,
    },
    /// Nowhere that SQL should look.
    Elsewhere,
}

impl<'a> ColumnMap<'a> {
    pub(super) fn locate<'p>(&self, path: &'p KeyPath) -> ColumnLocation<'p>
    where
        'a: 'p,
    {
        match path.as_str() {
            "objectId" => return ColumnLocation::Id,
            "createdAt" => return ColumnLocation::Time("created"),
            "updatedAt" => return ColumnLocation::Time("updated"),
            _ => {}
        }
        let column = self.class.columns.get(path.as_str());
        let kind = column.map(|column| &column.column_type);
        if let Some(column) = self.column(path.as_str()) {
            return ColumnLocation::Indexed {
                column,
                kind,
                may_be_array: kind.is_none_or(|kind| *kind == ColumnType::Array),
            };
        }
        if path.is_nested() || !is_safe(path.as_str()) {
            return ColumnLocation::Elsewhere;
        }
        let key = Cow::Borrowed(path.as_str());
        match kind {
            Some(ColumnType::GeoPoint) => match self.geo_cell(path) {
                Some(cell) if self.finds_points => ColumnLocation::Point { cell, key },
                _ => ColumnLocation::Untyped { key },
            },
            Some(kind) => ColumnLocation::Typed { key, kind },
            None => ColumnLocation::Untyped { key },
        }
    }
}

impl ColumnMap<'_> {
    /// The same, where tests of points are left to the evaluator.
    pub(in crate::storage) fn without_points(self) -> Self {
        Self {
            finds_points: false,
            ..self
        }
    }

    /// The column with the cells of the points at a path.
    pub(in crate::storage) fn geo_cell(&self, path: &KeyPath) -> Option<String> {
        self.column(&format!("{path}.{}", derived::CELL))
    }

    /// The column of its own that a key has.
    fn column(&self, key: &str) -> Option<String> {
        let number = self.indexed.iter().position(|known| known == key)?;
        Some(format!("k{}", number + 1))
    }
}

/// Whether a key can stand between the quotes of a JSON path, which knows no escapes.
fn is_safe(key: &str) -> bool {
    key.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The value of a top-level key; for a date its text, for a pointer its id.
pub(super) fn extract(key: &str, kind: &ColumnType) -> String {
    let part = match kind {
        ColumnType::Date => r#"."iso""#,
        ColumnType::Pointer { .. } => r#"."objectId""#,
        _ => "",
    };
    format!(r#"json_extract(doc,'$."{key}"{part}')"#)
}
