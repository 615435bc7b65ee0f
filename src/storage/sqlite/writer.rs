//! The writer thread.
//!
//! It executes all waiting requests in one transaction, commits, and only then answers: the requests share one write
//! to disk (group commit). Nothing is acknowledged before it is durable.

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

/// Maximum number of requests waiting for the writer; further callers wait for a slot.
pub(super) const QUEUE_MAX: usize = 1024;

/// Maximum number of requests in one commit: enough to share a write to disk, few enough for short waits.
const GROUP_REQUESTS_MAX: usize = 512;

/// Maximum bytes of documents in one commit, so that the write-ahead log stays small.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The reply to a request: the outcome, and the writes. The caller frees them, since the writer's time is shared.
pub(super) type Answer<T> = (T, Vec<Write>);

/// The reply to a load: the outcomes, and the batch, whose memory the caller frees.
pub(super) type LoadAnswer = (Result<Vec<LoadOutcome>, CloudError>, Box<PreparedLoad>);

/// A request to the writer.
#[derive(Debug)]
pub(super) enum Request {
    /// Writes, each on its own.
    Batch {
        writes: Vec<Write>,
        /// One for each create.
        prepared: Vec<Option<PreparedInsert>>,
        principal: Principal,
        answer: oneshot::Sender<Answer<Vec<WriteOutcome>>>,
    },
    /// Writes, all or none.
    Commit {
        writes: Vec<Write>,
        /// One for each create.
        prepared: Vec<Option<PreparedInsert>>,
        answer: oneshot::Sender<Answer<CommitOutcome>>,
    },
    /// A load batch.
    Load {
        prepared: Box<PreparedLoad>,
        answer: oneshot::Sender<LoadAnswer>,
    },
    /// A change of the schema.
    Define {
        change: Box<SchemaChange>,
        answer: oneshot::Sender<Result<Arc<Schema>, CloudError>>,
    },
    /// Executes the waiting requests, then closes the database.
    Close { answer: oneshot::Sender<()> },
}

/// Outcome of a request, valid once the transaction is committed.
enum Outcome {
    Batch(Vec<WriteOutcome>),
    Commit(CommitOutcome),
    Load(Result<Vec<LoadOutcome>, CloudError>),
    Define(Result<(), CloudError>),
}

/// The failure of a transaction, for all of its requests.
enum CommitError {
    /// It was rolled back and has no effect.
    NoEffect(CloudError),
    /// The commit failed; its effect on disk is unknown.
    Unknown(String),
}

/// Counters of the writer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests that changed something.
    pub(super) requests: AtomicU64,
    /// Commits of these requests.
    pub(super) commits: AtomicU64,
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) checkpointer: Checkpointer,
    pub(super) environment: Environment,
    /// The committed classes.
    pub(super) catalogue: Arc<Catalogue>,
    /// The same, for the other threads.
    pub(super) published: Arc<RwLock<Arc<Catalogue>>>,
    pub(super) counters: Arc<Counters>,
    pub(super) write_counters: Arc<WriteCounters>,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Callers that wait for the close.
    pub(super) closing: Vec<oneshot::Sender<()>>,
    /// Released when the database is closed.
    pub(super) lock: FolderLock,
}

impl Writer {
    /// Serves requests until the store is closed or its last handle is dropped.
    pub(super) fn run(mut self) {
        while let Some(request) = self.requests.blocking_recv() {
            if let Some(request) = self.unless_closing(request) {
                self.group(request, false);
            }
        }
        drop(self.checkpointer);
        // After a complete checkpoint one file holds everything.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(error = %error, "final WAL checkpoint failed");
        }
        drop(self.connection);
        drop(self.lock);
        for answer in self.closing {
            let _ = answer.send(());
        }
    }

    /// Handles a request to close: waiting requests are still executed, new ones refused.
    fn unless_closing(&mut self, request: Request) -> Option<Request> {
        let Request::Close { answer } = request else {
            return Some(request);
        };
        self.closing.push(answer);
        self.requests.close();
        None
    }

    /// Executes `first` and, unless `alone`, all waiting requests, in one commit.
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
            match catch_unwind(AssertUnwindSafe(|| request.execute(&mut transaction))) {
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

    /// The next waiting request.
    fn waiting(&mut self) -> Option<Request> {
        while let Ok(request) = self.requests.try_recv() {
            if let Some(request) = self.unless_closing(request) {
                return Some(request);
            }
        }
        None
    }

    /// Executes every request of the transaction again in one of its own. A request that panics alone is refused.
    fn after_panic(&mut self, others: Vec<(Request, Outcome)>, culprit: Request) {
        let is_alone = others.is_empty();
        let _ = self.execute("ROLLBACK");
        for (request, _) in others {
            self.group(request, true);
        }
        if is_alone {
            tracing::error!("write panicked; rolled back");
            let error = CloudError::other("The store failed on this write, which had no effect.");
            CommitError::NoEffect(error.with_status(500)).answer(culprit);
        } else {
            self.group(culprit, true);
        }
    }

    /// Commits the transaction, then answers.
    fn commit(&mut self, catalogue: Arc<Catalogue>, done: Vec<(Request, Outcome)>) {
        if let Err(error) = self.execute("COMMIT") {
            self.roll_back(&error);
            let loss = if is_full(&error) {
                CommitError::NoEffect(SqlError::Database(error).into_refusal())
            } else {
                tracing::error!(error = %error, "commit failed");
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

    /// Rolls back the transaction, unless SQLite has done so.
    fn roll_back(&self, cause: &rusqlite::Error) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(error = %error, "rollback failed");
        }
        // A complete checkpoint frees the space of the log, once its contents fit.
        if is_full(cause)
            && let Err(error) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::warn!(error = %error, "WAL checkpoint failed: disk full");
        }
    }
}

impl Request {
    fn execute(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<Outcome> {
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
            // Handled before a transaction begins.
            Self::Close { .. } => Outcome::Define(Ok(())),
        })
    }

    /// The written documents, with their classes.
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

    /// Sends the durable outcome. The caller may be gone.
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
            // Dropping the sender tells the caller that the outcome is unknown.
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
