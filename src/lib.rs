#![doc = include_str!("ARCHITECTURE.md")]

pub mod client;
pub mod config;
pub mod credentials;
pub mod engine;
pub mod environment;
pub mod gateway;
pub mod http;
pub mod model;
pub mod payment;
pub mod server;
pub mod storage;
pub mod store;
pub mod telemetry;

pub mod cli;
