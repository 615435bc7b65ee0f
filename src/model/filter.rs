//! The `where` filter, with MongoDB's semantics. One evaluator for the server, the storage engines and every checker.

mod builder;
mod encoding;
mod evaluator;
mod geo;
mod parser;
mod path;
mod pattern;

pub use geo::Area;
pub(in crate::model) use path::{PathMatch, index_of, visit};
pub use pattern::Pattern;

pub use crate::model::query::ast::{Filter, Subquery, Test};

#[cfg(test)]
mod tests;
