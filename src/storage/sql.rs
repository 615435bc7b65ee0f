//! Translation of queries into SQL over one table per class.
//!
//! The SQL condition never misses a match. If SQL cannot decide a part of a filter exactly as the evaluator does,
//! the condition is wider there and not [`Condition::exact`]; the caller then asks the evaluator about every row.
//! Values are always bound as parameters. The SQL text itself contains only column numbers and keys made of letters,
//! digits and `_`.

mod column_location;
mod condition;
mod filter;
mod geo_cell;
mod order;

pub(in crate::storage) use column_location::ColumnMap;
pub(in crate::storage) use condition::Condition;
pub(in crate::storage) use filter::{condition, is_one_of, is_point, within};
pub(in crate::storage) use geo_cell::geo_cell;
pub(in crate::storage) use order::order_by;
