//! The `__op` operators and what they do to a document.

mod apply;
mod encoding;
mod parser;

use std::collections::BTreeSet;

use crate::model::value::add_numbers;
use crate::model::{KeyPath, Pointer, Value};

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

    /// Whether repeating the update has an effect of its own (`Increment`, `Decrement`, `Add`, `BitXor`), so that it
    /// must never be resent unguarded after an unknown outcome.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.ops
            .iter()
            .any(|(_, op)| matches!(op, Op::Increment(_) | Op::Add(_) | Op::BitXor(_)))
    }

    /// The columns that it writes, in order, each once.
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

    /// This, and then `op` on `key`. Two operations of one key are joined into one where there is one that does both
    /// (two increments into their sum, a plain value in the place of anything). Others are applied in order, but
    /// have no wire form together.
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

impl Op {
    /// Becomes one operation that does what this and then `next` do; gives `next` back where there is none.
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
