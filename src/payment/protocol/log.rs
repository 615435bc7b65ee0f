//! The log: the record of one payment, from the intent to its end.

use std::fmt;

use serde_json::Map;

use crate::model::value::as_integer;
use crate::model::{Acl, Document, ObjectId, Timestamp, Update, Value};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Legs;
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::Rules;
use crate::payment::protocol::order::OrderMark;

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else {
            panic!("{value}")
        };
        map
    }

    fn id(text: &str) -> ObjectId {
        ObjectId::parse(text).unwrap()
    }

    fn intent(kind: Kind, request_key: Option<&str>) -> Intent {
        Intent {
            key: "fixed".into(),
            request_key: request_key.map(ToOwned::to_owned),
            number: None,
            kind,
            user: id("u"),
            order: None,
            amount: Amount::new(5),
            params: object(json!({"amount": 5})),
            legs: Legs::default(),
        }
    }

    fn stored(fields: Value) -> Document {
        let rules = Rules::default();
        let mut document = Document::from_iter([("objectId".to_owned(), json!("G"))]);
        let update = intent(Kind::Recharge, None).to_update(&rules, LogState::Ordered);
        update.apply(&mut document).unwrap();
        document.0.extend(object(fields));
        document
    }

    fn read(fields: Value) -> Log {
        Log::from_document(&stored(fields), &Rules::default()).unwrap()
    }

    #[test]
    fn a_repetition_asks_for_the_same() {
        let asked = intent(Kind::Transfer, Some("k"));
        assert!(asked.repeats(&asked));
        let keyless = intent(Kind::Transfer, None);
        // Whoever gives no key repeats what holds the fixed one, whosever key stands beside it.
        assert!(keyless.repeats(&keyless) && keyless.repeats(&asked));
        let others = [
            Intent {
                request_key: None,
                ..asked.clone()
            },
            Intent {
                request_key: Some("l".into()),
                ..asked.clone()
            },
            Intent {
                kind: Kind::Hold,
                ..asked.clone()
            },
            Intent {
                user: id("v"),
                ..asked.clone()
            },
            Intent {
                params: object(json!({"amount": 6})),
                ..asked.clone()
            },
        ];
        for stored in others {
            assert!(!asked.repeats(&stored), "{stored:?}");
        }
        assert!(!keyless.repeats(&Intent {
            key: "other".into(),
            ..keyless.clone()
        }));
    }

    #[test]
    fn parameters_are_the_same_in_whatever_form_a_store_answers_them() {
        let same = |a: Value, b: Value| same_params(&object(json!({"p": a})), &object(json!({"p": b})));
        for (a, b) in [
            (json!(7), json!(7.0)),
            (json!(0.5), json!(0.5)),
            (json!("x"), json!("x")),
            (json!(null), json!(null)),
            (
                json!({"a": 1, "b": [1, {"c": 2}]}),
                json!({"b": [1.0, {"c": 2.0}], "a": 1.0}),
            ),
        ] {
            assert!(same(a.clone(), b.clone()), "{a} {b}");
        }
        for (a, b) in [
            (json!(7), json!(8)),
            (json!(0.5), json!(0.25)),
            (json!(7), json!(7.5)),
            (json!(7), json!("7")),
            (json!("x"), json!("y")),
            (json!(null), json!(false)),
            (json!([1]), json!([2])),
            (json!([1]), json!([1, 1])),
            (json!({"a": 1}), json!({"a": 2})),
            (json!({"a": 1}), json!({"b": 1})),
            (json!({"a": 1}), json!({"a": 1, "b": 1})),
        ] {
            assert!(!same(a.clone(), b.clone()), "{a} {b}");
            assert!(!same(b.clone(), a.clone()), "{b} {a}");
        }
    }

    #[test]
    fn a_refusal_stands_under_a_key_that_nobody_else_needs() {
        for kind in Kind::ALL {
            let (keyed, keyless) = match kind {
                // The end of a hold, and the refund of an order, are for whoever asks next.
                Kind::Settle => (Some("k"), None),
                Kind::Refund => (Some("k"), Some("fixed")),
                _ => (Some("fixed"), Some("fixed")),
            };
            assert_eq!(intent(kind, Some("k")).refusal_key(), keyed, "{kind}");
            assert_eq!(intent(kind, None).refusal_key(), keyless, "{kind}");
        }
    }

    #[test]
    fn a_stored_log_says_what_it_was_told() {
        let until = Timestamp::from_millis(1_000_000_000_000);
        let log = read(json!({
            "claims": 3,
            "claimedUntil": until.to_date(),
            "stuck": "why",
            "tradeNo": "T",
            "createdAt": until.to_string(),
        }));
        assert_eq!((log.id.as_str(), log.state), ("G", LogState::Ordered));
        assert_eq!(log.intent, intent(Kind::Recharge, None));
        assert_eq!((log.claims, log.claimed_until), (3, Some(until)));
        assert_eq!(
            (log.stuck.as_deref(), log.trade_no.as_deref()),
            (Some("why"), Some("T"))
        );
        assert_eq!(log.created_at, Some(until));
        let bare = read(json!({}));
        assert_eq!(
            (bare.claims, bare.claimed_until, bare.created_at),
            (0, None, None)
        );
        let rules = Rules::default();
        for (state, outcome) in [
            (json!(1), json!("succeeded")),
            (json!(2), json!("failed")),
            (json!(3), json!("failed")),
            (json!(4), Value::Null),
            (json!(5), Value::Null),
            (json!(5), json!("perhaps")),
        ] {
            let document = stored(json!({"state": state, "outcome": outcome}));
            let read = Log::from_document(&document, &rules);
            assert!(matches!(read, Err(ProtocolError::Malformed { .. })), "{read:?}");
        }
        for state in 10..=15 {
            let fenced = Log::from_document(&stored(json!({"state": state})), &rules);
            assert_eq!(fenced, Err(ProtocolError::Moved("the log".into())));
            assert_eq!(LogState::without_fence(state), state - 10);
            assert_eq!(LogState::without_fence(state - 10), state - 10);
        }
    }

    #[test]
    fn money_has_arrived_once_its_gateway_has_given_a_number() {
        for (fields, waits, has_arrived) in [
            (json!({"state": 0}), true, false),
            (json!({"state": 1}), true, false),
            (json!({"state": 1, "tradeNo": "T"}), true, false),
            (json!({"state": 2}), false, false),
            (json!({"state": 2, "tradeNo": "T"}), false, true),
            (
                json!({"state": 2, "tradeNo": "T", "kind": "transfer"}),
                false,
                false,
            ),
            (json!({"state": 1, "kind": "transfer"}), false, false),
            (
                json!({"state": 3, "outcome": "succeeded", "tradeNo": "T"}),
                false,
                false,
            ),
        ] {
            let log = read(fields);
            assert_eq!(log.waits_for_gateway(), waits, "{log:?}");
            assert_eq!(log.has_arrived(), has_arrived, "{log:?}");
        }
    }

    #[test]
    fn an_intent_is_read_as_it_was_written() {
        let rules = Rules::default();
        let whole = Intent {
            number: Some("N".into()),
            order: Some(id("o")),
            ..intent(Kind::Purchase, Some("k"))
        };
        let bare = Intent {
            amount: None,
            params: Map::new(),
            ..intent(Kind::Cancel, None)
        };
        for intent in [whole, bare] {
            let mut document = Document::from_iter([("objectId".to_owned(), json!("G"))]);
            let update = intent.to_update(&rules, LogState::Funded);
            update.apply(&mut document).unwrap();
            let log = Log::from_document(&document, &rules).unwrap();
            assert_eq!((log.state, &log.intent), (LogState::Funded, &intent));
            // Whose it is may read it, and nobody writes it.
            assert_eq!(document.get("ACL"), Some(&json!({"u": {"read": true}})));
        }
        for (field, value) in [
            ("kind", json!("gift")),
            ("key", json!(7)),
            ("user", json!("u")),
            ("user", rules.order_pointer(&id("u"))),
            ("order", rules.user_pointer(&id("o"))),
            ("amount", json!(0)),
            ("params", json!([])),
            ("legs", json!(null)),
            ("state", json!("1")),
        ] {
            let read = Log::from_document(&stored(json!({ (field): value })), &rules);
            assert!(
                matches!(&read, Err(ProtocolError::Malformed { field: found, .. }) if found == field),
                "{field}: {read:?}"
            );
        }
    }
}
