//! Completion: the outcome in the log, the mark on the order, the closing.

use crate::model::write::Write;
use crate::model::{Document, Filter, Update};
use crate::payment::protocol::effect::{Effect, Outcome};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::log::{LogState, Verdict, fields};
use crate::payment::protocol::machine::acknowledgement::Acknowledgement;
use crate::payment::protocol::machine::next::{End, Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::PaymentProcess;
use crate::payment::protocol::order::{OrderMark, OrderMarkStatus};

impl PaymentProcess {
    /// Writes the outcome and marks the order, in one round trip. Either may take effect alone, because state 3 says
    /// that the order is still to be marked.
    pub(super) fn record(&mut self, mark: Option<OrderMark>) -> Result<Next, ProtocolError> {
        let log = self.own_log()?;
        let mut writes = Vec::with_capacity(2);
        let record_log = log.state < LogState::Applied;
        if record_log {
            // What stood in the way does no longer: recovery must find the log if its closing is lost.
            let mut update = Update::new()
                .set(fields::STATE, LogState::Applied.number())
                .set(fields::OUTCOME, Verdict::Succeeded.name())
                .delete(fields::STUCK);
            if log.refusal.is_some() {
                // An operator wanted it cancelled, too late.
                update = update.delete(fields::CANCEL);
            }
            writes.push(
                self.log_target()?
                    .update(Filter::all().eq(fields::STATE, log.state.number()), update),
            );
        }
        if let Some(mark) = mark {
            writes.push(self.mark_write(mark)?);
        }
        let effect = match (writes.pop(), writes.pop()) {
            (None, _) => return Ok(self.settle()),
            (Some(only), None) => Effect::Write(only),
            (Some(second), Some(first)) => Effect::Batch(vec![first, second]),
        };
        self.phase = Phase::Recording {
            log: record_log,
            mark,
        };
        Ok(Next::Perform(effect))
    }

    pub(super) fn mark_write(&self, mark: OrderMark) -> Result<Write, ProtocolError> {
        let target = self.order_target()?;
        Ok(target.update(mark.precondition(self.epoch(&target)?), mark.update()))
    }

    pub(super) fn on_record_results(
        &mut self,
        log: bool,
        mark: Option<OrderMark>,
        outcomes: Vec<Outcome>,
    ) -> Result<Next, ProtocolError> {
        let mut answers = outcomes.into_iter().map(Acknowledgement::from);
        if log {
            match answers.next() {
                Some(Acknowledgement::Applied(_)) => {
                    let log = self.own_log_mut()?;
                    log.reached(LogState::Applied);
                    log.stuck = None;
                    log.refusal = None;
                }
                Some(Acknowledgement::NotMatched) => return self.restart(RestartReason::Overtaken),
                Some(Acknowledgement::Missing) | None => return self.restart(RestartReason::NoAnswer),
            }
        }
        let Some(mark) = mark else {
            return Ok(self.settle());
        };
        match answers.next() {
            Some(Acknowledgement::Applied(_)) => Ok(self.settle()),
            Some(Acknowledgement::NotMatched) => self.probe_order(mark),
            Some(Acknowledgement::Missing) | None => self.restart(RestartReason::NoAnswer),
        }
    }

    /// Asks why the mark had no effect. No read can tell if more of an order is to be refunded: one older than the last
    /// refund would leave the order unmarked for ever. A write that changes nothing tells it.
    pub(super) fn probe_order(&mut self, mark: OrderMark) -> Result<Next, ProtocolError> {
        let target = self.order_target()?;
        let Some(precondition) = mark.unfinished(self.epoch(&target)?) else {
            return Ok(self.ask_reason(target, Phase::ReadingOrder { mark }));
        };
        self.phase = Phase::ProbingOrder { mark };
        Ok(Next::Perform(Effect::Write(target.update(
            precondition,
            Update::new().increment(OrderMark::REFUNDED, 0),
        ))))
    }

    /// Ends the wait: a refund that completes the order comes after this answer, and marks it.
    pub(super) fn on_probe_result(
        &mut self,
        mark: OrderMark,
        outcome: Outcome,
    ) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => Ok(self.settle()),
            Acknowledgement::NotMatched => {
                let target = self.order_target()?;
                Ok(self.ask_reason(target, Phase::ReadingOrder { mark }))
            }
            Acknowledgement::Missing => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn on_order_reread(
        &mut self,
        mark: OrderMark,
        order: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        let target = self.order_target()?;
        let order = order.ok_or_else(|| ProtocolError::NoDocument(target.clone()))?;
        match mark.standing(order, &target, self.epoch(&target)?)? {
            OrderMarkStatus::Shown => Ok(self.settle()),
            OrderMarkStatus::Retry => self.restart(RestartReason::EpochMoved),
            OrderMarkStatus::Contradicted => Err(ProtocolError::OrderDisagrees {
                order: target,
                status: order.text("status").unwrap_or_default().to_owned(),
            }),
        }
    }

    /// Reports that everything is certain that the caller asked for.
    pub(super) fn settle(&mut self) -> Next {
        self.phase = Phase::Settled;
        Next::Settled
    }

    /// Closes the log.
    pub(super) fn close(&mut self) -> Result<Next, ProtocolError> {
        let effect = self.closing()?;
        Ok(Next::Perform(effect))
    }

    pub(super) fn closing(&mut self) -> Result<Effect, ProtocolError> {
        let write = self.log_target()?.update(
            Filter::all().eq(fields::STATE, self.own_log()?.state.number()),
            Update::new().set(fields::STATE, LogState::Closed.number()),
        );
        self.phase = Phase::Closing;
        Ok(Effect::Close(write))
    }

    pub(super) fn on_close_result(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Acknowledgement::from(outcome) {
            Acknowledgement::Applied(_) => {
                self.own_log_mut()?.state = LogState::Closed;
                Ok(self.end(End::Closed))
            }
            // Another worker has moved it on, most likely to the end.
            Acknowledgement::NotMatched => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::ReadingLog))
            }
            Acknowledgement::Missing => {
                let effect = self.closing()?;
                Ok(Next::Restart(RestartReason::NoAnswer, effect))
            }
        }
    }
}
