//! Orders, and the marks that payments leave on them.

use std::fmt;

use serde_json::json;

use crate::model::value::as_integer;
use crate::model::{Acl, Document, ErrorCode, Filter, ObjectId, Timestamp, Update, Value};
use crate::payment::protocol::error::{ProtocolError, Refusal};
use crate::payment::protocol::mark::Epoch;
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::target::Target;

/// The status of an order. It reflects the attempts; it never decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderStatus {
    /// Not paid yet.
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
    /// All statuses.
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

    /// The refusal to pay an order with this status.
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

/// A payee: a user who gets a part of the price.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payee {
    /// The user whose account is credited.
    pub user: ObjectId,
    /// The amount of the credit.
    pub amount: Amount,
}

/// A stored order, after its check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// The id.
    pub id: ObjectId,
    /// The number: unique, sortable by time. The keys of attempts contain it.
    pub number: String,
    /// The owner.
    pub user: ObjectId,
    /// The price.
    pub amount: Amount,
    /// The status.
    pub status: OrderStatus,
    /// The payees; the amounts are those of the whole order.
    pub payees: Vec<Payee>,
    /// The product, if the order was made from one.
    pub product: Option<ObjectId>,
    /// The quantity of the product.
    pub quantity: i64,
    /// The time of creation.
    pub created_at: Option<Timestamp>,
    /// The time at which it expires unpaid.
    pub expires_at: Option<Timestamp>,
}

impl Order {
    /// Reads and checks a stored order.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn from_document(document: &Document, names: &SchemaNames) -> Result<Self, ProtocolError> {
        let malformed = ProtocolError::malformed;
        Ok(Self {
            id: document
                .object_id()
                .ok_or_else(|| malformed("objectId", "the order's id"))?,
            number: document
                .text("number")
                .ok_or_else(|| malformed("number", "the order's number"))?
                .to_owned(),
            user: SchemaNames::pointed(document.get("user"), &names.user_class)
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

    /// The key of the order's attempt `n`.
    #[must_use]
    pub fn attempt_key(&self, n: u32) -> String {
        format!("order:{}:{n}", self.number)
    }

    /// Adds the protocol's fields of a new order to `update`.
    #[must_use]
    pub fn fresh_fields(update: Update, names: &SchemaNames, user: &ObjectId, payees: &[Payee]) -> Update {
        let payees: Vec<Value> = payees
            .iter()
            .map(|payee| json!({"user": payee.user.as_str(), "amount": payee.amount}))
            .collect();
        let update = update
            .set("user", names.user_pointer(user))
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

/// Reads `payees`: an array of `{user, amount}`, absent for none; `user` is an id or a pointer.
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

/// The mark of a payment on its order, written once the payment is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderMark {
    /// The purchase succeeded.
    Paid,
    /// The order was cancelled.
    Cancelled,
    /// The order expired.
    Expired,
    /// Refunds succeeded; the order shows `refunded` once they sum up to `total`.
    Refunded {
        /// The order's amount, in minor units.
        total: i64,
    },
}

/// The state of an order after its mark had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderMarkStatus {
    /// The order shows the result already.
    Shown,
    /// The epoch has moved, or nothing stands in the way any more.
    Retry,
    /// The order shows a status that its attempts do not explain.
    Contradicted,
}

impl OrderMark {
    /// The parameter of a [`Kind::Cancel`](crate::payment::protocol::kind::Kind::Cancel) that tells an expiry from a
    /// cancellation.
    pub const CANCEL_TO: &str = "to";
    /// The field with the refunded sum of an order, in minor units.
    pub const REFUNDED: &str = "refunded";

    /// The status that the mark writes.
    #[must_use]
    pub fn status(self) -> OrderStatus {
        match self {
            Self::Paid => OrderStatus::Paid,
            Self::Cancelled => OrderStatus::Cancelled,
            Self::Expired => OrderStatus::Expired,
            Self::Refunded { .. } => OrderStatus::Refunded,
        }
    }

    /// The condition under which the mark is written.
    #[must_use]
    pub fn precondition(self, epoch: Epoch) -> Filter {
        let status = |status: OrderStatus| Value::from(status.name());
        let precondition = match self {
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
        precondition.and(epoch.precondition())
    }

    /// The condition that there is nothing to show yet, because more is to be refunded. `None` for marks that are
    /// written as soon as their payment is applied.
    #[must_use]
    pub fn unfinished(self, epoch: Epoch) -> Option<Filter> {
        match self {
            Self::Paid | Self::Cancelled | Self::Expired => None,
            Self::Refunded { total } => {
                Some(Filter::all().lt(Self::REFUNDED, total).and(epoch.precondition()))
            }
        }
    }

    /// The update that writes the mark.
    #[must_use]
    pub fn update(self) -> Update {
        Update::new().set("status", self.status().name())
    }

    /// Reads the state of `order` after the mark had no effect. A status is never taken back, so that even a stale read
    /// of one decides.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`], [`ProtocolError::Moved`].
    pub fn standing(
        self,
        order: &Document,
        target: &Target,
        epoch: Epoch,
    ) -> Result<OrderMarkStatus, ProtocolError> {
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
            return Ok(OrderMarkStatus::Shown);
        }
        if Epoch::of(order, target)? != epoch
            || status == OrderStatus::Pending
            || matches!(self, Self::Refunded { .. }) && status == OrderStatus::Paid
        {
            return Ok(OrderMarkStatus::Retry);
        }
        Ok(OrderMarkStatus::Contradicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ObjectId {
        ObjectId::parse(text).unwrap()
    }

    fn document(value: Value) -> Document {
        let Value::Object(fields) = value else {
            panic!("{value}")
        };
        Document(fields)
    }

    #[test]
    fn order_fields_round_trip() {
        let names = SchemaNames::default();
        let payee = Payee {
            user: id("v"),
            amount: Amount::new(7).unwrap(),
        };
        let update = Update::new().set("number", "N").set("amount", 100);
        let update = Order::fresh_fields(update, &names, &id("u"), std::slice::from_ref(&payee));
        let mut stored = document(json!({"objectId": "o"}));
        update.apply(&mut stored).unwrap();
        let order = Order::from_document(&stored, &names).unwrap();
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
        let alone = Order::fresh_fields(Update::new(), &names, &id("u"), &[]);
        assert_eq!(alone.to_value().get("payees"), None);
    }

    #[test]
    fn payees_are_read_from_ids_and_pointers() {
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
    fn order_mark_status_by_order_status_and_epoch() {
        use OrderMarkStatus::{Contradicted, Retry, Shown};
        let target = Target::new(&SchemaNames::default().order_class, &id("o"));
        let refunded = OrderMark::Refunded { total: 100 };
        for (mark, status, epoch, expected) in [
            (OrderMark::Paid, "paid", 0, Shown),
            (OrderMark::Paid, "refunded", 1, Shown),
            (OrderMark::Cancelled, "cancelled", 0, Shown),
            (OrderMark::Expired, "expired", 0, Shown),
            (refunded, "refunded", 0, Shown),
            // Nothing stands in its way any more, or it was pruned.
            (OrderMark::Paid, "pending", 0, Retry),
            (OrderMark::Paid, "cancelled", 1, Retry),
            (refunded, "paid", 0, Retry),
            (refunded, "pending", 0, Retry),
            (OrderMark::Paid, "cancelled", 0, Contradicted),
            (OrderMark::Cancelled, "paid", 0, Contradicted),
            (OrderMark::Expired, "cancelled", 0, Contradicted),
            (refunded, "expired", 0, Contradicted),
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
