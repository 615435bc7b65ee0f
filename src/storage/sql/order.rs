//! `order` as `ORDER BY`.

use crate::model::{ColumnType, Direction, OrderKey};
use crate::storage::sql::condition::Condition;
use crate::storage::sql::place::{Keys, Place, extract};

/// What follows `ORDER BY`: the keys, then the id. `None` where SQL would sort otherwise than
/// [`OrderKey::compare`] does.
pub(in crate::storage) fn order_by(
    order: &[OrderKey],
    keys: &Keys<'_>,
    condition: &Condition,
) -> Option<String> {
    let mut terms = Vec::with_capacity(order.len() + 1);
    for key in order {
        let term = match keys.place(&key.key) {
            // As below; but a range that has many rows is sooner read by id than sorted.
            Place::Id => if condition.is_selective { "+id" } else { "id" }.to_owned(),
            Place::Time(column) => column.to_owned(),
            Place::Indexed {
                column,
                kind: Some(kind),
                ..
            } if is_sortable(kind) => column,
            Place::Typed { key, kind } if is_sortable(kind) => extract(&key, kind),
            Place::Indexed { .. }
            | Place::Point { .. }
            | Place::Typed { .. }
            | Place::Untyped { .. }
            | Place::Elsewhere => return None,
        };
        terms.push(match key.direction {
            Direction::Ascending => term,
            Direction::Descending => format!("{term} DESC"),
        });
    }
    // After the id, which is unique, no further term can decide.
    if !order.iter().any(|key| key.key.as_str() == "objectId") {
        // With the plus SQLite does not go through all ids in order where an index finds the rows.
        terms.push(if condition.uses_index { "+id" } else { "id" }.to_owned());
    }
    Some(terms.join(", "))
}

/// Types whose values SQLite sorts as the evaluator does, null and missing first.
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
