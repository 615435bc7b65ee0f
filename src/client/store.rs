//! The client as a `Store`: the payment flow's port on LeanCloud.
//!
//! - Every request uses the master key and no session; no hook runs.
//! - A write is sent once. It is sent again only if no connection was established; if none ever is, the write is
//!   `Rejected` with 503: it had no effect and will have none.
//! - `Unknown`: time-out, lost connection, any 5xx (as HTTP status, or as the code in a batch), the codes 124, 301,
//!   303, 304, 511 and 524 whatever the HTTP status, and every success whose body does not fit the write.
//! - `Rejected` keeps the server's code. According to LeanCloud, 429, 401 and 403 are returned before any effect. Code
//!   that moves money takes none of them for a decision of the document: only a success and a 305 are.
//! - A 429 for a whole batch is `Unknown` for each element, since each element counts as a call.
//! - If conditions inside a batch are not honoured, conditional writes are sent as requests of their own: several at
//!   once, unless two of them concern the same object.
//! - Reads cannot choose the primary: LeanCloud has no such parameter. Decisions about money are confirmed by a
//!   conditional update.

use std::collections::HashSet;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use crate::client::write_request::{is_unconditional, write_request};
use crate::client::{Client, ClientError, Idempotent, ReadOptions, Retry};
use crate::model::{ClassName, Document, ErrorCode, Filter, HookKind, ObjectId, Query};
use crate::store::{Action, ReadError, Store, Write, WriteOutcome};

/// LeanCloud's text, under code 1, for an update of an absent object. Recorded.
const NO_SUCH_OBJECT: &str = "Could not find object by id";

/// Concurrent requests in place of one batch.
const CONCURRENT_WRITES_MAX: usize = 16;

#[async_trait]
impl Store for Client {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        let master = self.for_store();
        let read = master.objects(class).get(id, &ReadOptions::default()).await;
        read.map_err(read_error)
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        let master = self.for_store();
        match master.objects(class).query(query).await {
            Ok(found) => Ok(found.results),
            Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(read_error(error)),
        }
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        let master = self.for_store();
        match master.objects(class).count(filter).await {
            Err(error) if error.code() == Some(ErrorCode::NOT_FOUND) => Ok(0),
            counted => counted.map_err(read_error),
        }
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        let request = write_request(&write, &HookKind::ALL, Idempotent::No);
        let outcome = self.for_store().send(&request).await.written(&write.action);
        absent_is_no_match(&write.action, outcome)
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        if !self.config.guarded_batches && writes.iter().any(|write| is_conditional(&write.action)) {
            let concurrency = if are_of_different_objects(&writes) {
                CONCURRENT_WRITES_MAX
            } else {
                1
            };
            return stream::iter(writes)
                .map(|write| self.write(write))
                .buffered(concurrency)
                .collect()
                .await;
        }
        let outcomes = self.for_store().write_all(&writes, &HookKind::ALL).await;
        let each = writes.iter().zip(outcomes);
        each.map(|(write, outcome)| absent_is_no_match(&write.action, outcome))
            .collect()
    }
}

impl Client {
    /// The view that moves money. Without a master key every call returns an error that says so.
    fn for_store(&self) -> Self {
        Self {
            session_token: None,
            master: true,
            ..self.clone()
        }
    }
}

fn is_conditional(action: &Action) -> bool {
    match action {
        Action::Create { .. } => false,
        Action::Update { precondition, .. } | Action::Delete { precondition, .. } => {
            !is_unconditional(precondition)
        }
    }
}

/// True if the order of the writes makes no difference to their outcomes.
fn are_of_different_objects(writes: &[Write]) -> bool {
    let mut seen = HashSet::with_capacity(writes.len());
    writes.iter().all(|write| match &write.action {
        // A unique index may accept only the first of two.
        Action::Create { .. } => false,
        Action::Update { id, .. } | Action::Delete { id, .. } => seen.insert((&write.class, id)),
    })
}

/// Maps LeanCloud's errors for an absent object to `NotMatched`, as the port defines it.
fn absent_is_no_match(action: &Action, outcome: WriteOutcome) -> WriteOutcome {
    match outcome {
        WriteOutcome::Rejected(error)
            if !matches!(action, Action::Create { .. })
                && (error.code == ErrorCode::NOT_FOUND
                    || (error.code == ErrorCode::OTHER && error.message.starts_with(NO_SUCH_OBJECT))) =>
        {
            WriteOutcome::NotMatched
        }
        other => other,
    }
}

fn read_error(error: ClientError) -> ReadError {
    match (error.retry(), error) {
        (Retry::Never, ClientError::Rejected { error, .. }) => ReadError::Rejected(error),
        (_, ClientError::Invalid(reason)) => {
            ReadError::Rejected(crate::model::CloudError::new(ErrorCode::OTHER, reason))
        }
        (_, error) => ReadError::Unavailable(error.to_string()),
    }
}
