//! New payments: logs that are still to be created.

use crate::model::Timestamp;
use crate::payment::protocol::error::Refusal;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::log::LogState;

/// The way in which a payment's writes are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitMode {
    /// Single writes, and batches whose elements may take effect alone: all that LeanCloud offers.
    PerDocument,
    /// All writes in one all-or-nothing commit, if the store has such commits.
    Atomic,
}

/// A payment whose log is still to be created.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewPayment {
    /// The intent.
    pub intent: Intent,
    /// The state in which the log is created: [`LogState::Ordered`], or [`LogState::Funded`] for money that has
    /// arrived.
    pub state: LogState,
    /// The gateway's number, for money that has arrived.
    pub trade_no: Option<String>,
    /// The reason for which the log waits for an operator from the beginning.
    pub stuck: Option<String>,
    /// The refusal of a payment before it began: only its record is created.
    pub refusal: Option<Refusal>,
    /// Holds: the time at which the sweeper ends the hold. It stands in the log beside the intent; nothing else rests
    /// on it.
    pub expires_at: Option<Timestamp>,
}

impl NewPayment {
    /// A payment that is carried out now.
    #[must_use]
    pub fn new(intent: Intent) -> Self {
        Self {
            intent,
            state: LogState::Ordered,
            trade_no: None,
            stuck: None,
            refusal: None,
            expires_at: None,
        }
    }

    /// A payment that is refused. The log only says so, so that a create still under way cannot pay.
    #[must_use]
    pub fn refused(intent: Intent, refusal: Refusal) -> Self {
        Self {
            refusal: Some(refusal),
            ..Self::new(intent)
        }
    }
}
