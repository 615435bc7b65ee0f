//! Once every leg is applied: the outcome in the log, the mark on the order, the closing.

use crate::model::{Document, Filter, Update};
use crate::payment::protocol::effect::{Effect, Outcome, Write};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::log::{CANCEL, LogState, Verdict};
use crate::payment::protocol::machine::{Answer, End, Next, Payment, Phase, Restart};
use crate::payment::protocol::order::{MarkStanding, OrderMark};

impl Payment {
    /// Writes the outcome and marks the order, in one round trip: either may land alone, since state 3 says that the
    /// order is still to be marked.
    pub(super) fn record(&mut self, mark: Option<OrderMark>) -> Result<Next, ProtocolError> {
        let log = self.own_log()?;
        let mut writes = Vec::with_capacity(2);
        let record_log = log.state < LogState::Applied;
        if record_log {
            // What stood in the way does no longer: recovery must find the log if its closing is lost.
            let mut update = Update::new()
                .set("state", LogState::Applied.number())
                .set("outcome", Verdict::Succeeded.name())
                .delete("stuck");
            if log.refusal.is_some() {
                // An operator wanted it cancelled, too late.
                update = update.delete(CANCEL);
            }
            writes.push(Write::Update {
                target: self.log_target()?,
                guard: Filter::all().eq("state", log.state.number()),
                update,
            });
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
        Ok(Next::Ask(effect))
    }

    pub(super) fn mark_write(&self, mark: OrderMark) -> Result<Write, ProtocolError> {
        let target = self.order_target()?;
        Ok(Write::Update {
            guard: mark.guard(self.epoch(&target)?),
            update: mark.body(),
            target,
        })
    }

    pub(super) fn recorded(
        &mut self,
        log: bool,
        mark: Option<OrderMark>,
        outcomes: Vec<Outcome>,
    ) -> Result<Next, ProtocolError> {
        let mut answers = outcomes.into_iter().map(Answer::from);
        if log {
            match answers.next() {
                Some(Answer::Applied(_)) => {
                    let log = self.own_log_mut()?;
                    log.reached(LogState::Applied);
                    log.stuck = None;
                    log.refusal = None;
                }
                Some(Answer::NotMatched) => return self.again(Restart::Overtaken),
                Some(Answer::None) | None => return self.again(Restart::NoAnswer),
            }
        }
        let Some(mark) = mark else {
            return Ok(self.settle());
        };
        match answers.next() {
            Some(Answer::Applied(_)) => Ok(self.settle()),
            Some(Answer::NotMatched) => self.weigh(mark),
            Some(Answer::None) | None => self.again(Restart::NoAnswer),
        }
    }

    /// Why the mark had no effect. Whether more of an order is to be refunded, no read can say: one that is older than
    /// the last refund would leave the order unmarked for ever. A write says it, which changes nothing.
    fn weigh(&mut self, mark: OrderMark) -> Result<Next, ProtocolError> {
        let target = self.order_target()?;
        let Some(guard) = mark.unfinished(self.epoch(&target)?) else {
            return Ok(self.ask_reason(target, Phase::LookingMarked { mark }));
        };
        self.phase = Phase::Weighing { mark };
        Ok(Next::Ask(Effect::Write(Write::Update {
            target,
            guard,
            update: Update::new().increment(OrderMark::REFUNDED, 0),
        })))
    }

    /// The refund that completes the order comes after this answer, and marks it.
    pub(super) fn weighed(&mut self, mark: OrderMark, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => Ok(self.settle()),
            Answer::NotMatched => {
                let target = self.order_target()?;
                Ok(self.ask_reason(target, Phase::LookingMarked { mark }))
            }
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    pub(super) fn looked_marked(
        &mut self,
        mark: OrderMark,
        order: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        let target = self.order_target()?;
        let order = order.ok_or_else(|| ProtocolError::NoDocument(target.clone()))?;
        match mark.standing(order, &target, self.epoch(&target)?)? {
            MarkStanding::Done => Ok(self.settle()),
            MarkStanding::Retry => self.again(Restart::EpochMoved),
            MarkStanding::Disagrees => Err(ProtocolError::OrderDisagrees {
                order: target,
                status: order.text("status").unwrap_or_default().to_owned(),
            }),
        }
    }

    /// Everything is certain that the caller asked for.
    pub(super) fn settle(&mut self) -> Next {
        self.phase = Phase::Settled;
        Next::Settled
    }

    /// Nothing is left to do.
    pub(super) fn close(&mut self) -> Result<Next, ProtocolError> {
        let effect = self.closing()?;
        Ok(Next::Ask(effect))
    }

    fn closing(&mut self) -> Result<Effect, ProtocolError> {
        let write = Write::Update {
            target: self.log_target()?,
            guard: Filter::all().eq("state", self.own_log()?.state.number()),
            update: Update::new().set("state", LogState::Closed.number()),
        };
        self.phase = Phase::Closing;
        Ok(Effect::Close(write))
    }

    pub(super) fn closed(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => {
                self.own_log_mut()?.state = LogState::Closed;
                Ok(self.end(End::Closed))
            }
            // Another worker has moved it on, most likely to the end.
            Answer::NotMatched => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::Rereading))
            }
            Answer::None => {
                let effect = self.closing()?;
                Ok(Next::Again(Restart::NoAnswer, effect))
            }
        }
    }
}
