//! The one form of an object in which two homes agree on it, and its hash.
//!
//! Two versions have the same form exactly where no client can tell them apart: the order of keys does not count, nor
//! whether a whole number is written `1` or `1.0`, how a date is written, what an expanded pointer or a file shows
//! beside its id, whether public access is written down or left out. Relations are no part of it, since the API shows
//! them in every object of a class whatever is in them: they are compared as [links](crate::store::load::Link).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::model::user_secrets::{SECRET_AND_LOGIN_COLUMNS, SECRET_COLUMNS};
use crate::model::value::Kind;
use crate::model::{Document, GeoPoint, Value};
use crate::store::load::Link;

/// Fields of `_User` that the REST API never shows: to be left out where one side is read through it.
pub const SECRETS: [&str; 4] = SECRET_COLUMNS;

/// The same, where third-party logins are not shown either.
pub const SECRETS_AND_LOGINS: [&str; 5] = SECRET_AND_LOGIN_COLUMNS;

/// The fields of `_User` that a source does not show, by whether it shows third-party logins.
#[must_use]
pub fn kept_back(shows_logins: bool) -> &'static [&'static str] {
    if shows_logins {
        &SECRETS
    } else {
        &SECRETS_AND_LOGINS
    }
}

/// The canonical form of an object as JSON text, without the fields `left_out`.
///
/// Keys are sorted by their bytes; dates are in UTC with milliseconds; pointers and files hold their class and id
/// alone; whole numbers within 64 bits have no fraction. An ACL that lets everybody read and write is left out.
#[must_use]
pub fn text(document: &Document, left_out: &[&str]) -> String {
    let mut text = String::with_capacity(256);
    write_object(&mut text, shown(document, left_out));
    text
}

/// The SHA-256 of [`text`].
#[must_use]
pub fn hash(document: &Document, left_out: &[&str]) -> [u8; 32] {
    Sha256::digest(text(document, left_out)).into()
}

/// A hash over many objects or links, whatever the order in which they are seen: each is hashed, and the hashes are
/// added up. It tells apart what differs by accident, not what somebody forges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetHash {
    count: u64,
    lanes: [u64; 4],
}

impl SetHash {
    /// Takes an object into account.
    pub fn add(&mut self, document: &Document, left_out: &[&str]) {
        self.add_hash(hash(document, left_out));
    }

    /// Takes a link into account.
    pub fn add_link(&mut self, link: &Link) {
        let parts = [
            link.owner.class_name.as_str(),
            link.owner.object_id.as_str(),
            &link.key,
            link.target.class_name.as_str(),
            link.target.object_id.as_str(),
        ];
        // No part holds a space.
        self.add_hash(Sha256::digest(parts.join(" ")).into());
    }

    /// Takes an object into account whose [`hash`] is known.
    pub fn add_hash(&mut self, hash: [u8; 32]) {
        self.count = self.count.wrapping_add(1);
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.chunks_exact(8)) {
            let number = bytes
                .iter()
                .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            *lane = lane.wrapping_add(number);
        }
    }

    /// How many were taken into account.
    #[must_use]
    pub fn count(self) -> u64 {
        self.count
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

fn shown<'d>(document: &'d Document, left_out: &[&str]) -> Vec<(&'d String, &'d Value)> {
    document
        .iter()
        .filter(|(key, value)| {
            let is_relation = matches!(Kind::of(value), Kind::Relation(_));
            let is_public = key.as_str() == "ACL" && is_public(value);
            !is_relation && !is_public && !left_out.contains(&key.as_str())
        })
        .collect()
}

/// Whether an ACL says what its absence says.
fn is_public(acl: &Value) -> bool {
    let everybody = |right: &str| acl.pointer(&format!("/*/{right}")) == Some(&Value::Bool(true));
    acl.is_null()
        || (acl.as_object().is_some_and(|entries| entries.len() == 1)
            && everybody("read")
            && everybody("write"))
}

fn write_object(text: &mut String, mut fields: Vec<(&String, &Value)>) {
    fields.sort_unstable_by_key(|(key, _)| *key);
    text.push('{');
    for (place, (key, value)) in fields.into_iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write_text(text, key);
        text.push(':');
        write_value(text, value);
    }
    text.push('}');
}

fn write_value(text: &mut String, value: &Value) {
    match Kind::of(value) {
        Kind::Null => text.push_str("null"),
        Kind::Boolean(boolean) => text.push_str(if boolean { "true" } else { "false" }),
        Kind::Number(number) => match number.as_i64() {
            Some(integer) => text.push_str(&integer.to_string()),
            None => write_double(text, number.as_f64().unwrap_or_default()),
        },
        Kind::String(string) => write_text(text, string),
        Kind::Array(elements) => {
            text.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(text, element);
            }
            text.push(']');
        }
        Kind::Object(fields) => write_object(text, fields.iter().collect()),
        Kind::Date(time) => write_typed(text, "Date", &[("iso", &time.to_string())]),
        Kind::Bytes(base64) => write_typed(text, "Bytes", &[("base64", base64)]),
        Kind::Pointer {
            class_name,
            object_id,
        } => write_typed(
            text,
            "Pointer",
            &[("className", class_name), ("objectId", object_id)],
        ),
        Kind::File(id) => write_typed(text, "File", &[("id", id)]),
        Kind::Relation(class_name) => write_typed(text, "Relation", &[("className", class_name)]),
        Kind::GeoPoint(GeoPoint { latitude, longitude }) => {
            text.push_str("{\"__type\":\"GeoPoint\",\"latitude\":");
            write_double(text, latitude);
            text.push_str(",\"longitude\":");
            write_double(text, longitude);
            text.push('}');
        }
    }
}

/// An object whose keys, `__type` first, are in order.
fn write_typed(text: &mut String, name: &str, fields: &[(&str, &str)]) {
    text.push_str("{\"__type\":");
    write_text(text, name);
    for (key, value) in fields {
        text.push(',');
        write_text(text, key);
        text.push(':');
        write_text(text, value);
    }
    text.push('}');
}

/// A whole number within 64 bits as an integer, any other one in the shortest digits that read as the same double.
fn write_double(text: &mut String, double: f64) {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if double.fract() == 0.0 && double.abs() < BOUND {
        // Without an exponent and without a sign for zero.
        text.push_str(&format!("{:.0}", double + 0.0));
    } else {
        text.push_str(&Value::from(double).to_string());
    }
}

fn write_text(text: &mut String, string: &str) {
    text.push_str(&Value::from(string).to_string());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: Value) -> Document {
        serde_json::from_value(value).unwrap()
    }

    /// What two ways of asking LeanCloud show of one object has one form.
    #[test]
    fn forms_of_one_object_agree() {
        let exported = document(json!({
            "b": 1.0, "a": -0.0, "when": {"iso": "2026-01-02T03:04:05Z", "__type": "Date"},
            "author": {"__type": "Pointer", "className": "_User", "objectId": "u1"},
            "photo": {"__type": "File", "id": "f1"},
            "likes": {"__type": "Relation", "className": "Post"},
            "place": {"__type": "GeoPoint", "longitude": 2, "latitude": 1.5},
            "ACL": {"*": {"read": true, "write": true}}, "objectId": "o1",
        }));
        let answered = document(json!({
            "objectId": "o1", "a": 0, "b": 1, "when": {"__type": "Date", "iso": "2026-01-02T03:04:05.000Z"},
            "author": {"className": "_User", "username": "x", "__type": "Pointer", "objectId": "u1"},
            "photo": {"__type": "File", "objectId": "f1", "name": "n", "url": "u"},
            "place": {"__type": "GeoPoint", "latitude": 1.5, "longitude": 2.0},
        }));
        assert_eq!(text(&exported, &[]), text(&answered, &[]));
        assert_eq!(
            text(&exported, &[]),
            concat!(
                r#"{"a":0,"author":{"__type":"Pointer","className":"_User","objectId":"u1"},"b":1,"objectId":"o1","#,
                r#""photo":{"__type":"File","id":"f1"},"#,
                r#""place":{"__type":"GeoPoint","latitude":1.5,"longitude":2},"#,
                r#""when":{"__type":"Date","iso":"2026-01-02T03:04:05.000Z"}}"#
            )
        );
        assert_eq!(hash(&exported, &[]), hash(&answered, &[]));
    }

    #[test]
    fn what_a_client_can_tell_apart_differs() {
        let one = json!({"objectId": "o1", "n": 1, "s": "1", "l": [1, 2], "acl": null, "big": 1e300});
        let others = [
            json!({"objectId": "o1", "n": 2, "s": "1", "l": [1, 2], "acl": null, "big": 1e300}),
            json!({"objectId": "o1", "n": 1, "s": 1, "l": [1, 2], "acl": null, "big": 1e300}),
            json!({"objectId": "o1", "n": 1, "s": "1", "l": [2, 1], "acl": null, "big": 1e300}),
            json!({"objectId": "o1", "n": 1, "s": "1", "l": [1, 2], "big": 1e300}),
            json!({"objectId": "o1", "n": 1, "s": "1", "l": [1, 2], "acl": null, "big": 1.1e300}),
            json!({"objectId": "o1", "n": 1, "s": "1", "l": [1, 2], "acl": null, "big": 1e300, "ACL": {}}),
            json!({"objectId": "o2", "n": 1, "s": "1", "l": [1, 2], "acl": null, "big": 1e300}),
        ];
        for other in others {
            assert_ne!(
                hash(&document(one.clone()), &[]),
                hash(&document(other.clone()), &[]),
                "{other}"
            );
        }
    }

    #[test]
    fn secrets_are_left_out_where_asked() {
        let with = document(json!({"objectId": "u", "password": "p", "salt": "s", "sessionToken": "t"}));
        let without = document(json!({"objectId": "u"}));
        assert_ne!(hash(&with, &[]), hash(&without, &[]));
        assert_eq!(hash(&with, &SECRETS), hash(&without, &SECRETS));
    }

    /// The order does not count, how often something is there does.
    #[test]
    fn a_sum_is_of_what_is_there() {
        let objects: Vec<Document> = (0..10)
            .map(|n| document(json!({"objectId": n.to_string()})))
            .collect();
        let sum = |objects: &[&Document]| {
            let mut sum = SetHash::default();
            objects.iter().for_each(|object| sum.add(object, &[]));
            sum
        };
        let all: Vec<&Document> = objects.iter().collect();
        let reversed: Vec<&Document> = objects.iter().rev().collect();
        assert_eq!(sum(&all).to_string(), sum(&reversed).to_string());
        assert_ne!(sum(&all), sum(&all[1..]));
        assert_ne!(sum(&all[..2]), sum(&[all[0], all[0]]));
        assert_eq!(sum(&all).to_string().len(), 64);
        assert_eq!(sum(&all).count(), 10);
    }
}
