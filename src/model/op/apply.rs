//! The effect of an update on a document.
//!
//! Every operation is first planned against the unchanged document, which finds every error, and then executed,
//! which cannot fail. Only if two operations write one column, a copy of that column is kept for the rollback.

use std::collections::BTreeSet;

use serde_json::Map;

use crate::model::filter::index_of;
use crate::model::op::{Applied, RelationChange};
use crate::model::schema::type_error::type_mismatch;
use crate::model::value::{Kind, add_numbers, as_integer, equal};
use crate::model::{CloudError, Document, ErrorCode, KeyPath, Op, Update, Value, limits};

impl Update {
    /// Applies all operations, or none: after an error the document is unchanged.
    ///
    /// Integers stay integers. A result beyond 64 bits, or a sum with a double, is a double. Relation operations do
    /// not change the document.
    ///
    /// # Errors
    /// 111 if an operation meets a value of another type; 107 if it would make an array too long; 304 for a batch of
    /// anything but relation operations.
    pub fn apply(&self, document: &mut Document) -> Result<Applied, CloudError> {
        if columns_are_distinct(&self.ops) {
            let changes = self
                .ops
                .iter()
                .map(|(path, op)| plan(document, path, op))
                .collect::<Result<Vec<_>, _>>()?;
            for ((path, _), change) in self.ops.iter().zip(changes) {
                execute(document, path, change);
            }
        } else {
            self.apply_one_by_one(document)?;
        }
        let mut relations = Vec::new();
        for (path, op) in &self.ops {
            collect_relations(path, op, &mut relations);
        }
        Ok(Applied {
            columns: self.columns(),
            relations,
        })
    }

    fn apply_one_by_one(&self, document: &mut Document) -> Result<(), CloudError> {
        let columns = self.columns();
        let before: Vec<(usize, String, Value)> = document
            .iter()
            .enumerate()
            .filter(|(_, (key, _))| columns.contains(key))
            .map(|(at, (key, value))| (at, key.clone(), value.clone()))
            .collect();
        for (path, op) in &self.ops {
            match plan(document, path, op) {
                Ok(change) => execute(document, path, change),
                Err(error) => {
                    for column in &columns {
                        document.shift_remove(column);
                    }
                    for (at, key, value) in before {
                        document.shift_insert(at, key, value);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn columns_are_distinct(ops: &[(KeyPath, Op)]) -> bool {
    // Comparing all pairs is cheapest for the few operations of an ordinary update.
    if ops.len() <= 16 {
        return ops.iter().enumerate().all(|(at, (path, _))| {
            ops.iter()
                .take(at)
                .all(|(earlier, _)| earlier.column() != path.column())
        });
    }
    let columns: BTreeSet<&str> = ops.iter().map(|(path, _)| path.column()).collect();
    columns.len() == ops.len()
}

fn collect_relations(path: &KeyPath, op: &Op, changes: &mut Vec<RelationChange>) {
    let (add, targets) = match op {
        Op::AddRelation(targets) => (true, targets),
        Op::RemoveRelation(targets) => (false, targets),
        Op::Batch(ops) => {
            for op in ops {
                collect_relations(path, op, changes);
            }
            return;
        }
        _ => return,
    };
    changes.extend(targets.iter().map(|target| RelationChange {
        key: path.as_str().to_owned(),
        add,
        target: target.clone(),
    }));
}

/// A checked change, ready to be executed.
enum Change<'a> {
    Nothing,
    Put(Value),
    Append(&'a [Value]),
    AppendMissing(&'a [Value]),
    Retain(&'a [Value]),
    Remove,
}

fn plan<'a>(document: &Document, path: &KeyPath, op: &'a Op) -> Result<Change<'a>, CloudError> {
    let current = current(document, path)?;
    Ok(match op {
        // Relations are stored beside the document.
        Op::Set(value) if matches!(Kind::of(value), Kind::Relation(_)) => Change::Nothing,
        Op::Set(value) => Change::Put(value.clone()),
        Op::Increment(amount) => Change::Put(Value::Number(match current {
            None => amount.clone(),
            Some(Value::Number(number)) => add_numbers(number, amount).ok_or_else(|| {
                CloudError::new(
                    ErrorCode::INCORRECT_TYPE,
                    format!("Invalid value for field '{path}': the sum is more than a number can hold."),
                )
            })?,
            Some(other) => return Err(type_mismatch(path.as_str(), &amount.clone().into(), other)),
        })),
        Op::Add(objects) | Op::AddUnique(objects) | Op::Remove(objects) => {
            match current {
                None | Some(Value::Array(_)) => {}
                Some(other) => return Err(type_mismatch(path.as_str(), &objects.clone().into(), other)),
            }
            match op {
                Op::Add(_) => Change::Append(objects),
                Op::AddUnique(_) => Change::AppendMissing(objects),
                _ if current.is_none() => Change::Nothing,
                _ => Change::Retain(objects),
            }
        }
        Op::Delete => Change::Remove,
        Op::BitAnd(bits) => Change::Put((integer(path, current, *bits)? & bits).into()),
        Op::BitOr(bits) => Change::Put((integer(path, current, *bits)? | bits).into()),
        Op::BitXor(bits) => Change::Put((integer(path, current, *bits)? ^ bits).into()),
        Op::Batch(ops) if !ops.iter().all(Op::is_relation) => return Err(Op::invalid_batch()),
        Op::AddRelation(_) | Op::RemoveRelation(_) | Op::Batch(_) => Change::Nothing,
    })
}

/// The integer operand of a bit operation; an absent key counts as 0.
fn integer(path: &KeyPath, current: Option<&Value>, bits: i64) -> Result<i64, CloudError> {
    match current {
        None => Ok(0),
        Some(value) => value
            .as_i64()
            .or_else(|| as_integer(value))
            .ok_or_else(|| match value {
                Value::Number(double) => CloudError::new(
                    ErrorCode::INCORRECT_TYPE,
                    format!("Invalid value type for field '{path}': bit operations need an integer, it is {double}."),
                ),
                other => type_mismatch(path.as_str(), &bits.into(), other),
            }),
    }
}

/// The current value at a path to be written.
fn current<'a>(document: &'a Document, path: &KeyPath) -> Result<Option<&'a Value>, CloudError> {
    let mut parts = path.parts();
    let Some(mut value) = parts.next().and_then(|column| document.get(column)) else {
        return Ok(None);
    };
    for part in parts {
        let child = match value {
            Value::Object(fields) if !fields.contains_key("__type") => fields.get(part),
            Value::Array(elements) => match index_of(part) {
                Some(index) if index > elements.len() + limits::ARRAY_PADDING_MAX => {
                    return Err(CloudError::new(
                        ErrorCode::INVALID_JSON,
                        format!("'{path}' is too far behind the end of the array."),
                    ));
                }
                Some(index) => elements.get(index),
                None => return Err(cannot_hold(path, part, value)),
            },
            _ => return Err(cannot_hold(path, part, value)),
        };
        match child {
            Some(child) => value = child,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn cannot_hold(path: &KeyPath, part: &str, value: &Value) -> CloudError {
    CloudError::new(
        ErrorCode::INCORRECT_TYPE,
        format!("Invalid value type for field '{path}': there is no '{part}' in {value}."),
    )
}

fn execute(document: &mut Document, path: &KeyPath, change: Change<'_>) {
    if let Change::Remove = change {
        remove(&mut document.0, path.as_str());
        return;
    }
    if let Change::Nothing = change {
        return;
    }
    let empty = if let Change::Put(_) = change {
        Value::Null
    } else {
        Value::Array(Vec::new())
    };
    let Some(slot) = slot(&mut document.0, path.as_str(), empty) else {
        return;
    };
    match (change, slot) {
        (Change::Put(value), slot) => *slot = value,
        (Change::Append(objects), Value::Array(elements)) => elements.extend_from_slice(objects),
        (Change::AppendMissing(objects), Value::Array(elements)) => {
            for object in objects {
                if !elements.iter().any(|element| equal(element, object)) {
                    elements.push(object.clone());
                }
            }
        }
        (Change::Retain(objects), Value::Array(elements)) => {
            elements.retain(|element| !objects.iter().any(|object| equal(element, object)));
        }
        _ => {}
    }
}

/// The slot of `path`. Creates it, and the objects around it, if they are missing.
fn slot<'a>(fields: &'a mut Map<String, Value>, path: &str, empty: Value) -> Option<&'a mut Value> {
    let Some((head, tail)) = path.split_once('.') else {
        return child(fields, path, empty);
    };
    slot_in(child(fields, head, Value::Object(Map::new()))?, tail, empty)
}

fn child<'a>(fields: &'a mut Map<String, Value>, key: &str, empty: Value) -> Option<&'a mut Value> {
    if !fields.contains_key(key) {
        fields.insert(key.to_owned(), empty);
    }
    fields.get_mut(key)
}

fn slot_in<'a>(value: &'a mut Value, path: &str, empty: Value) -> Option<&'a mut Value> {
    match value {
        Value::Object(fields) => slot(fields, path, empty),
        Value::Array(elements) => {
            let (head, tail) = match path.split_once('.') {
                Some((head, tail)) => (head, Some(tail)),
                None => (path, None),
            };
            let index = index_of(head)?;
            if index >= elements.len() {
                elements.resize(index, Value::Null);
                elements.push(match tail {
                    Some(_) => Value::Object(Map::new()),
                    None => empty.clone(),
                });
            }
            let element = elements.get_mut(index)?;
            match tail {
                Some(tail) => slot_in(element, tail, empty),
                None => Some(element),
            }
        }
        _ => None,
    }
}

/// Removes a key from its object. An element of an array becomes null, so that the others keep their indexes.
fn remove(fields: &mut Map<String, Value>, path: &str) {
    let Some((head, mut rest)) = path.split_once('.') else {
        fields.shift_remove(path);
        return;
    };
    let Some(mut value) = fields.get_mut(head) else {
        return;
    };
    loop {
        let (part, tail) = match rest.split_once('.') {
            Some((part, tail)) => (part, Some(tail)),
            None => (rest, None),
        };
        let child = match value {
            Value::Object(fields) => {
                if tail.is_none() {
                    fields.shift_remove(part);
                    return;
                }
                fields.get_mut(part)
            }
            Value::Array(elements) => index_of(part).and_then(|index| elements.get_mut(index)),
            _ => None,
        };
        match (child, tail) {
            (Some(child), Some(tail)) => (value, rest) = (child, tail),
            (Some(element), None) => {
                *element = Value::Null;
                return;
            }
            (None, _) => return,
        }
    }
}
