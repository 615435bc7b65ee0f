//! Carries out what the machine asks for: effects become calls of a [`Store`], answers become inputs.
//!
//! A call that has no answer before its time-out is *unknown*, and the machine starts over. Every loop is bounded by
//! the caller's deadline; what is not decided by then is left to recovery.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future;

use crate::environment::Environment;
use crate::model::{ClassName, Document, ErrorCode, Filter, Query};
use crate::payment::ProtocolError;
use crate::payment::protocol::effect::{Commit, Effect, Input, Outcome, Purpose, Write};
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::machine::{End, Manner, Next, Payment, Restart, step};
use crate::payment::protocol::{mark, recovery};
use crate::store::{self, CommitOutcome, ReadError, Store, WriteOutcome, Written};

/// The shortest pause before a payment starts over; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Epochs move rarely; after this many restarts for that reason even they are spaced out.
const QUICK_RESTARTS: u32 = 3;

/// Closings in one round trip, where each is a write of its own: all of them must fit into one time-out.
const CLOSINGS_AT_ONCE: usize = 64;

/// Runs payments against a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Driver {
    store: Arc<dyn Store>,
    environment: Environment,
    /// How long one call may take.
    timeout: Duration,
    /// Marks beyond which a document should be pruned.
    threshold: usize,
}

/// Where a payment got to.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// The caller can be answered; [`Driver::conclude`] is for later.
    Settled(Payment),
    /// The worker's part has ended.
    Ended(Payment, End),
    /// Nobody knows before the deadline. `None`: not even whether there is a log.
    Undecided(Option<Payment>),
}

/// A payment's progress.
#[derive(Debug)]
#[must_use]
pub struct Ran {
    /// Where it got to.
    pub progress: Progress,
    /// The last error of the store, or that it did not answer; for operators.
    pub trouble: Option<String>,
}

/// What the store last said that was no answer.
#[derive(Debug, Default)]
struct Trouble(Mutex<Option<String>>);

impl Trouble {
    fn note(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.into());
    }

    fn note_timeout(&self, timeout: Duration) {
        // Without any time nothing was asked, and what was said before says more.
        if !timeout.is_zero() {
            self.note(format!("no answer within {} ms", timeout.as_millis()));
        }
    }

    /// Notes what makes the machine start over. That a condition does not hold, or a key is taken, is an answer.
    fn note_outcome(&self, outcome: &WriteOutcome) {
        match outcome {
            WriteOutcome::Applied(_) | WriteOutcome::NotMatched => {}
            WriteOutcome::Rejected(error)
                if matches!(error.code, ErrorCode::NO_EFFECT | ErrorCode::DUPLICATE_VALUE) => {}
            WriteOutcome::Rejected(error) => self.note(format!("{} {error}", error.code)),
            WriteOutcome::Unknown(why) => self.note(why),
        }
    }

    fn into_text(self) -> Option<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Documents that the caller has read in the same call, before the payment began.
pub type Known = Vec<(Target, Document)>;

impl Driver {
    /// A driver for `store`; `timeout` bounds each call of it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, environment: Environment, timeout: Duration, threshold: usize) -> Self {
        Self {
            store,
            environment,
            timeout,
            threshold,
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// All at once where the store can do that.
    #[must_use]
    pub fn manner(&self) -> Manner {
        if self.store.atomic().is_some() {
            Manner::AtOnce
        } else {
            Manner::Stepwise
        }
    }

    /// Runs a payment until the caller can be answered, or until `deadline` on [`Environment::elapsed`]. Tells `crowded`
    /// of each document that is seen with more marks than the threshold, as soon as it is seen.
    ///
    /// **Idempotency**: dropping the future at any point, or running the same payment again, is safe.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedInput`] for a mistake in this program.
    pub async fn run(
        &self,
        mut payment: Payment,
        mut known: Known,
        deadline: Duration,
        crowded: &(dyn Fn(Target) + Send + Sync),
    ) -> Result<Ran, ProtocolError> {
        let mut input = Input::Begin;
        let mut restarts = 0;
        let trouble = Trouble::default();
        let progress = loop {
            let stepped = step(payment, input)?;
            payment = stepped.payment;
            let effect = match stepped.next {
                Next::Ask(effect) => effect,
                Next::Again(why, effect) => {
                    known.clear();
                    let pause = self.pause(why, restarts);
                    if self.environment.elapsed().saturating_add(pause) >= deadline {
                        break Progress::Undecided(Some(payment));
                    }
                    self.environment.sleep(pause).await;
                    restarts += 1;
                    effect
                }
                Next::Settled => break Progress::Settled(payment),
                Next::End(end) => break Progress::Ended(payment, end),
            };
            match self.perform(effect, &known, deadline, &trouble).await {
                Some(answer) => input = answer,
                None => break Progress::Undecided(Some(payment)),
            }
            self.note_crowded(&input, &payment, crowded);
        };
        Ok(Ran {
            progress,
            trouble: trouble.into_text(),
        })
    }

    /// Closes settled payments, in one batch or few, and answers how many are closed now. The world has been told of
    /// them. What cannot be closed now is left to recovery.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedInput`] for a mistake in this program.
    pub async fn conclude(&self, payments: Vec<Payment>) -> Result<usize, ProtocolError> {
        let mut closings = Vec::with_capacity(payments.len());
        for payment in payments {
            let stepped = step(payment, Input::Told)?;
            if let Next::Ask(Effect::Close(write)) = stepped.next {
                closings.push((stepped.payment, write));
            }
        }
        let at_once = match self.manner() {
            Manner::AtOnce => closings.len(),
            Manner::Stepwise => CLOSINGS_AT_ONCE,
        };
        let mut closings = closings.into_iter();
        let mut closed = 0_usize;
        loop {
            let (waiting, writes): (Vec<_>, Vec<_>) = closings.by_ref().take(at_once).unzip();
            if writes.is_empty() {
                return Ok(closed);
            }
            let outcomes = self.batch(writes, self.timeout, &Trouble::default()).await;
            for (payment, outcome) in waiting.into_iter().zip(outcomes) {
                // Whatever else it asks for is recovery's: the log is open, and the sweeper finds it.
                if step(payment, Input::Outcomes(vec![outcome]))?.next == Next::End(End::Closed) {
                    closed = closed.saturating_add(1);
                }
            }
        }
    }

    /// Leaves a log to an operator. Best effort: a log that is not marked is found and tried again.
    pub async fn leave_stuck(&self, payment: &Payment, rules: &crate::payment::Rules, why: &str) {
        let stuck = payment.log().and_then(|log| recovery::stuck(rules, log, why));
        if let Some(write) = stuck {
            let _ = self.write(write).await;
        }
    }

    /// Reads a document, again and again until `deadline`; `None` where no read was answered.
    pub async fn read(&self, target: &Target, deadline: Duration) -> Option<Option<Document>> {
        self.read_noting(target, deadline, &Trouble::default()).await
    }

    async fn read_noting(
        &self,
        target: &Target,
        deadline: Duration,
        trouble: &Trouble,
    ) -> Option<Option<Document>> {
        let read = || self.store.get(&target.class, &target.id);
        self.retrying(deadline, trouble, read).await
    }

    /// As [`Driver::read`], for a query.
    pub async fn find(&self, class: &ClassName, query: &Query, deadline: Duration) -> Option<Vec<Document>> {
        let trouble = Trouble::default();
        self.retrying(deadline, &trouble, || self.store.find(class, query))
            .await
    }

    /// Counts what matches, again and again until `deadline`; `None` where no read was answered.
    pub async fn count(&self, class: &ClassName, filter: &Filter, deadline: Duration) -> Option<u64> {
        let trouble = Trouble::default();
        self.retrying(deadline, &trouble, || self.store.count(class, filter))
            .await
    }

    /// One write.
    pub async fn write(&self, write: Write) -> Outcome {
        self.write_within(write, self.timeout, &Trouble::default()).await
    }

    /// One write, for somebody who waits until `deadline` only.
    pub async fn write_before(&self, write: Write, deadline: Duration) -> Outcome {
        self.write_within(write, self.time_left(deadline), &Trouble::default())
            .await
    }

    async fn write_within(&self, write: Write, timeout: Duration, trouble: &Trouble) -> Outcome {
        match tokio::time::timeout(timeout, self.store.write(to_store(write))).await {
            Ok(outcome) => {
                trouble.note_outcome(&outcome);
                outcome.into()
            }
            Err(_) => {
                trouble.note_timeout(timeout);
                Outcome::Unknown
            }
        }
    }

    /// How long one call may take: whoever waits is to be answered by the deadline, not after it.
    fn time_left(&self, deadline: Duration) -> Duration {
        let left = deadline.saturating_sub(self.environment.elapsed());
        self.timeout.min(left)
    }

    fn pause(&self, why: Restart, restarts: u32) -> Duration {
        let quick = matches!(why, Restart::EpochMoved | Restart::Overtaken) && restarts < QUICK_RESTARTS;
        if quick {
            return Duration::ZERO;
        }
        let longest = PAUSE_MIN.saturating_mul(1 << restarts.min(10)).min(PAUSE_MAX);
        // Half fixed, half by chance, so that workers that met once do not meet again.
        let [chance] = self.environment.random::<1>();
        longest / 2 + longest.mul_f64(f64::from(chance) / 512.0)
    }

    async fn retrying<T, F>(&self, deadline: Duration, trouble: &Trouble, read: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let mut tries = 0;
        loop {
            let timeout = self.time_left(deadline);
            match tokio::time::timeout(timeout, read()).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(ReadError::Rejected(error))) => {
                    tracing::warn!(code = error.code.0, "the store refuses a read: {error}");
                    trouble.note(format!("{} {error}", error.code));
                    return None;
                }
                Ok(Err(ReadError::Unavailable(why))) => trouble.note(why),
                Err(_) => trouble.note_timeout(timeout),
            }
            let pause = self.pause(Restart::NoAnswer, tries);
            tries += 1;
            if self.environment.elapsed().saturating_add(pause) >= deadline {
                return None;
            }
            self.environment.sleep(pause).await;
        }
    }

    /// What became of an effect; `None` where a read was not answered before the deadline.
    async fn perform(
        &self,
        effect: Effect,
        known: &Known,
        deadline: Duration,
        trouble: &Trouble,
    ) -> Option<Input> {
        match effect {
            Effect::Read(purpose, targets) => {
                let reads = targets.iter().map(|target| async move {
                    let known = known
                        .iter()
                        .find(|(known, _)| purpose == Purpose::Epochs && known == target);
                    match known {
                        Some((_, document)) => Some(Some(document.clone())),
                        None => self.read_noting(target, deadline, trouble).await,
                    }
                });
                let documents: Option<Vec<_>> = future::join_all(reads).await.into_iter().collect();
                documents.map(Input::Documents)
            }
            Effect::Find(class, filter) => {
                let query = Query::new(filter);
                let found = self.retrying(deadline, trouble, || self.store.find(&class, &query));
                found.await.map(Input::Found)
            }
            Effect::Write(write) => {
                let outcome = self.write_within(write, self.time_left(deadline), trouble);
                Some(Input::Outcomes(vec![outcome.await]))
            }
            Effect::Close(write) => {
                let outcomes = self.batch(vec![write], self.time_left(deadline), trouble);
                Some(Input::Outcomes(outcomes.await))
            }
            Effect::Batch(writes) => {
                let outcomes = self.batch(writes, self.time_left(deadline), trouble);
                Some(Input::Outcomes(outcomes.await))
            }
            Effect::Commit(writes) => {
                let commit = self.commit(writes, self.time_left(deadline), trouble);
                Some(Input::Committed(commit.await))
            }
        }
    }

    async fn batch(&self, writes: Vec<Write>, timeout: Duration, trouble: &Trouble) -> Vec<Outcome> {
        let count = writes.len();
        let writes = writes.into_iter().map(to_store).collect();
        let mut outcomes: Vec<Outcome> = match tokio::time::timeout(timeout, self.store.batch(writes)).await {
            Ok(outcomes) => {
                outcomes.iter().for_each(|outcome| trouble.note_outcome(outcome));
                outcomes.into_iter().map(Outcome::from).collect()
            }
            Err(_) => {
                trouble.note_timeout(timeout);
                Vec::new()
            }
        };
        outcomes.resize(count, Outcome::Unknown);
        outcomes
    }

    async fn commit(&self, writes: Vec<Write>, timeout: Duration, trouble: &Trouble) -> Commit {
        let Some(atomic) = self.store.atomic() else {
            // Only a driver whose store can do it asks for commits; without an answer the machine starts over.
            return Commit::Unknown;
        };
        let writes = writes.into_iter().map(to_store).collect();
        match tokio::time::timeout(timeout, atomic.commit(writes)).await {
            Ok(CommitOutcome::Applied(written)) => {
                Commit::Applied(written.into_iter().map(document).collect())
            }
            Ok(CommitOutcome::Refused { index, outcome }) => {
                trouble.note_outcome(&outcome);
                Commit::Refused(index, outcome.into())
            }
            Ok(CommitOutcome::Unknown(why)) => {
                trouble.note(why);
                Commit::Unknown
            }
            Err(_) => {
                trouble.note_timeout(timeout);
                Commit::Unknown
            }
        }
    }

    /// The answers to the writes show how many marks the documents hold.
    fn note_crowded(&self, input: &Input, payment: &Payment, crowded: &(dyn Fn(Target) + Send + Sync)) {
        let note = |document: &Document| {
            let crowd = mark::list(document).is_ok_and(|marks| marks.len() > self.threshold);
            let Some(id) = document.object_id().filter(|_| crowd) else {
                return;
            };
            let targets = payment.targets().unwrap_or_default();
            targets
                .into_iter()
                .filter(|target| target.id == id)
                .for_each(crowded);
        };
        match input {
            Input::Documents(documents) => documents.iter().flatten().for_each(note),
            Input::Outcomes(outcomes) => {
                for outcome in outcomes {
                    if let Outcome::Applied(document) = outcome {
                        note(document);
                    }
                }
            }
            Input::Begin | Input::Found(_) | Input::Committed(_) | Input::Told => {}
        }
    }
}

/// The write as a store takes it.
pub(super) fn to_store(write: Write) -> store::Write {
    match write {
        Write::Create { class, fields } => store::Write::create(&class, fields),
        Write::Update {
            target,
            guard,
            update,
        } => store::Write::update(&target.class, &target.id, guard, update),
    }
}

/// The fields of an answer with its id and time of creation, as a document shows them.
fn document(written: Written) -> Document {
    let mut document = written.fields;
    if let Some(id) = written.object_id {
        document.insert("objectId".into(), id.as_str().into());
    }
    if let Some(created) = written.created_at {
        document.insert("createdAt".into(), created.to_string().into());
    }
    document
}

impl From<WriteOutcome> for Outcome {
    fn from(outcome: WriteOutcome) -> Self {
        match outcome {
            WriteOutcome::Applied(written) => Self::Applied(document(written)),
            WriteOutcome::NotMatched => Self::NotMatched,
            WriteOutcome::Rejected(error) if error.code == ErrorCode::NO_EFFECT => Self::NotMatched,
            WriteOutcome::Rejected(error) => {
                tracing::debug!(code = error.code.0, "the store refuses a write: {error}");
                Self::Rejected(error.code)
            }
            WriteOutcome::Unknown(why) => {
                tracing::debug!("a write without an answer: {why}");
                Self::Unknown
            }
        }
    }
}
