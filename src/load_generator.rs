//! The load generator of `paylog bench`: requests over bare HTTP/1 connections, from one thread.
//!
//! It knows a server by its address and keys alone, and checks each response: a measurement with a refusal in it is an
//! error.

mod connection;
mod fixture;
mod latency;
mod load;
mod payments;
mod storage_api;

pub(crate) use connection::Target;
pub(crate) use fixture::{count_wrong_balances, prepare};
pub(crate) use latency::{Latency, latency, to_f64};
pub(crate) use load::Load;
pub(crate) use payments::{PaymentRun, pay};
pub(crate) use storage_api::{OperationMeasurement, measure_storage_api};
