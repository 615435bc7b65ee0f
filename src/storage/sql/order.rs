//! Translation of `order` into `ORDER BY`.

use crate::model::{ColumnType, Direction, OrderKey};
use crate::storage::sql::column_location::{ColumnLocation, ColumnMap, extract};
use crate::storage::sql::condition::Condition;

/// The terms after `ORDER BY`: the keys, then the id. `None` if SQL would sort differently from
/// [`OrderKey::compare`].
pub(in crate::storage) fn order_by(
    order: &[OrderKey],
    columns: &ColumnMap<'_>,
    condition: &Condition,
) -> Option<String> {
    let mut terms = Vec::with_capacity(order.len() + 1);
    for key in order {
        let term = match columns.locate(&key.key) {
            // As below; but a range of many rows is read faster by id than sorted.
            ColumnLocation::Id => if condition.is_selective { "+id" } else { "id" }.to_owned(),
            ColumnLocation::Time(column) => column.to_owned(),
            ColumnLocation::Indexed {
                column,
                kind: Some(kind),
                ..
            } if is_sortable(kind) => column,
            ColumnLocation::Typed { key, kind } if is_sortable(kind) => extract(&key, kind),
            ColumnLocation::Indexed { .. }
            | ColumnLocation::Point { .. }
            | ColumnLocation::Typed { .. }
            | ColumnLocation::Untyped { .. }
            | ColumnLocation::Elsewhere => return None,
        };
        terms.push(match key.direction {
            Direction::Ascending => term,
            Direction::Descending => format!("{term} DESC"),
        });
    }
    // The id is unique, so no term after it matters.
    if !order.iter().any(|key| key.key.as_str() == "objectId") {
        // The plus keeps SQLite from scanning all ids in order if an index finds the rows.
        terms.push(if condition.uses_index { "+id" } else { "id" }.to_owned());
    }
    Some(terms.join(", "))
}

/// True for types that SQLite sorts as the evaluator does, null and missing first.
fn is_sortable(kind: &ColumnType) -> bool {
    match kind {
        ColumnType::String
        | ColumnType::Number
        | ColumnType::Boolean
        | ColumnType::Date
        | ColumnType::Pointer { .. } => true,
        ColumnType::Array
        | ColumnType::Object
        | ColumnType::GeoPoint
        | ColumnType::File
        | ColumnType::Bytes
        | ColumnType::Relation { .. } => false,
    }
}
