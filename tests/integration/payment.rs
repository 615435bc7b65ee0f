//! The payment flow on real stores: what callers are told, what the documents show, what it costs in store calls, and
//! what is left after faults.

mod adjusting;
mod arrived;
mod auditing;
mod background;
mod bank;
mod counting;
mod declined;
mod dying;
mod faults;
mod final_refusals;
mod happy;
mod holding;
mod network;
mod operating;
mod over_http;
mod racing;
mod refunding;
mod transferring;
mod trouble;
mod withdrawing;
