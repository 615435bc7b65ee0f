//! The payment as a state machine: [`step`] is pure and total; it asks for effects and is given their results.
//!
//! A [`PaymentProcess`] is one worker's view of one payment. Several workers may hold one for the same log at once; that
//! is the normal case. New and recovered payments run on the same machine: a new one begins with the create, and falls
//! back to the claim if an answer does not come.
//!
//! These rules hold here. No state is written before its work is acknowledged. No leg is refused except for a requirement
//! that was read as not met. Any answer but success and 305 counts as no answer. The epochs that the money depends on are
//! read before the create, or the claim, that lets this worker go on.
//!
//! A read may be stale, so only what stays true decides: a mark that is there, a state that was reached, a status that is
//! never taken back. What a read does *not* show (no mark, a requirement not met, too little refunded) only tells what
//! to write next, under a precondition that decides.

mod acknowledgement;
mod atomic_commit;
mod claim;
mod completion;
mod confirmation;
mod creation;
mod credit;
mod debit;
mod new_payment;
mod next;
mod phase;
mod process;
mod refusal;

pub use new_payment::{CommitMode, NewPayment};
pub use next::{End, Next, RestartReason};
pub use process::{PaymentProcess, Step, step};

#[cfg(test)]
mod tests;
