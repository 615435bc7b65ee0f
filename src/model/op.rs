//! The `__op` operators, and their effect on a document.

mod apply;
mod encoding;
mod parser;

use std::collections::BTreeSet;

use crate::model::value::add_numbers;
use crate::model::{KeyPath, Pointer, Value};

/// An operation on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Sets a plain value.
    Set(Value),
    /// Adds a number; an absent key counts as 0. `Decrement` is parsed as its negative.
    Increment(serde_json::Number),
    /// Appends to an array; an absent key counts as empty.
    Add(Vec<Value>),
    /// Appends the values that the array lacks.
    AddUnique(Vec<Value>),
    /// Removes every equal element.
    Remove(Vec<Value>),
    /// Removes the key.
    Delete,
    /// Bitwise and.
    BitAnd(i64),
    /// Bitwise or.
    BitOr(i64),
    /// Bitwise exclusive or.
    BitXor(i64),
    /// Adds objects to a relation, at most 1000.
    AddRelation(Vec<Pointer>),
    /// Removes objects from a relation, at most 1000.
    RemoveRelation(Vec<Pointer>),
    /// Several relation operations in order.
    Batch(Vec<Op>),
}

/// The body of a create or an update: operations by key, in request order.
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

/// A change of a relation. The engine stores it beside the document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelationChange {
    /// The relation column.
    pub key: String,
    /// True adds the target, false removes it.
    pub add: bool,
    /// The target object.
    pub target: Pointer,
}

/// Result of [`Update::apply`], beside the changed document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Applied {
    /// The written columns, in order, each once.
    pub columns: Vec<String>,
    /// The requested changes of relations.
    pub relations: Vec<RelationChange>,
}

impl Update {
    /// An update without operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True if repeating the update has a further effect (`Increment`, `Decrement`, `Add`, `BitXor`). Never resend
    /// such an update without a precondition after an unknown outcome.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.ops
            .iter()
            .any(|(_, op)| matches!(op, Op::Increment(_) | Op::Add(_) | Op::BitXor(_)))
    }

    /// The columns written, in order, each once.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        self.ops
            .iter()
            .map(|(path, _)| path.column())
            .filter(|column| seen.insert(*column))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Adds `op` on `key`. Two operations on one key are merged if one operation has the effect of both (two
    /// increments become their sum, a plain value replaces anything). Others are applied in order, but have no joint
    /// wire form.
    #[must_use]
    pub fn with(mut self, key: &str, op: Op) -> Self {
        let Some(at) = self.ops.iter().rposition(|(path, _)| path.as_str() == key) else {
            self.ops.push((KeyPath::new(key), op));
            return self;
        };
        if let Some((_, there)) = self.ops.get_mut(at)
            && let Some(apart) = there.join(op)
        {
            self.ops.push((KeyPath::new(key), apart));
        }
        self
    }

    /// Sets `key` to `value`.
    #[must_use]
    pub fn set(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(key, Op::Set(value.into()))
    }

    /// Adds `amount` to `key`.
    #[must_use]
    pub fn increment(self, key: &str, amount: i64) -> Self {
        self.with(key, Op::Increment(amount.into()))
    }

    /// Appends to the array `key` the `values` that it lacks.
    #[must_use]
    pub fn add_unique(self, key: &str, values: Vec<Value>) -> Self {
        self.with(key, Op::AddUnique(values))
    }

    /// Removes `values` from the array `key`.
    #[must_use]
    pub fn remove(self, key: &str, values: Vec<Value>) -> Self {
        self.with(key, Op::Remove(values))
    }

    /// Deletes `key`.
    #[must_use]
    pub fn delete(self, key: &str) -> Self {
        self.with(key, Op::Delete)
    }
}

impl Op {
    /// Merges `next` into this operation. Returns `next` if no single operation has the effect of both.
    fn join(&mut self, next: Self) -> Option<Self> {
        match (&mut *self, next) {
            (_, next @ (Self::Set(_) | Self::Delete)) => *self = next,
            (Self::Increment(amount), Self::Increment(more)) => match add_numbers(amount, &more) {
                Some(sum) => *amount = sum,
                None => return Some(Self::Increment(more)),
            },
            (Self::Add(values), Self::Add(more))
            | (Self::AddUnique(values), Self::AddUnique(more))
            | (Self::Remove(values), Self::Remove(more)) => values.extend(more),
            (first, next) if first.is_relation() && next.is_relation() => {
                *self = Self::Batch([first.clone().into_batch(), next.into_batch()].concat());
            }
            (_, next) => return Some(next),
        }
        None
    }

    fn into_batch(self) -> Vec<Self> {
        match self {
            Self::Batch(ops) => ops,
            op => vec![op],
        }
    }
}

#[cfg(test)]
mod tests;
