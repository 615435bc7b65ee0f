//! Checks that money is safe in a backend. `paylog doctor` runs them, and so does every start of a server.

pub(crate) mod embedded_schema;
mod finding;
pub(crate) mod leancloud_probe;
pub(crate) mod money_fields;

pub(crate) use finding::{Finding, describe, is_unsafe};
