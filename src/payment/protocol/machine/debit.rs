//! Debits: the conditional legs, one at a time.

use crate::model::Document;
use crate::model::write::Write;
use crate::payment::protocol::effect::{Effect, Outcome};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::leg::LegStatus;
use crate::payment::protocol::machine::acknowledgement::Acknowledgement;
use crate::payment::protocol::machine::next::{Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::PaymentProcess;

impl PaymentProcess {
    /// Sends the conditional leg `index`; after the last one the money is secured.
    pub(super) fn debit(&mut self, index: usize) -> Result<Next, ProtocolError> {
        if index >= self.intent().legs.conditional_count() {
            return self.credit();
        }
        let write = self.leg_write(index)?;
        self.phase = Phase::Debiting { leg: index };
        Ok(Next::Perform(Effect::Write(write)))
    }

    pub(super) fn leg_write(&self, index: usize) -> Result<Write, ProtocolError> {
        let log = &self.own_log()?.id;
        let leg = self.leg(index)?;
        Ok(leg
            .target
            .update(leg.precondition(log, self.epoch(&leg.target)?), leg.update(log)))
    }

    pub(super) fn on_debit_result(&mut self, index: usize, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => self.debit(index.saturating_add(1)),
            Acknowledgement::NotMatched => {
                let target = self.leg(index)?.target.clone();
                Ok(self.ask_reason(target, Phase::ReadingAfterDebit { leg: index }))
            }
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn leg_status(
        &self,
        index: usize,
        document: Option<&Document>,
    ) -> Result<LegStatus, ProtocolError> {
        let leg = self.leg(index)?;
        let document = document.ok_or_else(|| ProtocolError::NoDocument(leg.target.clone()))?;
        leg.status(document, &self.own_log()?.id, self.epoch(&leg.target)?)
    }

    /// Decides by the document: 305 does not say which condition failed.
    pub(super) fn on_debit_reread(
        &mut self,
        index: usize,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        match self.leg_status(index, document)? {
            LegStatus::Applied => self.debit(index.saturating_add(1)),
            LegStatus::Refused => self.reverse(index, index),
            LegStatus::Retry => self.restart(RestartReason::EpochMoved),
            LegStatus::Unmet => self.refuse(index),
        }
    }
}
