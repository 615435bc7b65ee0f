//! Until the log is this worker's to carry out: its epochs, its creation or its claim.

use crate::model::{Document, ErrorCode, Filter, Update};
use crate::payment::protocol::effect::{Commit, Effect, Outcome, Purpose, Write};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::leg::{Standing, Target};
use crate::payment::protocol::log::{EXPIRES_AT, Log, LogState, Verdict};
use crate::payment::protocol::machine::{
    Answer, Draft, End, Manner, Next, Part, Payment, Phase, Restart, Subject,
};
use crate::payment::protocol::mark::{Epoch, PAY_EPOCH};
use crate::payment::protocol::order::{MarkStanding, OrderMark, OrderStatus};
use crate::payment::protocol::recovery::{self, Claim, Wish};

impl Payment {
    /// Step 1 of recovery, and of everything else: read the epochs first. A log that moves no money yet (a refusal,
    /// a recharge that waits for its gateway) needs none.
    pub(super) fn begin(&mut self) -> Result<Effect, ProtocolError> {
        self.epochs.clear();
        if let Subject::Draft(draft) = &self.subject {
            if let Some(refusal) = draft.refusal.clone() {
                return self.decline(refusal);
            }
            if draft.intent.kind == crate::payment::protocol::kind::Kind::Recharge
                && draft.state <= LogState::Ordered
            {
                return self.create();
            }
        }
        self.phase = Phase::ReadingEpochs;
        Ok(Effect::Read(Purpose::Epochs, self.targets()?))
    }

    /// From step 1 of recovery, because of `why`.
    pub(super) fn again(&mut self, why: Restart) -> Result<Next, ProtocolError> {
        Ok(Next::Again(why, self.begin()?))
    }

    pub(super) fn epochs_read(&mut self, documents: &[Option<Document>]) -> Result<Next, ProtocolError> {
        let targets = self.targets()?;
        let arrived = self.has_arrived();
        for (target, document) in targets.iter().zip(documents) {
            let Some(document) = document else { continue };
            match Epoch::of(document, target) {
                Ok(epoch) => {
                    self.epochs.insert(target.clone(), epoch);
                }
                Err(ProtocolError::Malformed { .. }) if arrived => {}
                Err(error) => return Err(error),
            }
        }
        let absent = targets.iter().find(|target| !self.epochs.contains_key(target));
        if arrived && absent.is_some() {
            // Money that has arrived is recorded first, in state 2; then the log waits for an operator.
            self.manner = Manner::Stepwise;
        }
        match &self.subject {
            Subject::Draft(_) => {
                // Nothing has begun yet, so a missing document is a refusal, not a log that waits for an operator.
                if let Some(absent) = absent.filter(|_| !arrived) {
                    if self.intent().refusal_key().is_none() {
                        return Err(ProtocolError::NoDocument(absent.clone()));
                    }
                    return self.decline(no_such_document(absent)).map(Next::Ask);
                }
                match self.manner {
                    Manner::Stepwise => self.create().map(Next::Ask),
                    Manner::AtOnce => self.commit().map(Next::Ask),
                }
            }
            Subject::Confirmation(..) => match self.manner {
                Manner::Stepwise => self.confirm().map(Next::Ask),
                Manner::AtOnce => self.commit().map(Next::Ask),
            },
            Subject::Log(log) => {
                // What was asked for may have taken effect, answered or not: it counts from then on.
                let which = if self.claimed {
                    Claim::Repeated
                } else {
                    Claim::First
                };
                let claim = recovery::claim(&self.rules, log, &self.worker, which, &self.wish);
                self.claimed = true;
                self.phase = Phase::Claiming;
                Ok(Next::Ask(Effect::Write(claim)))
            }
        }
    }

    /// Whether this is money that a gateway has confirmed: it is never refused, whatever stands in the way.
    fn has_arrived(&self) -> bool {
        match &self.subject {
            Subject::Draft(draft) => draft.trade_no.is_some(),
            Subject::Confirmation(..) => true,
            Subject::Log(_) => false,
        }
    }

    fn draft(&self) -> Result<&Draft, ProtocolError> {
        match &self.subject {
            Subject::Draft(draft) => Ok(draft),
            Subject::Confirmation(..) | Subject::Log(_) => Err(ProtocolError::UnexpectedInput {
                asked: "a draft",
                given: "a log",
            }),
        }
    }

    fn create(&mut self) -> Result<Effect, ProtocolError> {
        let draft = self.draft()?;
        let mut fields = draft.intent.to_update(&self.rules, draft.state);
        if let Some(trade_no) = &draft.trade_no {
            fields = fields.set("tradeNo", trade_no.as_str());
        }
        if let Some(stuck) = &draft.stuck {
            fields = fields.set("stuck", stuck.as_str());
        }
        if let Some(time) = draft.expires_at {
            fields = fields.set(EXPIRES_AT, time.to_date());
        }
        self.phase = Phase::Creating;
        Ok(Effect::Write(self.create_log(fields)))
    }

    fn create_log(&self, fields: Update) -> Write {
        Write::Create {
            class: self.rules.log_class.clone(),
            fields,
        }
    }

    /// Takes over a log that this payment has just created.
    fn adopt_created(&mut self, state: LogState, answer: &Document) -> Result<(), ProtocolError> {
        let draft = self.draft()?;
        let mut log = Log::created(draft.intent.clone(), state, answer)?;
        log.trade_no.clone_from(&draft.trade_no);
        log.stuck.clone_from(&draft.stuck);
        self.subject = Subject::Log(Box::new(log));
        Ok(())
    }

    /// Only a create that was answered with success is one's own; after 137, or no answer, it is someone's.
    pub(super) fn created(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match outcome {
            Outcome::Applied(answer) => {
                let state = self.draft()?.state;
                self.adopt_created(state, &answer)?;
                self.carry_on()
            }
            Outcome::Rejected(ErrorCode::DUPLICATE_VALUE) => Ok(Next::Ask(self.find(false))),
            Outcome::NotMatched | Outcome::Rejected(_) | Outcome::Unknown => self.again(Restart::NoAnswer),
        }
    }

    /// The refusal alone, as a log that is closed from the beginning: no create under way can pay after it stands.
    fn decline(&mut self, refusal: Refusal) -> Result<Effect, ProtocolError> {
        let log = self.declining_log(&refusal)?;
        self.phase = Phase::Declining(refusal);
        Ok(Effect::Write(log))
    }

    fn declining_log(&self, refusal: &Refusal) -> Result<Write, ProtocolError> {
        let fields = self
            .intent()
            .to_update(&self.rules, LogState::Closed)
            .set("key", self.refusal_key()?)
            .set("outcome", Verdict::Failed.name())
            .set("reason", refusal.to_reason());
        Ok(self.create_log(fields))
    }

    fn refusal_key(&self) -> Result<String, ProtocolError> {
        let key = self.intent().refusal_key().map(ToOwned::to_owned);
        key.ok_or_else(|| ProtocolError::malformed("requestKey", "the key of whoever is refused"))
    }

    pub(super) fn declined(&mut self, refusal: Refusal, outcome: Outcome) -> Result<Next, ProtocolError> {
        match outcome {
            Outcome::Applied(answer) => self.adopt_declined(refusal, &answer),
            Outcome::Rejected(ErrorCode::DUPLICATE_VALUE) => Ok(Next::Ask(self.find(true))),
            Outcome::NotMatched | Outcome::Rejected(_) | Outcome::Unknown => self.again(Restart::NoAnswer),
        }
    }

    fn adopt_declined(&mut self, refusal: Refusal, answer: &Document) -> Result<Next, ProtocolError> {
        let key = self.refusal_key()?;
        self.adopt_created(LogState::Closed, answer)?;
        let log = self.own_log_mut()?;
        log.intent.key = key;
        log.verdict = Some(Verdict::Failed);
        log.refusal = Some(refusal);
        Ok(self.end(End::Closed))
    }

    /// As [`Payment::decline`], for a requirement that was read as not met. The read may be stale: the refusal stands
    /// only if the epoch has not moved, so that the requirement is what kept the commit from having an effect.
    fn decline_unmet(&mut self, index: usize) -> Result<Effect, ProtocolError> {
        let leg = self.leg(index)?;
        let refusal = leg.refusal(&self.rules);
        let same_epoch = Write::Update {
            target: leg.target.clone(),
            guard: Filter::all().and(self.epoch(&leg.target)?.guard()),
            update: Update::new().increment(PAY_EPOCH, 0),
        };
        let writes = vec![self.declining_log(&refusal)?, same_epoch];
        self.phase = Phase::DecliningUnmet(refusal);
        Ok(Effect::Commit(writes))
    }

    pub(super) fn declined_unmet(&mut self, refusal: Refusal, commit: Commit) -> Result<Next, ProtocolError> {
        match commit {
            Commit::Applied(answers) => {
                let answer = answers.into_iter().next().unwrap_or_default();
                self.adopt_declined(refusal, &answer)
            }
            Commit::Refused(0, Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)) => {
                Ok(Next::Ask(self.find(true)))
            }
            Commit::Refused(_, Outcome::NotMatched) => self.again(Restart::EpochMoved),
            Commit::Refused(_, Outcome::Applied(_) | Outcome::Rejected(_) | Outcome::Unknown)
            | Commit::Unknown => self.again(Restart::NoAnswer),
        }
    }

    /// Which log holds one of our unique keys; the one of a refusal, where that is `declined`.
    fn find(&mut self, declined: bool) -> Effect {
        let intent = self.intent();
        let mut keys = vec![Filter::all().eq("key", intent.key.as_str())];
        if let Some(key) = &intent.request_key {
            keys.push(Filter::all().eq("requestKey", key.as_str()));
        }
        if let Some(number) = &intent.number {
            keys.push(Filter::all().eq("number", number.as_str()));
        }
        let filter = if let [only] = keys.as_slice() {
            only.clone()
        } else {
            Filter::all().and_any(keys)
        };
        self.phase = Phase::Finding { declined };
        Effect::Find(self.rules.log_class.clone(), filter)
    }

    pub(super) fn found(&mut self, declined: bool, documents: &[Document]) -> Result<Next, ProtocolError> {
        let logs = documents
            .iter()
            .map(|document| Log::from_document(document, &self.rules))
            .collect::<Result<Vec<_>, _>>()?;
        let intent = self.intent();
        // Our own request comes first: it may hold an earlier attempt while the key is somebody else's.
        let ours = |log: &&Log| intent.request_key.is_some() && log.intent.request_key == intent.request_key;
        // A refusal was kept out by a log under its own key, which need not be the key of the payment. A read that shows
        // another log alone is older than that.
        let kept_out = |log: &&Log| {
            !declined
                || ours(log)
                || intent.refusal_key() == Some(log.intent.key.as_str())
                || intent.number.is_some() && log.intent.number == intent.number
        };
        let found = logs
            .iter()
            .find(ours)
            .or_else(|| logs.iter().find(|log| log.intent.key == intent.key))
            .or_else(|| logs.first())
            .filter(kept_out);
        let Some(log) = found.cloned() else {
            // A log that a read does not show yet is read again, never taken for absent.
            let find = self.find(declined);
            return Ok(Next::Again(Restart::NotSeenYet, find));
        };
        let repeats = intent.repeats(&log.intent);
        self.adopt(log, repeats)
    }

    /// Takes over a log that was there before, as far as it is the same request.
    fn adopt(&mut self, log: Log, repeats: bool) -> Result<Next, ProtocolError> {
        let state = log.state;
        let waits = log.waits_for_gateway();
        self.subject = Subject::Log(Box::new(log));
        self.replayed = true;
        if !repeats {
            return Ok(self.end(End::Taken));
        }
        if state == LogState::Closed {
            return Ok(self.end(End::Closed));
        }
        if waits {
            return Ok(self.end(End::Waiting));
        }
        self.begin().map(Next::Ask)
    }

    /// The writes of a commit, in order: the log, every leg that changes or requires something, the order's mark.
    fn parts(&self) -> Result<Vec<Part>, ProtocolError> {
        let intent = self.intent();
        let mut parts = vec![Part::Log];
        for (index, leg) in intent.legs.as_slice().iter().enumerate() {
            if self.keeps_marks() || leg.is_conditional() || !leg.add.is_empty() {
                parts.push(Part::Leg(index));
            }
        }
        match intent.order_mark(&self.rules)? {
            // Whether a refund completes the order is known only once it has been applied.
            None | Some(OrderMark::Refunded { .. }) => {}
            Some(mark) => parts.push(Part::Mark(mark)),
        }
        Ok(parts)
    }

    /// Only a commit that creates the log as applied may leave the marks out: no lower state of it ever exists.
    fn keeps_marks(&self) -> bool {
        match &self.subject {
            Subject::Draft(_) => false,
            Subject::Confirmation(..) | Subject::Log(_) => true,
        }
    }

    /// Everything in one commit. The epoch guards every document, marks or not.
    fn commit(&mut self) -> Result<Effect, ProtocolError> {
        let writes = self
            .parts()?
            .into_iter()
            .map(|part| self.part_write(part))
            .collect::<Result<Vec<_>, _>>()?;
        self.phase = Phase::Committing;
        Ok(Effect::Commit(writes))
    }

    fn part_write(&self, part: Part) -> Result<Write, ProtocolError> {
        match part {
            Part::Log => match &self.subject {
                Subject::Draft(draft) => {
                    let mut fields = draft
                        .intent
                        .to_update(&self.rules, LogState::Applied)
                        .set("outcome", Verdict::Succeeded.name());
                    if let Some(trade_no) = &draft.trade_no {
                        fields = fields.set("tradeNo", trade_no.as_str());
                    }
                    if let Some(time) = draft.expires_at {
                        fields = fields.set(EXPIRES_AT, time.to_date());
                    }
                    Ok(self.create_log(fields))
                }
                Subject::Confirmation(_, trade_no) => Ok(Write::Update {
                    target: self.log_target()?,
                    guard: Filter::all().eq("state", LogState::Ordered.number()),
                    update: Update::new()
                        .set("state", LogState::Applied.number())
                        .set("outcome", Verdict::Succeeded.name())
                        .set("tradeNo", trade_no.as_str())
                        .delete("stuck"),
                }),
                Subject::Log(_) => Err(ProtocolError::UnexpectedInput {
                    asked: "a draft",
                    given: "a log",
                }),
            },
            Part::Leg(index) => {
                let leg = self.leg(index)?;
                let epoch = self.epoch(&leg.target)?;
                let (guard, update) = if self.keeps_marks() {
                    let id = &self.own_log()?.id;
                    (leg.guard(id, epoch), leg.body(id))
                } else {
                    (leg.guard_unmarked(epoch), leg.body_unmarked())
                };
                Ok(Write::Update {
                    target: leg.target.clone(),
                    guard,
                    update,
                })
            }
            Part::Mark(mark) => self.mark_write(mark),
        }
    }

    pub(super) fn committed(&mut self, commit: Commit) -> Result<Next, ProtocolError> {
        match commit {
            Commit::Applied(answers) => {
                let answer = answers.into_iter().next().unwrap_or_default();
                match &self.subject {
                    Subject::Draft(_) => self.adopt_created(LogState::Applied, &answer)?,
                    Subject::Confirmation(log, trade_no) => {
                        let mut log = log.clone();
                        log.trade_no = Some(trade_no.clone());
                        log.stuck = None;
                        log.reached(LogState::Applied);
                        self.subject = Subject::Log(log);
                    }
                    Subject::Log(_) => {}
                }
                match self.intent().order_mark(&self.rules)? {
                    mark @ Some(OrderMark::Refunded { .. }) => self.record(mark),
                    None | Some(OrderMark::Paid | OrderMark::Cancelled | OrderMark::Expired) => {
                        Ok(self.settle())
                    }
                }
            }
            Commit::Refused(index, outcome) => self.commit_refused(index, outcome),
            Commit::Unknown => self.again(Restart::NoAnswer),
        }
    }

    /// Nothing has happened. The document that did not match says why.
    fn commit_refused(&mut self, index: usize, outcome: Outcome) -> Result<Next, ProtocolError> {
        let part = self.parts()?.get(index).copied();
        let confirmation = matches!(self.subject, Subject::Confirmation(..));
        match (part, outcome) {
            (Some(Part::Log), Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)) => {
                Ok(Next::Ask(self.find(false)))
            }
            (Some(Part::Log), Outcome::NotMatched) if confirmation => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::LookingAtConfirmed))
            }
            (Some(_), Outcome::NotMatched) if self.has_arrived() => {
                // Step by step every such case has its answer: pruned, moved, or stuck with the money recorded.
                self.manner = Manner::Stepwise;
                self.again(Restart::EpochMoved)
            }
            (Some(Part::Leg(leg)), Outcome::NotMatched) => {
                let target = self.leg(leg)?.target.clone();
                Ok(self.ask_reason(target, Phase::Examining(Part::Leg(leg))))
            }
            (Some(Part::Mark(mark)), Outcome::NotMatched) => {
                let target = self.order_target()?;
                Ok(self.ask_reason(target, Phase::Examining(Part::Mark(mark))))
            }
            (
                Some(Part::Log | Part::Leg(_) | Part::Mark(_)) | None,
                Outcome::NotMatched | Outcome::Applied(_) | Outcome::Rejected(_) | Outcome::Unknown,
            ) => self.again(Restart::NoAnswer),
        }
    }

    pub(super) fn examined(
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
                    Some(document) => match leg.standing_unmarked(document, self.epoch(&leg.target)?)? {
                        Standing::Unmet => return self.decline_unmet(index).map(Next::Ask),
                        Standing::Applied | Standing::Refused | Standing::Retry => None,
                    },
                }
            }
            Part::Mark(mark) => {
                let target = self.order_target()?;
                match document {
                    None => Some(no_such_document(&target)),
                    Some(order) => match mark.standing(order, &target, self.epoch(&target)?)? {
                        MarkStanding::Retry => None,
                        MarkStanding::Done | MarkStanding::Disagrees => {
                            let status = order.text("status").and_then(OrderStatus::from_name);
                            Some(status.unwrap_or(OrderStatus::Pending).refusal())
                        }
                    },
                }
            }
        };
        match refusal {
            Some(refusal) => self.decline(refusal).map(Next::Ask),
            None => self.again(Restart::EpochMoved),
        }
    }

    /// The gateway's number and state 2 in one write, so that one log takes the money, once.
    fn confirm(&mut self) -> Result<Effect, ProtocolError> {
        let Subject::Confirmation(_, trade_no) = &self.subject else {
            return Err(ProtocolError::UnexpectedInput {
                asked: "a confirmation",
                given: "another payment",
            });
        };
        let write = Write::Update {
            target: self.log_target()?,
            guard: Filter::all().eq("state", LogState::Ordered.number()),
            update: Update::new()
                .set("state", LogState::Funded.number())
                .set("tradeNo", trade_no.as_str())
                .delete("stuck"),
        };
        self.phase = Phase::Confirming;
        Ok(Effect::Write(write))
    }

    pub(super) fn confirmation_written(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(_) => {
                if let Subject::Confirmation(log, trade_no) = &self.subject {
                    let mut log = log.clone();
                    log.trade_no = Some(trade_no.clone());
                    log.stuck = None;
                    log.reached(LogState::Funded);
                    self.subject = Subject::Log(log);
                }
                self.carry_on()
            }
            Answer::NotMatched => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::LookingAtConfirmed))
            }
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    pub(super) fn confirmed_log_read(&mut self, document: Option<&Document>) -> Result<Next, ProtocolError> {
        let Some(document) = document else {
            // It was read before, and logs are never deleted.
            return self.again(Restart::NotSeenYet);
        };
        let log = Log::from_document(document, &self.rules)?;
        let Subject::Confirmation(_, trade_no) = &self.subject else {
            return self.again(Restart::Overtaken);
        };
        if log.state <= LogState::Ordered {
            return self.again(Restart::NotSeenYet);
        }
        if log.failed() || log.trade_no.as_ref() != Some(trade_no) {
            self.subject = Subject::Log(Box::new(log));
            return Ok(self.end(End::Unconfirmable));
        }
        self.adopt(log, true)
    }

    /// The state that a claim answers is certain, whatever was read before.
    pub(super) fn claimed(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match Answer::from(outcome) {
            Answer::Applied(answer) => {
                let state = answer
                    .integer("state")
                    .ok_or_else(|| ProtocolError::malformed("state", "the state, in the answer to a claim"))
                    .and_then(LogState::try_from)?;
                let log = self.own_log_mut()?;
                log.reached(state);
                log.claims = answer.integer("claims").unwrap_or(log.claims);
                if let Wish::Cancelled(refusal) = &self.wish {
                    let refusal = refusal.clone();
                    self.own_log_mut()?.refusal = Some(refusal);
                }
                self.carry_on()
            }
            Answer::NotMatched => {
                let target = self.log_target()?;
                Ok(self.ask_reason(target, Phase::Rereading))
            }
            Answer::None => self.again(Restart::NoAnswer),
        }
    }

    pub(super) fn reread(&mut self, document: Option<&Document>) -> Result<Next, ProtocolError> {
        let Some(document) = document else {
            // It was read before, or created, and logs are never deleted.
            return self.again(Restart::NotSeenYet);
        };
        let log = Log::from_document(document, &self.rules)?;
        let state = log.state;
        self.subject = Subject::Log(Box::new(log));
        match state {
            LogState::Closed => Ok(self.end(End::Closed)),
            LogState::Funded | LogState::Applied | LogState::Settled if self.cancels() => {
                Ok(self.end(End::Secured))
            }
            LogState::Created
            | LogState::Ordered
            | LogState::Funded
            | LogState::Applied
            | LogState::Settled => self.again(Restart::NotSeenYet),
        }
    }

    /// Goes on from the state that is certain.
    fn carry_on(&mut self) -> Result<Next, ProtocolError> {
        let log = self.own_log()?;
        if log.waits_for_gateway() {
            return Ok(self.end(End::Waiting));
        }
        match log.state {
            LogState::Created | LogState::Ordered if self.cancels() => self.refuse(0),
            LogState::Created | LogState::Ordered => self.take(0),
            LogState::Funded => self.credit(),
            LogState::Applied => {
                let mark = log.intent.order_mark(&self.rules)?;
                self.record(mark)
            }
            LogState::Settled => Ok(self.settle()),
            LogState::Closed => Ok(self.end(End::Closed)),
        }
    }
}

fn no_such_document(target: &Target) -> Refusal {
    Refusal::new(ErrorCode::NO_SUCH_PAYMENT, format!("There is no {target}."))
}
