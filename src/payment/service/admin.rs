//! Operations of an operator on payments that do not come to their end by themselves: list, resume, cancel.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId, Query, Timestamp};
use crate::payment::protocol::effect::Outcome;
use crate::payment::protocol::log::{Log, LogState, fields};
use crate::payment::protocol::machine::PaymentProcess;
use crate::payment::protocol::recovery;
use crate::payment::service::PaymentService;
use crate::payment::service::errors::{no_such, secured, undecided};
use crate::payment::service::parameters::check_text;
use crate::payment::worker::paging::next_page;
use crate::payment::worker::recovery::RecoveryOutcome;
use crate::payment::{Amount, Kind, ProtocolError, Refusal, SchemaNames};

/// Tries to cancel a payment: another try follows each time that another worker was faster.
const CANCEL_TRIES: u32 = 5;

/// A payment that waits for an operator. Taken from the stored document, so that a log that cannot be read is shown too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckPayment {
    /// Id of the log.
    pub log: String,
    /// Kind of payment.
    pub kind: Option<String>,
    /// Amount in minor units.
    pub amount: Option<i64>,
    /// The user whose payment it is.
    pub user: Option<ObjectId>,
    /// The order, if there is one.
    pub order: Option<ObjectId>,
    /// Log state, 0 to 4.
    pub state: Option<i64>,
    /// Number of times that recovery has taken it up.
    pub attempts: i64,
    /// The gateway's number, if money has arrived.
    pub trade_no: Option<String>,
    /// The last error.
    pub error: String,
    /// Time of creation.
    pub created_at: Option<Timestamp>,
}

/// A payment after an operator has resumed or cancelled it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminReport {
    /// Id of the log.
    pub log: ObjectId,
    /// Kind of payment.
    pub kind: String,
    /// Amount in minor units.
    pub amount: Option<i64>,
    /// The user whose payment it is.
    pub user: ObjectId,
    /// Log state, 0 to 5.
    pub state: u8,
    /// `succeeded`, `failed`, or null while undecided.
    pub outcome: Option<String>,
    /// The refusal, if it failed.
    pub reason: Option<String>,
    /// The last error, if it is not at its end.
    pub error: Option<String>,
}

impl StuckPayment {
    fn of(document: &Document, names: &SchemaNames) -> Self {
        let text = |key: &str| document.text(key).map(ToOwned::to_owned);
        Self {
            log: text("objectId").unwrap_or_default(),
            kind: text(fields::KIND),
            amount: document.integer(fields::AMOUNT),
            user: SchemaNames::pointed(document.get(fields::USER), &names.user_class),
            order: SchemaNames::pointed(document.get(fields::ORDER), &names.order_class),
            state: document.integer(fields::STATE),
            attempts: document.integer(fields::CLAIMS).unwrap_or(0),
            trade_no: text(fields::TRADE_NO),
            error: text(fields::STUCK).unwrap_or_default(),
            created_at: document.created_at(),
        }
    }
}

impl AdminReport {
    fn of(log: &Log, store_error: Option<String>) -> Self {
        let is_open = log.state < LogState::Closed;
        Self {
            log: log.id.clone(),
            kind: log.intent.kind.name().to_owned(),
            amount: log.intent.amount.map(Amount::units),
            user: log.intent.user.clone(),
            state: log.state.number(),
            outcome: log.verdict.map(|verdict| verdict.name().to_owned()),
            reason: log
                .refusal
                .as_ref()
                .filter(|_| log.failed())
                .map(Refusal::to_reason),
            error: log.stuck.clone().or(store_error).filter(|_| is_open),
        }
    }

    /// True if nothing is left to do.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == LogState::Closed.number()
    }
}

impl PaymentService {
    /// The payments that wait for an operator, oldest first. Reads only.
    ///
    /// # Errors
    /// 9010 if the store does not answer.
    pub async fn stuck_payments(&self) -> Result<Vec<StuckPayment>, CloudError> {
        let filter = recovery::stuck_logs();
        let mut stuck = Vec::new();
        let mut last: Option<ObjectId> = None;
        loop {
            let page = self.page(&self.0.names.log_class, &filter, last.as_ref()).await;
            let page = page.ok_or_else(undecided)?;
            stuck.extend(
                page.iter()
                    .map(|document| StuckPayment::of(document, &self.0.names)),
            );
            last = next_page(&page);
            if last.is_none() {
                stuck.sort_by(|a, b| (a.created_at, &a.log).cmp(&(b.created_at, &b.log)));
                return Ok(stuck);
            }
        }
    }

    /// Resumes a payment now, stuck or not, and returns its state then. `credit` agrees to credit money that has arrived
    /// with another amount than was requested, as much as has arrived.
    ///
    /// **Idempotency**: as that of every payment. A closed payment is returned as it is.
    ///
    /// # Errors
    /// 9003 (the money was credited before), 9004, 9006 (it waits for its gateway, or for `credit`; or there is nothing
    /// to credit), 9010, 9011.
    pub async fn resume_payment(&self, log: &ObjectId, credit: bool) -> Result<AdminReport, CloudError> {
        let deadline = self.deadline();
        let log = self.log_by_id(log, deadline).await?;
        if log.state == LogState::Closed {
            return Ok(AdminReport::of(&log, None));
        }
        let worker = self.worker_for(0);
        let payment = match (&log.trade_no, log.waits_for_gateway()) {
            (Some(trade_no), true) if credit => {
                self.check_not_credited(&log, trade_no, deadline).await?;
                let trade_no = trade_no.clone();
                tracing::warn!(
                    payment.id = log.id.as_str(),
                    "an operator credits the money that has arrived"
                );
                PaymentProcess::confirmed(
                    &self.0.names,
                    worker,
                    self.0.driver.commit_mode(),
                    log.clone(),
                    &trade_no,
                )
            }
            (Some(trade_no), true) => return Err(not_requested(&log, trade_no)),
            (None, true) => {
                let text = "The recharge waits for its gateway: nothing has arrived. Confirm it with \
                            'confirmRecharge' if it has been paid, or cancel it.";
                return Err(CloudError::new(ErrorCode::NOT_PAYABLE, text));
            }
            (_, false) if credit => {
                let text = "There is nothing to credit: only money that has arrived with another amount than was \
                            asked for waits for that. Resume the payment without it.";
                return Err(CloudError::new(ErrorCode::NOT_PAYABLE, text));
            }
            (_, false) => PaymentProcess::resumed(&self.0.names, worker, log.clone()),
        };
        let outcome = self.recover_now(payment, deadline).await;
        if matches!(outcome, RecoveryOutcome::Skipped) {
            return Err(moved());
        }
        let log = self.log_by_id(&log.id, self.deadline()).await?;
        Ok(AdminReport::of(&log, outcome.into_store_error()))
    }

    /// Cancels a payment whose money is not secured: the first conditional leg that is not applied is refused, in the
    /// document itself, and the legs before it are reversed; a recharge that nobody has paid is closed. `reason` (1 to
    /// 256 characters) becomes part of the refusal. `returned` confirms that money which has arrived with another amount
    /// than was requested has been given back at the gateway.
    ///
    /// **Idempotency**: a payment that has failed before, for any reason, is returned as it is.
    ///
    /// # Errors
    /// 107 (reason), 9004, 9006 (the money is secured, nothing of it can be refused, or money has arrived and was not
    /// `returned`), 9010, 9011.
    pub async fn cancel_payment(
        &self,
        log: &ObjectId,
        reason: Option<&str>,
        returned: bool,
    ) -> Result<AdminReport, CloudError> {
        let mut text = "Cancelled by an operator.".to_owned();
        if let Some(reason) = reason {
            check_text("reason", reason)?;
            text = format!("Cancelled by an operator: {reason}");
        }
        let refusal = Refusal::new(ErrorCode::NOT_PAYABLE, text);
        let deadline = self.deadline();
        for _ in 0..CANCEL_TRIES {
            let log = self.log_by_id(log, deadline).await?;
            if log.failed() {
                return Ok(AdminReport::of(&log, None));
            }
            check_cancellable(&log, returned)?;
            tracing::warn!(
                payment.id = log.id.as_str(),
                "an operator cancels: {}",
                refusal.text
            );
            if log.waits_for_gateway() {
                let write = recovery::close_unpaid_recharge(&self.0.names, &log, &refusal.to_reason());
                match self.0.driver.write_before(write, deadline).await {
                    // It is closed now; or another worker was faster, and the log shows its result.
                    Outcome::Applied(_) | Outcome::NotMatched => continue,
                    Outcome::Rejected(_) | Outcome::Unknown => return Err(undecided()),
                }
            }
            let worker = self.worker_for(0);
            let payment = PaymentProcess::cancelled(&self.0.names, worker, log.clone(), refusal.clone());
            let outcome = self.recover_now(payment, deadline).await;
            match outcome {
                RecoveryOutcome::Secured => return Err(secured()),
                RecoveryOutcome::Skipped => return Err(moved()),
                RecoveryOutcome::Succeeded
                | RecoveryOutcome::Failed
                | RecoveryOutcome::Undecided { .. }
                | RecoveryOutcome::Stuck => {}
            }
            let log = self.log_by_id(&log.id, self.deadline()).await?;
            if log.failed() || log.state < LogState::Applied {
                return Ok(AdminReport::of(&log, outcome.into_store_error()));
            }
        }
        Err(undecided())
    }

    async fn log_by_id(&self, log: &ObjectId, deadline: Duration) -> Result<Log, CloudError> {
        let filter = Filter::all().eq("objectId", log.as_str());
        self.find_log(filter, deadline)
            .await?
            .ok_or_else(|| no_such("payment"))
    }

    /// Checks that no other log was credited under the `tradeNo`.
    ///
    /// # Errors
    /// 9003.
    async fn check_not_credited(
        &self,
        log: &Log,
        trade_no: &str,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        let query = Query::new(Filter::all().eq(fields::TRADE_NO, trade_no));
        let found = self.find(&self.0.names.log_class, &query, deadline).await?;
        let channel = |log: &Log| log.intent.params.get("channel").cloned();
        let other = found
            .iter()
            .filter_map(|document| self.readable_log(document))
            .find(|other| {
                other.id != log.id
                    && channel(other) == channel(log)
                    && !other.failed()
                    && other.state >= LogState::Funded
            });
        match other {
            None => Ok(()),
            Some(other) => {
                let text = format!(
                    "tradeNo {trade_no} has been credited by the log {} already.",
                    other.id
                );
                Err(CloudError::new(ErrorCode::KEY_REUSED, text))
            }
        }
    }
}

/// Checks that a payment that has not failed can be cancelled, as far as its log shows.
///
/// # Errors
/// 9006.
fn check_cancellable(log: &Log, returned: bool) -> Result<(), CloudError> {
    let refused = |text: String| Err(CloudError::new(ErrorCode::NOT_PAYABLE, text));
    let intent = &log.intent;
    if log.verdict.is_some() {
        let text = format!(
            "The {} has succeeded, and is not cancelled any more.",
            intent.kind
        );
        return refused(match intent.kind {
            Kind::Purchase => format!("{text} Give the money back with 'refundOrder'."),
            Kind::Hold => format!("{text} Give the money back with 'releaseHold'."),
            Kind::Withdraw => format!("{text} Give the money back with 'settleWithdraw'."),
            Kind::Recharge | Kind::Cancel | Kind::Transfer | Kind::Refund | Kind::Settle | Kind::Adjust => {
                format!("{text} Correct it with 'adjustAccount'.")
            }
        });
    }
    if log.state >= LogState::Funded {
        return Err(secured());
    }
    if log.waits_for_gateway() {
        return match &log.trade_no {
            Some(trade_no) if !returned => Err(not_requested(log, trade_no)),
            None if returned => {
                refused("No money has arrived for this recharge: there is nothing to return.".into())
            }
            Some(_) | None if log.state == LogState::Created => {
                refused("The recharge is in state 0, in which paylog leaves none: look at its log.".into())
            }
            Some(_) | None => Ok(()),
        };
    }
    if returned {
        return refused(
            "Only money that has arrived with another amount than was asked for is returned.".into(),
        );
    }
    if intent.legs.conditional_count() == 0 {
        return refused(format!(
            "Nothing of a {} can be refused: all of it will happen. Resume it.",
            intent.kind
        ));
    }
    Ok(())
}

/// 9011: the payment has moved to another store, or no time was left.
fn moved() -> CloudError {
    ProtocolError::Moved("the payment".into()).to_cloud_error()
}

/// 9006: an operator must decide about money that has arrived with another amount.
fn not_requested(log: &Log, trade_no: &str) -> CloudError {
    let amount = log.intent.amount.map_or(0, Amount::units);
    let text = format!(
        "{amount} has arrived under tradeNo {trade_no}, another amount than was asked for. Resume with 'credit' \
         (paylog resume {log} --credit) to credit it to the user {user}, or give it back at the gateway and cancel \
         with 'returned' (paylog cancel {log} --returned).",
        log = log.id,
        user = log.intent.user,
    );
    CloudError::new(ErrorCode::NOT_PAYABLE, text)
}
