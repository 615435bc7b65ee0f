//! What an operator does with payments that do not come to their end by themselves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId, Query, Timestamp};
use crate::payment::protocol::effect::Outcome;
use crate::payment::protocol::log::{Log, LogState};
use crate::payment::protocol::machine::Payment;
use crate::payment::protocol::recovery;
use crate::payment::service::orders::no_such;
use crate::payment::service::parameters::check_text;
use crate::payment::service::{Payments, undecided};
use crate::payment::worker::{Swept, next_page};
use crate::payment::{Amount, Kind, Refusal, Rules};

/// How often the end of an unpaid recharge is tried: each time another worker has been faster.
const TRIES: u32 = 5;

/// A payment that waits for an operator. Read as it is stored, so that one that cannot be read is shown too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckPayment {
    /// The log's id.
    pub log: String,
    /// What for.
    pub kind: Option<String>,
    /// Minor units.
    pub amount: Option<i64>,
    /// Whose.
    pub user: Option<ObjectId>,
    /// The order, where there is one.
    pub order: Option<ObjectId>,
    /// What is certain, 0 to 4.
    pub state: Option<i64>,
    /// How often recovery has taken it up.
    pub attempts: i64,
    /// The gateway's number, where money has arrived.
    pub trade_no: Option<String>,
    /// What stood in the way, the last time.
    pub error: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// How many payments are not at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// A worker has still to bring them to their end. Neither those that are stuck, nor recharges that wait for their
    /// gateway.
    pub open: u64,
    /// They wait for an operator.
    pub stuck: u64,
}

/// A payment after an operator has dealt with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operated {
    /// The log's id.
    pub log: ObjectId,
    /// What for.
    pub kind: String,
    /// Minor units.
    pub amount: Option<i64>,
    /// Whose.
    pub user: ObjectId,
    /// What is certain, 0 to 5.
    pub state: u8,
    /// `succeeded`, `failed`, or null while undecided.
    pub outcome: Option<String>,
    /// Failed: why.
    pub reason: Option<String>,
    /// Not at its end: what stands in the way.
    pub error: Option<String>,
}

impl StuckPayment {
    fn of(document: &Document, rules: &Rules) -> Self {
        let text = |key: &str| document.text(key).map(ToOwned::to_owned);
        Self {
            log: text("objectId").unwrap_or_default(),
            kind: text("kind"),
            amount: document.integer("amount"),
            user: Rules::pointed(document.get("user"), &rules.user_class),
            order: Rules::pointed(document.get("order"), &rules.order_class),
            state: document.integer("state"),
            attempts: document.integer("claims").unwrap_or(0),
            trade_no: text("tradeNo"),
            error: text("stuck").unwrap_or_default(),
            created_at: document.created_at(),
        }
    }
}

impl Operated {
    fn of(log: &Log, trouble: Option<String>) -> Self {
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
            error: log.stuck.clone().or(trouble).filter(|_| is_open),
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == LogState::Closed.number()
    }
}

impl Payments {
    /// The payments that wait for an operator, the oldest first. Reads only.
    ///
    /// # Errors
    /// 9010 where the store does not answer.
    pub async fn stuck_payments(&self) -> Result<Vec<StuckPayment>, CloudError> {
        let filter = recovery::left_stuck();
        let mut stuck = Vec::new();
        let mut last: Option<ObjectId> = None;
        loop {
            let page = self.page(&self.0.rules.log_class, &filter, last.as_ref()).await;
            let page = page.ok_or_else(undecided)?;
            stuck.extend(
                page.iter()
                    .map(|document| StuckPayment::of(document, &self.0.rules)),
            );
            last = next_page(&page);
            if last.is_none() {
                stuck.sort_by(|a, b| (a.created_at, &a.log).cmp(&(b.created_at, &b.log)));
                return Ok(stuck);
            }
        }
    }

    /// How many payments are not at their end, of those that were made by `made`.
    ///
    /// # Errors
    /// 9010 where the store does not answer by `deadline`.
    pub(in crate::payment) async fn unfinished_by(
        &self,
        made: Timestamp,
        deadline: Duration,
    ) -> Result<Unfinished, CloudError> {
        let class = &self.0.rules.log_class;
        let (open, stuck) = (recovery::open(made), recovery::left_stuck());
        let (open, stuck) = futures_util::future::join(
            self.0.driver.count(class, &open, deadline),
            self.0.driver.count(class, &stuck, deadline),
        )
        .await;
        Ok(Unfinished {
            open: open.ok_or_else(undecided)?,
            stuck: stuck.ok_or_else(undecided)?,
        })
    }

    /// How many payments are not at their end.
    ///
    /// # Errors
    /// 9010 where the store does not answer.
    pub async fn unfinished(&self) -> Result<Unfinished, CloudError> {
        self.unfinished_by(self.0.environment.now(), self.deadline())
            .await
    }

    /// Takes a payment up again, now, whether or not it is stuck, and says how it stands then. `credit` consents to
    /// crediting money that has arrived with another amount than was asked for, as much as has arrived.
    ///
    /// **Idempotency**: as that of every payment. One that is closed is answered as it is.
    ///
    /// # Errors
    /// 9003 (what is to be credited was credited before), 9004, 9006 (it waits for its gateway, or for `credit`; or
    /// there is nothing that could be credited), 9010, 9011.
    pub async fn resume_payment(&self, log: &ObjectId, credit: bool) -> Result<Operated, CloudError> {
        let deadline = self.deadline();
        let log = self.operated(log, deadline).await?;
        if log.state == LogState::Closed {
            return Ok(Operated::of(&log, None));
        }
        let worker = self.worker_for(0);
        let payment = match (&log.trade_no, log.waits_for_gateway()) {
            (Some(trade_no), true) if credit => {
                self.check_not_credited(&log, trade_no, deadline).await?;
                let trade_no = trade_no.clone();
                tracing::warn!(
                    payment.id = log.id.as_str(),
                    "an operator credits what has arrived"
                );
                Payment::confirmed(
                    &self.0.rules,
                    worker,
                    self.0.driver.manner(),
                    log.clone(),
                    &trade_no,
                )
            }
            (Some(trade_no), true) => return Err(not_asked_for(&log, trade_no)),
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
            (_, false) => Payment::resumed(&self.0.rules, worker, log.clone()),
        };
        let taken = self.take_up(payment, deadline).await;
        if taken.swept == Swept::Passed {
            return Err(crate::payment::ProtocolError::Moved("the payment".into()).to_cloud_error());
        }
        let log = self.operated(&log.id, self.deadline()).await?;
        Ok(Operated::of(&log, taken.trouble))
    }

    /// Cancels a payment whose money is not secured: the first conditional leg that is not applied is refused, in the
    /// document itself, and those before it are reversed; a recharge that nobody has paid is closed. `reason` (1 to
    /// 256 characters) is told to whoever asks with the payment's key. `returned` says that money which has arrived
    /// with another amount than was asked for has been given back outside.
    ///
    /// **Idempotency**: a payment that has failed before, for whatever reason, is answered as it is.
    ///
    /// # Errors
    /// 107 (reason), 9004, 9006 (the money is secured, nothing of it can be refused, or money has arrived and was not
    /// `returned`), 9010, 9011.
    pub async fn cancel_payment(
        &self,
        log: &ObjectId,
        reason: Option<&str>,
        returned: bool,
    ) -> Result<Operated, CloudError> {
        let mut text = "Cancelled by an operator.".to_owned();
        if let Some(reason) = reason {
            check_text("reason", reason)?;
            text = format!("Cancelled by an operator: {reason}");
        }
        let refusal = Refusal::new(ErrorCode::NOT_PAYABLE, text);
        let deadline = self.deadline();
        for _ in 0..TRIES {
            let log = self.operated(log, deadline).await?;
            if log.failed() {
                return Ok(Operated::of(&log, None));
            }
            check_cancellable(&log, returned)?;
            tracing::warn!(
                payment.id = log.id.as_str(),
                "an operator cancels: {}",
                refusal.text
            );
            if log.waits_for_gateway() {
                let write = recovery::close_unpaid(&self.0.rules, &log, &refusal.to_reason());
                match self.0.driver.write_before(write, deadline).await {
                    // It is closed; or another worker was faster, and the log says with what.
                    Outcome::Applied(_) | Outcome::NotMatched => continue,
                    Outcome::Rejected(_) | Outcome::Unknown => return Err(undecided()),
                }
            }
            let worker = self.worker_for(0);
            let payment = Payment::cancelled(&self.0.rules, worker, log.clone(), refusal.clone());
            let taken = self.take_up(payment, deadline).await;
            match taken.swept {
                Swept::Secured => return Err(secured()),
                Swept::Passed => {
                    return Err(crate::payment::ProtocolError::Moved("the payment".into()).to_cloud_error());
                }
                Swept::Succeeded | Swept::Failed | Swept::Undecided | Swept::Stuck => {}
            }
            let log = self.operated(&log.id, self.deadline()).await?;
            if log.failed() || log.state < LogState::Applied {
                return Ok(Operated::of(&log, taken.trouble));
            }
        }
        Err(undecided())
    }

    async fn operated(&self, log: &ObjectId, deadline: Duration) -> Result<Log, CloudError> {
        let filter = Filter::all().eq("objectId", log.as_str());
        self.log_matching(filter, deadline)
            .await?
            .ok_or_else(|| no_such("payment"))
    }

    /// One number of the gateway's is credited once, whatever it was said to pay.
    async fn check_not_credited(
        &self,
        log: &Log,
        trade_no: &str,
        deadline: Duration,
    ) -> Result<(), CloudError> {
        let query = Query::new(Filter::all().eq("tradeNo", trade_no));
        let class = &self.0.rules.log_class;
        let found = self
            .0
            .driver
            .find(class, &query, deadline)
            .await
            .ok_or_else(undecided)?;
        let channel = |log: &Log| log.intent.params.get("channel").cloned();
        let other = found
            .iter()
            .filter_map(|document| self.readable(document))
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

/// Whether a payment that has not failed can be cancelled, as far as its log says.
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
            Some(trade_no) if !returned => Err(not_asked_for(log, trade_no)),
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

/// 9006: too late.
pub(super) fn secured() -> CloudError {
    let text = "The money is secured: the payment cannot be cancelled any more, and is not stopped half-way. Resume \
                it; what it has moved can be given back then.";
    CloudError::new(ErrorCode::NOT_PAYABLE, text)
}

/// 9006: an operator has to say what becomes of money that has arrived.
fn not_asked_for(log: &Log, trade_no: &str) -> CloudError {
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
