//! What the cloud functions do: prices, ownership, keys, answers.
//!
//! One [`Payments`] serves a whole process. Nothing of it is needed for safety: two processes, or none of its memory,
//! give the same answers, only with more work.

mod adjustments;
pub(super) mod endings;
mod flight;
mod holds;
mod keyed;
mod keys;
mod leaving;
mod operating;
mod orders;
mod parameters;
mod queries;
mod receipt;
mod recharges;
mod records;
mod refunds;
mod transfers;
mod withdrawals;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::environment::Environment;
use crate::model::{CloudError, Document, ErrorCode, ObjectId};
use crate::payment::driver::{Driver, Known, Progress, Ran};
use crate::payment::policy::{AllowAll, PaymentPolicy, Proposal};
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::{Intent, Log};
use crate::payment::protocol::machine::{Draft, End, Payment};
use crate::payment::protocol::recovery::Worker;
use crate::payment::{PaymentConfig, ProtocolError, Refusal, Rules};
use crate::store::Store;

pub use crate::payment::worker::Recovered;
pub use holds::{HOLD_SECONDS, HOLD_SECONDS_MAX};
pub use keys::CallerKey;
pub use operating::{Operated, StuckPayment, Unfinished};
pub use parameters::given;
pub use queries::{Account, Page, Which};
pub use receipt::{OrderReceipt, Receipt};
pub use recharges::{Channel, Notice};

/// Closings that wait to be sent. More are left to recovery, which finds every open log.
const CLOSINGS_WAITING_MAX: usize = 8192;

/// How long the lease of a log that keeps failing gets, unless the first one is longer.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// What runs after a payment has succeeded.
pub type AfterPayment =
    Arc<dyn Fn(Receipt) -> Pin<Box<dyn Future<Output = Result<(), CloudError>> + Send>> + Send + Sync>;

/// The payment service. Cheap to clone.
#[derive(Clone)]
pub struct Payments(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) driver: Driver,
    pub(super) environment: Environment,
    pub(super) config: PaymentConfig,
    pub(super) rules: Arc<Rules>,
    /// A name for operators, new for every process.
    pub(super) worker: String,
    pub(super) policy: OnceLock<Arc<dyn PaymentPolicy>>,
    pub(super) after_payment: OnceLock<AfterPayment>,
    pub(super) flights: flight::Flights,
    pub(super) closings: mpsc::Sender<Payment>,
    /// Taken by the one background task.
    pub(super) closings_waiting: Mutex<Option<mpsc::Receiver<Payment>>>,
    /// Documents with too many marks.
    pub(super) crowded: crate::payment::worker::Crowded,
    /// Notified when logs have been closed, whose marks can then be forgotten.
    pub(super) closed: tokio::sync::Notify,
    /// What `afterPayment` is running for.
    pub(super) telling: crate::payment::worker::Telling,
}

/// How a payment came out, as far as this worker is concerned.
pub(super) enum Done {
    /// It is decided, or a recharge waits for its gateway, or what a gateway has confirmed stands and is still to be
    /// credited.
    Finished { log: Log, replayed: bool },
    /// The key, or the attempt, is somebody else's.
    Taken(Log),
    /// The money needs a log of its own.
    Unconfirmable,
}

impl Payments {
    /// A payment service on `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, environment: Environment, config: PaymentConfig) -> Self {
        let (closings, waiting) = mpsc::channel(CLOSINGS_WAITING_MAX);
        let threshold = config.prune_threshold.unwrap_or(usize::MAX);
        let driver = Driver::new(store, environment.clone(), config.store_timeout, threshold);
        Self(Arc::new(Inner {
            driver,
            worker: environment.random_text(8),
            environment,
            rules: config.rules(),
            config,
            policy: OnceLock::new(),
            after_payment: OnceLock::new(),
            flights: flight::Flights::default(),
            closings,
            closings_waiting: Mutex::new(Some(waiting)),
            crowded: crate::payment::worker::Crowded::default(),
            closed: tokio::sync::Notify::new(),
            telling: crate::payment::worker::Telling::default(),
        }))
    }

    /// Sets the app's rules. Once, at the start; later calls change nothing.
    #[must_use]
    pub fn with_policy(self, policy: Arc<dyn PaymentPolicy>) -> Self {
        let _ = self.0.policy.set(policy);
        self
    }

    /// Sets what runs after a payment has succeeded, at least once for each. Once, at the start; later calls change
    /// nothing.
    #[must_use]
    pub fn with_after_payment<F, R>(self, hook: F) -> Self
    where
        F: Fn(Receipt) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), CloudError>> + Send + 'static,
    {
        let _ = self
            .0
            .after_payment
            .set(Arc::new(move |receipt| Box::pin(hook(receipt))));
        self
    }

    /// How it is set up.
    #[must_use]
    pub fn config(&self) -> &PaymentConfig {
        &self.0.config
    }

    /// The store that it works on.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        self.0.driver.store()
    }

    /// Recomputes every account and order from the logs.
    ///
    /// # Errors
    /// 9010 where the store does not answer.
    pub async fn audit(&self) -> Result<crate::payment::audit::Report, CloudError> {
        let report = crate::payment::audit::audit(&**self.store(), &self.0.config).await;
        report.map_err(|error| CloudError::new(ErrorCode::OUTCOME_UNKNOWN, error.to_string()))
    }

    pub(super) fn deadline(&self) -> Duration {
        self.0
            .environment
            .elapsed()
            .saturating_add(self.0.config.deadline)
    }

    pub(super) fn worker(&self) -> Worker {
        self.worker_for(0)
    }

    /// The lease doubles with each claim up to a minute, so that a log that keeps failing is tried more and more
    /// rarely, and soon after the trouble ends.
    pub(super) fn worker_for(&self, claims: i64) -> Worker {
        let doublings = u32::try_from(claims.clamp(0, 8)).unwrap_or(0);
        let shortest = self.0.config.lease;
        let longest = shortest.max(LEASE_MAX);
        let lease = shortest.saturating_mul(1 << doublings).min(longest);
        let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Worker {
            name: self.0.worker.clone(),
            until: self.0.environment.now().plus_millis(millis),
        }
    }

    pub(super) fn user_target(&self, user: &ObjectId) -> Target {
        Target::new(&self.0.rules.user_class, user)
    }

    pub(super) fn order_target(&self, order: &ObjectId) -> Target {
        Target::new(&self.0.rules.order_class, order)
    }

    /// Whether the app has rules of its own: then the key is looked up before they are asked.
    pub(super) fn has_policy(&self) -> bool {
        self.0.policy.get().is_some()
    }

    /// What the policy says about an intent whose key has no log yet.
    async fn judged(&self, intent: Intent) -> Result<Draft, CloudError> {
        let policy = match self.0.policy.get() {
            Some(policy) => Arc::clone(policy),
            None => Arc::new(AllowAll) as Arc<dyn PaymentPolicy>,
        };
        let proposal = Proposal {
            kind: intent.kind,
            user: &intent.user,
            amount: intent.amount,
            intent: &intent,
        };
        // It may ask elsewhere: that takes no longer than a call of the store.
        match tokio::time::timeout(self.0.config.store_timeout, policy.allow(proposal)).await {
            Ok(Ok(())) => Ok(Draft::new(intent)),
            Ok(Err(why)) => {
                let refusal = Refusal::new(ErrorCode::REFUSED_BY_POLICY, why);
                Ok(Draft::refused(intent, refusal))
            }
            Err(_) => {
                tracing::warn!("the payment policy has not answered in time: nothing is decided");
                Err(undecided())
            }
        }
    }

    fn fresh(&self, draft: Draft) -> Payment {
        Payment::fresh(&self.0.rules, self.worker(), self.0.driver.manner(), draft)
    }

    /// Runs a payment as far as the caller needs, and leaves the rest to the background.
    pub(super) async fn carry_out(
        &self,
        payment: Payment,
        mut known: Known,
        deadline: Duration,
    ) -> Result<Done, CloudError> {
        if payment.log().is_none() && self.make_room(&payment).await {
            known.clear();
        }
        let ran = self
            .run(payment, known, deadline)
            .await
            .map_err(|error| CloudError::other(error.to_string()).with_status(500))?;
        match ran.progress {
            Progress::Settled(payment) => {
                let log = payment.log().cloned().ok_or_else(undecided)?;
                let replayed = payment.is_replayed();
                // A full queue loses nothing: recovery finds the open log.
                let _ = self.0.closings.try_send(payment);
                Ok(Done::Finished { log, replayed })
            }
            Progress::Ended(payment, end) => self.ended(&payment, end).await,
            Progress::Undecided(payment) => match payment.as_ref().and_then(Payment::log) {
                Some(log) if log.has_arrived() => Ok(Done::Finished {
                    log: log.clone(),
                    replayed: payment.as_ref().is_some_and(Payment::is_replayed),
                }),
                Some(_) | None => Err(undecided()),
            },
        }
    }

    /// Runs a payment, and keeps in mind which documents have too many marks.
    pub(super) async fn run(
        &self,
        payment: Payment,
        known: Known,
        deadline: Duration,
    ) -> Result<Ran, ProtocolError> {
        let crowded = |target| self.0.crowded.note(target);
        self.0.driver.run(payment, known, deadline, &crowded).await
    }

    pub(super) async fn ended(&self, payment: &Payment, end: End) -> Result<Done, CloudError> {
        let log = payment.log().cloned();
        match end {
            End::Closed | End::Waiting => Ok(Done::Finished {
                log: log.ok_or_else(undecided)?,
                replayed: payment.is_replayed(),
            }),
            End::Taken => Ok(Done::Taken(log.ok_or_else(undecided)?)),
            End::Secured => Err(operating::secured()),
            End::Unconfirmable => Ok(Done::Unconfirmable),
            End::Stuck(why) => {
                tracing::error!(
                    payment.id = log.as_ref().map(|log| log.id.as_str()),
                    "stuck: {why}"
                );
                self.0
                    .driver
                    .leave_stuck(payment, &self.0.rules, &why.to_string())
                    .await;
                Err(why.to_cloud_error())
            }
            End::Moved(what) => Err(ProtocolError::Moved(what).to_cloud_error()),
        }
    }

    /// Brings a log that was begun before to its end.
    pub(super) async fn finish(&self, log: Log, deadline: Duration) -> Result<Log, CloudError> {
        let worker = self.worker_for(log.claims);
        let payment = Payment::resumed(&self.0.rules, worker, log);
        match self.carry_out(payment, Known::new(), deadline).await? {
            Done::Finished { log, .. } | Done::Taken(log) => Ok(log),
            Done::Unconfirmable => Err(undecided()),
        }
    }

    /// The answer to a repeated call: the payment that stands, brought to its end first.
    pub(super) async fn replay(&self, log: Log, deadline: Duration) -> Result<Receipt, CloudError> {
        let log = if log.verdict.is_some() || log.waits_for_gateway() {
            log
        } else {
            self.finish(log, deadline).await?
        };
        Receipt::answer(&log, true)
    }

    /// Reads one document.
    pub(super) async fn read(
        &self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Option<Document>, CloudError> {
        self.0.driver.read(target, deadline).await.ok_or_else(undecided)
    }
}

/// 9010: nobody knows yet; the same key asks again.
pub(super) fn undecided() -> CloudError {
    CloudError::new(
        ErrorCode::OUTCOME_UNKNOWN,
        "The outcome is not known yet. Ask again with the same key.",
    )
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl fmt::Debug for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payments")
            .field("worker", &self.0.worker)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
