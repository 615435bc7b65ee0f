//! Payment processes: the state of one run of one payment, and the function that takes it on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::payment::protocol::effect::{Effect, Input, ReadPurpose};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::leg::Leg;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::machine::new_payment::{CommitMode, NewPayment};
use crate::payment::protocol::machine::next::{End, Next, RestartReason};
use crate::payment::protocol::machine::phase::Phase;
use crate::payment::protocol::mark::Epoch;
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::recovery::{TakeoverReason, Worker};
use crate::payment::protocol::target::Target;

/// The number of times that a run starts over because a read does not show a document, before it accepts that there is
/// none. With the driver's pauses that is some four seconds: longer than a replica is behind, shorter than a call may
/// take.
pub(super) const ABSENCES_MAX: u32 = 16;

/// One worker's view of one payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PaymentProcess {
    pub(super) names: Arc<SchemaNames>,
    pub(super) worker: Worker,
    pub(super) manner: CommitMode,
    pub(super) subject: Subject,
    pub(super) epochs: BTreeMap<Target, Epoch>,
    pub(super) replayed: bool,
    /// True if this run has claimed the log before.
    pub(super) claimed: bool,
    /// The reason for taking up the log, once it is taken up.
    pub(super) takeover_reason: TakeoverReason,
    /// The number of reads of this run that have not shown a document that the log needs.
    pub(super) absences: u32,
    pub(super) phase: Phase,
}

/// The subject of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A log to be created.
    New(Box<NewPayment>),
    /// A recharge that the gateway has confirmed under this number.
    Confirmation(Box<Log>, String),
    /// A log that exists.
    Log(Box<Log>),
}

/// The payment after an input, and the next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The payment after the input.
    pub payment: PaymentProcess,
    /// The next thing to do.
    pub next: Next,
}

impl PaymentProcess {
    /// Starts a payment that does not exist yet.
    #[must_use]
    pub fn fresh(names: &Arc<SchemaNames>, worker: Worker, manner: CommitMode, draft: NewPayment) -> Self {
        Self::new(names, worker, manner, Subject::New(Box::new(draft)))
    }

    /// Starts the credit of `log`, which the gateway has confirmed under the number `trade_no`.
    #[must_use]
    pub fn confirmed(
        names: &Arc<SchemaNames>,
        worker: Worker,
        manner: CommitMode,
        log: Log,
        trade_no: &str,
    ) -> Self {
        let subject = Subject::Confirmation(Box::new(log), trade_no.to_owned());
        Self::new(names, worker, manner, subject)
    }

    /// Takes up a log, begun by any worker, that a caller asks for again. If it is stuck, recovery takes it up again
    /// from then on. `log` may be stale.
    #[must_use]
    pub fn resumed(names: &Arc<SchemaNames>, worker: Worker, log: Log) -> Self {
        Self {
            takeover_reason: TakeoverReason::Resumption,
            ..Self::recovered(names, worker, log)
        }
    }

    /// Takes up a log, begun by any worker, that an operator wants refused. Its first conditional leg that is not
    /// applied is refused, and those before it are reversed. If all are applied, the money is secured:
    /// [`End::Secured`]. `log` may be stale.
    #[must_use]
    pub fn cancelled(names: &Arc<SchemaNames>, worker: Worker, log: Log, reason: Refusal) -> Self {
        Self {
            takeover_reason: TakeoverReason::Cancellation(reason),
            ..Self::recovered(names, worker, log)
        }
    }

    /// Takes up an open log, begun by any worker. `log` may be stale.
    #[must_use]
    pub fn recovered(names: &Arc<SchemaNames>, worker: Worker, log: Log) -> Self {
        Self {
            replayed: true,
            takeover_reason: TakeoverReason::Recovery,
            ..Self::new(
                names,
                worker,
                CommitMode::PerDocument,
                Subject::Log(Box::new(log)),
            )
        }
    }

    pub(super) fn new(
        names: &Arc<SchemaNames>,
        worker: Worker,
        manner: CommitMode,
        subject: Subject,
    ) -> Self {
        Self {
            names: Arc::clone(names),
            worker,
            manner,
            subject,
            epochs: BTreeMap::new(),
            replayed: false,
            claimed: false,
            takeover_reason: TakeoverReason::Resumption,
            absences: 0,
            phase: Phase::New,
        }
    }

    /// The log, once it exists.
    #[must_use]
    pub fn log(&self) -> Option<&Log> {
        match &self.subject {
            Subject::New(_) => None,
            Subject::Confirmation(log, _) | Subject::Log(log) => Some(log),
        }
    }

    /// Returns true if the log existed before this call.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// The documents whose epochs this payment depends on: those of its legs, and its order.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] for a refund without a leg on its order.
    pub fn targets(&self) -> Result<Vec<Target>, ProtocolError> {
        let intent = self.intent();
        let mut targets: Vec<Target> = intent
            .legs
            .as_slice()
            .iter()
            .map(|leg| leg.target.clone())
            .collect();
        if intent.order_mark(&self.names)?.is_some() {
            let order = self.order_target()?;
            if !targets.contains(&order) {
                targets.push(order);
            }
        }
        Ok(targets)
    }

    pub(super) fn intent(&self) -> &Intent {
        match &self.subject {
            Subject::New(draft) => &draft.intent,
            Subject::Confirmation(log, _) | Subject::Log(log) => &log.intent,
        }
    }

    pub(super) fn own_log(&self) -> Result<&Log, ProtocolError> {
        self.log().ok_or(ProtocolError::UnexpectedInput {
            asked: "a log",
            given: "a draft",
        })
    }

    pub(super) fn own_log_mut(&mut self) -> Result<&mut Log, ProtocolError> {
        match &mut self.subject {
            Subject::Confirmation(log, _) | Subject::Log(log) => Ok(log),
            Subject::New(_) => Err(ProtocolError::UnexpectedInput {
                asked: "a log",
                given: "a draft",
            }),
        }
    }

    pub(super) fn log_target(&self) -> Result<Target, ProtocolError> {
        Ok(Target::new(&self.names.log_class, &self.own_log()?.id))
    }

    pub(super) fn order_target(&self) -> Result<Target, ProtocolError> {
        let order = self.intent().order.as_ref();
        let order = order.ok_or_else(|| ProtocolError::malformed("order", "the order of the payment"))?;
        Ok(Target::new(&self.names.order_class, order))
    }

    pub(super) fn leg(&self, index: usize) -> Result<&Leg, ProtocolError> {
        let leg = self.intent().legs.as_slice().get(index);
        leg.ok_or_else(|| ProtocolError::malformed("legs", "as many legs as before"))
    }

    pub(super) fn epoch(&self, target: &Target) -> Result<Epoch, ProtocolError> {
        let epoch = self.epochs.get(target).copied();
        epoch.ok_or_else(|| ProtocolError::NoDocument(target.clone()))
    }

    pub(super) fn ask_reason(&mut self, target: Target, phase: Phase) -> Next {
        self.phase = phase;
        Next::Perform(Effect::Read(ReadPurpose::Conflict, vec![target]))
    }

    /// Starts over after a read that does not show a document: it may only be younger than the read. A log is left to
    /// an operator for a missing document only if that has happened [`ABSENCES_MAX`] times.
    pub(super) fn retry_absent(&mut self, error: ProtocolError) -> Result<Next, ProtocolError> {
        let is_absent = matches!(error, ProtocolError::NoDocument(_));
        if !is_absent || self.log().is_none() || self.absences >= ABSENCES_MAX {
            return Err(error);
        }
        self.absences = self.absences.saturating_add(1);
        self.restart(RestartReason::NotSeenYet)
    }

    pub(super) fn end(&mut self, end: End) -> Next {
        self.phase = Phase::Ended;
        Next::End(end)
    }

    pub(super) fn advance(&mut self, input: Input) -> Result<Next, ProtocolError> {
        match self.phase.clone() {
            Phase::New => match input {
                Input::Begin => self.begin().map(Next::Perform),
                Input::Documents(_)
                | Input::Found(_)
                | Input::Outcomes(_)
                | Input::Committed(_)
                | Input::Notified => Err(input.unexpected("the beginning")),
            },
            Phase::ReadingEpochs => {
                let documents = input.documents(self.targets()?.len())?;
                self.on_epochs(&documents)
            }
            Phase::Creating => self.on_create_result(input.outcome()?),
            Phase::Committing => self.on_commit_result(input.committed()?),
            Phase::ReadingAfterCommit(part) => self.on_commit_reread(part, input.document()?.as_ref()),
            Phase::Declining(refusal) => self.on_decline_result(refusal, input.outcome()?),
            Phase::DecliningUnmet(refusal) => self.on_decline_unmet_result(refusal, input.committed()?),
            Phase::LookingUpKey { declined } => self.on_logs_found(declined, &input.found()?),
            Phase::Confirming => self.on_confirm_result(input.outcome()?),
            Phase::ReadingAfterConfirm => self.on_confirm_reread(input.document()?.as_ref()),
            Phase::Claiming => self.on_claim_result(input.outcome()?),
            Phase::ReadingLog => self.on_log_reread(input.document()?.as_ref()),
            Phase::Debiting { leg } => self.on_debit_result(leg, input.outcome()?),
            Phase::ReadingAfterDebit { leg } => self.on_debit_reread(leg, input.document()?.as_ref()),
            Phase::Refusing { leg } => self.on_refusal_result(leg, input.outcome()?),
            Phase::ReadingAfterRefusal { leg } => self.on_refusal_reread(leg, input.document()?.as_ref()),
            Phase::Reversing { leg, refused } => self.on_reversal_result(leg, refused, input.outcome()?),
            Phase::ReadingAfterReversal { leg, refused } => {
                self.on_reversal_reread(leg, refused, input.document()?.as_ref())
            }
            Phase::Failing { refused } => self.on_failure_result(refused, input.outcome()?),
            Phase::Crediting { legs } => {
                let outcomes = input.outcomes(legs.len())?;
                self.on_credit_results(&legs, &outcomes)
            }
            Phase::ReadingAfterCredit { legs } => {
                let documents = input.documents(legs.len())?;
                self.on_credit_reread(&legs, &documents)
            }
            Phase::Recording { log, mark } => {
                let outcomes =
                    input.outcomes(usize::from(log).saturating_add(usize::from(mark.is_some())))?;
                self.on_record_results(log, mark, outcomes)
            }
            Phase::ProbingOrder { mark } => self.on_probe_result(mark, input.outcome()?),
            Phase::ReadingOrder { mark } => self.on_order_reread(mark, input.document()?.as_ref()),
            Phase::Settled => match input {
                Input::Notified => self.close(),
                Input::Begin
                | Input::Documents(_)
                | Input::Found(_)
                | Input::Outcomes(_)
                | Input::Committed(_) => Err(input.unexpected("that the world was told")),
            },
            Phase::Closing => self.on_close_result(input.outcome()?),
            Phase::Ended => Err(input.unexpected("nothing: the payment has ended")),
        }
    }
}

/// Gives one input to a payment and returns the next thing to do. The function is pure (no I/O, no clock, no
/// randomness) and total (it has an answer to every input in every phase).
///
/// # Errors
/// [`ProtocolError::UnexpectedInput`] where the input is not what was asked for, which is a mistake of the caller;
/// everything that a store can hold or answer is a [`Step`].
pub fn step(mut payment: PaymentProcess, input: Input) -> Result<Step, ProtocolError> {
    let next = match payment
        .advance(input)
        .or_else(|error| payment.retry_absent(error))
    {
        Ok(next) => next,
        Err(error @ ProtocolError::UnexpectedInput { .. }) => return Err(error),
        Err(ProtocolError::Moved(what)) => payment.end(End::Moved(what)),
        Err(
            why @ (ProtocolError::NoDocument(_)
            | ProtocolError::Malformed { .. }
            | ProtocolError::OrderDisagrees { .. }
            | ProtocolError::Overflow),
        ) => payment.end(End::Stuck(why)),
    };
    Ok(Step { payment, next })
}
