//! Behaviour that users see, over real HTTP and real databases, in one test program.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, in its helpers too, and prints what it has done"
)]

mod acceptance;
mod cli;
mod client;
mod client_sdks;
mod compatibility;
mod conformance;
mod crash;
mod engine;
mod engine_sdks;
mod examples;
mod gate;
mod indexes;
mod migration;
mod moving_in;
mod new_app;
mod operators;
mod payment;
mod remote_app;
mod server;
mod storage;
mod support;
mod tidy;
