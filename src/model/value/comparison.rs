//! MongoDB's equality and order of values.

use std::cmp::Ordering;

use base64::Engine as _;
use serde_json::Map;

use crate::model::value::{Kind, Value, compare_numbers};

/// True if two values are equal: numbers by value whether integer or double, dates by instant, pointers by class and
/// id, files by id, arrays element by element, objects regardless of the order of their keys.
#[must_use]
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => match (Kind::of_object(a), Kind::of_object(b)) {
            (Kind::Object(a), Kind::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
            }
            (a, b) => compare_kinds(a, b).is_eq(),
        },
        _ => false,
    }
}

/// The total order of values: null, numbers, text, objects, arrays, bytes, booleans, dates; text by its UTF-8 bytes.
/// Consistent with [`equal`].
#[must_use]
pub fn compare(a: &Value, b: &Value) -> Ordering {
    compare_kinds(Kind::of(a), Kind::of(b))
}

fn compare_kinds(a: Kind<'_>, b: Kind<'_>) -> Ordering {
    match (a, b) {
        (Kind::Number(a), Kind::Number(b)) => compare_numbers(a, b),
        (Kind::String(a), Kind::String(b))
        | (Kind::File(a), Kind::File(b))
        | (Kind::Relation(a), Kind::Relation(b)) => a.cmp(b),
        (Kind::Boolean(a), Kind::Boolean(b)) => a.cmp(&b),
        (Kind::Date(a), Kind::Date(b)) => a.cmp(&b),
        (Kind::Bytes(a), Kind::Bytes(b)) => compare_bytes(a, b),
        (
            Kind::Pointer {
                class_name: a_class,
                object_id: a_id,
            },
            Kind::Pointer {
                class_name: b_class,
                object_id: b_id,
            },
        ) => a_class.cmp(b_class).then_with(|| a_id.cmp(b_id)),
        (Kind::GeoPoint(a), Kind::GeoPoint(b)) => {
            let axis = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            axis(a.latitude, b.latitude).then_with(|| axis(a.longitude, b.longitude))
        }
        (Kind::Array(a), Kind::Array(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| compare(a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Kind::Object(a), Kind::Object(b)) => compare_objects(a, b),
        _ => a.rank().cmp(&b.rank()),
    }
}

/// Compares key by key in sorted order, consistently with an equality that ignores the order of keys.
fn compare_objects(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let (a_keys, b_keys) = (sorted_keys(a), sorted_keys(b));
    for (a_key, b_key) in a_keys.iter().zip(&b_keys) {
        let order = a_key
            .cmp(b_key)
            .then_with(|| match (a.get(*a_key), b.get(*b_key)) {
                (Some(a), Some(b)) => compare(a, b),
                _ => Ordering::Equal,
            });
        if order.is_ne() {
            return order;
        }
    }
    a_keys.len().cmp(&b_keys.len())
}

fn sorted_keys(fields: &Map<String, Value>) -> Vec<&String> {
    let mut keys: Vec<&String> = fields.keys().collect();
    keys.sort_unstable();
    keys
}

/// MongoDB's order of binary data: the shorter first, then byte by byte.
fn compare_bytes(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text);
    match (decode(a), decode(b)) {
        (Ok(x), Ok(y)) => x
            .len()
            .cmp(&y.len())
            .then_with(|| x.cmp(&y))
            .then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}
