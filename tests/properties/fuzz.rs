//! Fuzzing: arbitrary filters, operations and bodies. Nothing panics, and no response is a 500.
//!
//! Each target runs for a second under `cargo test`; `PAYLOG_FUZZ_SECONDS` prolongs it. Failures are minimized and
//! printed with the `BOLERO_RANDOM_SEED` that reproduces them. With `cargo-bolero` the same targets run under a
//! coverage-guided fuzzer: `cargo bolero test --test properties fuzz::filters`.

#[cfg(feature = "runtime")]
#[path = "fuzz/served.rs"]
mod served;

use std::time::Duration;

use bolero::check;
use paylog::model::{Document, Filter, Update, Value};
use serde_json::{Map, json};

/// Words with a meaning in filters, operations or values.
const WORDS: &[&str] = &[
    "a",
    "b",
    "a.b",
    "a.0",
    "a.0.b",
    "n",
    "at",
    "text",
    "list",
    "rel",
    "objectId",
    "createdAt",
    "updatedAt",
    "ACL",
    "$eq",
    "$ne",
    "$lt",
    "$lte",
    "$gt",
    "$gte",
    "$in",
    "$nin",
    "$exists",
    "$all",
    "$size",
    "$regex",
    "$options",
    "$not",
    "$and",
    "$or",
    "$nor",
    "$inQuery",
    "$notInQuery",
    "$select",
    "$dontSelect",
    "$relatedTo",
    "$nearSphere",
    "$maxDistance",
    "$maxDistanceInKilometers",
    "$minDistanceInMiles",
    "$within",
    "$box",
    "object",
    "key",
    "query",
    "className",
    "where",
    "limit",
    "skip",
    "order",
    "keys",
    "include",
    "__op",
    "Increment",
    "Decrement",
    "Add",
    "AddUnique",
    "Remove",
    "Delete",
    "BitAnd",
    "BitOr",
    "BitXor",
    "AddRelation",
    "RemoveRelation",
    "Batch",
    "amount",
    "objects",
    "value",
    "ops",
    "__type",
    "Date",
    "iso",
    "2026-01-01T00:00:00.000Z",
    "Bytes",
    "base64",
    "Pointer",
    "GeoPoint",
    "latitude",
    "longitude",
    "File",
    "id",
    "Relation",
    "Thing",
    "_User",
    "_Role",
    "*",
    "read",
    "write",
    "role:x",
    "username",
    "password",
    "email",
    "authData",
    "sessionToken",
    "requests",
    "method",
    "path",
    "body",
    "params",
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "/1.1/classes/Thing",
    "/1.1/classes/Thing/x",
    "/1.1/users",
    "/1.1/batch",
    "__ignore_hooks",
    "beforeSave",
    "new",
    "fetchWhenSave",
    "true",
    "",
    ".",
    "$",
    "\u{0}",
    "中",
    "-a",
    "a,b",
    "^a",
    "(",
    "[a-",
];

/// Turns bytes into plausible JSON.
struct JsonGenerator<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

impl JsonGenerator<'_> {
    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn word(&mut self) -> String {
        WORDS[usize::from(self.byte()) % WORDS.len()].to_owned()
    }

    fn fields(&mut self, depth: u8) -> Map<String, Value> {
        let count = self.byte() % 4;
        (0..count).map(|_| (self.word(), self.value(depth + 1))).collect()
    }

    fn point(&mut self) -> Value {
        let degrees = |byte: u8| f64::from(byte) - 128.0;
        json!({"__type": "GeoPoint", "latitude": degrees(self.byte()), "longitude": degrees(self.byte()) * 1.5})
    }

    fn value(&mut self, depth: u8) -> Value {
        let kinds = if depth > 5 { 8 } else { 13 };
        match self.byte() % kinds {
            0 => Value::Null,
            1 => Value::Bool(self.byte().is_multiple_of(2)),
            2 => json!(i64::from(self.byte()) - 100),
            3 => json!([i64::MIN, i64::MAX, 0, 1 << 53, -1][usize::from(self.byte()) % 5]),
            4 => json!([0.5, -0.0, 1e300, 1e-300, 9.3e18][usize::from(self.byte()) % 5]),
            5 => Value::String(self.word()),
            6 => json!({"__type": "Pointer", "className": self.word(), "objectId": self.word()}),
            7 => self.point(),
            8 => (0..self.byte() % 4).map(|_| self.value(depth + 1)).collect(),
            9 => json!({(self.word()): self.value(depth + 1)}),
            _ => Value::Object(self.fields(depth)),
        }
    }
}

fn generator(bytes: &[u8]) -> JsonGenerator<'_> {
    JsonGenerator { bytes: bytes.iter() }
}

/// Duration of one target.
fn time() -> Duration {
    let seconds = std::env::var_os("PAYLOG_FUZZ_SECONDS").and_then(|text| text.to_str()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Parses bytes as JSON, or generates JSON from them.
fn json_of(bytes: &[u8]) -> Value {
    match bytes.split_first() {
        Some((0..=25, text)) => serde_json::from_slice(text).unwrap_or_default(),
        _ => Value::Object(generator(bytes).fields(0)),
    }
}

fn documents() -> Vec<Document> {
    let texts = [
        json!({}),
        json!({"a": 1, "n": 5, "text": "abc", "list": [1, "a", null, {"b": 2}]}),
        json!({"a": {"b": [{"b": 1}, [1, 2]], "0": 7}, "n": 0.5, "text": ""}),
        json!({"a": [[{"b": null}], "x"], "at": {"__type": "GeoPoint", "latitude": 10.0, "longitude": 20.0}}),
        json!({"a": null, "objectId": "x", "createdAt": "2026-01-01T00:00:00.000Z", "ACL": {"*": {"read": true}}}),
    ];
    texts
        .into_iter()
        .map(|value| serde_json::from_value(value).unwrap())
        .collect()
}

#[test]
fn filters() {
    let documents = documents();
    check!()
        .with_test_time(time())
        .with_max_len(256)
        .for_each(|bytes: &[u8]| {
            let Ok(filter) = Filter::parse(&json_of(bytes)) else {
                return;
            };
            let written = filter.to_value();
            assert_eq!(Filter::parse(&written).as_ref(), Ok(&filter), "{written}");
            for document in &documents {
                let _ = filter.matches(document);
                let _ = filter.first_unmet(document);
            }
        });
}

#[test]
fn operations() {
    let documents = documents();
    check!()
        .with_test_time(time())
        .with_max_len(256)
        .for_each(|bytes: &[u8]| {
            let Value::Object(body) = json_of(bytes) else {
                return;
            };
            let body = Document(body);
            let _ = Update::parse_create(&body);
            let Ok(update) = Update::parse(&body) else {
                return;
            };
            for document in &documents {
                let mut changed = document.clone();
                if update.apply(&mut changed).is_err() {
                    assert_eq!(changed, *document, "a refused update has left a trace: {body:?}");
                }
            }
        });
}
