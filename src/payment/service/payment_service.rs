//! [`PaymentService`]: the service's state, its construction, and small helpers that all of its operations share.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::environment::Environment;
use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Query};
use crate::payment::audit::{self, AuditReport};
use crate::payment::driver::{Driver, NoAnswer};
use crate::payment::policy::{AllowAll, PaymentPolicy, Proposal};
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::machine::{NewPayment, PaymentProcess};
use crate::payment::protocol::recovery::{self, Worker};
use crate::payment::protocol::target::Target;
use crate::payment::service::Receipt;
use crate::payment::service::errors::undecided;
use crate::payment::service::single_flight::SingleFlight;
use crate::payment::worker::closing::Closer;
use crate::payment::worker::notifying::Notifier;
use crate::payment::worker::pruning::Pruner;
use crate::payment::{PaymentConfig, Refusal, SchemaNames};
use crate::store::Store;

/// Settled payments that may wait to be closed. Those beyond are left to recovery, which finds every open log.
const CLOSINGS_WAITING_MAX: usize = 8192;

/// The payment service. Cheap to clone.
#[derive(Clone)]
pub struct PaymentService(pub(in crate::payment) Arc<Inner>);

pub(in crate::payment) struct Inner {
    pub(in crate::payment) driver: Driver,
    pub(in crate::payment) environment: Environment,
    pub(in crate::payment) config: PaymentConfig,
    pub(in crate::payment) names: Arc<SchemaNames>,
    /// The name under which this process claims logs; new for every process, for operators.
    worker: String,
    policy: OnceLock<Arc<dyn PaymentPolicy>>,
    pub(in crate::payment) flights: SingleFlight,
    /// Sends settled payments to the closer.
    pub(in crate::payment) closings: mpsc::Sender<PaymentProcess>,
    /// The other end of `closings`; taken by the first sweeper.
    pub(in crate::payment) closings_waiting: Mutex<Option<mpsc::Receiver<PaymentProcess>>>,
    pub(in crate::payment) closer: Closer,
    pub(in crate::payment) pruner: Pruner,
}

impl PaymentService {
    /// A payment service on `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, environment: Environment, config: PaymentConfig) -> Self {
        let (closings, waiting) = mpsc::channel(CLOSINGS_WAITING_MAX);
        let threshold = config.prune_threshold.unwrap_or(usize::MAX);
        let driver = Driver::new(store, environment.clone(), config.store_timeout, threshold);
        Self(Arc::new(Inner {
            worker: environment.random_text(8),
            names: config.names(),
            policy: OnceLock::new(),
            flights: SingleFlight::default(),
            closings,
            closings_waiting: Mutex::new(Some(waiting)),
            closer: Closer::new(driver.clone(), environment.clone(), config.closing_delay),
            pruner: Pruner::new(driver.clone(), environment.clone(), config.clone()),
            driver,
            environment,
            config,
        }))
    }

    /// Sets the app's rules. Once, at the start; later calls change nothing.
    #[must_use]
    pub fn with_policy(self, policy: Arc<dyn PaymentPolicy>) -> Self {
        let _ = self.0.policy.set(policy);
        self
    }

    /// Sets the function that runs after a payment has succeeded, at least once for each payment. Once, at the start;
    /// later calls change nothing.
    #[must_use]
    pub fn with_after_payment<F, R>(self, hook: F) -> Self
    where
        F: Fn(Receipt) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), CloudError>> + Send + 'static,
    {
        let notifier: &Notifier = self.0.closer.notifier();
        notifier.set_hook(Arc::new(move |receipt| Box::pin(hook(receipt))));
        self
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &PaymentConfig {
        &self.0.config
    }

    /// The store it works on.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        self.0.driver.store()
    }

    /// Recomputes every account and order from the logs. Reads only.
    ///
    /// # Errors
    /// 9010 if the store does not answer.
    pub async fn audit(&self) -> Result<AuditReport, CloudError> {
        let report = audit::audit(&**self.store(), &self.0.config).await;
        report.map_err(|error| CloudError::new(ErrorCode::OUTCOME_UNKNOWN, error.to_string()))
    }

    /// The time, on [`Environment::elapsed`], by which a call that begins now must be answered.
    pub(in crate::payment) fn deadline(&self) -> Duration {
        let now = self.0.environment.elapsed();
        now.saturating_add(self.0.config.deadline)
    }

    /// This worker, with the lease of a log that nobody has claimed yet.
    pub(in crate::payment) fn worker(&self) -> Worker {
        self.worker_for(0)
    }

    /// This worker, with the lease of a log that was claimed `claims` times before.
    pub(in crate::payment) fn worker_for(&self, claims: i64) -> Worker {
        let lease = recovery::lease(self.0.config.lease, claims);
        let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Worker {
            name: self.0.worker.clone(),
            until: self.0.environment.now().plus_millis(millis),
        }
    }

    pub(in crate::payment) fn user_target(&self, user: &ObjectId) -> Target {
        Target::new(&self.0.names.user_class, user)
    }

    pub(in crate::payment) fn order_target(&self, order: &ObjectId) -> Target {
        Target::new(&self.0.names.order_class, order)
    }

    /// True if the app has a policy of its own: then the key is looked up before the policy is asked.
    pub(in crate::payment) fn has_policy(&self) -> bool {
        self.0.policy.get().is_some()
    }

    /// Asks the policy about an intent whose key has no log yet. A refusal is part of the payment that is returned.
    ///
    /// # Errors
    /// 9010 if the policy does not answer within `store_timeout`.
    pub(in crate::payment) async fn ask_policy(&self, intent: Intent) -> Result<NewPayment, CloudError> {
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
        // The policy may call out. It gets no more time than a call of the store.
        match tokio::time::timeout(self.0.config.store_timeout, policy.allow(proposal)).await {
            Ok(Ok(())) => Ok(NewPayment::new(intent)),
            Ok(Err(why)) => {
                let refusal = Refusal::new(ErrorCode::REFUSED_BY_POLICY, why);
                Ok(NewPayment::refused(intent, refusal))
            }
            Err(_) => {
                tracing::warn!("the payment policy did not answer in time; the payment is left undecided");
                Err(undecided())
            }
        }
    }

    pub(in crate::payment) fn fresh(&self, draft: NewPayment) -> PaymentProcess {
        PaymentProcess::fresh(&self.0.names, self.worker(), self.0.driver.commit_mode(), draft)
    }

    /// Reads one document.
    ///
    /// # Errors
    /// 9010 if the store does not answer by `deadline`.
    pub(in crate::payment) async fn read(
        &self,
        target: &Target,
        deadline: Duration,
    ) -> Result<Option<Document>, CloudError> {
        let read = self.0.driver.read(target, deadline).await;
        read.map_err(|NoAnswer| undecided())
    }

    /// Finds documents.
    ///
    /// # Errors
    /// 9010 if the store does not answer by `deadline`.
    pub(in crate::payment) async fn find(
        &self,
        class: &ClassName,
        query: &Query,
        deadline: Duration,
    ) -> Result<Vec<Document>, CloudError> {
        let found = self.0.driver.find(class, query, deadline).await;
        found.map_err(|NoAnswer| undecided())
    }

    /// Finds logs.
    ///
    /// # Errors
    /// 9010 if the store does not answer by `deadline`, or if a log found cannot be read.
    pub(in crate::payment) async fn find_logs(
        &self,
        query: &Query,
        deadline: Duration,
    ) -> Result<Vec<Log>, CloudError> {
        let found = self.find(&self.0.names.log_class, query, deadline).await?;
        found.iter().map(|document| self.log_of(document)).collect()
    }

    /// Finds the one log that a filter on unique keys matches.
    ///
    /// # Errors
    /// 9010 if the store does not answer by `deadline`, or if the log found cannot be read.
    pub(in crate::payment) async fn find_log(
        &self,
        filter: Filter,
        deadline: Duration,
    ) -> Result<Option<Log>, CloudError> {
        let query = Query::new(filter).limit(1);
        let found = self.find(&self.0.names.log_class, &query, deadline).await?;
        found.first().map(|document| self.log_of(document)).transpose()
    }

    /// Reads a log.
    ///
    /// # Errors
    /// 9010 if it cannot be read.
    pub(in crate::payment) fn log_of(&self, document: &Document) -> Result<Log, CloudError> {
        Log::from_document(document, &self.0.names).map_err(|error| error.to_cloud_error())
    }

    /// The log in a document; `None`, and an error in the process's log, if it cannot be read.
    pub(in crate::payment) fn readable_log(&self, document: &Document) -> Option<Log> {
        match Log::from_document(document, &self.0.names) {
            Ok(log) => Some(log),
            Err(error) => {
                let log = document.text("objectId").unwrap_or_default();
                tracing::error!(payment.id = log, "the payment log cannot be read: {error}");
                None
            }
        }
    }
}

impl fmt::Debug for PaymentService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentService")
            .field("worker", &self.0.worker)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
