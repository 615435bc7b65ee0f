//! The atomic commit: log, legs and order mark in one all-or-nothing write, and the reasons of its refusal.

use crate::model::write::Write;
use crate::model::{Document, ErrorCode, Filter, Update};
use crate::payment::protocol::effect::{AtomicOutcome, Effect, Outcome};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::leg::LegStatus;
use crate::payment::protocol::log::{LogState, Verdict, fields};
use crate::payment::protocol::machine::creation::no_such_document;
use crate::payment::protocol::machine::new_payment::CommitMode;
use crate::payment::protocol::machine::next::{Next, RestartReason};
use crate::payment::protocol::machine::phase::{Part, Phase};
use crate::payment::protocol::machine::process::{PaymentProcess, Subject};
use crate::payment::protocol::mark::PAY_EPOCH;
use crate::payment::protocol::order::{OrderMark, OrderMarkStatus, OrderStatus};

impl PaymentProcess {
    /// As `decline`, for a requirement that was read as not met. The read may be stale: the refusal stands only if the
    /// epoch has not moved, so that the requirement is what kept the commit from having an effect.
    pub(super) fn decline_unmet(&mut self, index: usize) -> Result<Effect, ProtocolError> {
        let leg = self.leg(index)?;
        let refusal = leg.refusal(&self.names);
        let same_epoch = leg.target.update(
            Filter::all().and(self.epoch(&leg.target)?.precondition()),
            Update::new().increment(PAY_EPOCH, 0),
        );
        let writes = vec![self.declining_log(&refusal)?, same_epoch];
        self.phase = Phase::DecliningUnmet(refusal);
        Ok(Effect::Commit(writes))
    }

    pub(super) fn on_decline_unmet_result(
        &mut self,
        refusal: Refusal,
        commit: AtomicOutcome,
    ) -> Result<Next, ProtocolError> {
        match commit {
            AtomicOutcome::Applied(answers) => {
                let answer = answers.into_iter().next().unwrap_or_default();
                self.adopt_declined(refusal, &answer)
            }
            AtomicOutcome::Refused(0, Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)) => {
                Ok(Next::Perform(self.look_up_key(true)))
            }
            AtomicOutcome::Refused(_, Outcome::NotMatched) => self.restart(RestartReason::EpochMoved),
            AtomicOutcome::Refused(_, Outcome::Applied(_) | Outcome::Rejected(_) | Outcome::Unknown)
            | AtomicOutcome::Unknown => self.restart(RestartReason::NoAnswer),
        }
    }

    /// The parts of a commit, in order: the log, every leg that changes or requires something, the order's mark.
    pub(super) fn commit_parts(&self) -> Result<Vec<Part>, ProtocolError> {
        let intent = self.intent();
        let mut parts = vec![Part::Log];
        for (index, leg) in intent.legs.as_slice().iter().enumerate() {
            if self.keeps_marks() || leg.is_conditional() || !leg.add.is_empty() {
                parts.push(Part::Leg(index));
            }
        }
        match intent.order_mark(&self.names)? {
            // Whether a refund completes the order is known only once it has been applied.
            None | Some(OrderMark::Refunded { .. }) => {}
            Some(mark) => parts.push(Part::Mark(mark)),
        }
        Ok(parts)
    }

    /// Returns true if the legs leave marks. Only a commit that creates the log as applied may leave them out: no lower
    /// state of it ever exists.
    pub(super) fn keeps_marks(&self) -> bool {
        match &self.subject {
            Subject::New(_) => false,
            Subject::Confirmation(..) | Subject::Log(_) => true,
        }
    }

    /// Writes everything in one commit. The epoch is a precondition of every document, with or without marks.
    pub(super) fn commit(&mut self) -> Result<Effect, ProtocolError> {
        let writes = self
            .commit_parts()?
            .into_iter()
            .map(|part| self.part_write(part))
            .collect::<Result<Vec<_>, _>>()?;
        self.phase = Phase::Committing;
        Ok(Effect::Commit(writes))
    }

    pub(super) fn part_write(&self, part: Part) -> Result<Write, ProtocolError> {
        match part {
            Part::Log => match &self.subject {
                Subject::New(draft) => {
                    let mut fields = draft
                        .intent
                        .to_update(&self.names, LogState::Applied)
                        .set(fields::OUTCOME, Verdict::Succeeded.name());
                    if let Some(trade_no) = &draft.trade_no {
                        fields = fields.set(fields::TRADE_NO, trade_no.as_str());
                    }
                    if let Some(time) = draft.expires_at {
                        fields = fields.set(fields::EXPIRES_AT, time.to_date());
                    }
                    Ok(self.create_log(fields))
                }
                Subject::Confirmation(_, trade_no) => Ok(self.log_target()?.update(
                    Filter::all().eq(fields::STATE, LogState::Ordered.number()),
                    Update::new()
                        .set(fields::STATE, LogState::Applied.number())
                        .set(fields::OUTCOME, Verdict::Succeeded.name())
                        .set(fields::TRADE_NO, trade_no.as_str())
                        .delete(fields::STUCK),
                )),
                Subject::Log(_) => Err(ProtocolError::UnexpectedInput {
                    asked: "a draft",
                    given: "a log",
                }),
            },
            Part::Leg(index) => {
                let leg = self.leg(index)?;
                let epoch = self.epoch(&leg.target)?;
                let (precondition, update) = if self.keeps_marks() {
                    let id = &self.own_log()?.id;
                    (leg.precondition(id, epoch), leg.update(id))
                } else {
                    (leg.precondition_unmarked(epoch), leg.update_unmarked())
                };
                Ok(leg.target.update(precondition, update))
            }
            Part::Mark(mark) => self.mark_write(mark),
        }
    }

    pub(super) fn on_commit_result(&mut self, commit: AtomicOutcome) -> Result<Next, ProtocolError> {
        match commit {
            AtomicOutcome::Applied(answers) => {
                let answer = answers.into_iter().next().unwrap_or_default();
                match &self.subject {
                    Subject::New(_) => self.adopt_created(LogState::Applied, &answer)?,
                    Subject::Confirmation(log, trade_no) => {
                        let mut log = log.clone();
                        log.trade_no = Some(trade_no.clone());
                        log.stuck = None;
                        log.reached(LogState::Applied);
                        self.subject = Subject::Log(log);
                    }
                    Subject::Log(_) => {}
                }
                match self.intent().order_mark(&self.names)? {
                    mark @ Some(OrderMark::Refunded { .. }) => self.record(mark),
                    None | Some(OrderMark::Paid | OrderMark::Cancelled | OrderMark::Expired) => {
                        Ok(self.settle())
                    }
                }
            }
            AtomicOutcome::Refused(index, outcome) => self.commit_refused(index, outcome),
            AtomicOutcome::Unknown => self.restart(RestartReason::NoAnswer),
        }
    }

    /// Handles a refused commit: nothing has happened, and the document that did not match says why.
    pub(super) fn commit_refused(&mut self, index: usize, outcome: Outcome) -> Result<Next, ProtocolError> {
        let part = self.commit_parts()?.get(index).copied();
        let confirmation = matches!(self.subject, Subject::Confirmation(..));
        match (part, outcome) {
            (Some(Part::Log), Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)) => {
                Ok(Next::Perform(self.look_up_key(false)))
            }
            (Some(Part::Log), Outcome::NotMatched) if confirmation => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::ReadingAfterConfirm))
            }
            (Some(_), Outcome::NotMatched) if self.has_arrived() => {
                // Step by step every such case has its answer: pruned, moved, or stuck with the money recorded.
                self.manner = CommitMode::PerDocument;
                self.restart(RestartReason::EpochMoved)
            }
            (Some(Part::Leg(leg)), Outcome::NotMatched) => {
                let target = self.leg(leg)?.target.clone();
                Ok(self.ask_reason(target, Phase::ReadingAfterCommit(Part::Leg(leg))))
            }
            (Some(Part::Mark(mark)), Outcome::NotMatched) => {
                let target = self.order_target()?;
                Ok(self.ask_reason(target, Phase::ReadingAfterCommit(Part::Mark(mark))))
            }
            (
                Some(Part::Log | Part::Leg(_) | Part::Mark(_)) | None,
                Outcome::NotMatched | Outcome::Applied(_) | Outcome::Rejected(_) | Outcome::Unknown,
            ) => self.restart(RestartReason::NoAnswer),
        }
    }

    pub(super) fn on_commit_reread(
        &mut self,
        part: Part,
        document: Option<&Document>,
    ) -> Result<Next, ProtocolError> {
        let refusal = match part {
            Part::Log => None,
            Part::Leg(index) => {
                let leg = self.leg(index)?;
                match document {
                    None if self.intent().refusal_key().is_none() => {
                        return Err(ProtocolError::NoDocument(leg.target.clone()));
                    }
                    None => Some(no_such_document(&leg.target)),
                    Some(document) => match leg.status_unmarked(document, self.epoch(&leg.target)?)? {
                        LegStatus::Unmet => return self.decline_unmet(index).map(Next::Perform),
                        LegStatus::Applied | LegStatus::Refused | LegStatus::Retry => None,
                    },
                }
            }
            Part::Mark(mark) => {
                let target = self.order_target()?;
                match document {
                    None => Some(no_such_document(&target)),
                    Some(order) => match mark.standing(order, &target, self.epoch(&target)?)? {
                        OrderMarkStatus::Retry => None,
                        OrderMarkStatus::Shown | OrderMarkStatus::Contradicted => {
                            let status = order.text("status").and_then(OrderStatus::from_name);
                            Some(status.unwrap_or(OrderStatus::Pending).refusal())
                        }
                    },
                }
            }
        };
        match refusal {
            Some(refusal) => self.decline(refusal).map(Next::Perform),
            None => self.restart(RestartReason::EpochMoved),
        }
    }
}
