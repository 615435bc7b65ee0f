//! Background work behind the calls: closing, recovery, expiry, pruning. Each loop runs at its own pace; none waits for
//! another.
//!
//! A `select!` here polls its futures in the written order (`biased`), not in one drawn by tokio, so that a simulation
//! can be repeated.

pub(super) mod closing;
mod expiry;
pub(super) mod notifying;
pub(super) mod paging;
pub(super) mod pruning;
pub(super) mod recovery;
mod sweeper;

pub use notifying::AfterPayment;
pub use recovery::RecoveryReport;
