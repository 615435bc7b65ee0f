//! LeanCloud's storage API on `/1.1`, over any [`Database`](crate::store::Database).
//!
//! What the parts are: `router` reads a request off the wire and finds its endpoint (those of a batch too);
//! `context` knows who asks; `classes`, `users`, `files`, `batch`, `scan`, `cloud_query`, `schemas` are the endpoints;
//! every write goes through the one list of steps in `write_path`, every query through `query`.
//!
//! Invariants: a password, a session token and a hidden column are in no answer but the one that hands the token to
//! its owner, in no filter, no order, no hook call (but the caller's own token) and no log line; a before hook that
//! cannot be asked stops the write; nothing here knows which engine stores the documents or what they mean.

mod auth_login;
mod authorization;
mod batch;
mod batch_save;
mod classes;
mod cloud_query;
mod condition_reason;
mod config;
mod context;
mod error;
mod files;
mod headers;
mod hook_caller;
mod include;
mod login_limiter;
mod parameters;
mod password;
mod query;
mod rate_limit;
mod response;
mod roles;
mod router;
mod scan;
mod schemas;
pub mod sessions;
mod setup;
mod state;
mod subqueries;
mod user_rules;
mod users;
mod validation;
mod visibility;
mod write_path;
mod write_response;

pub use config::{PasswordCost, ServerConfig};
pub use setup::set_up;
pub use state::Server;
