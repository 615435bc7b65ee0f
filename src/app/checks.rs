//! The checks that money is safe in a home of the data, run by `paylog doctor` and before a server starts.

pub(crate) mod embedded_schema;
mod finding;
pub(crate) mod leancloud_probe;
pub(crate) mod money_fields;

pub(crate) use finding::{Finding, describe, is_unsafe};
