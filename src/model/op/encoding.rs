//! The wire form of updates.

use serde_json::{Map, json};

use crate::model::{Op, Pointer, Update, Value};

impl Update {
    /// The wire form. [`Update::parse`] parses it to an equal update. Holds one operation per key.
    #[must_use]
    pub fn to_value(&self) -> Value {
        debug_assert!(
            self.ops.iter().enumerate().all(|(at, (path, _))| self
                .ops
                .iter()
                .take(at)
                .all(|(earlier, _)| earlier != path)),
            "two operations of one key that cannot be joined: {self:?}"
        );
        self.ops
            .iter()
            .map(|(path, op)| (path.to_string(), op.to_value()))
            .collect::<Map<_, _>>()
            .into()
    }
}

impl Op {
    /// The wire form of the value at the key.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Set(value) => value.clone(),
            Self::Increment(amount) => json!({"__op": "Increment", "amount": amount}),
            Self::Add(objects) => json!({"__op": "Add", "objects": objects}),
            Self::AddUnique(objects) => json!({"__op": "AddUnique", "objects": objects}),
            Self::Remove(objects) => json!({"__op": "Remove", "objects": objects}),
            Self::Delete => json!({"__op": "Delete"}),
            Self::BitAnd(bits) => json!({"__op": "BitAnd", "value": bits}),
            Self::BitOr(bits) => json!({"__op": "BitOr", "value": bits}),
            Self::BitXor(bits) => json!({"__op": "BitXor", "value": bits}),
            Self::AddRelation(targets) => json!({"__op": "AddRelation", "objects": pointers(targets)}),
            Self::RemoveRelation(targets) => json!({"__op": "RemoveRelation", "objects": pointers(targets)}),
            Self::Batch(ops) => {
                json!({"__op": "Batch", "ops": ops.iter().map(Self::to_value).collect::<Vec<_>>()})
            }
        }
    }
}

fn pointers(targets: &[Pointer]) -> Vec<Value> {
    targets.iter().map(Pointer::to_value).collect()
}
