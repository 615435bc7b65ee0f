//! Receipts: the results of the money functions.

use serde::{Deserialize, Serialize};

use crate::model::value::as_integer;
use crate::model::{CloudError, ObjectId, Timestamp, Value};
use crate::payment::protocol::log::{Log, LogState, Verdict};
use crate::payment::protocol::order::{Order, OrderStatus};
use crate::payment::service::parameters::seconds_to_millis;
use crate::payment::service::settlement_kind::SettlementKind;
use crate::payment::{Amount, Kind, Refusal};

/// A payment, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Id of the log.
    pub log: ObjectId,
    /// Kind of payment.
    pub kind: String,
    /// Log state, 0 to 5. A payment that succeeded is shown as 4 (settled): its closing changes nothing for the
    /// caller, and would make repeated results differ.
    pub state: u8,
    /// `succeeded`, `failed`, or null while undecided.
    pub outcome: Option<String>,
    /// Amount in minor units. For a cancelled order, its price; for a capture, the captured amount; for any other
    /// settlement, the whole held amount; for an adjustment, signed.
    pub amount: Option<i64>,
    /// Id of the order, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<ObjectId>,
    /// Recharges: the number by which the gateway knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Recharges that wait for their gateway: the value that the client passes to the gateway's SDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay: Option<Value>,
    /// Transfers: id of the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ObjectId>,
    /// Transfers: the payer's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Withdrawals: name of the channel that pays out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Withdrawals: the receiver, as the channel knows them. Captures: id of the credited user; absent if the app
    /// keeps the money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payee: Option<String>,
    /// Holds: time at which the money is given back, unless the hold is settled before.
    #[serde(rename = "expiresAt", default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Settlements: id of the settled hold or withdrawal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles: Option<ObjectId>,
    /// Settlements: `captured`, `released` or `expired`; `paidOut` or `notPaidOut`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Refunds and adjustments: the operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time of creation.
    #[serde(rename = "createdAt")]
    pub created_at: Option<Timestamp>,
    /// True if this repeats an earlier result.
    pub replayed: bool,
}

/// An order, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReceipt {
    /// Id of the order.
    pub order: ObjectId,
    /// Number of the order.
    pub number: String,
    /// Price in minor units.
    pub amount: i64,
    /// Status of the order.
    pub status: String,
    /// Time of creation.
    #[serde(rename = "createdAt")]
    pub created_at: Option<Timestamp>,
}

impl Receipt {
    /// The payment as its caller and `afterPayment` see it: settled (4) once it has succeeded, closed or not.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        let mut receipt = Self::stored(log);
        if log.verdict == Some(Verdict::Succeeded) {
            receipt.state = LogState::Settled.number();
        }
        receipt
    }

    /// The payment as its log has it.
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

    /// Adds the parameters of its kind.
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
                    .map(|(seconds, created)| created.plus_millis(seconds_to_millis(seconds))),
                ..self
            },
            Kind::Settle => Self {
                settles: id(SettlementKind::SETTLED_LOG_PARAM),
                how: text(SettlementKind::PARAM),
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

    /// The result of the call that made the payment, or of one that repeats it: the receipt, or the refusal.
    pub(super) fn result(log: &Log, replayed: bool) -> Result<Self, CloudError> {
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
