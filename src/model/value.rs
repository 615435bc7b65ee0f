//! Values and their typed forms (`__type`).

mod comparison;
mod geo_point;
mod kind;
mod normalization;
mod number;
mod pointer;
pub mod wire;

pub use comparison::{compare, equal};
pub use geo_point::GeoPoint;
pub use kind::Kind;
pub use normalization::{check_nested_key, normalize};
pub(in crate::model) use number::add_numbers;
pub use number::{INTEGER_MAX, as_integer, compare_numbers};
pub use pointer::Pointer;

/// A value in its JSON form. Typed values are objects with a `__type`.
pub type Value = serde_json::Value;

#[cfg(test)]
mod tests;
