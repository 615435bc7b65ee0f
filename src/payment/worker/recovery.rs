//! Recovery: takes up open logs and brings them to their end.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::model::{CloudError, ObjectId};
use crate::payment::driver::RunResult;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::machine::{End, PaymentProcess};
use crate::payment::protocol::recovery;
use crate::payment::service::PaymentService;
use crate::payment::service::errors::undecided;
use crate::payment::worker::paging::next_page;

/// Logs that recovery takes up at the same time.
const RECOVERIES_AT_ONCE: usize = 16;

/// Result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecoveryReport {
    /// Open logs that were taken up.
    pub taken: u64,
    /// Of those, logs closed as succeeded.
    pub succeeded: u64,
    /// Of those, logs closed as failed.
    pub failed: u64,
    /// Of those, logs not closed: not decided yet, or `afterPayment` failed. They are tried again.
    pub undecided: u64,
    /// Logs that wait for an operator. A sweep counts those it has marked stuck, `recoverPayments` all of them.
    pub stuck: u64,
    /// Only `recoverPayments`: logs that are open now and existed when it began, without the stuck ones.
    pub open: u64,
}

/// Outcome of the recovery of one log.
#[derive(Debug)]
pub(in crate::payment) enum RecoveryOutcome {
    Succeeded,
    Failed,
    /// Not decided, or not closed.
    Undecided {
        /// The payment as far as it came, if the store gave no answer in time.
        payment: Option<Box<PaymentProcess>>,
        /// The last error of the store.
        store_error: Option<String>,
    },
    Stuck,
    /// It was to be cancelled, and the money is secured.
    Secured,
    /// It has moved to another store, or no time was left.
    Skipped,
}

impl RecoveryOutcome {
    const UNDECIDED: Self = Self::Undecided {
        payment: None,
        store_error: None,
    };

    /// The last error of the store, if the payment is undecided for that reason.
    pub(in crate::payment) fn into_store_error(self) -> Option<String> {
        match self {
            Self::Undecided { store_error, .. } => store_error,
            Self::Succeeded | Self::Failed | Self::Stuck | Self::Secured | Self::Skipped => None,
        }
    }
}

impl PaymentService {
    pub(super) async fn run_recovery(&self, stop: &CancellationToken) {
        // At the start this process has nothing under way: every open log is taken up at once.
        let mut untouched = Duration::ZERO;
        loop {
            let round = async {
                self.sweep(untouched, u32::MAX).await;
                self.0.environment.sleep(self.0.config.sweep_every).await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = round => {}
            }
            untouched = self.0.config.lease;
        }
    }

    /// Takes up at most `limit` open logs that no worker has touched for `untouched`, and brings them to their end.
    /// `None` if the store does not answer.
    pub async fn sweep(&self, untouched: Duration, limit: u32) -> Option<RecoveryReport> {
        self.sweep_until(untouched, limit, None).await
    }

    /// Takes up at most `limit` open logs that no worker claims, as many as there is time for, and counts the logs that
    /// are left: the cloud function `recoverPayments`.
    ///
    /// # Errors
    /// 9010 if the store does not answer.
    pub async fn recover_payments(&self, limit: u32) -> Result<RecoveryReport, CloudError> {
        let began = self.0.environment.now();
        let deadline = self.deadline();
        let swept = self.sweep_until(Duration::ZERO, limit, Some(deadline)).await;
        let mut report = swept.ok_or_else(undecided)?;
        let unfinished = self.count_unfinished_before(began, deadline).await?;
        report.open = unfinished.open;
        report.stuck = unfinished.stuck;
        Ok(report)
    }

    /// As [`PaymentService::sweep`], for a caller who waits until `deadline`: nothing is begun in the second half of the
    /// time.
    async fn sweep_until(
        &self,
        untouched: Duration,
        limit: u32,
        deadline: Option<Duration>,
    ) -> Option<RecoveryReport> {
        let now = self.0.environment.now();
        let millis = i64::try_from(untouched.as_millis()).unwrap_or(i64::MAX);
        let longest = self.worker_for(i64::MAX).until;
        let due = recovery::due_logs(now, now.plus_millis(0_i64.saturating_sub(millis)), longest);
        let begin_until = deadline.map(|deadline| deadline.saturating_sub(self.0.config.deadline / 2));
        let is_late = || begin_until.is_some_and(|until| self.0.environment.elapsed() >= until);
        let mut report = RecoveryReport::default();
        let mut last: Option<ObjectId> = None;
        let mut is_first = true;
        loop {
            let Some(page) = self.page(&self.0.names.log_class, &due, last.as_ref()).await else {
                return (!is_first).then_some(report);
            };
            is_first = false;
            last = next_page(&page);
            let mut logs = page.iter().filter_map(|document| self.readable_log(document));
            loop {
                let wanted = u64::from(limit).saturating_sub(report.taken);
                let some: Vec<Log> = logs
                    .by_ref()
                    .take(usize::try_from(wanted).unwrap_or(usize::MAX))
                    .collect();
                if some.is_empty() || is_late() {
                    break;
                }
                let outcomes: Vec<RecoveryOutcome> = stream::iter(some)
                    .map(|log| async move {
                        if is_late() {
                            RecoveryOutcome::Skipped
                        } else {
                            let own = self.deadline();
                            self.recover(log, deadline.map_or(own, |deadline| deadline.min(own)))
                                .await
                        }
                    })
                    .buffer_unordered(RECOVERIES_AT_ONCE)
                    .collect()
                    .await;
                outcomes.iter().for_each(|outcome| report.add(outcome));
            }
            if last.is_none() || report.taken >= u64::from(limit) || is_late() {
                return Some(report);
            }
        }
    }

    async fn recover(&self, log: Log, deadline: Duration) -> RecoveryOutcome {
        let claims_max = self.0.config.claims_max;
        let worker = self.worker_for(log.claims);
        let is_abandoned = recovery::is_abandoned(&log, claims_max);
        let is_last_attempt = recovery::is_last_attempt(&log, claims_max);
        let claims = log.claims;
        let payment = PaymentProcess::recovered(&self.0.names, worker, log);
        let driver = &self.0.driver;
        if is_abandoned {
            let why = format!("taken up {claims} times, and no attempt reported its result: its worker dies");
            driver.mark_stuck(&payment, &self.0.names, &why).await;
            return RecoveryOutcome::Stuck;
        }
        let outcome = self.recover_now(payment, deadline).await;
        if is_last_attempt
            && let RecoveryOutcome::Undecided {
                payment: Some(payment),
                store_error: Some(error),
            } = &outcome
        {
            let why = format!("no answer from the store, again and again; the last time: {error}");
            driver.mark_stuck(payment, &self.0.names, &why).await;
            return RecoveryOutcome::Stuck;
        }
        outcome
    }

    /// Brings a payment that was begun before to its end, as far as that is possible now.
    pub(in crate::payment) async fn recover_now(
        &self,
        payment: PaymentProcess,
        deadline: Duration,
    ) -> RecoveryOutcome {
        let result = match self.run(payment, Vec::new(), deadline).await {
            Ok(result) => result,
            Err(error) => {
                tracing::error!("{error}");
                return RecoveryOutcome::UNDECIDED;
            }
        };
        match result {
            // It has succeeded, but is at its end only once `afterPayment` has run and the log is closed.
            RunResult::Settled(payment) => {
                if self.0.closer.close(payment).await {
                    RecoveryOutcome::Succeeded
                } else {
                    RecoveryOutcome::UNDECIDED
                }
            }
            RunResult::Undecided { payment, store_error } => RecoveryOutcome::Undecided {
                payment: payment.map(Box::new),
                store_error,
            },
            RunResult::Ended(payment, end) => match end {
                End::Closed | End::AwaitingGateway => match payment.log() {
                    Some(log) if log.failed() => RecoveryOutcome::Failed,
                    Some(_) => RecoveryOutcome::Succeeded,
                    None => RecoveryOutcome::Stuck,
                },
                End::KeyTaken | End::Unconfirmable => RecoveryOutcome::UNDECIDED,
                End::Secured => RecoveryOutcome::Secured,
                End::Stuck(why) => {
                    self.mark_stuck(&payment, &why).await;
                    RecoveryOutcome::Stuck
                }
                End::Moved(_) => RecoveryOutcome::Skipped,
            },
        }
    }
}

impl RecoveryReport {
    fn add(&mut self, outcome: &RecoveryOutcome) {
        let count = match outcome {
            RecoveryOutcome::Succeeded => &mut self.succeeded,
            RecoveryOutcome::Failed => &mut self.failed,
            RecoveryOutcome::Undecided { .. } => &mut self.undecided,
            RecoveryOutcome::Stuck => &mut self.stuck,
            RecoveryOutcome::Skipped | RecoveryOutcome::Secured => return,
        };
        *count = count.saturating_add(1);
        self.taken = self.taken.saturating_add(1);
    }
}
