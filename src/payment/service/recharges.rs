//! Recharges: asked for by a user, confirmed by a gateway's verified word.

use futures_util::future;
use serde_json::{Map, json};

use crate::model::{CloudError, ErrorCode, Filter, ObjectId, Query, Value};
use crate::payment::driver::Known;
use crate::payment::protocol::leg::{Leg, Legs};
use crate::payment::protocol::log::{Intent, Log, LogState};
use crate::payment::protocol::machine::{Draft, Payment};
use crate::payment::service::orders::no_such;
use crate::payment::service::{CallerKey, Done, Payments, Receipt, keys, undecided};
use crate::payment::{Amount, Kind, Refusal};

pub use crate::payment::gateway::Channel;
use crate::payment::gateway::Gateways;

/// The verified word of a gateway: this much has been paid for this recharge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The number that the gateway knows the recharge by.
    pub number: String,
    /// What was paid.
    pub amount: Amount,
    /// Through whom.
    pub channel: Channel,
    /// The gateway's own number of the payment: 1 to 64 characters.
    pub trade_no: String,
}

impl Payments {
    /// Asks for money to come in. Nothing is credited before the gateway confirms.
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
        let asked = format!("{key}:{amount}:{}", channel.name());
        let deadline = self.deadline();
        self.0
            .flights
            .join(&asked, || {
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
        let standing = self.log_matching(Filter::all().eq("key", key), deadline).await?;
        let (log, replayed) = match standing {
            Some(log) if intent.repeats(&log.intent) => (log, true),
            Some(_) => return Err(keys::reused()),
            None => {
                // A channel may be set up later: the refusal stands under the key before it is told.
                let number = intent.number.as_deref().unwrap_or_default();
                let draft = match self.pay(channel, number, amount) {
                    Ok(_) => self.judged(intent).await?,
                    Err(refusal) => Draft::refused(intent, refusal),
                };
                match self.carry_out(self.fresh(draft), Known::new(), deadline).await? {
                    Done::Finished { log, replayed } => (log, replayed),
                    Done::Taken(_) => return Err(keys::reused()),
                    Done::Unconfirmable => return Err(undecided()),
                }
            }
        };
        let mut receipt = if replayed {
            self.replay(log.clone(), deadline).await?
        } else {
            Receipt::answer(&log, false)?
        };
        if let (true, Some(number)) = (log.waits_for_gateway(), &log.intent.number) {
            // The recharge stands, whether or not its channel can still be paid through.
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

    /// Letters and digits only, 32 at most: what every gateway takes.
    fn recharge_number(&self) -> String {
        let now = self.0.environment.now().to_string();
        let time: String = now.chars().filter(char::is_ascii_digit).collect();
        format!("{time}{}", self.0.environment.random_text(12))
    }

    /// Money that comes in for `user`.
    fn credit(
        &self,
        user: &ObjectId,
        key: String,
        number: Option<String>,
        amount: Amount,
        params: Value,
    ) -> Result<Intent, CloudError> {
        let leg = Leg::new(self.user_target(user)).adding(&self.0.rules.account, amount.credit());
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

    /// Credits what a gateway has confirmed. For the operator and the gateways' notices; never for clients.
    ///
    /// **Idempotency**: one credit per recharge and `tradeNo`, however often and late the notice comes; money for a
    /// recharge that was given up, or paid before under another `tradeNo`, is credited by a payment of its own.
    /// Whoever acknowledges a gateway may do so once this has answered without an error: state 2 in an answer says that
    /// its word stands, by one write, and that recovery will credit it where this has not come to it in time. That one `tradeNo` of a
    /// channel is not credited to two recharges is looked up first: it holds unless notices that name both arrive
    /// at the same moment, or the store answers a stale read.
    ///
    /// # Errors
    /// 9001 where another amount was asked for (the money is left to an operator, in a log of its own), 9003 where
    /// this `tradeNo` has paid another recharge, 9004, 9010, 9011.
    pub async fn confirm_recharge(&self, notice: &Notice) -> Result<Receipt, CloudError> {
        let asked = format!(
            "confirm:{}:{}:{}:{}",
            notice.number,
            notice.channel.name(),
            notice.amount,
            notice.trade_no
        );
        let deadline = self.deadline();
        self.0
            .flights
            .join(&asked, || self.confirm_recharge_once(notice, deadline))
            .await
    }

    /// Credits what a gateway has confirmed for `log` of the old home of a [move](crate::payment::protocol::relocation), where its key is
    /// another payment's here.
    ///
    /// **Idempotency**: one credit per `tradeNo`, shared with [`Payments::confirm_recharge`].
    ///
    /// # Errors
    /// 9001, 9003 where another log here says something else about this `tradeNo`; 9004 where the log is no recharge
    /// that was confirmed; 9010, 9011.
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
            Some(standing) => self.noticed_before(standing, &notice, deadline).await,
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
        let filter = Filter::all().eq("number", notice.number.as_str());
        let (log, standing) = future::join(
            self.log_matching(filter, deadline),
            self.log_of_trade(notice, deadline),
        )
        .await;
        let log = log?.ok_or_else(|| no_such("recharge"))?;
        if log.intent.params.get("channel").and_then(Value::as_str) != Some(notice.channel.name()) {
            return Err(no_such("recharge on this channel"));
        }
        let standing = if log.trade_no.as_ref() == Some(&notice.trade_no) {
            Some(log.clone())
        } else {
            standing?
        };
        if let Some(standing) = standing {
            return self.noticed_before(standing, notice, deadline).await;
        }
        if log.intent.amount != Some(notice.amount) {
            // Never credited silently and never dropped: it waits for an operator in a log of its own, and the
            // recharge goes on waiting for what was asked.
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
        let payment = Payment::confirmed(
            &self.0.rules,
            self.worker(),
            self.0.driver.manner(),
            log.clone(),
            &notice.trade_no,
        );
        match self.carry_out(payment, Known::new(), deadline).await? {
            Done::Finished { log, replayed } => Receipt::answer(&log, replayed),
            Done::Taken(_) => Err(undecided()),
            Done::Unconfirmable => self.credit_apart(&log, notice, None, deadline).await,
        }
    }

    /// The log that holds the gateway's number of this notice, if there is one.
    async fn log_of_trade(
        &self,
        notice: &Notice,
        deadline: std::time::Duration,
    ) -> Result<Option<Log>, CloudError> {
        let query = Query::new(Filter::all().eq("tradeNo", notice.trade_no.as_str()));
        let class = &self.0.rules.log_class;
        let found = self.0.driver.find(class, &query, deadline).await;
        let logs = found
            .ok_or_else(undecided)?
            .iter()
            .map(|log| Log::from_document(log, &self.0.rules).map_err(|error| error.to_cloud_error()))
            .collect::<Result<Vec<_>, _>>()?;
        let channel = Some(notice.channel.name());
        Ok(logs
            .into_iter()
            .filter(|log| log.intent.params.get("channel").and_then(Value::as_str) == channel)
            .max_by_key(|log| number_of(log) == Some(notice.number.as_str())))
    }

    /// What a notice is answered whose number of the gateway's stands in a log.
    async fn noticed_before(
        &self,
        standing: Log,
        notice: &Notice,
        deadline: std::time::Duration,
    ) -> Result<Receipt, CloudError> {
        if number_of(&standing) != Some(notice.number.as_str()) {
            return Err(other_recharge(notice));
        }
        // With a number of the gateway's and still in state 1, it waits for an operator.
        if standing.intent.amount != Some(notice.amount) || standing.waits_for_gateway() {
            return Err(other_amount(&standing, notice));
        }
        self.replay(standing, deadline).await
    }

    /// Money that no recharge waits for gets a log of its own, which the gateway's number makes unique.
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
        let draft = Draft {
            state,
            trade_no: Some(notice.trade_no.clone()),
            stuck,
            ..Draft::new(intent)
        };
        match self.carry_out(self.fresh(draft), Known::new(), deadline).await? {
            Done::Finished { log, replayed } => Receipt::answer(&log, replayed),
            Done::Taken(_) => Err(other_recharge(notice)),
            Done::Unconfirmable => Err(undecided()),
        }
    }
}

/// The number that the gateway knows the recharge by; a log made for money alone has it in its parameters.
fn number_of(log: &Log) -> Option<&str> {
    let asked = log.intent.number.as_deref();
    asked.or_else(|| log.intent.params.get("number")?.as_str())
}

/// 9003: one number of the gateway's pays one recharge, and says one thing about it.
fn other_recharge(notice: &Notice) -> CloudError {
    let text = format!(
        "tradeNo {} was confirmed before, for another recharge or another amount. It is left to an operator.",
        notice.trade_no
    );
    tracing::error!("{text}");
    CloudError::new(ErrorCode::KEY_REUSED, text)
}

/// 9001: another amount than asked for, or than was said before under this number of the gateway's.
fn other_amount(standing: &Log, notice: &Notice) -> CloudError {
    let asked = standing.intent.amount.map_or(0, Amount::units);
    let text = format!(
        "The gateway confirms {} under tradeNo {}, and another amount ({asked}) was asked for or confirmed \
         before. It is left to an operator.",
        notice.amount, notice.trade_no
    );
    CloudError::new(ErrorCode::INVALID_AMOUNT, text)
}
