//! Pruning: the marks of closed logs are forgotten soon after the closing, as long as a document has too many. A new
//! payment on a document that is known to have too many waits for it: however fast payments come, what is closed does
//! not pile up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::model::{Filter, ObjectId, Query, Value};
use crate::payment::protocol::effect::Outcome;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::LogState;
use crate::payment::protocol::machine::Payment;
use crate::payment::protocol::{mark, pruning};
use crate::payment::service::{Payments, lock};

/// Documents that are pruned at once.
const PRUNINGS_AT_ONCE: usize = 8;
/// Logs that are looked up, and forgotten, at once: their ids travel in an address.
const LOGS_AT_ONCE: usize = 200;
/// Updates of one document in one go; enough for 20 000 logs.
const UPDATES_MAX: u32 = 100;

/// The documents that were seen with too many marks.
#[derive(Default)]
pub(in crate::payment) struct Crowded(Mutex<BTreeMap<Target, Arc<Queue>>>);

/// Whoever wants one document pruned.
#[derive(Default)]
struct Queue {
    turn: tokio::sync::Mutex<()>,
    /// How often it was tried.
    tries: AtomicU64,
}

impl Crowded {
    /// Keeps it in mind until it is pruned.
    pub(in crate::payment) fn note(&self, target: Target) {
        lock(&self.0).entry(target).or_default();
    }

    fn all(&self) -> Vec<(Target, Arc<Queue>)> {
        let known = lock(&self.0);
        known
            .iter()
            .map(|(target, queue)| (target.clone(), Arc::clone(queue)))
            .collect()
    }

    fn of(&self, targets: &[Target]) -> Vec<(Target, Arc<Queue>)> {
        let known = lock(&self.0);
        if known.is_empty() {
            return Vec::new();
        }
        let queue_of = |target: &Target| Some((target.clone(), Arc::clone(known.get(target)?)));
        targets.iter().filter_map(queue_of).collect()
    }

    fn forget(&self, target: &Target) {
        lock(&self.0).remove(target);
    }
}

/// What became of one attempt to prune.
enum Pruned {
    /// There is nothing to forget, or nothing that can be.
    Enough,
    /// Some marks are gone, or somebody else was faster: look again.
    Some,
    /// The marks are those of open logs, or the store does not answer.
    Later,
}

impl Payments {
    /// Prunes after closings, and now and then what could not be pruned after one.
    pub(super) async fn run_pruning(&self, stop: &CancellationToken) {
        loop {
            let round = async {
                tokio::select! {
                    biased;
                    () = self.0.closed.notified() => {}
                    () = self.0.environment.sleep(self.0.config.sweep_every) => {}
                }
                self.prune_crowded().await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = round => {}
            }
        }
    }

    /// Prunes the documents that were seen with too many marks. Those that still have too many are kept in mind.
    pub async fn prune_crowded(&self) {
        stream::iter(self.0.crowded.all())
            .for_each_concurrent(PRUNINGS_AT_ONCE, |(target, queue)| async move {
                self.prune_in_turn(&target, &queue).await;
            })
            .await;
    }

    /// Waits until the documents of a payment that are known to have too many marks were pruned once, as far as they
    /// can be, or the store has had its time. Whether there was anything to wait for.
    pub(in crate::payment) async fn make_room(&self, payment: &Payment) -> bool {
        let crowded = self.0.crowded.of(&payment.targets().unwrap_or_default());
        for (target, queue) in &crowded {
            let pruned = self.prune_in_turn(target, queue);
            // What is left then is pruned by somebody else, later.
            let _ = tokio::time::timeout(self.0.config.store_timeout, pruned).await;
        }
        !crowded.is_empty()
    }

    /// Prunes a document, or waits for somebody who does.
    async fn prune_in_turn(&self, target: &Target, queue: &Queue) {
        let tries = queue.tries.load(Ordering::Acquire);
        let _turn = queue.turn.lock().await;
        if queue.tries.load(Ordering::Acquire) != tries {
            return;
        }
        let enough = self.prune(target).await;
        queue.tries.fetch_add(1, Ordering::Release);
        if enough {
            self.0.crowded.forget(target);
        } else {
            tracing::debug!(object.id = target.id.as_str(), "pruned later");
        }
    }

    /// Forgets the marks of closed logs on one document; false where it has too many even so.
    async fn prune(&self, target: &Target) -> bool {
        let deadline = self.deadline();
        for _ in 0..UPDATES_MAX {
            match self.prune_once(target, deadline).await {
                Pruned::Enough => return true,
                Pruned::Some => {}
                Pruned::Later => return false,
            }
        }
        false
    }

    async fn prune_once(&self, target: &Target, deadline: Duration) -> Pruned {
        let Some(threshold) = self.0.config.prune_threshold else {
            return Pruned::Enough;
        };
        let document = match self.0.driver.read(target, deadline).await {
            Some(Some(document)) => document,
            Some(None) => return Pruned::Enough,
            None => return Pruned::Later,
        };
        let crowd = mark::list(&document).is_ok_and(|marks| marks.len() > threshold);
        let Ok(logs) = pruning::logs(&document) else {
            return Pruned::Enough;
        };
        if !crowd {
            return Pruned::Enough;
        }
        let logs: Vec<Value> = logs.iter().map(|log| log.as_str().into()).collect();
        for some in logs.chunks(LOGS_AT_ONCE) {
            let filter = Filter::all()
                .one_of("objectId", some.to_vec())
                .eq("state", LogState::Closed.number());
            let query = Query::new(filter).limit(Query::LIMIT_MAX);
            let class = &self.0.rules.log_class;
            let Some(found) = self.0.driver.find(class, &query, deadline).await else {
                return Pruned::Later;
            };
            let closed: BTreeSet<ObjectId> = found.iter().filter_map(|log| log.object_id()).collect();
            match pruning::prune(target, &document, &closed) {
                Ok(Some(write)) => {
                    return match self.0.driver.write_before(write, deadline).await {
                        Outcome::Applied(_) | Outcome::NotMatched => Pruned::Some,
                        Outcome::Rejected(_) | Outcome::Unknown => Pruned::Later,
                    };
                }
                Ok(None) => {}
                Err(_) => return Pruned::Enough,
            }
        }
        Pruned::Later
    }
}
