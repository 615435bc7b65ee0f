//! Intents: the unchanging half of a log, written before any money moves.

use serde_json::Map;

use crate::model::value::as_integer;
use crate::model::{Acl, Document, ObjectId, Update, Value};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Legs;
use crate::payment::protocol::log::{LogState, fields};
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::order::{OrderMark, OrderStatus};

/// The intent of a payment. It is written once, when the log is created, and never changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The idempotency key: unique.
    pub key: String,
    /// The caller's own key, if `key` has a fixed form: unique, too.
    pub request_key: Option<String>,
    /// Recharges: the number that the gateway knows the payment by.
    pub number: Option<String>,
    /// The kind of payment.
    pub kind: Kind,
    /// The owner of the payment.
    pub user: ObjectId,
    /// The order that the payment pays, cancels or refunds.
    pub order: Option<ObjectId>,
    /// The amount; absent if none is asked for (cancelling).
    pub amount: Option<Amount>,
    /// The caller's parameters as decided, to compare a repeated key with.
    pub params: Map<String, Value>,
    /// The legs: the changes of documents.
    pub legs: Legs,
}

impl Intent {
    /// Returns true if a call with this intent repeats the one that wrote `stored`: same user, kind and parameters, and
    /// the same key. A call without a key of its own repeats any holder of the fixed key.
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

    /// The key of a refusal before anything has begun. A settlement, and a refund of an order, has a fixed key that
    /// others need after a refusal; the caller's own key takes its place. `None` for a settlement without a caller's
    /// key: it cannot be refused.
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

    /// The mark that the order shows once every leg is applied; `None` if the payment shows nothing on an order.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] for a refund without a leg on its order.
    pub fn order_mark(&self, names: &SchemaNames) -> Result<Option<OrderMark>, ProtocolError> {
        let Some(order) = &self.order else {
            return Ok(None);
        };
        match self.kind {
            Kind::Purchase => Ok(Some(OrderMark::Paid)),
            Kind::Cancel => {
                let to = self.params.get(OrderMark::CANCEL_TO).and_then(Value::as_str);
                Ok(Some(if to == Some(OrderStatus::Expired.name()) {
                    OrderMark::Expired
                } else {
                    OrderMark::Cancelled
                }))
            }
            Kind::Refund => {
                let total = self.legs.as_slice().iter().find_map(|leg| {
                    let on_order = leg.target.class == names.order_class && leg.target.id == *order;
                    let bound = leg.require.get(OrderMark::REFUNDED)?.at_most?;
                    let delta = leg.add.get(OrderMark::REFUNDED)?.units();
                    if on_order { bound.checked_add(delta) } else { None }
                });
                total
                    .map(|total| Some(OrderMark::Refunded { total }))
                    .ok_or_else(|| ProtocolError::malformed(fields::LEGS, "a refund with a leg on its order"))
            }
            Kind::Recharge | Kind::Transfer | Kind::Withdraw | Kind::Hold | Kind::Settle | Kind::Adjust => {
                Ok(None)
            }
        }
    }

    /// The fields of a log with this intent.
    #[must_use]
    pub fn to_update(&self, names: &SchemaNames, state: LogState) -> Update {
        let mut update = Update::new()
            .set(fields::KEY, self.key.as_str())
            .set(fields::KIND, self.kind.name())
            .set(fields::STATE, state.number())
            .set(fields::USER, names.user_pointer(&self.user))
            .set(fields::PARAMS, Value::Object(self.params.clone()))
            .set(fields::LEGS, self.legs.to_value())
            .set("ACL", Acl::owner_reads(&self.user).into_value());
        if let Some(amount) = self.amount {
            update = update.set(fields::AMOUNT, amount);
        }
        if let Some(order) = &self.order {
            update = update.set(fields::ORDER, names.order_pointer(order));
        }
        if let Some(key) = &self.request_key {
            update = update.set(fields::REQUEST_KEY, key.as_str());
        }
        if let Some(number) = &self.number {
            update = update.set(fields::NUMBER, number.as_str());
        }
        update
    }

    /// Reads the intent of a stored log.
    pub(super) fn from_document(document: &Document, names: &SchemaNames) -> Result<Self, ProtocolError> {
        let text = |key: &str| {
            document
                .text(key)
                .map(ToOwned::to_owned)
                .ok_or_else(|| ProtocolError::malformed(key, "text"))
        };
        let kind = Kind::from_name(&text(fields::KIND)?)
            .ok_or_else(|| ProtocolError::malformed(fields::KIND, "a kind of payment"))?;
        let amount = match document.get(fields::AMOUNT) {
            None => None,
            Some(value) => Some(
                Amount::from_value(value)
                    .map_err(|_| ProtocolError::malformed(fields::AMOUNT, "an integer from 1 to 10^12"))?,
            ),
        };
        let params = match document.get(fields::PARAMS) {
            None => Map::new(),
            Some(params) => params
                .as_object()
                .cloned()
                .ok_or_else(|| ProtocolError::malformed(fields::PARAMS, "an object"))?,
        };
        Ok(Self {
            key: text(fields::KEY)?,
            request_key: document.text(fields::REQUEST_KEY).map(ToOwned::to_owned),
            number: document.text(fields::NUMBER).map(ToOwned::to_owned),
            kind,
            user: SchemaNames::pointed(document.get(fields::USER), &names.user_class)
                .ok_or_else(|| ProtocolError::malformed(fields::USER, "a pointer to a user"))?,
            order: match document.get(fields::ORDER) {
                None => None,
                order => Some(
                    SchemaNames::pointed(order, &names.order_class)
                        .ok_or_else(|| ProtocolError::malformed(fields::ORDER, "a pointer to an order"))?,
                ),
            },
            amount,
            params,
            legs: Legs::from_value(document.get(fields::LEGS))?,
        })
    }
}

/// Returns true if two sets of parameters are equal. A store may return `7.0` for 7, and keys in another order.
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
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::payment::protocol::leg::{Bound, Leg};
    use crate::payment::protocol::money::Delta;
    use crate::payment::protocol::target::Target;

    pub(in crate::payment::protocol) fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else {
            panic!("{value}")
        };
        map
    }

    pub(in crate::payment::protocol) fn id(text: &str) -> ObjectId {
        ObjectId::parse(text).unwrap()
    }

    pub(in crate::payment::protocol) fn intent(kind: Kind, request_key: Option<&str>) -> Intent {
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

    fn of_order(kind: Kind, params: Value, legs: Vec<Leg>) -> Intent {
        Intent {
            key: "k".into(),
            request_key: None,
            number: None,
            kind,
            user: id("u"),
            order: Some(id("o")),
            amount: Amount::new(40),
            params: object(params),
            legs: Legs::new(legs).unwrap(),
        }
    }

    #[test]
    fn intent_repeats_only_same_user_kind_key_and_params() {
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
    fn params_compare_equal_in_any_store_form() {
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
    fn refusal_key_by_kind_leaves_shared_keys_free() {
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
    fn order_mark_by_kind_and_params() {
        let names = SchemaNames::default();
        let mark = |intent: &Intent| intent.order_mark(&names);
        let cancel = |params| mark(&of_order(Kind::Cancel, params, vec![]));
        assert_eq!(cancel(json!({})), Ok(Some(OrderMark::Cancelled)));
        assert_eq!(cancel(json!({"to": "cancelled"})), Ok(Some(OrderMark::Cancelled)));
        assert_eq!(cancel(json!({"to": "expired"})), Ok(Some(OrderMark::Expired)));
        assert_eq!(
            mark(&of_order(Kind::Purchase, json!({}), vec![])),
            Ok(Some(OrderMark::Paid))
        );
        assert_eq!(mark(&of_order(Kind::Transfer, json!({}), vec![])), Ok(None));
        let without = Intent {
            order: None,
            ..of_order(Kind::Purchase, json!({}), vec![])
        };
        assert_eq!(mark(&without), Ok(None));
        let refund = |class: &crate::model::ClassName, order: &str| {
            let leg = Leg::new(Target::new(class, &id(order)))
                .adding("refunded", Delta::new(40).unwrap())
                .requiring("refunded", Bound::at_most(60));
            mark(&Intent {
                params: Map::new(),
                ..of_order(Kind::Refund, json!({}), vec![leg])
            })
        };
        assert_eq!(
            refund(&names.order_class, "o"),
            Ok(Some(OrderMark::Refunded { total: 100 }))
        );
        // Only its own order says what can be refunded.
        assert!(refund(&names.order_class, "other").is_err());
        assert!(refund(&names.user_class, "o").is_err());
    }
}
