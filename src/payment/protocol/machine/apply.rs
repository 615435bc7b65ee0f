//! The legs: conditional ones one at a time, refusal and reversal, then the unconditional ones.

use crate::model::{Document, Filter, Update};
use crate::payment::protocol::effect::{Effect, Outcome, Purpose, Write};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::leg::{Leg, Standing};
use crate::payment::protocol::log::{LogState, Verdict};
use crate::payment::protocol::machine::{Answer, End, Next, Payment, Phase, Restart};
use crate::payment::protocol::mark::{self, MarkKind};
use crate::payment::protocol::recovery::Wish;

impl Payment {
    /// Sends the conditional leg `index`; after the last one the money is secured.
    pub(super) fn take(&mut self, index: usize) -> Result<Next, ProtocolError> {
        if index >= self.intent().legs.conditional_count() {
            return self.credit();
        }
        let write = self.leg_write(index)?;
        self.phase = Phase::Taking { leg: index };
        Ok(Next::Ask(Effect::Write(write)))
    }

    fn leg_write(&self, index: usize) -> Result<Write, ProtocolError> {
        let log = &self.own_log()?.id;
        let leg = self.leg(index)?;
        Ok(Write::Update {
            target: leg.target.clone(),
            guard: leg.guard(log, self.epoch(&leg.target)?),
            update: leg.body(log),
        })
    }

    pub(super) fn taken(&mut self, index: usize, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => self.take(index.saturating_add(1)),
            Answer::NotMatched => {
                let target = self.leg(index)?.target.clone();
                Ok(self.ask_reason(target, Phase::Looking { leg: index }))
            }
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    fn standing(&self, index: usize, document: Option<&Document>) -> Result<Standing, ProtocolError> {
        let leg = self.leg(index)?;
        let document = document.ok_or_else(|| ProtocolError::NoDocument(leg.target.clone()))?;
        leg.standing(document, &self.own_log()?.id, self.epoch(&leg.target)?)
    }

    /// 305 does not say which condition failed: the document does.
    pub(super) fn looked(
        &mut self,
        index: usize,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        match self.standing(index, document)? {
            Standing::Applied => self.take(index.saturating_add(1)),
            Standing::Refused => self.reverse(index, index),
            Standing::Retry => self.again(Restart::EpochMoved),
            Standing::Unmet => self.refuse(index),
        }
    }

    /// Whether an operator wants the payment refused.
    pub(super) fn cancels(&self) -> bool {
        matches!(self.wish, Wish::Cancelled(_))
    }

    /// Refuses the conditional leg `index`, those before which are applied. After the last one there is none left.
    pub(super) fn refuse(&mut self, index: usize) -> Result<Next, ProtocolError> {
        if index >= self.intent().legs.conditional_count() {
            return Ok(self.end(End::Secured));
        }
        let log = &self.own_log()?.id;
        let leg = self.leg(index)?;
        let write = Write::Update {
            target: leg.target.clone(),
            guard: Leg::refusal_guard(log, self.epoch(&leg.target)?),
            update: Leg::refusal_body(log),
        };
        self.phase = Phase::Refusing { leg: index };
        Ok(Next::Ask(Effect::Write(write)))
    }

    pub(super) fn refused(&mut self, index: usize, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => self.reverse(index, index),
            Answer::NotMatched => {
                let target = self.leg(index)?.target.clone();
                Ok(self.ask_reason(target, Phase::LookingRefused { leg: index }))
            }
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    pub(super) fn looked_refused(
        &mut self,
        index: usize,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        match self.standing(index, document)? {
            Standing::Applied if self.cancels() => self.refuse(index.saturating_add(1)),
            Standing::Applied => self.take(index.saturating_add(1)),
            Standing::Refused => self.reverse(index, index),
            Standing::Retry | Standing::Unmet => self.again(Restart::EpochMoved),
        }
    }

    /// Takes back the legs before `below`, last first, each under its own mark; then the log is closed as failed.
    fn reverse(&mut self, below: usize, refused: usize) -> Result<Next, ProtocolError> {
        let Some(index) = below.checked_sub(1) else {
            return self.fail(refused);
        };
        let log = &self.own_log()?.id;
        let leg = self.leg(index)?;
        let write = Write::Update {
            target: leg.target.clone(),
            guard: Leg::reversal_guard(log, self.epoch(&leg.target)?),
            update: leg.reversal_body(log),
        };
        self.phase = Phase::Reversing { leg: index, refused };
        Ok(Next::Ask(Effect::Write(write)))
    }

    pub(super) fn reversed(
        &mut self,
        index: usize,
        refused: usize,
        outcome: Outcome,
    ) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => self.reverse(index, refused),
            Answer::NotMatched => {
                let target = self.leg(index)?.target.clone();
                Ok(self.ask_reason(target, Phase::LookingReversed { leg: index, refused }))
            }
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    pub(super) fn looked_reversed(
        &mut self,
        index: usize,
        refused: usize,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        let target = &self.leg(index)?.target;
        let document = document.ok_or_else(|| ProtocolError::NoDocument(target.clone()))?;
        if mark::holds(document, MarkKind::Undo, &self.own_log()?.id)? {
            self.reverse(index, refused)
        } else {
            self.again(Restart::EpochMoved)
        }
    }

    /// Why the payment fails, where the leg `index` was refused: for the operator's reason, if one wanted that.
    fn refusal_of(&self, index: usize) -> Result<Refusal, ProtocolError> {
        match &self.own_log()?.refusal {
            Some(refusal) => Ok(refusal.clone()),
            None => Ok(self.leg(index)?.refusal(&self.rules)),
        }
    }

    fn fail(&mut self, refused: usize) -> Result<Next, ProtocolError> {
        let log = self.own_log()?;
        let reason = self.refusal_of(refused)?.to_reason();
        let write = Write::Update {
            target: self.log_target()?,
            guard: Filter::all().eq("state", log.state.number()),
            update: Update::new()
                .set("state", LogState::Closed.number())
                .set("outcome", Verdict::Failed.name())
                .set("reason", reason)
                .delete("stuck"),
        };
        self.phase = Phase::Failing { refused };
        Ok(Next::Ask(Effect::Write(write)))
    }

    pub(super) fn failed(&mut self, refused: usize, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => {
                let refusal = self.refusal_of(refused)?;
                let log = self.own_log_mut()?;
                log.state = LogState::Closed;
                log.verdict = Some(Verdict::Failed);
                log.refusal = Some(refusal);
                log.stuck = None;
                Ok(self.end(End::Closed))
            }
            Answer::NotMatched => self.again(Restart::Overtaken),
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    /// Sends every unconditional leg: they are on different documents, and each may land without the others.
    pub(super) fn credit(&mut self) -> Result<Next, ProtocolError> {
        let legs = &self.intent().legs;
        let pending: Vec<usize> = (legs.conditional_count()..legs.as_slice().len()).collect();
        if pending.is_empty() {
            let mark = self.intent().order_mark(&self.rules)?;
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
        Ok(Next::Ask(effect))
    }

    pub(super) fn credited(&mut self, legs: &[usize], outcomes: &[Outcome]) -> Result<Next, ProtocolError> {
        let mut unmatched = Vec::new();
        for (&leg, outcome) in legs.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied(_) => {}
                Outcome::NotMatched => unmatched.push(leg),
                Outcome::Rejected(_) | Outcome::Unknown => return self.again(Restart::NoAnswer),
            }
        }
        if unmatched.is_empty() {
            let mark = self.intent().order_mark(&self.rules)?;
            return self.record(mark);
        }
        let targets = unmatched
            .iter()
            .map(|&leg| Ok(self.leg(leg)?.target.clone()))
            .collect::<Result<Vec<_>, ProtocolError>>()?;
        self.phase = Phase::LookingCredited { legs: unmatched };
        Ok(Next::Ask(Effect::Read(Purpose::Reason, targets)))
    }

    pub(super) fn looked_credited(
        &mut self,
        legs: &[usize],
        documents: &[Option<Document>],
    ) -> Result<Next, ProtocolError> {
        for (&leg, document) in legs.iter().zip(documents) {
            match self.standing(leg, document.as_ref())? {
                Standing::Applied => {}
                Standing::Retry | Standing::Unmet => return self.again(Restart::EpochMoved),
                // A credit is never refused: somebody wrote this mark by hand.
                Standing::Refused => {
                    return Err(ProtocolError::malformed("paylogs", "no void mark of a credit"));
                }
            }
        }
        let mark = self.intent().order_mark(&self.rules)?;
        self.record(mark)
    }
}
