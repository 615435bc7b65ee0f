//! LeanCloud's storage API on `/1.1`, over any [`Database`](crate::store::Database).
//!
//! `router` takes a request from the wire, `endpoint` knows all paths, `dispatch` calls the endpoint of a path, for
//! requests of a batch too. `context` knows the caller. Every write goes through the steps of `write_path`, with the
//! rules of its class from `class_rules`; every query goes through `query`; `visibility` decides what a reader sees.
//!
//! Invariants: a password, a session token and a hidden column are in no response but the one that gives a user their
//! own token, in no filter, no order, no hook call (but the caller's own token) and no log line; a before hook that
//! cannot be reached stops the write; nothing here knows which engine stores the documents or what they mean.

mod api_request;
mod auth_login;
mod authorization;
mod batch;
mod batch_save;
mod class_rules;
mod classes;
mod cloud_query;
mod condition_reason;
mod config;
mod context;
mod dispatch;
mod endpoint;
mod error;
mod files;
mod headers;
mod hook_caller;
mod identities;
mod include;
mod login_limiter;
mod parameters;
mod password;
mod query;
mod rate_limit;
mod response;
mod role_cache;
mod router;
mod running_hooks;
mod scan;
mod schemas;
pub mod sessions;
mod setup;
mod state;
mod subqueries;
mod user_records;
mod users;
mod validation;
mod visibility;
mod write_path;
mod write_response;

pub use config::{PasswordCost, ServerConfig};
pub use setup::set_up;
pub use state::Server;
