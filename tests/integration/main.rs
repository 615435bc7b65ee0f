//! Behaviour that users see, over real HTTP and real databases: one binary for all of it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, in its helpers too, and says what it has done"
)]

mod acceptance;
mod beside;
mod cli;
mod client;
mod compatibility;
mod conformance;
mod crash;
mod engine;
mod examples;
mod gate;
mod indexes;
mod migration;
mod moving_in;
mod operators;
mod own_app;
mod payment;
mod sdk;
mod sdk_engine;
mod server;
mod storage;
mod support;
mod tidy;
