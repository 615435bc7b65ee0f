//! The payment as a state machine: [`step`] is pure and total, asks for effects and is fed what became of them.
//!
//! A [`Payment`] is one worker's view of one payment. Several workers may hold one of the same log at once; that is
//! the normal case. Fresh payments and recovered ones are the same machine: a fresh one starts with the create, and
//! falls back to the claim whenever an answer does not come.
//!
//! What must hold here: no state is written before its work is acknowledged; no leg is refused but for a requirement
//! that was read as not met; any answer but success and 305 is no answer; and the epochs that guard the money were
//! read before the create, or the claim, that allows this worker to go on.
//!
//! A read may be stale, so it decides by what stays true alone: a mark that is there, a state that was reached, a status
//! that is not taken back. What it does *not* show (no mark, a requirement that is not met, too little refunded) only
//! says what to write next, under a guard that decides.

mod apply;
mod begin;
mod conclude;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Timestamp;
use crate::payment::protocol::effect::{Effect, Input, Outcome, Purpose};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::leg::{Leg, Target};
use crate::payment::protocol::log::{Intent, Log, LogState};
use crate::payment::protocol::mark::Epoch;
use crate::payment::protocol::names::Rules;
use crate::payment::protocol::order::OrderMark;
use crate::payment::protocol::recovery::{Wish, Worker};

/// How a payment is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// By single writes and by batches whose elements may land alone: all that LeanCloud offers.
    Stepwise,
    /// Everything in one all-or-nothing commit, where the store can do that.
    AtOnce,
}

/// A log that is still to be created.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Draft {
    /// What it is to do.
    pub intent: Intent,
    /// The state that it is created in: [`LogState::Ordered`], or [`LogState::Funded`] for money that has arrived.
    pub state: LogState,
    /// The gateway's number, for money that has arrived.
    pub trade_no: Option<String>,
    /// Why it waits for an operator from the beginning.
    pub stuck: Option<String>,
    /// Refused before it began: only the record of the refusal is created.
    pub refusal: Option<Refusal>,
    /// Holds: when the sweeper is to end it. It stands in the log beside the intent; nothing else rests on it.
    pub expires_at: Option<Timestamp>,
}

impl Draft {
    /// A payment that is to be carried out now.
    #[must_use]
    pub fn new(intent: Intent) -> Self {
        Self {
            intent,
            state: LogState::Ordered,
            trade_no: None,
            stuck: None,
            refusal: None,
            expires_at: None,
        }
    }

    /// A payment that is refused; the log only says so, so that a create still under way cannot pay.
    #[must_use]
    pub fn refused(intent: Intent, refusal: Refusal) -> Self {
        Self {
            refusal: Some(refusal),
            ..Self::new(intent)
        }
    }
}

/// How often a run starts over because a read does not show a document, before it believes that there is none. With the
/// driver's pauses that is some four seconds: longer than a replica is behind, shorter than a call may take.
const ABSENCES_MAX: u32 = 16;

/// One worker's view of one payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    rules: Arc<Rules>,
    worker: Worker,
    manner: Manner,
    subject: Subject,
    epochs: BTreeMap<Target, Epoch>,
    replayed: bool,
    /// Whether this run has claimed the log before.
    claimed: bool,
    /// What somebody wants of a log of it that is taken up.
    wish: Wish,
    /// How often in this run a read has not shown a document that the log needs.
    absences: u32,
    phase: Phase,
}

/// What the payment is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// A log to be created.
    Draft(Box<Draft>),
    /// A recharge that the gateway has confirmed under this number.
    Confirmation(Box<Log>, String),
    /// A log that exists.
    Log(Box<Log>),
}

/// What the machine waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    New,
    ReadingEpochs,
    Creating,
    Committing,
    Examining(Part),
    Declining(Refusal),
    DecliningUnmet(Refusal),
    Finding { declined: bool },
    Confirming,
    LookingAtConfirmed,
    Claiming,
    Rereading,
    Taking { leg: usize },
    Looking { leg: usize },
    Refusing { leg: usize },
    LookingRefused { leg: usize },
    Reversing { leg: usize, refused: usize },
    LookingReversed { leg: usize, refused: usize },
    Failing { refused: usize },
    Crediting { legs: Vec<usize> },
    LookingCredited { legs: Vec<usize> },
    Recording { log: bool, mark: Option<OrderMark> },
    Weighing { mark: OrderMark },
    LookingMarked { mark: OrderMark },
    Settled,
    Closing,
    Ended,
}

/// One write of an all-or-nothing commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Log,
    Leg(usize),
    Mark(OrderMark),
}

/// What is certain now, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    /// The payment after the input.
    pub payment: Payment,
    /// What comes next.
    pub next: Next,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this and feed what became of it.
    Ask(Effect),
    /// Start over from step 1 of recovery, after a while: then do this and feed what became of it.
    Again(Restart, Effect),
    /// Every leg is applied and the order shows it: the caller can be answered. Run `afterPayment`, then feed
    /// [`Input::Told`].
    Settled,
    /// Nothing is left to do for this worker.
    End(End),
}

/// Why a payment starts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Restart {
    /// A document was pruned, or nothing stands in the way any more. Does not count as a failure.
    EpochMoved,
    /// Another worker was faster.
    Overtaken,
    /// A read does not show yet what a write has said.
    NotSeenYet,
    /// Nobody knows what became of a write.
    NoAnswer,
}

/// How a worker's part ends; the log is [`Payment::log`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The log is closed: succeeded or failed.
    Closed,
    /// A recharge waits for its gateway.
    Waiting,
    /// It was to be cancelled, and no leg is left that could be refused.
    Secured,
    /// The key belongs to a log with other parameters, or the attempt to somebody else's call.
    Taken,
    /// The recharge is closed as failed, or was paid under another number: the money needs a log of its own.
    Unconfirmable,
    /// It cannot go on by itself.
    Stuck(ProtocolError),
    /// A document, or the log, has moved to another store.
    Moved(String),
}

impl Payment {
    /// A payment that does not exist yet.
    #[must_use]
    pub fn fresh(rules: &Arc<Rules>, worker: Worker, manner: Manner, draft: Draft) -> Self {
        Self::new(rules, worker, manner, Subject::Draft(Box::new(draft)))
    }

    /// The gateway has confirmed `log` under the number `trade_no`.
    #[must_use]
    pub fn confirmed(rules: &Arc<Rules>, worker: Worker, manner: Manner, log: Log, trade_no: &str) -> Self {
        let subject = Subject::Confirmation(Box::new(log), trade_no.to_owned());
        Self::new(rules, worker, manner, subject)
    }

    /// A log that was begun before, by anyone, and that somebody asks for again: where it is stuck, recovery takes it
    /// up again from then on. `log` may be stale.
    #[must_use]
    pub fn resumed(rules: &Arc<Rules>, worker: Worker, log: Log) -> Self {
        Self {
            wish: Wish::Resumed,
            ..Self::recovered(rules, worker, log)
        }
    }

    /// A log that was begun before, by anyone, and that an operator wants refused: its first conditional leg that is
    /// not applied is refused and those before it are reversed. Where all are applied, the money is secured:
    /// [`End::Secured`]. `log` may be stale.
    #[must_use]
    pub fn cancelled(rules: &Arc<Rules>, worker: Worker, log: Log, reason: Refusal) -> Self {
        Self {
            wish: Wish::Cancelled(reason),
            ..Self::recovered(rules, worker, log)
        }
    }

    /// A log that was begun before, by anyone. `log` may be stale.
    #[must_use]
    pub fn recovered(rules: &Arc<Rules>, worker: Worker, log: Log) -> Self {
        Self {
            replayed: true,
            wish: Wish::Recovered,
            ..Self::new(rules, worker, Manner::Stepwise, Subject::Log(Box::new(log)))
        }
    }

    fn new(rules: &Arc<Rules>, worker: Worker, manner: Manner, subject: Subject) -> Self {
        Self {
            rules: Arc::clone(rules),
            worker,
            manner,
            subject,
            epochs: BTreeMap::new(),
            replayed: false,
            claimed: false,
            wish: Wish::Resumed,
            absences: 0,
            phase: Phase::New,
        }
    }

    /// The log, once there is one.
    #[must_use]
    pub fn log(&self) -> Option<&Log> {
        match &self.subject {
            Subject::Draft(_) => None,
            Subject::Confirmation(log, _) | Subject::Log(log) => Some(log),
        }
    }

    /// Whether the log was there before this call.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// The documents whose epochs guard this payment: those of its legs, and its order.
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
        if intent.order_mark(&self.rules)?.is_some() {
            let order = self.order_target()?;
            if !targets.contains(&order) {
                targets.push(order);
            }
        }
        Ok(targets)
    }

    fn intent(&self) -> &Intent {
        match &self.subject {
            Subject::Draft(draft) => &draft.intent,
            Subject::Confirmation(log, _) | Subject::Log(log) => &log.intent,
        }
    }

    fn own_log(&self) -> Result<&Log, ProtocolError> {
        self.log().ok_or(ProtocolError::UnexpectedInput {
            asked: "a log",
            given: "a draft",
        })
    }

    fn own_log_mut(&mut self) -> Result<&mut Log, ProtocolError> {
        match &mut self.subject {
            Subject::Confirmation(log, _) | Subject::Log(log) => Ok(log),
            Subject::Draft(_) => Err(ProtocolError::UnexpectedInput {
                asked: "a log",
                given: "a draft",
            }),
        }
    }

    fn log_target(&self) -> Result<Target, ProtocolError> {
        Ok(Target::new(&self.rules.log_class, &self.own_log()?.id))
    }

    fn order_target(&self) -> Result<Target, ProtocolError> {
        let order = self.intent().order.as_ref();
        let order = order.ok_or_else(|| ProtocolError::malformed("order", "the order of the payment"))?;
        Ok(Target::new(&self.rules.order_class, order))
    }

    fn leg(&self, index: usize) -> Result<&Leg, ProtocolError> {
        let leg = self.intent().legs.as_slice().get(index);
        leg.ok_or_else(|| ProtocolError::malformed("legs", "as many legs as before"))
    }

    fn epoch(&self, target: &Target) -> Result<Epoch, ProtocolError> {
        let epoch = self.epochs.get(target).copied();
        epoch.ok_or_else(|| ProtocolError::NoDocument(target.clone()))
    }

    fn ask_reason(&mut self, target: Target, phase: Phase) -> Next {
        self.phase = phase;
        Next::Ask(Effect::Read(Purpose::Reason, vec![target]))
    }

    /// A document that a read does not show may only be younger than what the read shows. So a log is left to an operator
    /// for it only when it has not been shown again and again.
    fn look_again(&mut self, error: ProtocolError) -> Result<Next, ProtocolError> {
        let is_absent = matches!(error, ProtocolError::NoDocument(_));
        if !is_absent || self.log().is_none() || self.absences >= ABSENCES_MAX {
            return Err(error);
        }
        self.absences = self.absences.saturating_add(1);
        self.again(Restart::NotSeenYet)
    }

    fn end(&mut self, end: End) -> Next {
        self.phase = Phase::Ended;
        Next::End(end)
    }

    fn advance(&mut self, input: Input) -> Result<Next, ProtocolError> {
        match self.phase.clone() {
            Phase::New => match input {
                Input::Begin => self.begin().map(Next::Ask),
                Input::Documents(_)
                | Input::Found(_)
                | Input::Outcomes(_)
                | Input::Committed(_)
                | Input::Told => Err(input.unexpected("the beginning")),
            },
            Phase::ReadingEpochs => {
                let documents = input.documents(self.targets()?.len())?;
                self.epochs_read(&documents)
            }
            Phase::Creating => self.created(input.outcome()?),
            Phase::Committing => self.committed(input.committed()?),
            Phase::Examining(part) => self.examined(part, input.document()?.as_ref()),
            Phase::Declining(refusal) => self.declined(refusal, input.outcome()?),
            Phase::DecliningUnmet(refusal) => self.declined_unmet(refusal, input.committed()?),
            Phase::Finding { declined } => self.found(declined, &input.found()?),
            Phase::Confirming => self.confirmation_written(input.outcome()?),
            Phase::LookingAtConfirmed => self.confirmed_log_read(input.document()?.as_ref()),
            Phase::Claiming => self.claimed(input.outcome()?),
            Phase::Rereading => self.reread(input.document()?.as_ref()),
            Phase::Taking { leg } => self.taken(leg, input.outcome()?),
            Phase::Looking { leg } => self.looked(leg, input.document()?.as_ref()),
            Phase::Refusing { leg } => self.refused(leg, input.outcome()?),
            Phase::LookingRefused { leg } => self.looked_refused(leg, input.document()?.as_ref()),
            Phase::Reversing { leg, refused } => self.reversed(leg, refused, input.outcome()?),
            Phase::LookingReversed { leg, refused } => {
                self.looked_reversed(leg, refused, input.document()?.as_ref())
            }
            Phase::Failing { refused } => self.failed(refused, input.outcome()?),
            Phase::Crediting { legs } => {
                let outcomes = input.outcomes(legs.len())?;
                self.credited(&legs, &outcomes)
            }
            Phase::LookingCredited { legs } => {
                let documents = input.documents(legs.len())?;
                self.looked_credited(&legs, &documents)
            }
            Phase::Recording { log, mark } => {
                let outcomes =
                    input.outcomes(usize::from(log).saturating_add(usize::from(mark.is_some())))?;
                self.recorded(log, mark, outcomes)
            }
            Phase::Weighing { mark } => self.weighed(mark, input.outcome()?),
            Phase::LookingMarked { mark } => self.looked_marked(mark, input.document()?.as_ref()),
            Phase::Settled => match input {
                Input::Told => self.close(),
                Input::Begin
                | Input::Documents(_)
                | Input::Found(_)
                | Input::Outcomes(_)
                | Input::Committed(_) => Err(input.unexpected("that the world was told")),
            },
            Phase::Closing => self.closed(input.outcome()?),
            Phase::Ended => Err(input.unexpected("nothing: the payment has ended")),
        }
    }
}

/// Takes one input and says what comes next. Pure: no I/O, no clock, no chance. Total: every input to every payment
/// has an answer.
///
/// # Errors
/// [`ProtocolError::UnexpectedInput`] where the input is not what was asked for, which is a mistake of the caller;
/// everything that a store can hold or answer is a [`Step`].
pub fn step(mut payment: Payment, input: Input) -> Result<Step, ProtocolError> {
    let next = match payment.advance(input).or_else(|error| payment.look_again(error)) {
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

/// Whether a write took effect, had none, or nobody knows. Every refusal of an update is no answer: another request
/// of the same write may still be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Applied(crate::model::Document),
    NotMatched,
    None,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied(document) => Self::Applied(document),
            Outcome::NotMatched => Self::NotMatched,
            Outcome::Rejected(_) | Outcome::Unknown => Self::None,
        }
    }
}

#[cfg(test)]
mod tests;
