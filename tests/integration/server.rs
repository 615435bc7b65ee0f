//! The storage API over real HTTP.

mod batches;
mod failures;
mod hooks;
mod objects;
mod permissions;
mod queries;
mod support;
mod users;
mod wire;
