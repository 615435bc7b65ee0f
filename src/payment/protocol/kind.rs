//! Kinds of payment.

use std::fmt;

/// The purpose of a payment. Its name is part of the idempotency key and of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Money that comes in through a gateway.
    Recharge,
    /// An attempt to pay an order from the balance.
    Purchase,
    /// An attempt to cancel or expire an order.
    Cancel,
    /// Money that goes from one account to another.
    Transfer,
    /// The return of a purchase's money, in part or in full.
    Refund,
    /// Money that is set aside to be paid out.
    Withdraw,
    /// Money that is set aside.
    Hold,
    /// The end of a hold or a withdrawal.
    Settle,
    /// An operator's correction.
    Adjust,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Recharge,
        Self::Purchase,
        Self::Cancel,
        Self::Transfer,
        Self::Refund,
        Self::Withdraw,
        Self::Hold,
        Self::Settle,
        Self::Adjust,
    ];

    /// The name in a log and in a key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recharge => "recharge",
            Self::Purchase => "purchase",
            Self::Cancel => "cancel",
            Self::Transfer => "transfer",
            Self::Refund => "refund",
            Self::Withdraw => "withdraw",
            Self::Hold => "hold",
            Self::Settle => "settle",
            Self::Adjust => "adjust",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
