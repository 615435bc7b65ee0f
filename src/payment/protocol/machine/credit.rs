//! Credits: the unconditional legs, in one batch.

use crate::model::Document;
use crate::payment::protocol::effect::{Effect, Outcome, ReadPurpose};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::leg::LegStatus;
use crate::payment::protocol::machine::next::{Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::PaymentProcess;

impl PaymentProcess {
    /// Sends every unconditional leg. They are on different documents, and each may take effect without the others.
    pub(super) fn credit(&mut self) -> Result<Next, ProtocolError> {
        let legs = &self.intent().legs;
        let pending: Vec<usize> = (legs.conditional_count()..legs.as_slice().len()).collect();
        if pending.is_empty() {
            let mark = self.intent().order_mark(&self.names)?;
            return self.record(mark);
        }
        let mut writes = pending
            .iter()
            .map(|&index| self.leg_write(index))
            .collect::<Result<Vec<_>, _>>()?;
        let effect = match (writes.pop(), writes.is_empty()) {
            (Some(only), true) => Effect::Write(only),
            (last, _) => {
                writes.extend(last);
                Effect::Batch(writes)
            }
        };
        self.phase = Phase::Crediting { legs: pending };
        Ok(Next::Perform(effect))
    }

    pub(super) fn on_credit_results(
        &mut self,
        legs: &[usize],
        outcomes: &[Outcome],
    ) -> Result<Next, ProtocolError> {
        let mut unmatched = Vec::new();
        for (&leg, outcome) in legs.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied(_) => {}
                Outcome::NotMatched => unmatched.push(leg),
                Outcome::Rejected(_) | Outcome::Unknown => return self.restart(RestartReason::NoAnswer),
            }
        }
        if unmatched.is_empty() {
            let mark = self.intent().order_mark(&self.names)?;
            return self.record(mark);
        }
        let targets = unmatched
            .iter()
            .map(|&leg| Ok(self.leg(leg)?.target.clone()))
            .collect::<Result<Vec<_>, ProtocolError>>()?;
        self.phase = Phase::ReadingAfterCredit { legs: unmatched };
        Ok(Next::Perform(Effect::Read(ReadPurpose::Conflict, targets)))
    }

    pub(super) fn on_credit_reread(
        &mut self,
        legs: &[usize],
        documents: &[Option<Document>],
    ) -> Result<Next, ProtocolError> {
        for (&leg, document) in legs.iter().zip(documents) {
            match self.leg_status(leg, document.as_ref())? {
                LegStatus::Applied => {}
                LegStatus::Retry | LegStatus::Unmet => return self.restart(RestartReason::EpochMoved),
                // A credit is never refused: somebody wrote this mark by hand.
                LegStatus::Refused => {
                    return Err(ProtocolError::malformed("paylogs", "no void mark of a credit"));
                }
            }
        }
        let mark = self.intent().order_mark(&self.names)?;
        self.record(mark)
    }
}
