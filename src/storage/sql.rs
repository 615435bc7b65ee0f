//! Queries as SQL over one table per class.
//!
//! What is compiled never misses a match: a part of a filter that SQL cannot decide exactly as the evaluator does
//! becomes a wider condition, or none, and [`Condition::exact`] says so; the caller then asks the evaluator about
//! every row. Values travel as parameters only. What stands in the text itself are numbers of columns and keys made
//! of letters, digits and `_`.

mod cell;
mod condition;
mod filter;
mod order;
mod place;

pub(in crate::storage) use cell::cell;
pub(in crate::storage) use condition::Condition;
pub(in crate::storage) use filter::{condition, is_one_of, is_point, within};
pub(in crate::storage) use order::order_by;
pub(in crate::storage) use place::Keys;
