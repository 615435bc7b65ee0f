//! What the money functions answer.

use serde::{Deserialize, Serialize};

use crate::model::value::as_integer;
use crate::model::{CloudError, ObjectId, Timestamp, Value};
use crate::payment::protocol::log::{Log, LogState, Verdict};
use crate::payment::protocol::order::{Order, OrderStatus};
use crate::payment::service::endings::{ENDED, How};
use crate::payment::service::holds::millis;
use crate::payment::{Amount, Kind, Refusal};

/// A payment, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The log's id.
    pub log: ObjectId,
    /// What for.
    pub kind: String,
    /// What is certain, 0 to 5. A payment that succeeded is answered as 4 (settled): its closing, which changes
    /// nothing for the caller, would make repeated answers differ.
    pub state: u8,
    /// `succeeded`, `failed`, or null while undecided.
    pub outcome: Option<String>,
    /// Minor units; of a cancelled order, what it would have cost; of a capture, what was captured, and of any other
    /// end all that was held; of an adjustment, with its sign.
    pub amount: Option<i64>,
    /// The order, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<ObjectId>,
    /// Recharges: the number that the gateway knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Recharges that wait: what the client hands to the gateway's SDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay: Option<Value>,
    /// Transfers: to whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ObjectId>,
    /// Transfers: what the payer wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Withdrawals: through whom the money is to be paid out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Withdrawals: to whom, as the channel knows them. Captures: whose account was credited; absent for the app's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payee: Option<String>,
    /// Holds: when the money is given back, unless the hold has ended before.
    #[serde(rename = "expiresAt", default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Settlements: the log of the hold or withdrawal that this ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<ObjectId>,
    /// Settlements: `captured`, `released` or `expired`; `paidOut` or `notPaidOut`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Refunds and adjustments: what the operator gave as the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made.
    #[serde(rename = "createdAt")]
    pub created_at: Option<Timestamp>,
    /// Whether this repeats an earlier answer.
    pub replayed: bool,
}

/// An order, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReceipt {
    /// The order's id.
    pub order: ObjectId,
    /// Its number.
    pub number: String,
    /// What it costs, in minor units.
    pub amount: i64,
    /// What it shows.
    pub status: String,
    /// When it was made.
    #[serde(rename = "createdAt")]
    pub created_at: Option<Timestamp>,
}

impl Receipt {
    /// The payment as its caller and `afterPayment` are told of it: settled once it has succeeded, closed or not.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        let mut receipt = Self::stored(log);
        if log.verdict == Some(Verdict::Succeeded) {
            receipt.state = LogState::Settled.number();
        }
        receipt
    }

    /// The payment as it stands in its log.
    pub(super) fn stored(log: &Log) -> Self {
        let receipt = Self {
            log: log.id.clone(),
            kind: log.intent.kind.name().to_owned(),
            state: log.state.number(),
            outcome: log.verdict.map(|verdict| verdict.name().to_owned()),
            amount: log.intent.amount.map(Amount::units),
            order: log.intent.order.clone(),
            number: log.intent.number.clone(),
            pay: None,
            to: None,
            note: None,
            channel: None,
            payee: None,
            expires_at: None,
            settles: None,
            how: None,
            reason: None,
            created_at: log.created_at,
            replayed: false,
        };
        receipt.detailed(log)
    }

    /// What the parameters of its kind say besides.
    fn detailed(self, log: &Log) -> Self {
        let param = |key: &str| log.intent.params.get(key);
        let text = |key: &str| param(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let id = |key: &str| ObjectId::parse(param(key)?.as_str()?).ok();
        match log.intent.kind {
            Kind::Recharge | Kind::Purchase | Kind::Cancel => self,
            Kind::Transfer => Self {
                to: id("to"),
                note: text("note"),
                ..self
            },
            Kind::Withdraw => Self {
                channel: text("channel"),
                payee: text("payee"),
                ..self
            },
            Kind::Hold => Self {
                expires_at: param("expiresIn")
                    .and_then(as_integer)
                    .zip(log.created_at)
                    .map(|(seconds, created)| created.plus_millis(millis(seconds))),
                ..self
            },
            Kind::Settle => Self {
                settles: id(ENDED),
                how: text(How::PARAM),
                payee: text("payee"),
                ..self
            },
            Kind::Refund => Self {
                reason: text("reason"),
                ..self
            },
            Kind::Adjust => Self {
                amount: param("amount").and_then(as_integer).or(self.amount),
                reason: text("reason"),
                ..self
            },
        }
    }

    /// The answer to the call that made the payment, or repeated it.
    pub(super) fn answer(log: &Log, replayed: bool) -> Result<Self, CloudError> {
        if log.failed() {
            let refusal = log.refusal.clone();
            return Err(refusal.unwrap_or_else(|| Refusal::from_reason("")).into());
        }
        Ok(Self {
            replayed,
            ..Self::of(log)
        })
    }

    pub(super) fn into_replayed(mut self) -> Self {
        self.replayed = true;
        self
    }
}

impl OrderReceipt {
    pub(super) fn of(order: &Order, status: OrderStatus) -> Self {
        Self {
            order: order.id.clone(),
            number: order.number.clone(),
            amount: order.amount.units(),
            status: status.name().to_owned(),
            created_at: order.created_at,
        }
    }
}
