//! The `__op` operators and what they do to a document.

use crate::model::{CloudError, Document, KeyPath, Pointer, Value};

/// What is done to one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A plain value.
    Set(Value),
    /// Adds a number; absent counts as 0. `Decrement` is read as its negative.
    Increment(serde_json::Number),
    /// Appends to an array; absent counts as empty.
    Add(Vec<Value>),
    /// Appends what is not there yet.
    AddUnique(Vec<Value>),
    /// Removes every equal element.
    Remove(Vec<Value>),
    /// Removes the key.
    Delete,
    /// Integer and.
    BitAnd(i64),
    /// Integer or.
    BitOr(i64),
    /// Integer exclusive or.
    BitXor(i64),
    /// Adds objects to a relation, at most 1000.
    AddRelation(Vec<Pointer>),
    /// Takes objects out of a relation, at most 1000.
    RemoveRelation(Vec<Pointer>),
    /// Several relation operations in order.
    Batch(Vec<Op>),
}

/// The body of a create or an update: operations by key, in the order in which they stand.
///
/// ```
/// use paylog::model::Update;
/// let update = Update::new().increment("account", -100).add_unique("paylogs", vec!["5f…".into()]);
/// assert_eq!(
///     update.to_value().to_string(),
///     r#"{"account":{"__op":"Increment","amount":-100},"paylogs":{"__op":"AddUnique","objects":["5f…"]}}"#
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Update {
    /// One entry per key.
    pub ops: Vec<(KeyPath, Op)>,
}

/// A change of a relation, to be stored beside the document by the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelationChange {
    /// The relation column.
    pub key: String,
    /// True: add the target; false: take it out.
    pub add: bool,
    /// The other object.
    pub target: Pointer,
}

/// What [`Update::apply`] did beside changing the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Applied {
    /// The columns that were written, in order, each once.
    pub columns: Vec<String>,
    /// What the relation operations ask for.
    pub relations: Vec<RelationChange>,
}

impl Update {
    /// Changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the body of a PUT: plain values, `__op`s, dotted keys. `__type`s are checked; `objectId`, `createdAt`,
    /// `updatedAt`, `__ignore_hooks` and the like are for the caller to take out before.
    ///
    /// # Errors
    /// 105 (key name), 106 (pointer), 107 (malformed op or value), 121 (nested key), 128 (relation), 302 (geo point).
    pub fn parse(body: &Document) -> Result<Self, CloudError> {
        let _ = body;
        todo!()
    }

    /// The wire form.
    #[must_use]
    pub fn to_value(&self) -> Value {
        todo!()
    }

    /// Applies every operation, or none: on an error the document is as it was.
    ///
    /// Integers stay integers; an integer result beyond 64 bits, or a sum with a double, is a double.
    ///
    /// # Errors
    /// 111 where an operation meets a value of another type.
    pub fn apply(&self, document: &mut Document) -> Result<Applied, CloudError> {
        let _ = document;
        todo!()
    }

    /// Whether repeating the update has an effect of its own (`Increment`, `Decrement`, `Add`, `BitXor`), so that it
    /// must never be resent unguarded after an unknown outcome.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.ops
            .iter()
            .any(|(_, op)| matches!(op, Op::Increment(_) | Op::Add(_) | Op::BitXor(_)))
    }

    /// This, and `op` on `key`.
    #[must_use]
    pub fn with(mut self, key: &str, op: Op) -> Self {
        self.ops.push((KeyPath::new(key), op));
        self
    }

    /// This, and `key` set to `value`.
    #[must_use]
    pub fn set(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(key, Op::Set(value.into()))
    }

    /// This, and `amount` added to `key`.
    #[must_use]
    pub fn increment(self, key: &str, amount: i64) -> Self {
        self.with(key, Op::Increment(amount.into()))
    }

    /// This, and `values` appended to the array `key` where they are missing.
    #[must_use]
    pub fn add_unique(self, key: &str, values: Vec<Value>) -> Self {
        self.with(key, Op::AddUnique(values))
    }

    /// This, and `values` taken out of the array `key`.
    #[must_use]
    pub fn remove(self, key: &str, values: Vec<Value>) -> Self {
        self.with(key, Op::Remove(values))
    }

    /// This, and `key` deleted.
    #[must_use]
    pub fn delete(self, key: &str) -> Self {
        self.with(key, Op::Delete)
    }
}
