//! Creation: the epochs, then the log itself, or the log that holds its keys already.

use crate::model::write::Write;
use crate::model::{Document, ErrorCode, Filter, Update};
use crate::payment::protocol::effect::{Effect, Outcome, ReadPurpose};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::log::{Log, LogState, Verdict, fields};
use crate::payment::protocol::machine::new_payment::{CommitMode, NewPayment};
use crate::payment::protocol::machine::next::{End, Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::machine::process::{PaymentProcess, Subject};
use crate::payment::protocol::mark::Epoch;
use crate::payment::protocol::recovery::{self, Claim};
use crate::payment::protocol::target::Target;

impl PaymentProcess {
    /// Begins, or begins again: reads the epochs first. A log that moves no money yet (a refusal, a recharge that waits
    /// for its gateway) needs none.
    pub(super) fn begin(&mut self) -> Result<Effect, ProtocolError> {
        self.epochs.clear();
        if let Subject::New(draft) = &self.subject {
            if let Some(refusal) = draft.refusal.clone() {
                return self.decline(refusal);
            }
            if draft.intent.kind == Kind::Recharge && draft.state <= LogState::Ordered {
                return self.create();
            }
        }
        self.phase = Phase::ReadingEpochs;
        Ok(Effect::Read(ReadPurpose::Epochs, self.targets()?))
    }

    /// Starts over from the epochs, because of `why`.
    pub(super) fn restart(&mut self, why: RestartReason) -> Result<Next, ProtocolError> {
        Ok(Next::Restart(why, self.begin()?))
    }

    pub(super) fn on_epochs(&mut self, documents: &[Option<Document>]) -> Result<Next, ProtocolError> {
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
            self.manner = CommitMode::PerDocument;
        }
        match &self.subject {
            Subject::New(_) => {
                // Nothing has begun yet, so a missing document is a refusal, not a log that waits for an operator.
                if let Some(absent) = absent.filter(|_| !arrived) {
                    if self.intent().refusal_key().is_none() {
                        return Err(ProtocolError::NoDocument(absent.clone()));
                    }
                    return self.decline(no_such_document(absent)).map(Next::Perform);
                }
                match self.manner {
                    CommitMode::PerDocument => self.create().map(Next::Perform),
                    CommitMode::Atomic => self.commit().map(Next::Perform),
                }
            }
            Subject::Confirmation(..) => match self.manner {
                CommitMode::PerDocument => self.confirm().map(Next::Perform),
                CommitMode::Atomic => self.commit().map(Next::Perform),
            },
            Subject::Log(log) => {
                // What was asked for may have taken effect, answered or not: it counts from then on.
                let which = if self.claimed {
                    Claim::Repeated
                } else {
                    Claim::First
                };
                let claim = recovery::claim(&self.names, log, &self.worker, which, &self.takeover_reason);
                self.claimed = true;
                self.phase = Phase::Claiming;
                Ok(Next::Perform(Effect::Write(claim)))
            }
        }
    }

    /// Returns true for money that a gateway has confirmed: it is never refused, whatever stands in the way.
    pub(super) fn has_arrived(&self) -> bool {
        match &self.subject {
            Subject::New(draft) => draft.trade_no.is_some(),
            Subject::Confirmation(..) => true,
            Subject::Log(_) => false,
        }
    }

    pub(super) fn new_payment(&self) -> Result<&NewPayment, ProtocolError> {
        match &self.subject {
            Subject::New(draft) => Ok(draft),
            Subject::Confirmation(..) | Subject::Log(_) => Err(ProtocolError::UnexpectedInput {
                asked: "a draft",
                given: "a log",
            }),
        }
    }

    pub(super) fn create(&mut self) -> Result<Effect, ProtocolError> {
        let draft = self.new_payment()?;
        let mut fields = draft.intent.to_update(&self.names, draft.state);
        if let Some(trade_no) = &draft.trade_no {
            fields = fields.set(fields::TRADE_NO, trade_no.as_str());
        }
        if let Some(stuck) = &draft.stuck {
            fields = fields.set(fields::STUCK, stuck.as_str());
        }
        if let Some(time) = draft.expires_at {
            fields = fields.set(fields::EXPIRES_AT, time.to_date());
        }
        self.phase = Phase::Creating;
        Ok(Effect::Write(self.create_log(fields)))
    }

    pub(super) fn create_log(&self, fields: Update) -> Write {
        Write::create(&self.names.log_class, fields)
    }

    /// Adopts a log that this payment has just created.
    pub(super) fn adopt_created(&mut self, state: LogState, answer: &Document) -> Result<(), ProtocolError> {
        let draft = self.new_payment()?;
        let mut log = Log::created(draft.intent.clone(), state, answer)?;
        log.trade_no.clone_from(&draft.trade_no);
        log.stuck.clone_from(&draft.stuck);
        self.subject = Subject::Log(Box::new(log));
        Ok(())
    }

    /// Continues with the payment's own log only after an acknowledged create; after 137, or no answer, the log may be
    /// another's.
    pub(super) fn on_create_result(&mut self, outcome: Outcome) -> Result<Next, ProtocolError> {
        match outcome {
            Outcome::Applied(answer) => {
                let state = self.new_payment()?.state;
                self.adopt_created(state, &answer)?;
                self.resume()
            }
            Outcome::Rejected(ErrorCode::DUPLICATE_VALUE) => Ok(Next::Perform(self.look_up_key(false))),
            Outcome::NotMatched | Outcome::Rejected(_) | Outcome::Unknown => {
                self.restart(RestartReason::NoAnswer)
            }
        }
    }

    /// Writes the refusal alone, as a log that is closed from the beginning: once it stands, no create under way can
    /// pay.
    pub(super) fn decline(&mut self, refusal: Refusal) -> Result<Effect, ProtocolError> {
        let log = self.declining_log(&refusal)?;
        self.phase = Phase::Declining(refusal);
        Ok(Effect::Write(log))
    }

    pub(super) fn declining_log(&self, refusal: &Refusal) -> Result<Write, ProtocolError> {
        let fields = self
            .intent()
            .to_update(&self.names, LogState::Closed)
            .set(fields::KEY, self.refusal_key()?)
            .set(fields::OUTCOME, Verdict::Failed.name())
            .set(fields::REASON, refusal.to_reason());
        Ok(self.create_log(fields))
    }

    pub(super) fn refusal_key(&self) -> Result<String, ProtocolError> {
        let key = self.intent().refusal_key().map(ToOwned::to_owned);
        key.ok_or_else(|| ProtocolError::malformed(fields::REQUEST_KEY, "the key of whoever is refused"))
    }

    pub(super) fn on_decline_result(
        &mut self,
        refusal: Refusal,
        outcome: Outcome,
    ) -> Result<Next, ProtocolError> {
        match outcome {
            Outcome::Applied(answer) => self.adopt_declined(refusal, &answer),
            Outcome::Rejected(ErrorCode::DUPLICATE_VALUE) => Ok(Next::Perform(self.look_up_key(true))),
            Outcome::NotMatched | Outcome::Rejected(_) | Outcome::Unknown => {
                self.restart(RestartReason::NoAnswer)
            }
        }
    }

    pub(super) fn adopt_declined(
        &mut self,
        refusal: Refusal,
        answer: &Document,
    ) -> Result<Next, ProtocolError> {
        let key = self.refusal_key()?;
        self.adopt_created(LogState::Closed, answer)?;
        let log = self.own_log_mut()?;
        log.intent.key = key;
        log.verdict = Some(Verdict::Failed);
        log.refusal = Some(refusal);
        Ok(self.end(End::Closed))
    }

    /// Looks up the log that holds one of the payment's unique keys; after a refusal (`declined`), the one that holds
    /// its key.
    pub(super) fn look_up_key(&mut self, declined: bool) -> Effect {
        let intent = self.intent();
        let mut keys = vec![Filter::all().eq(fields::KEY, intent.key.as_str())];
        if let Some(key) = &intent.request_key {
            keys.push(Filter::all().eq(fields::REQUEST_KEY, key.as_str()));
        }
        if let Some(number) = &intent.number {
            keys.push(Filter::all().eq(fields::NUMBER, number.as_str()));
        }
        let filter = if let [only] = keys.as_slice() {
            only.clone()
        } else {
            Filter::all().and_any(keys)
        };
        self.phase = Phase::LookingUpKey { declined };
        Effect::Find(self.names.log_class.clone(), filter)
    }

    pub(super) fn on_logs_found(
        &mut self,
        declined: bool,
        documents: &[Document],
    ) -> Result<Next, ProtocolError> {
        let logs = documents
            .iter()
            .map(|document| Log::from_document(document, &self.names))
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
            let find = self.look_up_key(declined);
            return Ok(Next::Restart(RestartReason::NotSeenYet, find));
        };
        let repeats = intent.repeats(&log.intent);
        self.adopt(log, repeats)
    }

    /// Adopts a log that existed before, as far as it is the same request.
    pub(super) fn adopt(&mut self, log: Log, repeats: bool) -> Result<Next, ProtocolError> {
        let state = log.state;
        let waits = log.waits_for_gateway();
        self.subject = Subject::Log(Box::new(log));
        self.replayed = true;
        if !repeats {
            return Ok(self.end(End::KeyTaken));
        }
        if state == LogState::Closed {
            return Ok(self.end(End::Closed));
        }
        if waits {
            return Ok(self.end(End::AwaitingGateway));
        }
        self.begin().map(Next::Perform)
    }
}

pub(super) fn no_such_document(target: &Target) -> Refusal {
    Refusal::new(ErrorCode::NO_SUCH_PAYMENT, format!("There is no {target}."))
}
