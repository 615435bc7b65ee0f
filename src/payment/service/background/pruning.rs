//! Pruning: the marks of closed logs are forgotten soon after the closing, as long as a document has too many.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::model::{Filter, ObjectId, Query, Value};
use crate::payment::effect::Outcome;
use crate::payment::leg::Target;
use crate::payment::log::LogState;
use crate::payment::service::{Payments, lock};
use crate::payment::{mark, prune};

/// Documents that are pruned at once.
const PRUNINGS_AT_ONCE: usize = 8;
/// Logs that are looked up, and forgotten, at once: their ids travel in an address.
const LOGS_AT_ONCE: usize = 200;
/// Updates of one document in one go; enough for 20 000 logs.
const UPDATES_MAX: u32 = 100;

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
        let crowded: BTreeSet<Target> = std::mem::take(&mut *lock(&self.0.crowded));
        stream::iter(crowded)
            .for_each_concurrent(PRUNINGS_AT_ONCE, |target| async move {
                if !self.prune(&target).await {
                    tracing::debug!(object.id = target.id.as_str(), "pruned later");
                    lock(&self.0.crowded).insert(target);
                }
            })
            .await;
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
        let Ok(logs) = prune::logs(&document) else {
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
            match prune::prune(target, &document, &closed) {
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
