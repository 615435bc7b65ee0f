//! Schema names: the classes and fields that an app uses for payments.

use crate::model::{ClassName, ObjectId, Pointer, Value};

/// The names of classes and fields. An app that already has such classes keeps its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaNames {
    /// The class of accounts: `_User`.
    pub user_class: ClassName,
    /// The class of logs, the records of payments: `Log`.
    pub log_class: ClassName,
    /// The class of orders: `Order`.
    pub order_class: ClassName,
    /// The field of a user with the spendable balance: `account`.
    pub account: String,
    /// The field of a user with the held amount: `frozen`.
    pub frozen: String,
}

impl Default for SchemaNames {
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

impl SchemaNames {
    /// The classes of the protocol's documents: accounts, orders, logs.
    #[must_use]
    pub fn classes(&self) -> [&ClassName; 3] {
        [&self.user_class, &self.order_class, &self.log_class]
    }

    /// A pointer to a document, in its wire form.
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

    /// Returns the id inside a pointer to `class`; `None` for anything else.
    #[must_use]
    pub fn pointed(value: Option<&Value>, class: &ClassName) -> Option<ObjectId> {
        let pointer: Pointer = serde_json::from_value(value?.clone()).ok()?;
        (pointer.class_name == *class).then_some(pointer.object_id)
    }
}
