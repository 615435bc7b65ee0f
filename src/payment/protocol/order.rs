//! Orders: what they say, and what they are to show once a payment of theirs is decided.

use std::fmt;

use serde_json::json;

use crate::model::value::as_integer;
use crate::model::{Acl, Document, ErrorCode, Filter, ObjectId, Timestamp, Update, Value};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::Intent;
use crate::payment::protocol::mark::Epoch;
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::Rules;

/// What an order shows. It reflects the attempts; it is never the arbiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderStatus {
    /// Waits to be paid.
    Pending,
    /// Paid.
    Paid,
    /// Cancelled by its owner.
    Cancelled,
    /// Not paid in time.
    Expired,
    /// Paid, and all of it given back.
    Refunded,
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Paid,
        Self::Cancelled,
        Self::Expired,
        Self::Refunded,
    ];

    /// The text in the order.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Refunded => "refunded",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Why an order with this status cannot be paid.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        let name = self.name();
        Refusal::new(
            ErrorCode::NOT_PAYABLE,
            format!("Not payable in this state: the order is {name}."),
        )
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who gets a part of the price.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payee {
    /// Whose account is credited.
    pub user: ObjectId,
    /// With how much.
    pub amount: Amount,
}

/// A stored order, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Its id.
    pub id: ObjectId,
    /// Sortable by time, unique; attempts are named after it.
    pub number: String,
    /// Whose it is.
    pub user: ObjectId,
    /// What it costs.
    pub amount: Amount,
    /// What it shows.
    pub status: OrderStatus,
    /// Who is credited by its payment; the amounts are those of the whole order.
    pub payees: Vec<Payee>,
    /// The product, where it was made from one.
    pub product: Option<ObjectId>,
    /// How many of it.
    pub quantity: i64,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it expires unpaid.
    pub expires_at: Option<Timestamp>,
}

impl Order {
    /// Checks a stored order.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn from_document(document: &Document, rules: &Rules) -> Result<Self, ProtocolError> {
        let malformed = ProtocolError::malformed;
        Ok(Self {
            id: document
                .object_id()
                .ok_or_else(|| malformed("objectId", "the order's id"))?,
            number: document
                .text("number")
                .ok_or_else(|| malformed("number", "the order's number"))?
                .to_owned(),
            user: Rules::pointed(document.get("user"), &rules.user_class)
                .ok_or_else(|| malformed("user", "a pointer to a user"))?,
            amount: document
                .get("amount")
                .and_then(|amount| Amount::from_value(amount).ok())
                .ok_or_else(|| malformed("amount", "an integer from 1 to 10^12"))?,
            status: document
                .text("status")
                .and_then(OrderStatus::from_name)
                .ok_or_else(|| malformed("status", "pending, paid, cancelled, expired or refunded"))?,
            payees: payees(document.get("payees"))?,
            product: document
                .get("product")
                .and_then(|product| ObjectId::parse(product.get("objectId")?.as_str()?).ok()),
            quantity: document.integer("quantity").unwrap_or(1),
            created_at: document.created_at(),
            expires_at: document
                .get("expiresAt")
                .and_then(|date| Timestamp::parse(date.get("iso")?.as_str()?).ok()),
        })
    }

    /// The key of its attempt `n`.
    #[must_use]
    pub fn attempt_key(&self, n: u32) -> String {
        format!("order:{}:{n}", self.number)
    }

    /// What an order without payments shows: the fields that the protocol gives it.
    #[must_use]
    pub fn fresh_fields(update: Update, rules: &Rules, user: &ObjectId, payees: &[Payee]) -> Update {
        let payees: Vec<Value> = payees
            .iter()
            .map(|payee| json!({"user": payee.user.as_str(), "amount": payee.amount}))
            .collect();
        let update = update
            .set("user", rules.user_pointer(user))
            .set("status", OrderStatus::Pending.name())
            .set("refunded", 0)
            .set("ACL", Acl::owner_reads(user).into_value());
        if payees.is_empty() {
            update
        } else {
            update.set("payees", payees)
        }
    }
}

/// Reads `payees`: an array of `{user, amount}`, absent for none; `user` an id or a pointer.
///
/// # Errors
/// [`ProtocolError::Malformed`].
pub fn payees(value: Option<&Value>) -> Result<Vec<Payee>, ProtocolError> {
    let malformed = || ProtocolError::malformed("payees", "an array of {user, amount}");
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let one = |payee: &Value| {
        let user = payee
            .get("user")
            .and_then(|user| user.as_str().or_else(|| user.get("objectId")?.as_str()));
        Ok(Payee {
            user: ObjectId::parse(user.ok_or_else(malformed)?).map_err(|_| malformed())?,
            amount: payee
                .get("amount")
                .and_then(as_integer)
                .and_then(Amount::new)
                .ok_or_else(malformed)?,
        })
    };
    value.as_array().ok_or_else(malformed)?.iter().map(one).collect()
}

/// What an order is to show once a payment of its is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderMark {
    /// Its purchase succeeded.
    Paid,
    /// It was cancelled.
    Cancelled,
    /// It expired.
    Expired,
    /// Refunds succeeded; shown as refunded once they sum up to `total`.
    Refunded {
        /// The order's amount, in minor units.
        total: i64,
    },
}

/// What an order says after its mark had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkStanding {
    /// It shows the result already.
    Done,
    /// The epoch has moved, or nothing stands in the way any more.
    Retry,
    /// It shows what its attempts do not say.
    Disagrees,
}

impl OrderMark {
    /// The parameter of a [`Kind::Cancel`] that tells an expiry from a cancellation.
    pub const CANCEL_TO: &str = "to";
    /// How much of an order has been given back.
    pub const REFUNDED: &str = "refunded";

    pub(super) fn of(intent: &Intent, rules: &Rules) -> Result<Option<Self>, ProtocolError> {
        let Some(order) = &intent.order else {
            return Ok(None);
        };
        match intent.kind {
            Kind::Purchase => Ok(Some(Self::Paid)),
            Kind::Cancel => {
                let to = intent.params.get(Self::CANCEL_TO).and_then(Value::as_str);
                Ok(Some(if to == Some(OrderStatus::Expired.name()) {
                    Self::Expired
                } else {
                    Self::Cancelled
                }))
            }
            Kind::Refund => {
                let total = intent.legs.as_slice().iter().find_map(|leg| {
                    let on_order = leg.target.class == rules.order_class && leg.target.id == *order;
                    let bound = leg.require.get(Self::REFUNDED)?.at_most?;
                    let delta = leg.add.get(Self::REFUNDED)?.units();
                    if on_order { bound.checked_add(delta) } else { None }
                });
                total
                    .map(|total| Some(Self::Refunded { total }))
                    .ok_or_else(|| ProtocolError::malformed("legs", "a refund with a leg on its order"))
            }
            Kind::Recharge | Kind::Transfer | Kind::Withdraw | Kind::Hold | Kind::Settle | Kind::Adjust => {
                Ok(None)
            }
        }
    }

    /// The status that it writes.
    #[must_use]
    pub fn status(self) -> OrderStatus {
        match self {
            Self::Paid => OrderStatus::Paid,
            Self::Cancelled => OrderStatus::Cancelled,
            Self::Expired => OrderStatus::Expired,
            Self::Refunded { .. } => OrderStatus::Refunded,
        }
    }

    /// The condition under which it is written.
    #[must_use]
    pub fn guard(self, epoch: Epoch) -> Filter {
        let status = |status: OrderStatus| Value::from(status.name());
        let guard = match self {
            Self::Paid | Self::Cancelled | Self::Expired => {
                Filter::all().eq("status", status(OrderStatus::Pending))
            }
            Self::Refunded { total } => Filter::all()
                .one_of(
                    "status",
                    vec![status(OrderStatus::Pending), status(OrderStatus::Paid)],
                )
                .gte(Self::REFUNDED, total),
        };
        guard.and(epoch.guard())
    }

    /// The condition that there is nothing to show yet: more is to be refunded. `None` for marks that are written
    /// as soon as their payment is applied.
    #[must_use]
    pub fn unfinished(self, epoch: Epoch) -> Option<Filter> {
        match self {
            Self::Paid | Self::Cancelled | Self::Expired => None,
            Self::Refunded { total } => Some(Filter::all().lt(Self::REFUNDED, total).and(epoch.guard())),
        }
    }

    /// What it writes.
    #[must_use]
    pub fn body(self) -> Update {
        Update::new().set("status", self.status().name())
    }

    /// What `order` says after the mark had no effect. A status is never taken back, so that even a stale read that
    /// shows one decides.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`], [`ProtocolError::Moved`].
    pub fn standing(
        self,
        order: &Document,
        target: &Target,
        epoch: Epoch,
    ) -> Result<MarkStanding, ProtocolError> {
        let status = order
            .text("status")
            .and_then(OrderStatus::from_name)
            .ok_or_else(|| {
                ProtocolError::malformed("status", "pending, paid, cancelled, expired or refunded")
            })?;
        let shown = match (self, status) {
            (Self::Paid, OrderStatus::Paid | OrderStatus::Refunded)
            | (Self::Cancelled, OrderStatus::Cancelled)
            | (Self::Expired, OrderStatus::Expired)
            | (Self::Refunded { .. }, OrderStatus::Refunded) => true,
            (
                Self::Paid | Self::Cancelled | Self::Expired,
                OrderStatus::Pending
                | OrderStatus::Paid
                | OrderStatus::Cancelled
                | OrderStatus::Expired
                | OrderStatus::Refunded,
            )
            | (
                Self::Refunded { .. },
                OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Cancelled | OrderStatus::Expired,
            ) => false,
        };
        if shown {
            return Ok(MarkStanding::Done);
        }
        if Epoch::of(order, target)? != epoch
            || status == OrderStatus::Pending
            || matches!(self, Self::Refunded { .. }) && status == OrderStatus::Paid
        {
            return Ok(MarkStanding::Retry);
        }
        Ok(MarkStanding::Disagrees)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::payment::protocol::leg::{Bound, Leg, Legs};
    use crate::payment::protocol::money::Delta;

    fn id(text: &str) -> ObjectId {
        ObjectId::parse(text).unwrap()
    }

    fn document(value: Value) -> Document {
        let Value::Object(fields) = value else {
            panic!("{value}")
        };
        Document(fields)
    }

    fn intent(kind: Kind, params: Value, legs: Vec<Leg>) -> Intent {
        Intent {
            key: "k".into(),
            request_key: None,
            number: None,
            kind,
            user: id("u"),
            order: Some(id("o")),
            amount: Amount::new(40),
            params: document(params).0,
            legs: Legs::new(legs).unwrap(),
        }
    }

    #[test]
    fn an_order_as_it_is_made_is_read_again() {
        let rules = Rules::default();
        let payee = Payee {
            user: id("v"),
            amount: Amount::new(7).unwrap(),
        };
        let update = Update::new().set("number", "N").set("amount", 100);
        let update = Order::fresh_fields(update, &rules, &id("u"), std::slice::from_ref(&payee));
        let mut stored = document(json!({"objectId": "o"}));
        update.apply(&mut stored).unwrap();
        let order = Order::from_document(&stored, &rules).unwrap();
        assert_eq!((order.id.as_str(), order.user.as_str()), ("o", "u"));
        assert_eq!(
            (order.status, order.payees.as_slice()),
            (OrderStatus::Pending, [payee].as_slice())
        );
        assert_eq!(stored.integer("refunded"), Some(0));
        // Its owner reads it, and nobody writes it.
        assert_eq!(stored.get("ACL"), Some(&json!({"u": {"read": true}})));
        let keys = (order.attempt_key(1), order.attempt_key(2));
        assert_eq!(keys, ("order:N:1".into(), "order:N:2".into()));
        let alone = Order::fresh_fields(Update::new(), &rules, &id("u"), &[]);
        assert_eq!(alone.to_value().get("payees"), None);
    }

    #[test]
    fn payees_as_they_are_written() {
        let read = |value: Value| payees(Some(&value));
        assert_eq!(payees(None), Ok(vec![]));
        assert_eq!(read(json!(null)), Ok(vec![]));
        let expected = Ok(vec![Payee {
            user: id("v"),
            amount: Amount::new(7).unwrap(),
        }]);
        assert_eq!(read(json!([{"user": "v", "amount": 7.0}])), expected);
        let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": "v"});
        assert_eq!(read(json!([{"user": pointer, "amount": 7}])), expected);
        for bad in [
            json!({}),
            json!(["v"]),
            json!([{"user": "v"}]),
            json!([{"amount": 7}]),
            json!([{"user": "v", "amount": 0}]),
            json!([{"user": "v", "amount": 0.5}]),
            json!([{"user": "v", "amount": 7}, {"user": "a b", "amount": 7}]),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_payment_makes_of_its_order() {
        let rules = Rules::default();
        let mark = |intent: &Intent| intent.order_mark(&rules);
        let cancel = |params| mark(&intent(Kind::Cancel, params, vec![]));
        assert_eq!(cancel(json!({})), Ok(Some(OrderMark::Cancelled)));
        assert_eq!(cancel(json!({"to": "cancelled"})), Ok(Some(OrderMark::Cancelled)));
        assert_eq!(cancel(json!({"to": "expired"})), Ok(Some(OrderMark::Expired)));
        assert_eq!(
            mark(&intent(Kind::Purchase, json!({}), vec![])),
            Ok(Some(OrderMark::Paid))
        );
        assert_eq!(mark(&intent(Kind::Transfer, json!({}), vec![])), Ok(None));
        let without = Intent {
            order: None,
            ..intent(Kind::Purchase, json!({}), vec![])
        };
        assert_eq!(mark(&without), Ok(None));
        let refund = |class: &crate::model::ClassName, order: &str| {
            let leg = Leg::new(Target::new(class, &id(order)))
                .adding("refunded", Delta::new(40).unwrap())
                .requiring("refunded", Bound::at_most(60));
            mark(&Intent {
                params: Map::new(),
                ..intent(Kind::Refund, json!({}), vec![leg])
            })
        };
        assert_eq!(
            refund(&rules.order_class, "o"),
            Ok(Some(OrderMark::Refunded { total: 100 }))
        );
        // Only its own order says what can be refunded.
        assert!(refund(&rules.order_class, "other").is_err());
        assert!(refund(&rules.user_class, "o").is_err());
    }

    #[test]
    fn what_an_order_says_to_a_mark_without_effect() {
        use MarkStanding::{Disagrees, Done, Retry};
        let target = Target::new(&Rules::default().order_class, &id("o"));
        let refunded = OrderMark::Refunded { total: 100 };
        for (mark, status, epoch, expected) in [
            (OrderMark::Paid, "paid", 0, Done),
            (OrderMark::Paid, "refunded", 1, Done),
            (OrderMark::Cancelled, "cancelled", 0, Done),
            (OrderMark::Expired, "expired", 0, Done),
            (refunded, "refunded", 0, Done),
            // Nothing stands in its way any more, or it was pruned.
            (OrderMark::Paid, "pending", 0, Retry),
            (OrderMark::Paid, "cancelled", 1, Retry),
            (refunded, "paid", 0, Retry),
            (refunded, "pending", 0, Retry),
            (OrderMark::Paid, "cancelled", 0, Disagrees),
            (OrderMark::Cancelled, "paid", 0, Disagrees),
            (OrderMark::Expired, "cancelled", 0, Disagrees),
            (refunded, "expired", 0, Disagrees),
        ] {
            let order = document(json!({"status": status, "payEpoch": epoch}));
            assert_eq!(
                mark.standing(&order, &target, Epoch::default()),
                Ok(expected),
                "{mark:?} {status} {epoch}"
            );
        }
        let strange = document(json!({"status": "lost"}));
        assert!(
            OrderMark::Paid
                .standing(&strange, &target, Epoch::default())
                .is_err()
        );
    }
}
