//! The one thread that writes.
//!
//! It takes every request that is waiting into one transaction, commits, and only then answers: the requests share
//! one write to disk (group commit). Nothing is acknowledged that is not durable.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::environment::Environment;
use crate::model::{ClassName, CloudError, ErrorCode, Principal, Schema, SchemaChange};
use crate::storage::sqlite::catalogue::Catalogue;
use crate::storage::sqlite::checkpoint::Checkpointer;
use crate::storage::sqlite::connection::is_full;
use crate::storage::sqlite::folder::FolderLock;
use crate::storage::sqlite::loading::PreparedLoad;
use crate::storage::sqlite::prepared_insert::PreparedInsert;
use crate::storage::sqlite::sql_error::SqlError;
use crate::storage::sqlite::transaction::Transaction;
use crate::storage::sqlite::write_counter::{WriteCounters, applied};
use crate::store::load::LoadOutcome;
use crate::store::{CommitOutcome, Write, WriteOutcome, Written};

/// Requests that may wait for the writer; further callers wait for a place.
pub(super) const QUEUE_MAX: usize = 1024;

/// Requests in one commit: enough to share a write to disk, few enough for none to wait long.
const GROUP_REQUESTS_MAX: usize = 512;

/// Bytes of documents in one commit, so that the write-ahead log stays small.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a request is answered with: the outcome, and the writes given back, which are for the caller to free; the
/// writer's time is everyone's.
pub(super) type Answer<T> = (T, Vec<Write>);

/// What was loaded, and the objects themselves: whoever loads uses their memory again.
pub(super) type LoadAnswer = (Result<Vec<LoadOutcome>, CloudError>, Box<PreparedLoad>);

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Writes, each on its own.
    Batch {
        writes: Vec<Write>,
        /// One for each of the writes that creates.
        prepared: Vec<Option<PreparedInsert>>,
        principal: Principal,
        answer: oneshot::Sender<Answer<Vec<WriteOutcome>>>,
    },
    /// Writes, all or none.
    Commit {
        writes: Vec<Write>,
        /// One for each of the writes that creates.
        prepared: Vec<Option<PreparedInsert>>,
        answer: oneshot::Sender<Answer<CommitOutcome>>,
    },
    /// Objects that are loaded as they are.
    Load {
        prepared: Box<PreparedLoad>,
        answer: oneshot::Sender<LoadAnswer>,
    },
    /// A change of the schema.
    Define {
        change: Box<SchemaChange>,
        answer: oneshot::Sender<Result<Arc<Schema>, CloudError>>,
    },
    /// Whatever waits is still written; then the database is closed.
    Close { answer: oneshot::Sender<()> },
}

/// What a request comes to if the transaction is committed.
enum Outcome {
    Batch(Vec<WriteOutcome>),
    Commit(CommitOutcome),
    Load(Result<Vec<LoadOutcome>, CloudError>),
    Define(Result<(), CloudError>),
}

/// Why a transaction came to nothing, for all of its requests.
enum CommitError {
    /// It was rolled back: it has no effect.
    NoEffect(CloudError),
    /// The commit failed in a way that leaves open what is on disk.
    Unknown(String),
}

/// Counts of the writer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests that changed something.
    pub(super) requests: AtomicU64,
    /// Commits that they shared.
    pub(super) commits: AtomicU64,
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) checkpointer: Checkpointer,
    pub(super) environment: Environment,
    /// The classes as they are committed.
    pub(super) catalogue: Arc<Catalogue>,
    /// The same, for everyone else.
    pub(super) published: Arc<RwLock<Arc<Catalogue>>>,
    pub(super) counters: Arc<Counters>,
    pub(super) write_counters: Arc<WriteCounters>,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Who waits for the end.
    pub(super) closing: Vec<oneshot::Sender<()>>,
    /// Given back when the database is closed.
    pub(super) lock: FolderLock,
}

impl Writer {
    /// Writes until everyone has gone or somebody closes the store.
    pub(super) fn run(mut self) {
        while let Some(request) = self.requests.blocking_recv() {
            if let Some(request) = self.unless_closing(request) {
                self.group(request, false);
            }
        }
        drop(self.checkpointer);
        // The log is folded into the database, so that one file holds everything.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(error = %error, "the write-ahead log stays beside the database");
        }
        drop(self.connection);
        drop(self.lock);
        for answer in self.closing {
            let _ = answer.send(());
        }
    }

    /// Takes note of a request to close: what waits is still written, nothing new is accepted.
    fn unless_closing(&mut self, request: Request) -> Option<Request> {
        let Request::Close { answer } = request else {
            return Some(request);
        };
        self.closing.push(answer);
        self.requests.close();
        None
    }

    /// Carries out `first` and, unless it is to be alone, everything that is waiting, in one commit.
    fn group(&mut self, first: Request, alone: bool) {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            CommitError::NoEffect(SqlError::Database(error).into_refusal()).answer(first);
            return;
        }
        let mut catalogue = Arc::clone(&self.catalogue);
        let mut done: Vec<(Request, Outcome)> = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(mut request) = next {
            let mut transaction = Transaction {
                connection: &self.connection,
                environment: &self.environment,
                catalogue: &mut catalogue,
                bytes: 0,
            };
            match catch_unwind(AssertUnwindSafe(|| request.perform(&mut transaction))) {
                Ok(Ok(outcome)) => {
                    bytes += transaction.bytes;
                    done.push((request, outcome));
                }
                Ok(Err(error)) => {
                    self.roll_back(&error);
                    let loss = CommitError::NoEffect(SqlError::Database(error).into_refusal());
                    done.into_iter().for_each(|(request, _)| loss.answer(request));
                    loss.answer(request);
                    return;
                }
                Err(_) => return self.after_panic(done, request),
            }
            let more = !alone && done.len() < GROUP_REQUESTS_MAX && bytes < GROUP_BYTES_MAX;
            next = if more { self.waiting() } else { None };
        }
        self.commit(catalogue, done);
    }

    /// The next request that is there already.
    fn waiting(&mut self) -> Option<Request> {
        while let Ok(request) = self.requests.try_recv() {
            if let Some(request) = self.unless_closing(request) {
                return Some(request);
            }
        }
        None
    }

    /// Every request that was in the transaction is carried out again in one of its own; one that panics alone is
    /// refused.
    fn after_panic(&mut self, others: Vec<(Request, Outcome)>, culprit: Request) {
        let is_alone = others.is_empty();
        let _ = self.execute("ROLLBACK");
        for (request, _) in others {
            self.group(request, true);
        }
        if is_alone {
            tracing::error!("a write made the store panic; it had no effect");
            let error = CloudError::other("The store failed on this write, which had no effect.");
            CommitError::NoEffect(error.with_status(500)).answer(culprit);
        } else {
            self.group(culprit, true);
        }
    }

    /// Makes the transaction durable, then answers.
    fn commit(&mut self, catalogue: Arc<Catalogue>, done: Vec<(Request, Outcome)>) {
        if let Err(error) = self.execute("COMMIT") {
            self.roll_back(&error);
            let loss = if is_full(&error) {
                CommitError::NoEffect(SqlError::Database(error).into_refusal())
            } else {
                tracing::error!(error = %error, "a commit failed");
                CommitError::Unknown(format!("the commit failed: {error}"))
            };
            done.into_iter().for_each(|(request, _)| loss.answer(request));
            return;
        }
        if !Arc::ptr_eq(&self.catalogue, &catalogue) {
            let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
            *published = Arc::clone(&catalogue);
            self.catalogue = catalogue;
        }
        let requests = done.iter().filter(|(_, outcome)| outcome.has_written()).count() as u64;
        if requests > 0 {
            self.counters.requests.fetch_add(requests, Ordering::Relaxed);
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
        }
        let written = done
            .iter()
            .flat_map(|(request, outcome)| request.written(outcome));
        self.write_counters.advance(self.environment.now(), written);
        for (request, outcome) in done {
            request.answer(outcome, &self.catalogue);
        }
        self.checkpointer.after_commit(&self.connection);
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.raw_execute().map(drop)
    }

    /// Takes back what is not committed. SQLite may have done so itself.
    fn roll_back(&self, cause: &rusqlite::Error) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(error = %error, "a transaction could not be rolled back");
        }
        // Folding the log into the database frees what the log takes, once its contents fit.
        if is_full(cause)
            && let Err(error) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::warn!(error = %error, "the disk is full");
        }
    }
}

impl Request {
    fn perform(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Outcome> {
        Ok(match self {
            Self::Batch {
                writes,
                prepared,
                principal,
                ..
            } => Outcome::Batch(transaction.batch(writes, prepared, principal)?),
            Self::Commit { writes, prepared, .. } => Outcome::Commit(transaction.commit(writes, prepared)?),
            Self::Load { prepared, .. } => Outcome::Load(transaction.load(prepared)?.into_result()),
            Self::Define { change, .. } => {
                Outcome::Define(transaction.define(SchemaChange::clone(change))?.into_result())
            }
            // Taken out before a transaction begins.
            Self::Close { .. } => Outcome::Define(Ok(())),
        })
    }

    /// What it has written, by class.
    fn written<'r>(&'r self, outcome: &'r Outcome) -> Vec<(&'r ClassName, Cow<'r, Written>)> {
        match (self, outcome) {
            (Self::Batch { writes, .. }, Outcome::Batch(outcomes)) => {
                let pairs = writes.iter().zip(outcomes);
                pairs
                    .filter_map(|(write, outcome)| Some((&write.class, Cow::Borrowed(applied(outcome)?))))
                    .collect()
            }
            (Self::Commit { writes, .. }, Outcome::Commit(CommitOutcome::Applied(all))) => {
                let classes = writes.iter().map(|write| &write.class);
                classes.zip(all.iter().map(Cow::Borrowed)).collect()
            }
            (Self::Load { prepared, .. }, Outcome::Load(Ok(done))) => {
                let written = prepared.written(done).into_iter();
                written
                    .map(|(class, written)| (class, Cow::Owned(written)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Answers what is durable now. Nobody may be listening any more.
    fn answer(self, outcome: Outcome, catalogue: &Catalogue) {
        match (self, outcome) {
            (Self::Batch { answer, writes, .. }, Outcome::Batch(outcomes)) => {
                drop(answer.send((outcomes, writes)));
            }
            (Self::Commit { answer, writes, .. }, Outcome::Commit(outcome)) => {
                drop(answer.send((outcome, writes)));
            }
            (Self::Load { answer, prepared }, Outcome::Load(outcome)) => {
                drop(answer.send((outcome, prepared)));
            }
            (Self::Define { answer, .. }, Outcome::Define(outcome)) => {
                drop(answer.send(outcome.map(|()| Arc::clone(&catalogue.schema))));
            }
            // A caller whose sender is dropped is told that nobody knows.
            (
                Self::Batch { .. }
                | Self::Commit { .. }
                | Self::Load { .. }
                | Self::Define { .. }
                | Self::Close { .. },
                _,
            ) => {}
        }
    }
}

impl Outcome {
    fn has_written(&self) -> bool {
        match self {
            Self::Batch(outcomes) => outcomes
                .iter()
                .any(|outcome| matches!(outcome, WriteOutcome::Applied(_))),
            Self::Commit(outcome) => matches!(outcome, CommitOutcome::Applied(_)),
            Self::Load(outcome) => outcome.is_ok(),
            Self::Define(outcome) => outcome.is_ok(),
        }
    }
}

impl CommitError {
    fn answer(&self, request: Request) {
        let outcome = || match self {
            Self::NoEffect(error) => WriteOutcome::Rejected(error.clone()),
            Self::Unknown(reason) => WriteOutcome::Unknown(reason.clone()),
        };
        match request {
            Request::Batch { writes, answer, .. } => {
                let outcomes = writes.iter().map(|_| outcome()).collect();
                drop(answer.send((outcomes, writes)));
            }
            Request::Commit { answer, writes, .. } => {
                let outcome = match self {
                    Self::NoEffect(error) => CommitOutcome::Refused {
                        index: 0,
                        outcome: WriteOutcome::Rejected(error.clone()),
                    },
                    Self::Unknown(reason) => CommitOutcome::Unknown(reason.clone()),
                };
                drop(answer.send((outcome, writes)));
            }
            Request::Load { answer, prepared } => drop(answer.send((Err(self.error()), prepared))),
            Request::Define { answer, .. } => drop(answer.send(Err(self.error()))),
            Request::Close { answer } => drop(answer.send(())),
        }
    }

    fn error(&self) -> CloudError {
        match self {
            Self::NoEffect(error) => error.clone(),
            Self::Unknown(reason) => CloudError::new(ErrorCode::STORAGE_FAILED, reason.clone()),
        }
    }
}
