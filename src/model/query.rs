//! Queries: `where`, `order`, `limit`, `skip`, `keys`, `include`, `count`.

pub(in crate::model) mod ast;
mod builder;
mod near_sphere;
mod order;
mod parser;
mod projection;

pub use ast::{Direction, Keys, OrderKey, Query};
pub use near_sphere::Near;

#[cfg(test)]
mod tests;
