//! The log: the record of one payment, from the intent to its end.

use std::fmt;

use serde_json::Map;

use crate::model::value::as_integer;
use crate::model::{Acl, Document, ObjectId, Timestamp, Update, Value};
use crate::payment::kind::Kind;
use crate::payment::leg::Legs;
use crate::payment::money::Amount;
use crate::payment::order::OrderMark;
use crate::payment::{ProtocolError, Refusal, Rules};

/// The field of a hold's log that says when the sweeper is to end it. It goes when there is nothing left to come back
/// for, so that whoever looks for expired holds finds no others.
pub const EXPIRES_AT: &str = "expiresAt";

/// The field of an undecided log with the reason for which an operator wants it refused.
pub const CANCEL: &str = "cancel";

/// What is known for certain about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogState {
    /// The intent is stored; no money has moved.
    Created = 0,
    /// Order and log know each other.
    Ordered = 1,
    /// The money is secured.
    Funded = 2,
    /// Every leg is applied.
    Applied = 3,
    /// The order shows the result.
    Settled = 4,
    /// Nothing is left to do.
    Closed = 5,
}

impl LogState {
    /// What is added to the state of a log that moves to another store, so that no step here matches it.
    pub const FENCE: i64 = 10;

    /// The number in the log.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The number in a log as it was before a move has fenced it, if one has.
    #[must_use]
    pub fn without_fence(number: i64) -> i64 {
        if number < Self::FENCE {
            return number;
        }
        number.saturating_sub(Self::FENCE)
    }
}

impl TryFrom<i64> for LogState {
    type Error = ProtocolError;

    fn try_from(number: i64) -> Result<Self, ProtocolError> {
        match number {
            0 => Ok(Self::Created),
            1 => Ok(Self::Ordered),
            2 => Ok(Self::Funded),
            3 => Ok(Self::Applied),
            4 => Ok(Self::Settled),
            5 => Ok(Self::Closed),
            Self::FENCE..=15 => Err(ProtocolError::Moved("the log".into())),
            ..=-1 | 6..=9 | 16.. => Err(ProtocolError::malformed("state", "an integer from 0 to 5")),
        }
    }
}

/// How a payment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Every leg is applied, once.
    Succeeded,
    /// None is.
    Failed,
}

impl Verdict {
    /// The text in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a payment is to do. Written once, when the log is created, and never changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The idempotency key: unique.
    pub key: String,
    /// Where `key` is a fixed form and the caller gave a key: unique, too.
    pub request_key: Option<String>,
    /// Recharges: the number that the gateway knows it by.
    pub number: Option<String>,
    /// What for.
    pub kind: Kind,
    /// Whose payment it is.
    pub user: ObjectId,
    /// The order that it pays, cancels or refunds.
    pub order: Option<ObjectId>,
    /// How much; absent where nothing is asked for (cancelling).
    pub amount: Option<Amount>,
    /// The caller's parameters as decided, to compare a repeated key with.
    pub params: Map<String, Value>,
    /// What it does to which document.
    pub legs: Legs,
}

/// A stored log, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    /// Its id, which is also its mark.
    pub id: ObjectId,
    /// What is certain.
    pub state: LogState,
    /// What it is to do.
    pub intent: Intent,
    /// How it ended, where that is decided.
    pub verdict: Option<Verdict>,
    /// Failed logs: why. Undecided ones that an operator cancels: why they will have failed.
    pub refusal: Option<Refusal>,
    /// The gateway's number.
    pub trade_no: Option<String>,
    /// How often recovery has taken it up.
    pub claims: i64,
    /// Until when a worker asks the others to leave it alone. Saves work; nothing rests on it.
    pub claimed_until: Option<Timestamp>,
    /// Why it waits for an operator.
    pub stuck: Option<String>,
    /// When it was created.
    pub created_at: Option<Timestamp>,
}

impl Intent {
    /// Whether a call with this intent is a repetition of the one that wrote `stored`: same user, kind and
    /// parameters, and the same key. A call without a key of its own repeats whatever holds the fixed key.
    #[must_use]
    pub fn repeats(&self, stored: &Self) -> bool {
        let same_key = match &self.request_key {
            Some(key) => stored.request_key.as_ref() == Some(key),
            None => stored.key == self.key,
        };
        same_key
            && self.kind == stored.kind
            && self.user == stored.user
            && same_params(&self.params, &stored.params)
    }

    /// The key under which a refusal stands before anything has begun. What ends a hold, and what refunds an order,
    /// has a fixed key that the others need after a refusal: there the caller's own key takes its place. `None` where
    /// an end was asked for without a key of a caller's: it cannot be refused.
    #[must_use]
    pub fn refusal_key(&self) -> Option<&str> {
        let request_key = self.request_key.as_deref();
        match self.kind {
            Kind::Settle => request_key,
            Kind::Refund => Some(request_key.unwrap_or(&self.key)),
            Kind::Recharge
            | Kind::Purchase
            | Kind::Cancel
            | Kind::Transfer
            | Kind::Withdraw
            | Kind::Hold
            | Kind::Adjust => Some(&self.key),
        }
    }

    /// What the order is to show once every leg is applied.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] for a refund without a leg on its order.
    pub fn order_mark(&self, rules: &Rules) -> Result<Option<OrderMark>, ProtocolError> {
        OrderMark::of(self, rules)
    }

    /// The fields of a log with this intent.
    #[must_use]
    pub fn to_update(&self, rules: &Rules, state: LogState) -> Update {
        let mut update = Update::new()
            .set("key", self.key.as_str())
            .set("kind", self.kind.name())
            .set("state", state.number())
            .set("user", rules.user_pointer(&self.user))
            .set("params", Value::Object(self.params.clone()))
            .set("legs", self.legs.to_value())
            .set("ACL", Acl::owner_reads(&self.user).into_value());
        if let Some(amount) = self.amount {
            update = update.set("amount", amount);
        }
        if let Some(order) = &self.order {
            update = update.set("order", rules.order_pointer(order));
        }
        if let Some(key) = &self.request_key {
            update = update.set("requestKey", key.as_str());
        }
        if let Some(number) = &self.number {
            update = update.set("number", number.as_str());
        }
        update
    }

    fn from_document(document: &Document, rules: &Rules) -> Result<Self, ProtocolError> {
        let text = |key: &str| {
            document
                .text(key)
                .map(ToOwned::to_owned)
                .ok_or_else(|| ProtocolError::malformed(key, "text"))
        };
        let kind = Kind::from_name(&text("kind")?)
            .ok_or_else(|| ProtocolError::malformed("kind", "a kind of payment"))?;
        let amount = match document.get("amount") {
            None => None,
            Some(value) => Some(
                Amount::from_value(value)
                    .map_err(|_| ProtocolError::malformed("amount", "an integer from 1 to 10^12"))?,
            ),
        };
        let params = match document.get("params") {
            None => Map::new(),
            Some(params) => params
                .as_object()
                .cloned()
                .ok_or_else(|| ProtocolError::malformed("params", "an object"))?,
        };
        Ok(Self {
            key: text("key")?,
            request_key: document.text("requestKey").map(ToOwned::to_owned),
            number: document.text("number").map(ToOwned::to_owned),
            kind,
            user: Rules::pointed(document.get("user"), &rules.user_class)
                .ok_or_else(|| ProtocolError::malformed("user", "a pointer to a user"))?,
            order: match document.get("order") {
                None => None,
                order => Some(
                    Rules::pointed(order, &rules.order_class)
                        .ok_or_else(|| ProtocolError::malformed("order", "a pointer to an order"))?,
                ),
            },
            amount,
            params,
            legs: Legs::from_value(document.get("legs"))?,
        })
    }
}

impl Log {
    /// The log that a successful create of `intent` made.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] where the store answered no id.
    pub fn created(intent: Intent, state: LogState, answer: &Document) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: answer
                .object_id()
                .ok_or_else(|| ProtocolError::malformed("objectId", "the id of the log just created"))?,
            state,
            intent,
            verdict: verdict_of(state),
            refusal: None,
            trade_no: None,
            claims: 0,
            claimed_until: None,
            stuck: None,
            created_at: answer.created_at(),
        })
    }

    /// Checks a stored log. It is not trusted, however impossible a value looks.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`]; [`ProtocolError::Moved`] where its state is fenced.
    pub fn from_document(document: &Document, rules: &Rules) -> Result<Self, ProtocolError> {
        let state = document
            .integer("state")
            .ok_or_else(|| ProtocolError::malformed("state", "an integer from 0 to 5"))
            .and_then(LogState::try_from)?;
        let verdict = match document.text("outcome") {
            None => None,
            Some("succeeded") => Some(Verdict::Succeeded),
            Some("failed") => Some(Verdict::Failed),
            Some(_) => return Err(ProtocolError::malformed("outcome", "succeeded or failed")),
        };
        let consistent = match state {
            LogState::Created | LogState::Ordered | LogState::Funded => verdict.is_none(),
            LogState::Applied | LogState::Settled => verdict == Some(Verdict::Succeeded),
            LogState::Closed => verdict.is_some(),
        };
        if !consistent {
            return Err(ProtocolError::malformed("outcome", "what the state says"));
        }
        Ok(Self {
            id: document
                .object_id()
                .ok_or_else(|| ProtocolError::malformed("objectId", "the id of the log"))?,
            state,
            intent: Intent::from_document(document, rules)?,
            verdict,
            refusal: match verdict {
                Some(Verdict::Succeeded) => None,
                Some(Verdict::Failed) => {
                    Some(Refusal::from_reason(document.text("reason").unwrap_or_default()))
                }
                None => document.text(CANCEL).map(Refusal::from_reason),
            },
            trade_no: document.text("tradeNo").map(ToOwned::to_owned),
            claims: document.integer("claims").unwrap_or(0),
            claimed_until: date_of(document.get("claimedUntil")),
            stuck: document.text("stuck").map(ToOwned::to_owned),
            created_at: document.created_at(),
        })
    }

    /// Takes over a state that a write has answered, and what it says about the outcome.
    pub fn reached(&mut self, state: LogState) {
        self.state = state;
        if self.verdict.is_none() {
            self.verdict = verdict_of(state);
        }
    }

    /// Whether the payment is decided and did not succeed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.verdict == Some(Verdict::Failed)
    }

    /// Whether this is a recharge that waits for its gateway.
    #[must_use]
    pub fn waits_for_gateway(&self) -> bool {
        self.intent.kind == Kind::Recharge && self.state <= LogState::Ordered
    }

    /// Whether this is money that a gateway has confirmed: it stands, whatever becomes of its credit meanwhile.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.intent.kind == Kind::Recharge && self.state == LogState::Funded && self.trade_no.is_some()
    }
}

fn verdict_of(state: LogState) -> Option<Verdict> {
    match state {
        LogState::Created | LogState::Ordered | LogState::Funded | LogState::Closed => None,
        LogState::Applied | LogState::Settled => Some(Verdict::Succeeded),
    }
}

/// The time in a `Date`.
fn date_of(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse(value?.get("iso")?.as_str()?).ok()
}

/// Whether two sets of parameters say the same; a store may answer `7.0` for 7, and keys in another order.
#[must_use]
pub fn same_params(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(key, value)| b.get(key).is_some_and(|other| same_value(value, other)))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => {
            as_integer(a).is_some() && as_integer(a) == as_integer(b) || a == b
        }
        (Value::Object(a), Value::Object(b)) => same_params(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => a == b,
    }
}
