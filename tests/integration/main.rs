//! Behaviour that users see, over real HTTP and real databases: one binary for all of it.

mod cli;
mod client;
mod conformance;
mod crash;
mod engine;
mod payment;
mod server;
mod storage;
mod support;
mod tidy;
