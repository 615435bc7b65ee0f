//! Refusals: the tombstone of a conditional leg, the reversal of those before it, and the failed log.

use crate::model::{Document, Filter, Update};
use crate::payment::protocol::effect::{Effect, Outcome};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::leg::{Leg, LegStatus};
use crate::payment::protocol::log::{LogState, Verdict, fields};
use crate::payment::protocol::machine::acknowledgement::Acknowledgement;
use crate::payment::protocol::machine::next::{End, Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::PaymentProcess;
use crate::payment::protocol::mark::{self, MarkKind};
use crate::payment::protocol::recovery::TakeoverReason;

impl PaymentProcess {
    /// Returns true if an operator wants the payment refused.
    pub(super) fn cancels(&self) -> bool {
        matches!(self.takeover_reason, TakeoverReason::Cancellation(_))
    }

    /// Refuses the conditional leg `index`, after the applied ones before it. After the last one there is none left.
    pub(super) fn refuse(&mut self, index: usize) -> Result<Next, ProtocolError> {
        if index >= self.intent().legs.conditional_count() {
            return Ok(self.end(End::Secured));
        }
        let log = &self.own_log()?.id;
        let leg = self.leg(index)?;
        let write = leg.target.update(
            Leg::refusal_precondition(log, self.epoch(&leg.target)?),
            Leg::refusal_update(log),
        );
        self.phase = Phase::Refusing { leg: index };
        Ok(Next::Perform(Effect::Write(write)))
    }

    pub(super) fn on_refusal_result(
        &mut self,
        index: usize,
        outcome: Outcome,
    ) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => self.reverse(index, index),
            Acknowledgement::NotMatched => {
                let target = self.leg(index)?.target.clone();
                Ok(self.ask_reason(target, Phase::ReadingAfterRefusal { leg: index }))
            }
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn on_refusal_reread(
        &mut self,
        index: usize,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        match self.leg_status(index, document)? {
            LegStatus::Applied if self.cancels() => self.refuse(index.saturating_add(1)),
            LegStatus::Applied => self.debit(index.saturating_add(1)),
            LegStatus::Refused => self.reverse(index, index),
            LegStatus::Retry | LegStatus::Unmet => self.restart(RestartReason::EpochMoved),
        }
    }

    /// Reverses the legs before `below`, last first, each under its own mark; then the log is closed as failed.
    pub(super) fn reverse(&mut self, below: usize, refused: usize) -> Result<Next, ProtocolError> {
        let Some(index) = below.checked_sub(1) else {
            return self.close_as_failed(refused);
        };
        let log = &self.own_log()?.id;
        let leg = self.leg(index)?;
        let write = leg.target.update(
            Leg::reversal_precondition(log, self.epoch(&leg.target)?),
            leg.reversal_update(log),
        );
        self.phase = Phase::Reversing { leg: index, refused };
        Ok(Next::Perform(Effect::Write(write)))
    }

    pub(super) fn on_reversal_result(
        &mut self,
        index: usize,
        refused: usize,
        outcome: Outcome,
    ) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => self.reverse(index, refused),
            Acknowledgement::NotMatched => {
                let target = self.leg(index)?.target.clone();
                Ok(self.ask_reason(target, Phase::ReadingAfterReversal { leg: index, refused }))
            }
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn on_reversal_reread(
        &mut self,
        index: usize,
        refused: usize,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        let target = &self.leg(index)?.target;
        let document = document.ok_or_else(|| ProtocolError::NoDocument(target.clone()))?;
        if mark::has_mark(document, MarkKind::Undo, &self.own_log()?.id)? {
            self.reverse(index, refused)
        } else {
            self.restart(RestartReason::EpochMoved)
        }
    }

    /// The reason of the failure, if the leg `index` was refused: the operator's reason, if there is one.
    pub(super) fn refusal_of(&self, index: usize) -> Result<Refusal, ProtocolError> {
        match &self.own_log()?.refusal {
            Some(refusal) => Ok(refusal.clone()),
            None => Ok(self.leg(index)?.refusal(&self.names)),
        }
    }

    pub(super) fn close_as_failed(&mut self, refused: usize) -> Result<Next, ProtocolError> {
        let log = self.own_log()?;
        let reason = self.refusal_of(refused)?.to_reason();
        let write = self.log_target()?.update(
            Filter::all().eq(fields::STATE, log.state.number()),
            Update::new()
                .set(fields::STATE, LogState::Closed.number())
                .set(fields::OUTCOME, Verdict::Failed.name())
                .set(fields::REASON, reason)
                .delete(fields::STUCK),
        );
        self.phase = Phase::Failing { refused };
        Ok(Next::Perform(Effect::Write(write)))
    }

    pub(super) fn on_failure_result(
        &mut self,
        refused: usize,
        outcome: Outcome,
    ) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => {
                let refusal = self.refusal_of(refused)?;
                let log = self.own_log_mut()?;
                log.state = LogState::Closed;
                log.verdict = Some(Verdict::Failed);
                log.refusal = Some(refusal);
                log.stuck = None;
                Ok(self.end(End::Closed))
            }
            Acknowledgement::NotMatched => self.restart(RestartReason::Overtaken),
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }
}
