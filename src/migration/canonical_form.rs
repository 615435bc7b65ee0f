//! The canonical form of an object, and its hash.
//!
//! Two versions of an object have the same canonical form exactly if no client can tell them apart. The form ignores the
//! order of keys, `1` or `1.0` for a whole number, the notation of a date, the fields of an expanded pointer or a file
//! beside its id, and whether public access is explicit or implied. It omits relations, which the API shows in every
//! object of a class whatever they contain: they are compared as [links](crate::store::load::Link).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::model::user_secrets::{SECRET_AND_LOGIN_COLUMNS, SECRET_COLUMNS};
use crate::model::value::Kind;
use crate::model::{Document, GeoPoint, Value};
use crate::store::load::Link;

/// The fields of `_User` that a source does not show; with or without third-party logins.
#[must_use]
pub fn hidden_fields(shows_logins: bool) -> &'static [&'static str] {
    if shows_logins {
        &SECRET_COLUMNS
    } else {
        &SECRET_AND_LOGIN_COLUMNS
    }
}

/// The canonical form of an object as JSON text, without the fields `omitted`.
///
/// Keys are sorted by their bytes. Dates are in UTC with milliseconds. Pointers and files contain only their class and
/// id. Whole numbers within 64 bits have no fraction. An ACL that lets everybody read and write is omitted.
#[must_use]
pub fn text(document: &Document, omitted: &[&str]) -> String {
    let mut text = String::with_capacity(256);
    write_object(&mut text, compared_fields(document, omitted));
    text
}

/// The SHA-256 of [`text`].
#[must_use]
pub fn hash(document: &Document, omitted: &[&str]) -> [u8; 32] {
    Sha256::digest(text(document, omitted)).into()
}

/// A hash of a set of objects or links, independent of their order: the sum of their hashes. It detects accidental
/// differences, not forgeries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetHash {
    count: u64,
    lanes: [u64; 4],
}

impl SetHash {
    /// Adds an object.
    pub fn add(&mut self, document: &Document, omitted: &[&str]) {
        self.add_hash(hash(document, omitted));
    }

    /// Adds a link.
    pub fn add_link(&mut self, link: &Link) {
        let parts = [
            link.owner.class_name.as_str(),
            link.owner.object_id.as_str(),
            &link.key,
            link.target.class_name.as_str(),
            link.target.object_id.as_str(),
        ];
        // No part contains a space.
        self.add_hash(Sha256::digest(parts.join(" ")).into());
    }

    /// Adds an object by its [`hash`].
    pub fn add_hash(&mut self, hash: [u8; 32]) {
        self.count = self.count.wrapping_add(1);
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.chunks_exact(8)) {
            let number = bytes
                .iter()
                .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            *lane = lane.wrapping_add(number);
        }
    }

    /// Number of objects and links.
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

/// The fields of an object that its canonical form contains.
fn compared_fields<'d>(document: &'d Document, omitted: &[&str]) -> Vec<(&'d String, &'d Value)> {
    document
        .iter()
        .filter(|(key, value)| {
            let is_relation = matches!(Kind::of(value), Kind::Relation(_));
            let is_public = key.as_str() == "ACL" && is_public(value);
            !is_relation && !is_public && !omitted.contains(&key.as_str())
        })
        .collect()
}

/// True if an ACL means the same as no ACL.
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

/// Writes a typed value, whose keys are already in order with `__type` first.
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

/// Writes a whole number within 64 bits as an integer, any other number in the shortest digits that give the same double.
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

    /// An exported object and the same object in a response of the API.
    #[test]
    fn two_notations_of_one_object_have_one_form() {
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
    fn objects_that_a_client_can_tell_apart_have_different_forms() {
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
    fn omitted_secrets_do_not_change_the_hash() {
        let with = document(json!({"objectId": "u", "password": "p", "salt": "s", "sessionToken": "t"}));
        let without = document(json!({"objectId": "u"}));
        assert_ne!(hash(&with, &[]), hash(&without, &[]));
        assert_eq!(hash(&with, &SECRET_COLUMNS), hash(&without, &SECRET_COLUMNS));
    }

    /// The order does not count; the number of occurrences does.
    #[test]
    fn set_hash_ignores_order_and_counts_occurrences() {
        let objects: Vec<Document> = (0..10)
            .map(|n| document(json!({"objectId": n.to_string()})))
            .collect();
        let set_hash = |objects: &[&Document]| {
            let mut hash = SetHash::default();
            objects.iter().for_each(|object| hash.add(object, &[]));
            hash
        };
        let all: Vec<&Document> = objects.iter().collect();
        let reversed: Vec<&Document> = objects.iter().rev().collect();
        assert_eq!(set_hash(&all).to_string(), set_hash(&reversed).to_string());
        assert_ne!(set_hash(&all), set_hash(&all[1..]));
        assert_ne!(set_hash(&all[..2]), set_hash(&[all[0], all[0]]));
        assert_eq!(set_hash(&all).to_string().len(), 64);
        assert_eq!(set_hash(&all).count(), 10);
    }
}
