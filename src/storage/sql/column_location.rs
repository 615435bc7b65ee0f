//! The location of a document's keys in its row.

use std::borrow::Cow;

use crate::model::{Class, ColumnType, KeyPath};
use crate::storage::index_value::derived;

/// The layout of a class's rows: `id`, `created`, `updated`, `doc`, and `k1`, `k2`, … for indexed keys, as
/// [`IndexValue`](crate::storage::index_value::IndexValue)s.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct ColumnMap<'a> {
    /// The class.
    pub(in crate::storage) class: &'a Class,
    /// The keys with a column of their own, `k1` first.
    pub(in crate::storage) indexed: &'a [String],
    /// True if points are searched by cell.
    pub(in crate::storage) finds_points: bool,
}

/// The location of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnLocation<'a> {
    /// The primary key: text, never absent.
    Id,
    /// `created` or `updated`: milliseconds, never absent.
    Time(&'static str),
    /// A column of its own, holding index values.
    Indexed {
        /// The column's name.
        column: String,
        /// The type of the key, if it is a column of the class.
        kind: Option<&'a ColumnType>,
        /// True if the value, or one on the path to it, can be an array.
        may_be_array: bool,
    },
    /// A point in `doc`, whose cell has a column of its own.
    Point {
        /// The column's name.
        cell: String,
        /// The key, safe in a JSON path.
        key: Cow<'a, str>,
    },
    /// In `doc`. Every value is of this type, null, or missing.
    Typed {
        /// The key, safe in a JSON path.
        key: Cow<'a, str>,
        /// The type.
        kind: &'a ColumnType,
    },
    /// In `doc`. Values can be of any type.
    Untyped {
        /// The key, safe in a JSON path.
        key: Cow<'a, str>,
    },
    /// Not accessible to SQL.
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
    /// The same layout, with tests of points left to the evaluator.
    pub(in crate::storage) fn without_points(self) -> Self {
        Self {
            finds_points: false,
            ..self
        }
    }

    /// The column with the cells of a path's points.
    pub(in crate::storage) fn geo_cell(&self, path: &KeyPath) -> Option<String> {
        self.column(&format!("{path}.{}", derived::CELL))
    }

    /// The column of a key, if it has its own.
    fn column(&self, key: &str) -> Option<String> {
        let number = self.indexed.iter().position(|known| known == key)?;
        Some(format!("k{}", number + 1))
    }
}

/// True if a key can stand between the quotes of a JSON path, which has no escapes.
fn is_safe(key: &str) -> bool {
    key.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// SQL for the value of a top-level key: the text of a date, the id of a pointer.
pub(super) fn extract(key: &str, kind: &ColumnType) -> String {
    let part = match kind {
        ColumnType::Date => r#"."iso""#,
        ColumnType::Pointer { .. } => r#"."objectId""#,
        _ => "",
    };
    format!(r#"json_extract(doc,'$."{key}"{part}')"#)
}
