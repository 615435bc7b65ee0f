//! Recharges: requested by a user, credited once a gateway has confirmed them.

use futures_util::future;
use serde_json::{Map, json};

use crate::model::{CloudError, ErrorCode, Filter, ObjectId, Query, Value};
use crate::payment::driver::Prefetched;
use crate::payment::gateway::{Channel, Gateways};
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::leg::{Leg, Legs};
use crate::payment::protocol::log::{Log, LogState, fields};
use crate::payment::protocol::machine::{NewPayment, PaymentProcess};
use crate::payment::service::errors::{key_reused, no_such, undecided};
use crate::payment::service::execution::RunOutcome;
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Amount, Kind, Refusal};

/// A verified notice of a gateway: so much was paid for this recharge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The number by which the gateway knows the recharge.
    pub number: String,
    /// The amount paid.
    pub amount: Amount,
    /// The channel of the payment.
    pub channel: Channel,
    /// The gateway's own number of the payment: 1 to 64 characters.
    pub trade_no: String,
}

impl PaymentService {
    /// Requests a recharge. Nothing is credited before the gateway confirms it.
    ///
    /// **Idempotency**: one recharge per `key`.
    ///
    /// # Errors
    /// 9001, 9003, 9007, 9008 (the channel is off or not built in), 9010.
    pub async fn recharge(
        &self,
        user: &ObjectId,
        amount: &Value,
        channel: Channel,
        key: &CallerKey,
    ) -> Result<Receipt, CloudError> {
        let amount = Amount::from_value(amount)?;
        let key = key.of_payment(user, Kind::Recharge);
        let call = format!("{key}:{amount}:{}", channel.name());
        let deadline = self.deadline();
        self.0
            .flights
            .join(&call, || {
                self.recharge_once(user, amount, channel, &key, deadline)
            })
            .await
    }

    async fn recharge_once(
        &self,
        user: &ObjectId,
        amount: Amount,
        channel: Channel,
        key: &str,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        let number = self.recharge_number();
        let params = json!({"amount": amount, "channel": channel.name()});
        let intent = self.credit(user, key.to_owned(), Some(number), amount, params)?;
        let existing = self
            .find_log(Filter::all().eq(fields::KEY, key), deadline)
            .await?;
        let (log, replayed) = match existing {
            Some(log) if intent.repeats(&log.intent) => (log, true),
            Some(_) => return Err(key_reused()),
            None => {
                // A channel may be enabled later: the refusal is recorded under the key before it is returned.
                let number = intent.number.as_deref().unwrap_or_default();
                let draft = match self.pay(channel, number, amount) {
                    Ok(_) => self.ask_policy(intent).await?,
                    Err(refusal) => NewPayment::refused(intent, refusal),
                };
                match self
                    .execute(self.fresh(draft), Prefetched::new(), deadline)
                    .await?
                {
                    RunOutcome::Finished { log, replayed } => (log, replayed),
                    RunOutcome::Taken(_) => return Err(key_reused()),
                    RunOutcome::Unconfirmable => return Err(undecided()),
                }
            }
        };
        let mut receipt = if replayed {
            self.replay(log.clone(), deadline).await?
        } else {
            Receipt::result(&log, false)?
        };
        if let (true, Some(number)) = (log.waits_for_gateway(), &log.intent.number) {
            // The recharge exists, even if its channel has been disabled since.
            receipt.pay = self.pay(channel, number, amount).ok();
        }
        Ok(receipt)
    }

    fn pay(&self, channel: Channel, number: &str, amount: Amount) -> Result<Value, Refusal> {
        let gateways = Gateways {
            sandbox: self.0.config.sandbox,
        };
        gateways.pay(channel, number, amount)
    }

    /// A new number: at most 32 letters and digits, which every gateway accepts.
    fn recharge_number(&self) -> String {
        let now = self.0.environment.now().to_string();
        let time: String = now.chars().filter(char::is_ascii_digit).collect();
        format!("{time}{}", self.0.environment.random_text(12))
    }

    /// The intent that credits money to `user`.
    fn credit(
        &self,
        user: &ObjectId,
        key: String,
        number: Option<String>,
        amount: Amount,
        params: Value,
    ) -> Result<Intent, CloudError> {
        let leg = Leg::new(self.user_target(user)).adding(&self.0.names.account, amount.credit());
        Ok(Intent {
            key,
            request_key: None,
            number,
            kind: Kind::Recharge,
            user: user.clone(),
            order: None,
            amount: Some(amount),
            params: match params {
                Value::Object(params) => params,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Map::new()
                }
            },
            legs: Legs::new(vec![leg]).map_err(|error| error.to_cloud_error())?,
        })
    }

    /// Credits a recharge that a gateway has confirmed. For the operator and the gateways' notices; never for clients.
    ///
    /// **Idempotency**: one credit per recharge and `tradeNo`, however often and late the notice comes; money for a
    /// recharge that was given up, or paid before under another `tradeNo`, is credited by a payment of its own.
    /// A gateway may be acknowledged once this returns without an error: state 2 in the receipt says that the notice is
    /// recorded, by one write, and that recovery will credit it if this call could not in time. A read first checks
    /// that no other recharge was credited under the same `tradeNo` of the channel: that check fails only if notices
    /// for both arrive at the same moment, or if the store returns a stale read.
    ///
    /// # Errors
    /// 9001 if another amount was requested (the money is left to an operator, in a log of its own), 9003 if this
    /// `tradeNo` paid another recharge, 9004, 9010, 9011.
    pub async fn confirm_recharge(&self, notice: &Notice) -> Result<Receipt, CloudError> {
        let call = format!(
            "confirm:{}:{}:{}:{}",
            notice.number,
            notice.channel.name(),
            notice.amount,
            notice.trade_no
        );
        let deadline = self.deadline();
        self.0
            .flights
            .join(&call, || self.confirm_recharge_once(notice, deadline))
            .await
    }

    /// Credits a recharge whose `log` was confirmed at the source of a [relocation](crate::payment::relocation), if the
    /// log's key belongs to another payment here.
    ///
    /// **Idempotency**: one credit per `tradeNo`, shared with [`PaymentService::confirm_recharge`].
    ///
    /// # Errors
    /// 9001, 9003 if a log here contradicts it about this `tradeNo`; 9004 if the log is no confirmed recharge; 9010,
    /// 9011.
    pub async fn credit_stranded(&self, log: &Log) -> Result<Receipt, CloudError> {
        let channel = log.intent.params.get("channel").map(Channel::from_value);
        let (Some(number), Some(amount), Some(trade_no), Some(Ok(channel))) =
            (number_of(log), log.intent.amount, &log.trade_no, channel)
        else {
            return Err(no_such("recharge that was confirmed"));
        };
        let notice = Notice {
            number: number.to_owned(),
            amount,
            channel,
            trade_no: trade_no.clone(),
        };
        let deadline = self.deadline();
        match self.log_of_trade(&notice, deadline).await? {
            Some(existing) => self.repeated_notice(existing, &notice, deadline).await,
            None => self.credit_apart(log, &notice, log.stuck.clone(), deadline).await,
        }
    }

    async fn confirm_recharge_once(
        &self,
        notice: &Notice,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        if !(1..=CallerKey::LENGTH_MAX).contains(&notice.trade_no.chars().count()) {
            let text = "'tradeNo' is a text of 1 to 64 characters, the gateway's own number.";
            return Err(CloudError::new(ErrorCode::INVALID_JSON, text));
        }
        let filter = Filter::all().eq(fields::NUMBER, notice.number.as_str());
        let (log, existing) = future::join(
            self.find_log(filter, deadline),
            self.log_of_trade(notice, deadline),
        )
        .await;
        let log = log?.ok_or_else(|| no_such("recharge"))?;
        if log.intent.params.get("channel").and_then(Value::as_str) != Some(notice.channel.name()) {
            return Err(no_such("recharge on this channel"));
        }
        let existing = if log.trade_no.as_ref() == Some(&notice.trade_no) {
            Some(log.clone())
        } else {
            existing?
        };
        if let Some(existing) = existing {
            return self.repeated_notice(existing, notice, deadline).await;
        }
        if log.intent.amount != Some(notice.amount) {
            // Never credited silently and never dropped: the money waits for an operator in a log of its own, and the
            // recharge goes on waiting for the requested amount.
            let why = other_amount(&log, notice);
            let apart = self
                .credit_apart(&log, notice, Some(why.message.clone()), deadline)
                .await?;
            tracing::error!(
                payment.id = apart.log.as_str(),
                recharge.id = log.id.as_str(),
                "stuck: {}",
                why.message
            );
            return Err(why);
        }
        let payment = PaymentProcess::confirmed(
            &self.0.names,
            self.worker(),
            self.0.driver.commit_mode(),
            log.clone(),
            &notice.trade_no,
        );
        match self.execute(payment, Prefetched::new(), deadline).await? {
            RunOutcome::Unconfirmable => self.credit_apart(&log, notice, None, deadline).await,
            outcome @ (RunOutcome::Finished { .. } | RunOutcome::Taken(_)) => {
                outcome.into_receipt(|_| undecided())
            }
        }
    }

    /// The log that has the `tradeNo` of this notice, if there is one.
    async fn log_of_trade(
        &self,
        notice: &Notice,
        deadline: std::time::Duration,
    ) -> Result<Option<Log>, CloudError> {
        let query = Query::new(Filter::all().eq(fields::TRADE_NO, notice.trade_no.as_str()));
        let logs = self.find_logs(&query, deadline).await?;
        let channel = Some(notice.channel.name());
        Ok(logs
            .into_iter()
            .filter(|log| log.intent.params.get("channel").and_then(Value::as_str) == channel)
            .max_by_key(|log| number_of(log) == Some(notice.number.as_str())))
    }

    /// The result for a notice whose `tradeNo` is in a log already.
    async fn repeated_notice(
        &self,
        existing: Log,
        notice: &Notice,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        if number_of(&existing) != Some(notice.number.as_str()) {
            return Err(other_recharge(notice));
        }
        // A log with a `tradeNo` that is still in state 1 waits for an operator.
        if existing.intent.amount != Some(notice.amount) || existing.waits_for_gateway() {
            return Err(other_amount(&existing, notice));
        }
        self.replay(existing, deadline).await
    }

    /// Credits money that no recharge waits for, in a log of its own with a key made of the `tradeNo`.
    async fn credit_apart(
        &self,
        asked: &Log,
        notice: &Notice,
        stuck: Option<String>,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        let key = format!("trade:{}:{}", notice.channel.name(), notice.trade_no);
        let params = json!({
            "number": notice.number,
            "amount": notice.amount,
            "channel": notice.channel.name(),
            "tradeNo": notice.trade_no,
        });
        let intent = self.credit(&asked.intent.user, key, None, notice.amount, params)?;
        let state = if stuck.is_some() {
            LogState::Ordered
        } else {
            LogState::Funded
        };
        let draft = NewPayment {
            state,
            trade_no: Some(notice.trade_no.clone()),
            stuck,
            ..NewPayment::new(intent)
        };
        let outcome = self
            .execute(self.fresh(draft), Prefetched::new(), deadline)
            .await?;
        outcome.into_receipt(|_| other_recharge(notice))
    }
}

/// The number by which the gateway knows the recharge; a log made for the money alone has it in its parameters.
fn number_of(log: &Log) -> Option<&str> {
    let asked = log.intent.number.as_deref();
    asked.or_else(|| log.intent.params.get("number")?.as_str())
}

/// 9003: one `tradeNo` pays one recharge, with one amount.
fn other_recharge(notice: &Notice) -> CloudError {
    let text = format!(
        "tradeNo {} was confirmed before, for another recharge or another amount. It is left to an operator.",
        notice.trade_no
    );
    tracing::error!("{text}");
    CloudError::new(ErrorCode::KEY_REUSED, text)
}

/// 9001: not the requested amount, or not the one confirmed before under this `tradeNo`.
fn other_amount(existing: &Log, notice: &Notice) -> CloudError {
    let asked = existing.intent.amount.map_or(0, Amount::units);
    let text = format!(
        "The gateway confirms {} under tradeNo {}, and another amount ({asked}) was asked for or confirmed \
         before. It is left to an operator.",
        notice.amount, notice.trade_no
    );
    CloudError::new(ErrorCode::INVALID_AMOUNT, text)
}
