//! Queries as SQL over one table per class.
//!
//! What is compiled never misses a match: a part of a filter that SQL cannot decide exactly as the evaluator does
//! becomes a wider condition, or none, and [`Condition::exact`] says so; the caller then asks the evaluator about
//! every row. Values travel as parameters only. What stands in the text itself are numbers of columns and keys made
//! of letters, digits and `_`.

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
