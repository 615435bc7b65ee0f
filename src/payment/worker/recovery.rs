//! Recovery: open logs are taken up and brought to their end.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::model::{CloudError, Document, ErrorCode, ObjectId};
use crate::payment::driver::Progress;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::machine::Payment;
use crate::payment::protocol::recovery;
use crate::payment::service::{Done, Payments, undecided};
use crate::payment::worker::next_page;

/// Logs that recovery takes up at once.
const RECOVERIES_AT_ONCE: usize = 16;

/// What recovery has done, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovered {
    /// Open logs that were taken up.
    pub taken: u64,
    /// Of those, closed: succeeded.
    pub succeeded: u64,
    /// Of those, closed: failed.
    pub failed: u64,
    /// Of those, not closed: not decided yet, or `afterPayment` did not end well. They are tried again.
    pub undecided: u64,
    /// Logs that wait for an operator: of a sweep those that it has left to one, of `recoverPayments` all of them.
    pub stuck: u64,
    /// Of `recoverPayments`: logs that are open now, stuck ones apart, and were there when it began.
    pub open: u64,
}

/// What became of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::payment) enum Swept {
    Succeeded,
    Failed,
    Undecided,
    Stuck,
    /// It was to be cancelled, and the money is secured.
    Secured,
    /// It has moved to another store, or there was no time left.
    Passed,
}

impl Payments {
    pub(super) async fn run_sweeps(&self, stop: &CancellationToken) {
        // At the start nobody else of this process has anything under way: every open log is taken up at once.
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

    /// Takes up open logs that nobody has touched for `untouched`, at most `limit`, and brings them to their end.
    /// `None` where the store does not answer.
    pub async fn sweep(&self, untouched: Duration, limit: u32) -> Option<Recovered> {
        self.sweep_until(untouched, limit, None).await
    }

    /// What `recoverPayments` does: takes up what is open and not claimed by a worker, at most `limit` logs and as
    /// many as there is time for, and counts what is left.
    ///
    /// # Errors
    /// 9010 where the store does not answer.
    pub async fn recover_payments(&self, limit: u32) -> Result<Recovered, CloudError> {
        let began = self.0.environment.now();
        let deadline = self.deadline();
        let swept = self.sweep_until(Duration::ZERO, limit, Some(deadline)).await;
        let mut recovered = swept.ok_or_else(undecided)?;
        let unfinished = self.unfinished_by(began, deadline).await?;
        recovered.open = unfinished.open;
        recovered.stuck = unfinished.stuck;
        Ok(recovered)
    }

    /// As [`Payments::sweep`], for somebody who waits until `deadline`: nothing is begun in the second half of the
    /// time.
    async fn sweep_until(
        &self,
        untouched: Duration,
        limit: u32,
        deadline: Option<Duration>,
    ) -> Option<Recovered> {
        let now = self.0.environment.now();
        let millis = i64::try_from(untouched.as_millis()).unwrap_or(i64::MAX);
        let longest = self.worker_for(i64::MAX).until;
        let due = recovery::due(now, now.plus_millis(0_i64.saturating_sub(millis)), longest);
        let begin_until = deadline.map(|deadline| deadline.saturating_sub(self.0.config.deadline / 2));
        let is_late = || begin_until.is_some_and(|until| self.0.environment.elapsed() >= until);
        let mut recovered = Recovered::default();
        let mut last: Option<ObjectId> = None;
        let mut is_first = true;
        loop {
            let Some(page) = self.page(&self.0.rules.log_class, &due, last.as_ref()).await else {
                return (!is_first).then_some(recovered);
            };
            is_first = false;
            last = next_page(&page);
            let mut logs = page.iter().filter_map(|document| self.readable(document));
            loop {
                let wanted = u64::from(limit).saturating_sub(recovered.taken);
                let some: Vec<Log> = logs
                    .by_ref()
                    .take(usize::try_from(wanted).unwrap_or(usize::MAX))
                    .collect();
                if some.is_empty() || is_late() {
                    break;
                }
                let outcomes: Vec<Swept> = stream::iter(some)
                    .map(|log| async move {
                        if is_late() {
                            Swept::Passed
                        } else {
                            let own = self.deadline();
                            self.recover(log, deadline.map_or(own, |deadline| deadline.min(own)))
                                .await
                        }
                    })
                    .buffer_unordered(RECOVERIES_AT_ONCE)
                    .collect()
                    .await;
                outcomes.iter().for_each(|outcome| recovered.add(outcome));
            }
            if last.is_none() || recovered.taken >= u64::from(limit) || is_late() {
                return Some(recovered);
            }
        }
    }

    /// The log, where it can be read.
    pub(in crate::payment) fn readable(&self, document: &Document) -> Option<Log> {
        match Log::from_document(document, &self.0.rules) {
            Ok(log) => Some(log),
            Err(error) => {
                let log = document.text("objectId").unwrap_or_default();
                tracing::error!(payment.id = log, "a log that cannot be read: {error}");
                None
            }
        }
    }

    async fn recover(&self, log: Log, deadline: Duration) -> Swept {
        let most = self.0.config.claims_max;
        let worker = self.worker_for(log.claims);
        let (undecided, claims) = (log.verdict.is_none(), log.claims);
        let payment = Payment::recovered(&self.0.rules, worker, log);
        if undecided && claims >= most.saturating_mul(2) {
            let why =
                format!("taken up {claims} times without a word of what became of it: whoever does it dies");
            self.0.driver.leave_stuck(&payment, &self.0.rules, &why).await;
            return Swept::Stuck;
        }
        let taken = self.take_up(payment, deadline).await;
        if let (true, Swept::Undecided, Some(payment), Some(trouble)) = (
            undecided && claims.saturating_add(1) >= most,
            &taken.swept,
            &taken.payment,
            &taken.trouble,
        ) {
            let why = format!("no answer from the store, again and again; the last time: {trouble}");
            self.0.driver.leave_stuck(payment, &self.0.rules, &why).await;
            return Swept::Stuck;
        }
        taken.swept
    }

    /// Brings a payment that was begun before to its end, as far as that is possible now.
    pub(in crate::payment) async fn take_up(&self, payment: Payment, deadline: Duration) -> TakenUp {
        let ran = match self.run(payment, Vec::new(), deadline).await {
            Ok(ran) => ran,
            Err(error) => {
                tracing::error!("{error}");
                return TakenUp::now(Swept::Undecided);
            }
        };
        let (payment, end) = match ran.progress {
            // It has succeeded, but it is at its end only once the world knows and the log is closed.
            Progress::Settled(payment) if self.close(payment.clone()).await => {
                return TakenUp::now(Swept::Succeeded);
            }
            Progress::Settled(_) => return TakenUp::now(Swept::Undecided),
            Progress::Ended(payment, end) => (payment, end),
            Progress::Undecided(payment) => {
                return TakenUp {
                    swept: Swept::Undecided,
                    payment,
                    trouble: ran.trouble,
                };
            }
        };
        TakenUp::now(match self.ended(&payment, end).await {
            Ok(Done::Finished { log, .. }) if log.failed() => Swept::Failed,
            Ok(Done::Finished { .. }) => Swept::Succeeded,
            Ok(Done::Taken(_) | Done::Unconfirmable) => Swept::Undecided,
            Err(error) if error.code == ErrorCode::ACCOUNT_MOVED => Swept::Passed,
            Err(error) if error.code == ErrorCode::NOT_PAYABLE => Swept::Secured,
            Err(_) => Swept::Stuck,
        })
    }
}

/// What became of a payment that was taken up.
pub(in crate::payment) struct TakenUp {
    pub(in crate::payment) swept: Swept,
    /// Where nobody knows, and it waits for no operator: how far it came.
    payment: Option<Payment>,
    /// And what the store said last.
    pub(in crate::payment) trouble: Option<String>,
}

impl TakenUp {
    fn now(swept: Swept) -> Self {
        Self {
            swept,
            payment: None,
            trouble: None,
        }
    }
}

impl Recovered {
    fn add(&mut self, outcome: &Swept) {
        let count = match outcome {
            Swept::Succeeded => &mut self.succeeded,
            Swept::Failed => &mut self.failed,
            Swept::Undecided => &mut self.undecided,
            Swept::Stuck => &mut self.stuck,
            Swept::Passed | Swept::Secured => return,
        };
        *count = count.saturating_add(1);
        self.taken = self.taken.saturating_add(1);
    }
}
