//! Log lines and counters.
//!
//! No log line holds a key, a token, a request's body or a named user's balance.

pub mod counters;
pub mod logs;

pub use counters::Counters;
pub use logs::LogFormat;
