//! Pruning: removes the marks of closed logs soon after the closing, from documents that have too many. A new payment
//! on a document that is known to have too many marks waits for it: however fast payments come, the marks of closed
//! logs do not pile up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::model::{Filter, ObjectId, Query, Value};
use crate::payment::PaymentConfig;
use crate::payment::driver::{Driver, NoAnswer};
use crate::payment::protocol::effect::Outcome;
use crate::payment::protocol::log::{LogState, fields};
use crate::payment::protocol::machine::PaymentProcess;
use crate::payment::protocol::target::Target;
use crate::payment::protocol::{mark, pruning};
use crate::payment::sync::lock;

/// Documents that are pruned at the same time.
const DOCUMENTS_AT_ONCE: usize = 8;
/// Logs that are looked up, and whose marks are removed, at once: their ids travel in a URL.
const LOGS_AT_ONCE: usize = 200;
/// The most updates of one document in a row; enough for 20,000 logs.
const UPDATES_MAX: u32 = 100;

/// The documents that were seen with too many marks.
#[derive(Default)]
struct PruneQueue(Mutex<BTreeMap<Target, Arc<Turn>>>);

/// Serialises the pruning of one document.
#[derive(Default)]
struct Turn {
    lock: tokio::sync::Mutex<()>,
    /// Number of tries so far.
    tries: AtomicU64,
}

impl PruneQueue {
    fn add(&self, target: Target) {
        lock(&self.0).entry(target).or_default();
    }

    fn all(&self) -> Vec<(Target, Arc<Turn>)> {
        let queued = lock(&self.0);
        queued
            .iter()
            .map(|(target, turn)| (target.clone(), Arc::clone(turn)))
            .collect()
    }

    /// Those of `targets` that are in the queue.
    fn among(&self, targets: &[Target]) -> Vec<(Target, Arc<Turn>)> {
        let queued = lock(&self.0);
        if queued.is_empty() {
            return Vec::new();
        }
        let turn_of = |target: &Target| Some((target.clone(), Arc::clone(queued.get(target)?)));
        targets.iter().filter_map(turn_of).collect()
    }

    fn remove(&self, target: &Target) {
        lock(&self.0).remove(target);
    }
}

/// Outcome of one update that prunes a document.
enum PruneOutcome {
    /// No mark needs to be removed, or none ever can be.
    Done,
    /// Marks were removed, or another worker was faster: look again.
    Again,
    /// All marks belong to open logs, or the store does not answer.
    Later,
}

/// Prunes documents.
pub(in crate::payment) struct Pruner {
    driver: Driver,
    environment: Environment,
    config: PaymentConfig,
    queue: PruneQueue,
}

impl Pruner {
    pub(in crate::payment) fn new(driver: Driver, environment: Environment, config: PaymentConfig) -> Self {
        Self {
            driver,
            environment,
            config,
            queue: PruneQueue::default(),
        }
    }

    /// Queues a document that has too many marks, until it is pruned.
    pub(in crate::payment) fn enqueue(&self, target: Target) {
        self.queue.add(target);
    }

    /// Prunes each time that logs were `closed`, and every `sweep_every` what could not be pruned then.
    pub(in crate::payment) async fn run(&self, closed: &Notify, stop: &CancellationToken) {
        loop {
            let round = async {
                tokio::select! {
                    biased;
                    () = closed.notified() => {}
                    () = self.environment.sleep(self.config.sweep_every) => {}
                }
                self.prune_queued().await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = round => {}
            }
        }
    }

    /// Prunes the queued documents. Those that still have too many marks stay queued.
    pub(in crate::payment) async fn prune_queued(&self) {
        stream::iter(self.queue.all())
            .for_each_concurrent(DOCUMENTS_AT_ONCE, |(target, turn)| async move {
                self.prune_in_turn(&target, &turn).await;
            })
            .await;
    }

    /// Prunes the queued documents of a payment once, as far as possible, for at most `store_timeout` each. True if there
    /// were any.
    pub(in crate::payment) async fn prune_before_write(&self, payment: &PaymentProcess) -> bool {
        let queued = self.queue.among(&payment.targets().unwrap_or_default());
        for (target, turn) in &queued {
            let pruned = self.prune_in_turn(target, turn);
            // The rest is pruned later, in the background.
            let _ = tokio::time::timeout(self.config.store_timeout, pruned).await;
        }
        !queued.is_empty()
    }

    /// Prunes a document, or waits for another task that does.
    async fn prune_in_turn(&self, target: &Target, turn: &Turn) {
        let tries = turn.tries.load(Ordering::Acquire);
        let _locked = turn.lock.lock().await;
        if turn.tries.load(Ordering::Acquire) != tries {
            return;
        }
        let done = self.prune(target).await;
        turn.tries.fetch_add(1, Ordering::Release);
        if done {
            self.queue.remove(target);
        } else {
            tracing::debug!(object.id = target.id.as_str(), "pruning postponed");
        }
    }

    /// Removes the marks of closed logs from one document; false if it still has too many.
    async fn prune(&self, target: &Target) -> bool {
        let deadline = self.environment.elapsed().saturating_add(self.config.deadline);
        for _ in 0..UPDATES_MAX {
            match self.prune_once(target, deadline).await {
                PruneOutcome::Done => return true,
                PruneOutcome::Again => {}
                PruneOutcome::Later => return false,
            }
        }
        false
    }

    async fn prune_once(&self, target: &Target, deadline: Duration) -> PruneOutcome {
        let Some(threshold) = self.config.prune_threshold else {
            return PruneOutcome::Done;
        };
        let document = match self.driver.read(target, deadline).await {
            Ok(Some(document)) => document,
            Ok(None) => return PruneOutcome::Done,
            Err(NoAnswer) => return PruneOutcome::Later,
        };
        let has_too_many = mark::marks(&document).is_ok_and(|marks| marks.len() > threshold);
        let Ok(logs) = pruning::logs(&document) else {
            return PruneOutcome::Done;
        };
        if !has_too_many {
            return PruneOutcome::Done;
        }
        let logs: Vec<Value> = logs.iter().map(|log| log.as_str().into()).collect();
        for some in logs.chunks(LOGS_AT_ONCE) {
            let filter = Filter::all()
                .one_of("objectId", some.to_vec())
                .eq(fields::STATE, LogState::Closed.number());
            let query = Query::new(filter).limit(Query::LIMIT_MAX);
            let class = &self.config.log_class;
            let Ok(found) = self.driver.find(class, &query, deadline).await else {
                return PruneOutcome::Later;
            };
            let closed: BTreeSet<ObjectId> = found.iter().filter_map(|log| log.object_id()).collect();
            match pruning::prune(target, &document, &closed) {
                Ok(Some(write)) => {
                    return match self.driver.write_before(write, deadline).await {
                        Outcome::Applied(_) | Outcome::NotMatched => PruneOutcome::Again,
                        Outcome::Rejected(_) | Outcome::Unknown => PruneOutcome::Later,
                    };
                }
                Ok(None) => {}
                Err(_) => return PruneOutcome::Done,
            }
        }
        PruneOutcome::Later
    }
}
