//! Totals over all logs.

use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::log::{Log, LogState};
use crate::payment::protocol::money::Amount;

/// Totals over logs, from the logs alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// The number of logs.
    pub logs: u64,
    /// The number of open logs.
    pub open: u64,
    /// The number of open logs that wait for an operator.
    pub stuck: u64,
    /// The money that gateways have paid, in minor units, and that no account has been credited with as far as the logs
    /// say.
    pub arrived: i128,
}

impl LogTotals {
    /// Adds a log.
    pub fn add(&mut self, log: &Log) {
        self.logs = self.logs.saturating_add(1);
        if log.state == LogState::Closed {
            return;
        }
        self.open = self.open.saturating_add(1);
        self.stuck = self.stuck.saturating_add(u64::from(log.stuck.is_some()));
        if log.intent.kind == Kind::Recharge && log.state == LogState::Funded {
            let amount = log.intent.amount.map_or(0, Amount::units);
            self.arrived = self.arrived.saturating_add(amount.into());
        }
    }
}
