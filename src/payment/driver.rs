//! The driver: carries out the machine's effects as calls of a [`Store`], and returns the results to it as inputs.
//!
//! A call without an answer before its time-out is *unknown*, and the machine starts over. Every loop is bounded by
//! the caller's deadline; a payment that is undecided by then is left to recovery.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future;

use crate::environment::{Backoff, Environment};
use crate::model::write::Write;
use crate::model::{ClassName, Document, ErrorCode, Filter, Query};
use crate::payment::ProtocolError;
use crate::payment::protocol::effect::{AtomicOutcome, Effect, Input, Outcome, ReadPurpose};
use crate::payment::protocol::machine::{CommitMode, End, Next, PaymentProcess, RestartReason, step};
use crate::payment::protocol::target::Target;
use crate::payment::protocol::{mark, recovery};
use crate::store::{CommitOutcome, ReadError, Store, WriteOutcome, Written};

/// Pauses before a payment starts over, or a read is repeated.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
/// Restarts without a pause because an epoch has moved, or another worker was faster. Further ones pause too.
const QUICK_RESTARTS: u32 = 3;

/// Closings in one round trip if each is a write of its own: all of them must fit into one time-out.
const CLOSINGS_AT_ONCE: usize = 64;

/// Runs payments against a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Driver {
    store: Arc<dyn Store>,
    environment: Environment,
    /// The time-out of one call of the store.
    timeout: Duration,
    /// The number of marks beyond which a document should be pruned.
    threshold: usize,
}

/// Result of a run.
#[derive(Debug)]
#[must_use]
pub enum RunResult {
    /// The caller can be answered; [`Driver::close`] is for later.
    Settled(PaymentProcess),
    /// This worker's part has ended.
    Ended(PaymentProcess, End),
    /// Not decided before the deadline.
    Undecided {
        /// The payment as far as it came; `None` if it is not known whether it has a log.
        payment: Option<PaymentProcess>,
        /// The last error of the store, or that it did not answer; for operators.
        store_error: Option<String>,
    },
}

/// The last error of the store, or that it did not answer.
#[derive(Debug, Default)]
struct LastStoreError(Mutex<Option<String>>);

impl LastStoreError {
    fn note(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.into());
    }

    fn note_timeout(&self, timeout: Duration) {
        // Without any time nothing was asked, and the error before says more.
        if !timeout.is_zero() {
            self.note(format!("no answer within {} ms", timeout.as_millis()));
        }
    }

    /// Notes an outcome that makes the machine start over. A condition that does not hold, or a key that is taken, is an
    /// answer.
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

/// The store answered no read of the kind before the deadline: nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Documents that the caller has read in the same call, before the payment began.
pub type Prefetched = Vec<(Target, Document)>;

impl Driver {
    /// A driver for `store`. `timeout` bounds each call of the store; a document with more marks than `threshold` should
    /// be pruned.
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

    /// Atomic commits if the store has them.
    #[must_use]
    pub fn commit_mode(&self) -> CommitMode {
        if self.store.atomic().is_some() {
            CommitMode::Atomic
        } else {
            CommitMode::PerDocument
        }
    }

    /// Runs a payment until the caller can be answered, or until `deadline` on [`Environment::elapsed`]. Calls
    /// `on_excess_marks` for each document that is seen with more marks than the threshold.
    ///
    /// **Idempotency**: dropping the future at any point, or running the same payment again, is safe.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedInput`] for a mistake in this program.
    pub async fn run(
        &self,
        mut payment: PaymentProcess,
        mut prefetched: Prefetched,
        deadline: Duration,
        on_excess_marks: &(dyn Fn(Target) + Send + Sync),
    ) -> Result<RunResult, ProtocolError> {
        let mut input = Input::Begin;
        let mut restarts = 0;
        let last_error = LastStoreError::default();
        loop {
            let stepped = step(payment, input)?;
            payment = stepped.payment;
            let effect = match stepped.next {
                Next::Perform(effect) => effect,
                Next::Restart(why, effect) => {
                    prefetched.clear();
                    let pause = self.pause(why, restarts);
                    if self.environment.elapsed().saturating_add(pause) >= deadline {
                        break;
                    }
                    self.environment.sleep(pause).await;
                    restarts += 1;
                    effect
                }
                Next::Settled => return Ok(RunResult::Settled(payment)),
                Next::End(end) => return Ok(RunResult::Ended(payment, end)),
            };
            match self.perform(effect, &prefetched, deadline, &last_error).await {
                Ok(result) => input = result,
                Err(NoAnswer) => break,
            }
            self.report_excess_marks(&input, &payment, on_excess_marks);
        }
        Ok(RunResult::Undecided {
            payment: Some(payment),
            store_error: last_error.into_text(),
        })
    }

    /// Closes settled payments whose `afterPayment` has run, in one batch or a few; returns how many are closed now. The
    /// rest is left to recovery.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedInput`] for a mistake in this program.
    pub async fn close(&self, payments: Vec<PaymentProcess>) -> Result<usize, ProtocolError> {
        let mut closings = Vec::with_capacity(payments.len());
        for payment in payments {
            let stepped = step(payment, Input::Notified)?;
            if let Next::Perform(Effect::Close(write)) = stepped.next {
                closings.push((stepped.payment, write));
            }
        }
        let at_once = match self.commit_mode() {
            CommitMode::Atomic => closings.len(),
            CommitMode::PerDocument => CLOSINGS_AT_ONCE,
        };
        let mut closings = closings.into_iter();
        let mut closed = 0_usize;
        loop {
            let (waiting, writes): (Vec<_>, Vec<_>) = closings.by_ref().take(at_once).unzip();
            if writes.is_empty() {
                return Ok(closed);
            }
            let outcomes = self.batch(writes, self.timeout, &LastStoreError::default()).await;
            for (payment, outcome) in waiting.into_iter().zip(outcomes) {
                // Anything else is left to recovery: the log is open, and the sweeper finds it.
                if step(payment, Input::Outcomes(vec![outcome]))?.next == Next::End(End::Closed) {
                    closed = closed.saturating_add(1);
                }
            }
        }
    }

    /// Marks a log as stuck, for an operator. Best effort: a log that could not be marked is found and tried again.
    pub async fn mark_stuck(&self, payment: &PaymentProcess, names: &crate::payment::SchemaNames, why: &str) {
        let stuck = payment
            .log()
            .and_then(|log| recovery::mark_stuck(names, log, why));
        if let Some(write) = stuck {
            let _ = self.write(write).await;
        }
    }

    /// Reads a document, again and again until `deadline`; `None` if there is no such document.
    ///
    /// # Errors
    /// [`NoAnswer`] if no read was answered.
    pub async fn read(&self, target: &Target, deadline: Duration) -> Result<Option<Document>, NoAnswer> {
        self.read_noting(target, deadline, &LastStoreError::default())
            .await
    }

    async fn read_noting(
        &self,
        target: &Target,
        deadline: Duration,
        last_error: &LastStoreError,
    ) -> Result<Option<Document>, NoAnswer> {
        let read = || self.store.get(&target.class, &target.id);
        self.retrying(deadline, last_error, read).await
    }

    /// Finds documents, again and again until `deadline`.
    ///
    /// # Errors
    /// [`NoAnswer`] if no query was answered.
    pub async fn find(
        &self,
        class: &ClassName,
        query: &Query,
        deadline: Duration,
    ) -> Result<Vec<Document>, NoAnswer> {
        let last_error = LastStoreError::default();
        self.retrying(deadline, &last_error, || self.store.find(class, query))
            .await
    }

    /// Counts the documents that match, again and again until `deadline`.
    ///
    /// # Errors
    /// [`NoAnswer`] if no query was answered.
    pub async fn count(
        &self,
        class: &ClassName,
        filter: &Filter,
        deadline: Duration,
    ) -> Result<u64, NoAnswer> {
        let last_error = LastStoreError::default();
        self.retrying(deadline, &last_error, || self.store.count(class, filter))
            .await
    }

    /// Writes once.
    pub async fn write(&self, write: Write) -> Outcome {
        self.write_within(write, self.timeout, &LastStoreError::default())
            .await
    }

    /// Writes once, for a caller who waits until `deadline`.
    pub async fn write_before(&self, write: Write, deadline: Duration) -> Outcome {
        self.write_within(write, self.time_left(deadline), &LastStoreError::default())
            .await
    }

    async fn write_within(&self, write: Write, timeout: Duration, last_error: &LastStoreError) -> Outcome {
        match tokio::time::timeout(timeout, self.store.write(write)).await {
            Ok(outcome) => {
                last_error.note_outcome(&outcome);
                outcome.into()
            }
            Err(_) => {
                last_error.note_timeout(timeout);
                Outcome::Unknown
            }
        }
    }

    /// The time-out of one call: the caller must be answered by the deadline, not after it.
    fn time_left(&self, deadline: Duration) -> Duration {
        let left = deadline.saturating_sub(self.environment.elapsed());
        self.timeout.min(left)
    }

    fn pause(&self, why: RestartReason, restarts: u32) -> Duration {
        let quick =
            matches!(why, RestartReason::EpochMoved | RestartReason::Overtaken) && restarts < QUICK_RESTARTS;
        if quick {
            return Duration::ZERO;
        }
        BACKOFF.jittered(restarts, &self.environment)
    }

    async fn retrying<T, F>(
        &self,
        deadline: Duration,
        last_error: &LastStoreError,
        read: impl Fn() -> F,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        let mut tries = 0;
        loop {
            let timeout = self.time_left(deadline);
            match tokio::time::timeout(timeout, read()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(ReadError::Rejected(error))) => {
                    tracing::warn!(code = error.code.0, "the store refused a read: {error}");
                    last_error.note(format!("{} {error}", error.code));
                    return Err(NoAnswer);
                }
                Ok(Err(ReadError::Unavailable(why))) => last_error.note(why),
                Err(_) => last_error.note_timeout(timeout),
            }
            let pause = self.pause(RestartReason::NoAnswer, tries);
            tries += 1;
            if self.environment.elapsed().saturating_add(pause) >= deadline {
                return Err(NoAnswer);
            }
            self.environment.sleep(pause).await;
        }
    }

    /// Carries out an effect.
    ///
    /// # Errors
    /// [`NoAnswer`] if a read was not answered before the deadline.
    async fn perform(
        &self,
        effect: Effect,
        prefetched: &Prefetched,
        deadline: Duration,
        last_error: &LastStoreError,
    ) -> Result<Input, NoAnswer> {
        match effect {
            Effect::Read(purpose, targets) => {
                let reads = targets.iter().map(|target| async move {
                    let known = prefetched
                        .iter()
                        .find(|(known, _)| purpose == ReadPurpose::Epochs && known == target);
                    match known {
                        Some((_, document)) => Ok(Some(document.clone())),
                        None => self.read_noting(target, deadline, last_error).await,
                    }
                });
                let documents: Result<Vec<_>, _> = future::join_all(reads).await.into_iter().collect();
                documents.map(Input::Documents)
            }
            Effect::Find(class, filter) => {
                let query = Query::new(filter);
                let found = self.retrying(deadline, last_error, || self.store.find(&class, &query));
                found.await.map(Input::Found)
            }
            Effect::Write(write) => {
                let outcome = self.write_within(write, self.time_left(deadline), last_error);
                Ok(Input::Outcomes(vec![outcome.await]))
            }
            Effect::Close(write) => {
                let outcomes = self.batch(vec![write], self.time_left(deadline), last_error);
                Ok(Input::Outcomes(outcomes.await))
            }
            Effect::Batch(writes) => {
                let outcomes = self.batch(writes, self.time_left(deadline), last_error);
                Ok(Input::Outcomes(outcomes.await))
            }
            Effect::Commit(writes) => {
                let commit = self.commit(writes, self.time_left(deadline), last_error);
                Ok(Input::Committed(commit.await))
            }
        }
    }

    async fn batch(
        &self,
        writes: Vec<Write>,
        timeout: Duration,
        last_error: &LastStoreError,
    ) -> Vec<Outcome> {
        let count = writes.len();
        let mut outcomes: Vec<Outcome> = match tokio::time::timeout(timeout, self.store.batch(writes)).await {
            Ok(outcomes) => {
                outcomes
                    .iter()
                    .for_each(|outcome| last_error.note_outcome(outcome));
                outcomes.into_iter().map(Outcome::from).collect()
            }
            Err(_) => {
                last_error.note_timeout(timeout);
                Vec::new()
            }
        };
        outcomes.resize(count, Outcome::Unknown);
        outcomes
    }

    async fn commit(
        &self,
        writes: Vec<Write>,
        timeout: Duration,
        last_error: &LastStoreError,
    ) -> AtomicOutcome {
        let Some(atomic) = self.store.atomic() else {
            // Cannot happen: the mode follows from the store. Without an answer the machine starts over.
            return AtomicOutcome::Unknown;
        };
        match tokio::time::timeout(timeout, atomic.commit(writes)).await {
            Ok(CommitOutcome::Applied(written)) => {
                AtomicOutcome::Applied(written.into_iter().map(document).collect())
            }
            Ok(CommitOutcome::Refused { index, outcome }) => {
                last_error.note_outcome(&outcome);
                AtomicOutcome::Refused(index, outcome.into())
            }
            Ok(CommitOutcome::Unknown(why)) => {
                last_error.note(why);
                AtomicOutcome::Unknown
            }
            Err(_) => {
                last_error.note_timeout(timeout);
                AtomicOutcome::Unknown
            }
        }
    }

    /// Reports the documents with too many marks: results of reads and writes show their marks.
    fn report_excess_marks(
        &self,
        input: &Input,
        payment: &PaymentProcess,
        on_excess_marks: &(dyn Fn(Target) + Send + Sync),
    ) {
        let report = |document: &Document| {
            let has_excess = mark::marks(document).is_ok_and(|marks| marks.len() > self.threshold);
            let Some(id) = document.object_id().filter(|_| has_excess) else {
                return;
            };
            let targets = payment.targets().unwrap_or_default();
            targets
                .into_iter()
                .filter(|target| target.id == id)
                .for_each(on_excess_marks);
        };
        match input {
            Input::Documents(documents) => documents.iter().flatten().for_each(report),
            Input::Outcomes(outcomes) => {
                for outcome in outcomes {
                    if let Outcome::Applied(document) = outcome {
                        report(document);
                    }
                }
            }
            Input::Begin | Input::Found(_) | Input::Committed(_) | Input::Notified => {}
        }
    }
}

/// The fields that a write returned, with id and time of creation, as a document shows them.
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
                tracing::debug!(code = error.code.0, "the store refused a write: {error}");
                Self::Rejected(error.code)
            }
            WriteOutcome::Unknown(why) => {
                tracing::debug!("a write got no answer: {why}");
                Self::Unknown
            }
        }
    }
}
