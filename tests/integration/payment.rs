//! The payment flow on real stores: what callers are told, what the documents show, what it costs in store calls, and
//! what is left after faults.

mod arrived;
mod background;
mod bank;
mod counting;
mod declined;
mod faults;
mod happy;
mod network;
mod racing;
mod trouble;
