#![doc = include_str!("ARCHITECTURE.md")]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

#[cfg(feature = "runtime")]
mod app;
#[cfg(feature = "runtime")]
pub mod client;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
pub mod credentials;
#[cfg(feature = "runtime")]
pub mod engine;
#[cfg(feature = "runtime")]
pub mod environment;
#[cfg(feature = "runtime")]
pub mod http;
#[cfg(feature = "runtime")]
mod load_generator;
#[cfg(feature = "runtime")]
pub mod migration;
pub mod model;
#[cfg(feature = "runtime")]
pub mod payment;
#[cfg(feature = "runtime")]
pub mod server;
#[cfg(feature = "runtime")]
pub mod storage;
#[cfg(feature = "runtime")]
pub mod store;
#[cfg(feature = "runtime")]
pub mod telemetry;

#[cfg(feature = "runtime")]
pub mod cli;

/// The pure half of the payment flow. The other half needs the feature `runtime`.
#[cfg(not(feature = "runtime"))]
pub mod payment {
    pub mod protocol;
}
