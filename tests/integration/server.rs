//! The storage API over real HTTP.

mod auth_data;
mod batch_save;
mod batches;
mod cloud_query;
mod failures;
mod file_parts;
mod file_values;
mod files;
mod hooks;
mod matrix;
mod objects;
mod permissions;
mod queries;
mod recorded;
mod schemas;
mod sdk_requests;
mod support;
mod transport;
mod users;
mod wire;
