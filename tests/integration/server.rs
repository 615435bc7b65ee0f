//! The storage API over real HTTP.

mod batches;
mod failures;
mod hooks;
mod matrix;
mod objects;
mod permissions;
mod queries;
mod recorded;
mod sdk_requests;
mod support;
mod users;
mod wire;
