//! Execution of a payment in the time of one call: prune if needed, run the machine, hand the rest to the background.

use std::time::Duration;

use crate::model::CloudError;
use crate::payment::ProtocolError;
use crate::payment::driver::{Prefetched, RunResult};
use crate::payment::protocol::log::Log;
use crate::payment::protocol::machine::{End, PaymentProcess};
use crate::payment::service::errors::{secured, undecided};
use crate::payment::service::{PaymentService, Receipt};

/// Outcome of a payment, as far as the caller of this worker is concerned.
pub(super) enum RunOutcome {
    /// The payment is decided; or a recharge waits for its gateway; or what a gateway has confirmed is recorded and
    /// still to be credited.
    Finished { log: Log, replayed: bool },
    /// The key, or the attempt, belongs to another request.
    Taken(Log),
    /// The money needs a log of its own.
    Unconfirmable,
}

impl RunOutcome {
    /// The receipt of a payment of this call, or of the same call made before.
    ///
    /// # Errors
    /// The refusal; the error that `taken` makes of the log of another request; 9010.
    pub(super) fn into_receipt(self, taken: impl FnOnce(&Log) -> CloudError) -> Result<Receipt, CloudError> {
        match self {
            Self::Finished { log, replayed } => Receipt::result(&log, replayed),
            Self::Taken(log) => Err(taken(&log)),
            Self::Unconfirmable => Err(undecided()),
        }
    }
}

impl PaymentService {
    /// Runs a payment as far as its caller needs, and leaves the rest to the background.
    ///
    /// # Errors
    /// 9010, 9011, 9006 if it was to be cancelled too late.
    pub(super) async fn execute(
        &self,
        payment: PaymentProcess,
        mut prefetched: Prefetched,
        deadline: Duration,
    ) -> Result<RunOutcome, CloudError> {
        if payment.log().is_none() && self.0.pruner.prune_before_write(&payment).await {
            prefetched.clear();
        }
        let result = self
            .run(payment, prefetched, deadline)
            .await
            .map_err(|error| CloudError::other(error.to_string()).with_status(500))?;
        match result {
            RunResult::Settled(payment) => {
                let log = payment.log().cloned().ok_or_else(undecided)?;
                let replayed = payment.is_replayed();
                // A full queue loses nothing: recovery finds the open log.
                let _ = self.0.closings.try_send(payment);
                Ok(RunOutcome::Finished { log, replayed })
            }
            RunResult::Ended(payment, end) => self.outcome_of(&payment, end).await,
            RunResult::Undecided { payment, .. } => match payment.as_ref().and_then(PaymentProcess::log) {
                Some(log) if log.has_arrived() => Ok(RunOutcome::Finished {
                    log: log.clone(),
                    replayed: payment.as_ref().is_some_and(PaymentProcess::is_replayed),
                }),
                Some(_) | None => Err(undecided()),
            },
        }
    }

    /// Runs a payment, and queues the documents that are seen with too many marks for pruning.
    pub(in crate::payment) async fn run(
        &self,
        payment: PaymentProcess,
        prefetched: Prefetched,
        deadline: Duration,
    ) -> Result<RunResult, ProtocolError> {
        let on_excess_marks = |target| self.0.pruner.enqueue(target);
        self.0
            .driver
            .run(payment, prefetched, deadline, &on_excess_marks)
            .await
    }

    async fn outcome_of(&self, payment: &PaymentProcess, end: End) -> Result<RunOutcome, CloudError> {
        let log = || payment.log().cloned().ok_or_else(undecided);
        match end {
            End::Closed | End::AwaitingGateway => Ok(RunOutcome::Finished {
                log: log()?,
                replayed: payment.is_replayed(),
            }),
            End::KeyTaken => Ok(RunOutcome::Taken(log()?)),
            End::Secured => Err(secured()),
            End::Unconfirmable => Ok(RunOutcome::Unconfirmable),
            End::Stuck(why) => {
                self.mark_stuck(payment, &why).await;
                Err(why.to_cloud_error())
            }
            End::Moved(what) => Err(ProtocolError::Moved(what).to_cloud_error()),
        }
    }

    /// Leaves a payment to an operator.
    pub(in crate::payment) async fn mark_stuck(&self, payment: &PaymentProcess, why: &ProtocolError) {
        tracing::error!(
            payment.id = payment.log().map(|log| log.id.as_str()),
            "stuck: {why}"
        );
        let driver = &self.0.driver;
        driver.mark_stuck(payment, &self.0.names, &why.to_string()).await;
    }

    /// Brings a log that was begun before to its end.
    ///
    /// # Errors
    /// 9010, 9011.
    pub(super) async fn finish(&self, log: Log, deadline: Duration) -> Result<Log, CloudError> {
        let worker = self.worker_for(log.claims);
        let payment = PaymentProcess::resumed(&self.0.names, worker, log);
        match self.execute(payment, Prefetched::new(), deadline).await? {
            RunOutcome::Finished { log, .. } | RunOutcome::Taken(log) => Ok(log),
            RunOutcome::Unconfirmable => Err(undecided()),
        }
    }

    /// The log once it is decided: at once if it is, else brought to its end.
    ///
    /// # Errors
    /// 9010, 9011.
    pub(super) async fn decided(&self, log: Log, deadline: Duration) -> Result<Log, CloudError> {
        if log.verdict.is_some() {
            return Ok(log);
        }
        self.finish(log, deadline).await
    }

    /// The receipt of a repeated call: that of the payment under its key, brought to its end first.
    ///
    /// # Errors
    /// The refusal; 9010, 9011.
    pub(super) async fn replay(&self, log: Log, deadline: Duration) -> Result<Receipt, CloudError> {
        let log = if log.waits_for_gateway() {
            log
        } else {
            self.decided(log, deadline).await?
        };
        Receipt::result(&log, true)
    }
}
