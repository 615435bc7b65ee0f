//! What goes on behind the answers: closing, recovery, expiry, pruning.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::{CloudError, ErrorCode, Filter, ObjectId, Query, Timestamp, Value};
use crate::payment::effect::Outcome;
use crate::payment::leg::Target;
use crate::payment::log::{Log, LogState};
use crate::payment::machine::Payment;
use crate::payment::order::{Order, OrderStatus};
use crate::payment::service::{Done, Payments, Receipt, lock, undecided};
use crate::payment::{Kind, Refusal, prune, recovery};

/// Closings that share one batch, at most.
const CLOSINGS_MAX: usize = 256;
/// Logs that recovery takes up at once.
const RECOVERIES_AT_ONCE: usize = 16;
/// Logs and orders that one sweep looks at.
pub(super) const SWEEP_MAX: u32 = 500;

/// What one sweep has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Open logs that were taken up.
    pub taken: u64,
    /// Of those, brought to their end: succeeded.
    pub succeeded: u64,
    /// Of those, brought to their end: failed.
    pub failed: u64,
    /// Of those, still undecided; they are tried again.
    pub undecided: u64,
    /// Of those, left to an operator.
    pub stuck: u64,
}

impl Payments {
    /// Runs until `stop`: closes settled payments in shared batches, and every few seconds takes up open logs,
    /// expires orders and prunes marks. One per process; a second one sweeps only.
    ///
    /// What is under way when `stop` comes is closed before this returns.
    pub async fn run_sweeper(&self, stop: CancellationToken) {
        let closings = lock(&self.0.closings_waiting).take();
        let closer = async {
            if let Some(closings) = closings {
                self.run_closer(closings, &stop).await;
            }
        };
        future::join(closer, self.run_sweeps(&stop)).await;
    }

    async fn run_sweeps(&self, stop: &CancellationToken) {
        // At the start nobody else of this process has anything under way: every open log is taken up at once.
        let mut untouched = Duration::ZERO;
        loop {
            let sweep = async {
                self.sweep(untouched, SWEEP_MAX).await;
                self.expire_orders().await;
                self.expire_recharges().await;
                self.prune_crowded().await;
                self.0.environment.sleep(self.0.config.sweep_every).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sweep => {}
            }
            untouched = self.0.config.lease;
        }
    }

    /// Collects settled payments for a moment, tells the world of them, and closes them in one batch.
    async fn run_closer(&self, mut closings: mpsc::Receiver<Payment>, stop: &CancellationToken) {
        let mut waiting = Vec::with_capacity(CLOSINGS_MAX);
        loop {
            tokio::select! {
                received = closings.recv_many(&mut waiting, CLOSINGS_MAX) => {
                    if received == 0 {
                        return;
                    }
                    if received < CLOSINGS_MAX && !stop.is_cancelled() {
                        self.0.environment.sleep(self.0.config.closing_delay).await;
                        while waiting.len() < CLOSINGS_MAX
                            && let Ok(payment) = closings.try_recv()
                        {
                            waiting.push(payment);
                        }
                    }
                }
                () = stop.cancelled(), if closings.is_empty() => return,
            }
            self.close(std::mem::take(&mut waiting)).await;
        }
    }

    /// Tells the world of settled payments and closes those that it has been told of.
    pub(super) async fn close(&self, settled: Vec<Payment>) {
        let told: Vec<Payment> = stream::iter(settled)
            .map(|payment| async move { self.tell(&payment).await.then_some(payment) })
            .buffer_unordered(RECOVERIES_AT_ONCE)
            .filter_map(future::ready)
            .collect()
            .await;
        if let Err(error) = self.0.driver.conclude(told).await {
            tracing::error!("closing payments: {error}");
        }
    }

    /// Runs `afterPayment`. Where it fails the log stays open, and recovery comes back to it later and later.
    async fn tell(&self, payment: &Payment) -> bool {
        let (Some(hook), Some(log)) = (self.0.after_payment.get(), payment.log()) else {
            return true;
        };
        if log.failed() {
            return true;
        }
        match hook(Receipt::of(log)).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(payment.id = log.id.as_str(), "afterPayment: {error}");
                false
            }
        }
    }

    /// Takes up open logs that nobody has touched for `untouched`, at most `limit`, and brings them to their end.
    /// `None` where the store does not answer.
    pub async fn sweep(&self, untouched: Duration, limit: u32) -> Option<Recovered> {
        let now = self.0.environment.now();
        let millis = i64::try_from(untouched.as_millis()).unwrap_or(i64::MAX);
        let due = recovery::due(now, now.plus_millis(0_i64.saturating_sub(millis)));
        let logs = self.logs(due, limit).await?;
        let outcomes: Vec<Swept> = stream::iter(logs)
            .map(|log| self.recover(log))
            .buffer_unordered(RECOVERIES_AT_ONCE)
            .collect()
            .await;
        let mut recovered = Recovered::default();
        for outcome in outcomes {
            recovered.taken = recovered.taken.saturating_add(1);
            let count = match outcome {
                Swept::Succeeded => &mut recovered.succeeded,
                Swept::Failed => &mut recovered.failed,
                Swept::Undecided => &mut recovered.undecided,
                Swept::Stuck => &mut recovered.stuck,
            };
            *count = count.saturating_add(1);
        }
        Some(recovered)
    }

    /// What `recoverPayments` does: takes up everything that is open and not claimed by a worker.
    ///
    /// # Errors
    /// 9010 where the store does not answer.
    pub async fn recover_payments(&self, limit: u32) -> Result<Recovered, CloudError> {
        self.sweep(Duration::ZERO, limit.min(SWEEP_MAX))
            .await
            .ok_or_else(undecided)
    }

    async fn logs(&self, filter: Filter, limit: u32) -> Option<Vec<Log>> {
        let query = Query::new(filter).order_by("createdAt").limit(limit);
        let class = &self.0.rules.log_class;
        let found = self.0.driver.find(class, &query, self.deadline()).await?;
        let log = |document| match Log::from_document(document, &self.0.rules) {
            Ok(log) => Some(log),
            Err(error) => {
                tracing::error!("a log that cannot be read: {error}");
                None
            }
        };
        Some(found.iter().filter_map(log).collect())
    }

    async fn recover(&self, log: Log) -> Swept {
        let deadline = self.deadline();
        let exhausted = log.claims >= self.0.config.claims_max;
        let worker = self.worker_for(log.claims);
        let payment = Payment::recovered(&self.0.rules, worker, log.clone());
        let ran = self.0.driver.run(payment, Vec::new(), deadline).await;
        let (payment, end) = match ran {
            Ok(ran) => {
                if !ran.crowded.is_empty() {
                    lock(&self.0.crowded).extend(ran.crowded);
                }
                match ran.progress {
                    crate::payment::driver::Progress::Settled(payment) => {
                        self.close(vec![payment]).await;
                        return Swept::Succeeded;
                    }
                    crate::payment::driver::Progress::Ended(payment, end) => (payment, end),
                    crate::payment::driver::Progress::Undecided(payment) => {
                        if let (true, Some(payment)) = (exhausted, payment) {
                            let why = "recovery had no answer from the store, again and again";
                            self.0.driver.leave_stuck(&payment, &self.0.rules, why).await;
                            return Swept::Stuck;
                        }
                        return Swept::Undecided;
                    }
                }
            }
            Err(error) => {
                tracing::error!(payment.id = log.id.as_str(), "{error}");
                return Swept::Undecided;
            }
        };
        match self.ended(&payment, end).await {
            Ok(Done::Finished { log, .. }) if log.failed() => Swept::Failed,
            Ok(Done::Finished { .. }) => Swept::Succeeded,
            Ok(Done::Taken(_) | Done::Unconfirmable) => Swept::Undecided,
            Err(error) if error.code == ErrorCode::ACCOUNT_MOVED => Swept::Undecided,
            Err(_) => Swept::Stuck,
        }
    }

    /// Expires pending orders whose time has come.
    pub async fn expire_orders(&self) {
        let filter = Filter::all()
            .eq("status", OrderStatus::Pending.name())
            .lte("expiresAt", recovery::date(self.0.environment.now()));
        let query = Query::new(filter).limit(SWEEP_MAX);
        let class = &self.0.rules.order_class;
        let found = self.0.driver.find(class, &query, self.deadline()).await;
        for document in found.unwrap_or_default() {
            let expired = match Order::from_document(&document, &self.0.rules) {
                Ok(order) => self.expire(&order, self.deadline()).await.map(|_| ()),
                Err(error) => Err(error.to_cloud_error()),
            };
            if let Err(error) = expired {
                let order = document.text("objectId").unwrap_or_default();
                tracing::warn!(object.id = order, "an order that cannot be expired: {error}");
            }
        }
    }

    /// Gives up recharges that nobody paid.
    pub async fn expire_recharges(&self) {
        let millis = i64::try_from(self.0.config.recharge_expires.as_millis()).unwrap_or(i64::MAX);
        let before: Timestamp = self.0.environment.now().plus_millis(0_i64.saturating_sub(millis));
        let filter = Filter::all()
            .eq("state", LogState::Ordered.number())
            .eq("kind", Kind::Recharge.name())
            .exists("stuck", false)
            .lte("createdAt", recovery::date(before));
        let refusal = Refusal::new(ErrorCode::NOT_PAYABLE, "The recharge was not paid in time.");
        for log in self.logs(filter, SWEEP_MAX).await.unwrap_or_default() {
            let write = recovery::close_unpaid(&self.0.rules, &log, &refusal.to_reason());
            // No effect: it has been paid after all. No answer: the next sweep tries again.
            let _ = self.0.driver.write(write).await;
        }
    }

    /// Prunes the documents that were seen with too many marks.
    pub async fn prune_crowded(&self) {
        let crowded: BTreeSet<Target> = std::mem::take(&mut *lock(&self.0.crowded));
        for target in crowded {
            if self.prune(&target).await.is_none() {
                tracing::debug!(object.id = target.id.as_str(), "pruned later");
            }
        }
    }

    /// Forgets the marks of closed logs on one document.
    async fn prune(&self, target: &Target) -> Option<Outcome> {
        let deadline = self.deadline();
        let document = self.0.driver.read(target, deadline).await??;
        let marked: Vec<Value> = prune::logs(&document)
            .ok()?
            .iter()
            .take(usize::try_from(Query::LIMIT_MAX).unwrap_or(usize::MAX))
            .map(|log| log.as_str().into())
            .collect();
        let filter = Filter::all()
            .one_of("objectId", marked)
            .eq("state", LogState::Closed.number());
        let query = Query::new(filter).limit(Query::LIMIT_MAX);
        let class = &self.0.rules.log_class;
        let logs = self.0.driver.find(class, &query, deadline).await?;
        let closed: BTreeSet<ObjectId> = logs.iter().filter_map(|log| log.object_id()).collect();
        let write = prune::prune(target, &document, &closed).ok()??;
        Some(self.0.driver.write(write).await)
    }
}

/// What became of one log.
enum Swept {
    Succeeded,
    Failed,
    Undecided,
    Stuck,
}
