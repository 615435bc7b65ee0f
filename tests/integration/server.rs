//! The storage API over real HTTP.

mod objects;
mod support;
