//! The names that an app gives to what the protocol works on.

use crate::model::{ClassName, ObjectId, Pointer, Value};

/// Class and field names. An app that already has such tables keeps its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Accounts: `_User`.
    pub user_class: ClassName,
    /// The records of payments: `Log`.
    pub log_class: ClassName,
    /// What is paid for: `Order`.
    pub order_class: ClassName,
    /// The field with the spendable balance: `account`.
    pub account: String,
    /// The field with the held amount: `frozen`.
    pub frozen: String,
}

impl Default for Rules {
    /// LeanCloud's and this package's own names.
    fn default() -> Self {
        // The literals are legal names; `_User` stands in for the error that cannot happen.
        let class = |name: &str| ClassName::parse(name).unwrap_or_else(|_| ClassName::user());
        Self {
            user_class: ClassName::user(),
            log_class: class("Log"),
            order_class: class("Order"),
            account: "account".into(),
            frozen: "frozen".into(),
        }
    }
}

impl Rules {
    /// The classes of the documents that hold money, and that say what becomes of it: accounts, orders, logs.
    #[must_use]
    pub fn classes(&self) -> [&ClassName; 3] {
        [&self.user_class, &self.order_class, &self.log_class]
    }

    /// The wire form of a pointer.
    #[must_use]
    pub fn pointer(class: &ClassName, id: &ObjectId) -> Value {
        serde_json::json!({"__type": "Pointer", "className": class.as_str(), "objectId": id.as_str()})
    }

    /// A pointer to a user.
    #[must_use]
    pub fn user_pointer(&self, id: &ObjectId) -> Value {
        Self::pointer(&self.user_class, id)
    }

    /// A pointer to an order.
    #[must_use]
    pub fn order_pointer(&self, id: &ObjectId) -> Value {
        Self::pointer(&self.order_class, id)
    }

    /// The id inside a pointer to `class`.
    #[must_use]
    pub fn pointed(value: Option<&Value>, class: &ClassName) -> Option<ObjectId> {
        let pointer: Pointer = serde_json::from_value(value?.clone()).ok()?;
        (pointer.class_name == *class).then_some(pointer.object_id)
    }
}
