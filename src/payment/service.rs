//! The payment service: the operations that the cloud functions and the operator's commands call. It checks prices,
//! ownership and idempotency keys, and runs the protocol.
//!
//! One [`PaymentService`] serves a whole process. Its memory only saves work: two processes, or one that has lost its
//! memory, return the same results.

mod adjustments;
mod admin;
pub(super) mod errors;
mod execution;
mod holds;
mod idempotency;
mod lookup;
mod orders;
mod parameters;
pub(super) mod payment_service;
mod purchases;
mod queries;
mod receipt;
mod recharges;
mod refunds;
pub(super) mod settlement_kind;
pub(super) mod settlements;
mod single_flight;
mod transfers;
mod user_deletion;
mod withdrawals;

pub use crate::payment::gateway::Channel;
pub use crate::payment::worker::{AfterPayment, RecoveryReport};
pub use admin::{AdminReport, StuckPayment};
pub use holds::{HOLD_SECONDS, HOLD_SECONDS_MAX};
pub use idempotency::CallerKey;
pub use lookup::UnfinishedCounts;
pub use parameters::present_or_null;
pub use payment_service::PaymentService;
pub use queries::{AccountBalances, PaymentPage, PaymentSelector};
pub use receipt::{OrderReceipt, Receipt};
pub use recharges::Notice;
