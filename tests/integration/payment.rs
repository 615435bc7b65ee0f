//! The payment flow on real stores: results, documents, cost in store calls, and behaviour under faults.

mod adjustments;
mod admin;
mod arrived_money;
mod audits;
mod background_work;
mod basic_flow;
mod final_refusals;
mod fixture;
mod functions_over_http;
mod holds;
mod network_faults;
mod purchase_refusals;
mod races;
mod refunds;
mod store_calls;
mod store_errors;
mod store_faults;
mod transfers;
mod withdrawals;
mod worker_crash;
