//! Parser of the bodies of creates and updates.

use serde_json::{Map, Number};

use crate::model::value::{as_integer, check_nested_key, normalize};
use crate::model::{CloudError, Document, ErrorCode, KeyPath, Op, Pointer, Update, Value, limits};

impl Update {
    /// Parses the body of a PUT: plain values, `__op`s, dotted keys. Checks `__type`s. The caller first removes
    /// `objectId`, `createdAt`, `updatedAt`, `__ignore_hooks` and the like.
    ///
    /// # Errors
    /// 1 (unknown op), 105 (key name), 106 (pointer), 107 (malformed op or value), 121 (nested key), 128 (relation),
    /// 302 (geo point), 304 (a batch of anything but relation ops).
    pub fn parse(body: &Document) -> Result<Self, CloudError> {
        let mut ops = Vec::with_capacity(body.len());
        for (key, value) in body.iter() {
            let path = parse_key(key)?;
            if path.is_nested() {
                check_overlap(body, key)?;
            }
            let op = parse_op(value)?;
            if path.is_nested() && op.is_relation() {
                return Err(CloudError::new(
                    ErrorCode::INVALID_RELATION,
                    format!("Invalid relation: '{key}' is nested; a relation is a column."),
                ));
            }
            ops.push((path, op));
        }
        Ok(Self { ops })
    }

    /// Parses the body of a POST: as [`Update::parse`], but dotted keys are errors.
    ///
    /// # Errors
    /// As [`Update::parse`]; 105 for a dotted key.
    pub fn parse_create(body: &Document) -> Result<Self, CloudError> {
        for key in body.keys() {
            KeyPath::check_column(key)?;
        }
        Self::parse(body)
    }
}

impl Op {
    pub(super) fn invalid_batch() -> CloudError {
        CloudError::new(
            ErrorCode::DATABASE_FAILED,
            "Invalid array operation: a Batch holds AddRelation and RemoveRelation only.",
        )
    }

    /// True if it changes a relation instead of the document.
    #[must_use]
    pub fn is_relation(&self) -> bool {
        matches!(
            self,
            Self::AddRelation(_) | Self::RemoveRelation(_) | Self::Batch(_)
        )
    }
}

fn parse_key(key: &str) -> Result<KeyPath, CloudError> {
    let mut parts = key.split('.');
    let column = parts.next().unwrap_or(key);
    KeyPath::check_column(column)?;
    for part in parts {
        check_nested_key(part)?;
    }
    if KeyPath::is_set_by_store(column) {
        return Err(CloudError::new(
            ErrorCode::INVALID_KEY_NAME,
            format!("Invalid key name. '{column}' is set by the server and cannot be written."),
        ));
    }
    KeyPath::parse(key)
}

/// Refuses two operations on overlapping keys: `a` and `a.b`, or `a.b` and `a.b.c`.
fn check_overlap(body: &Document, key: &str) -> Result<(), CloudError> {
    let mut outer = key;
    while let Some((head, _)) = outer.rsplit_once('.') {
        if body.contains_key(head) {
            return Err(CloudError::malformed(format!(
                "'{head}' and '{key}' cannot be written in one request: one holds the other."
            )));
        }
        outer = head;
    }
    Ok(())
}

fn parse_op(value: &Value) -> Result<Op, CloudError> {
    if let Value::Object(fields) = value {
        if let Some(name) = fields.get("__op") {
            let name = name
                .as_str()
                .ok_or_else(|| CloudError::malformed("'__op' must be text.".to_owned()))?;
            return parse_operator(name, fields);
        }
        if fields.len() == 1 && fields.get("delete") == Some(&Value::Bool(true)) {
            return Ok(Op::Delete);
        }
    }
    let mut value = value.clone();
    normalize(&mut value)?;
    Ok(Op::Set(value))
}

fn parse_operator(name: &str, fields: &Map<String, Value>) -> Result<Op, CloudError> {
    Ok(match name {
        "Increment" => Op::Increment(amount(name, fields)?),
        "Decrement" => Op::Increment(negative(&amount(name, fields)?)),
        "Add" => Op::Add(objects(name, fields)?),
        "AddUnique" => Op::AddUnique(objects(name, fields)?),
        "Remove" => Op::Remove(objects(name, fields)?),
        "Delete" => Op::Delete,
        "BitAnd" => Op::BitAnd(bits(name, fields)?),
        "BitOr" => Op::BitOr(bits(name, fields)?),
        "BitXor" => Op::BitXor(bits(name, fields)?),
        "AddRelation" => Op::AddRelation(targets(name, fields)?),
        "RemoveRelation" => Op::RemoveRelation(targets(name, fields)?),
        "Batch" => Op::Batch(batch(fields)?),
        _ => {
            return Err(CloudError::other(format!(
                "Unknown operation '{name}': names of operations are case-sensitive."
            )));
        }
    })
}

fn amount(name: &str, fields: &Map<String, Value>) -> Result<Number, CloudError> {
    let mut amount = fields.get("amount").cloned().unwrap_or_default();
    normalize(&mut amount)?;
    match amount {
        Value::Number(number) => Ok(number),
        _ => Err(CloudError::malformed(format!("{name} needs 'amount', a number."))),
    }
}

/// The negated number. The one integer without a 64-bit negative becomes a double.
fn negative(number: &Number) -> Number {
    match number.as_i64() {
        Some(integer) => integer.checked_neg().map(Number::from),
        None => None,
    }
    .or_else(|| Number::from_f64(-number.as_f64().unwrap_or_default()))
    .unwrap_or_else(|| number.clone())
}

fn objects(name: &str, fields: &Map<String, Value>) -> Result<Vec<Value>, CloudError> {
    let Some(Value::Array(objects)) = fields.get("objects") else {
        return Err(CloudError::malformed(format!(
            "{name} needs 'objects', an array."
        )));
    };
    let mut objects = objects.clone();
    objects.iter_mut().try_for_each(normalize)?;
    Ok(objects)
}

fn bits(name: &str, fields: &Map<String, Value>) -> Result<i64, CloudError> {
    let value = fields.get("value");
    value
        .and_then(|value| value.as_i64().or_else(|| as_integer(value)))
        .ok_or_else(|| CloudError::malformed(format!("{name} needs 'value', an integer.")))
}

fn targets(name: &str, fields: &Map<String, Value>) -> Result<Vec<Pointer>, CloudError> {
    match fields.get("objects") {
        Some(Value::Array(objects)) if (1..=limits::RELATION_OBJECTS_MAX).contains(&objects.len()) => {
            objects.iter().map(Pointer::parse).collect()
        }
        _ => Err(CloudError::new(
            ErrorCode::INVALID_RELATION,
            format!(
                "Invalid relation: {name} needs 'objects', 1 to {} pointers.",
                limits::RELATION_OBJECTS_MAX
            ),
        )),
    }
}

fn batch(fields: &Map<String, Value>) -> Result<Vec<Op>, CloudError> {
    let ops = match fields.get("ops") {
        Some(Value::Array(ops)) if !ops.is_empty() => ops,
        _ => {
            return Err(CloudError::malformed(
                "Batch needs 'ops', an array, not empty.".to_owned(),
            ));
        }
    };
    ops.iter()
        .map(|op| match op.get("__op").and_then(Value::as_str) {
            Some("AddRelation" | "RemoveRelation") => parse_op(op),
            _ => Err(Op::invalid_batch()),
        })
        .collect()
}
