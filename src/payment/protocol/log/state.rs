//! The states of a log, and its outcome.

use std::fmt;

use crate::payment::protocol::error::ProtocolError;

/// The state of a log: the part of the payment that is certain. A state is written only after its work was
/// acknowledged, and never falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogState {
    /// The intent is stored; no money has moved. A run goes on from it as from state 1, in which this program creates
    /// its logs.
    Created = 0,
    /// Order and log know each other; nothing is certain about money yet. A recharge waits for its gateway, any other
    /// payment debits its conditional legs: all applied leads to state 2 or 3, one refused to state 5 as failed.
    Ordered = 1,
    /// The money is secured: every conditional leg is applied, or a gateway has confirmed a recharge. The payment
    /// cannot fail any more. The credits lead to state 3.
    Funded = 2,
    /// Every leg is applied, and the outcome is `succeeded`. Once the order shows its mark, the log is closed: state 5,
    /// directly.
    Applied = 3,
    /// The order shows the result. This program does not write the state, but goes on from it: the log is closed.
    Settled = 4,
    /// Nothing is left to do; the outcome is final, and the log never changes again.
    Closed = 5,
}

impl LogState {
    /// The offset of the state of a log that moves to another store, so that no step of the source matches it.
    pub const FENCE: i64 = 10;

    /// The number in the log.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The number in a log before a relocation fenced it.
    #[must_use]
    pub fn without_fence(number: i64) -> i64 {
        if number < Self::FENCE {
            return number;
        }
        number.saturating_sub(Self::FENCE)
    }
}

impl TryFrom<i64> for LogState {
    type Error = ProtocolError;

    fn try_from(number: i64) -> Result<Self, ProtocolError> {
        match number {
            0 => Ok(Self::Created),
            1 => Ok(Self::Ordered),
            2 => Ok(Self::Funded),
            3 => Ok(Self::Applied),
            4 => Ok(Self::Settled),
            5 => Ok(Self::Closed),
            Self::FENCE..=15 => Err(ProtocolError::Moved("the log".into())),
            ..=-1 | 6..=9 | 16.. => Err(ProtocolError::malformed("state", "an integer from 0 to 5")),
        }
    }
}

/// The outcome of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Every leg is applied, once.
    Succeeded,
    /// No leg is applied, or each applied one is reversed.
    Failed,
}

impl Verdict {
    /// The text in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
