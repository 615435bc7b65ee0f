//! The ways in which a hold or a withdrawal is settled.

use crate::payment::Kind;

/// The way in which a hold or a withdrawal is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payment) enum SettlementKind {
    /// A hold was captured, in part or in full.
    Captured,
    /// A hold was released.
    Released,
    /// A hold has expired.
    Expired,
    /// A withdrawal was paid out.
    PaidOut,
    /// A withdrawal could not be paid out.
    NotPaidOut,
}

impl SettlementKind {
    /// The parameter of a settlement's log that holds the name.
    pub(super) const PARAM: &str = "how";

    /// The parameter of a settlement's log that holds the id of the settled log.
    pub(super) const SETTLED_LOG_PARAM: &str = "log";

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::PaidOut => "paidOut",
            Self::NotPaidOut => "notPaidOut",
        }
    }

    /// The kind of payment that is settled in this way.
    pub(super) fn settles(self) -> Kind {
        match self {
            Self::Captured | Self::Released | Self::Expired => Kind::Hold,
            Self::PaidOut | Self::NotPaidOut => Kind::Withdraw,
        }
    }
}
