//! What the money functions answer.

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, ObjectId, Timestamp, Value};
use crate::payment::log::{Log, LogState, Verdict};
use crate::payment::order::{Order, OrderStatus};
use crate::payment::{Amount, Refusal};

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
    /// Minor units; of a cancelled order, what it would have cost.
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
        Self {
            log: log.id.clone(),
            kind: log.intent.kind.name().to_owned(),
            state: log.state.number(),
            outcome: log.verdict.map(|verdict| verdict.name().to_owned()),
            amount: log.intent.amount.map(Amount::units),
            order: log.intent.order.clone(),
            number: log.intent.number.clone(),
            pay: None,
            created_at: log.created_at,
            replayed: false,
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
