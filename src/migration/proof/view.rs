//! The one form in which an object is compared.

use sha2::{Digest, Sha256};

use crate::migration::pull::row::{SECRETS, SECRETS_AND_LOGINS, reduce_files};
use crate::model::value::Kind;
use crate::model::{ClassName, Document, Value};
use crate::payment::Rules;
use crate::payment::log::LogState;
use crate::payment::mark::{MOVE, PAY_EPOCH, PAYLOGS};
use crate::payment::moving::LOG_MOVE;

/// What is compared, and what is not.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    pub(super) rules: &'a Rules,
    /// Whether the source shows third-party logins.
    pub(super) shows_logins: bool,
    /// Whether the app has moved: the documents that hold money were opened here, at a later time.
    pub(super) moved: bool,
}

/// The hash of an object.
pub(super) type Hash = [u8; 32];

impl View<'_> {
    /// What is not compared, in words.
    pub(super) fn left_out(&self) -> Vec<String> {
        let secrets = if self.shows_logins {
            SECRETS
        } else {
            SECRETS_AND_LOGINS
        };
        let mut left_out = vec![
            format!("{} of _User: the REST API does not show them", secrets.join(", ")),
            "url of _File: each server names its own".to_owned(),
            format!(
                "what a move writes: the sign of {PAY_EPOCH}, marks {MOVE}<n> in {PAYLOGS}, {LOG_MOVE} and the state's {} of logs",
                LogState::FENCE
            ),
        ];
        if self.moved {
            left_out.push(format!(
                "updatedAt of {}, {} and {}: opening them here was a write",
                self.rules.user_class, self.rules.order_class, self.rules.log_class
            ));
        }
        left_out
    }

    /// The object in that form.
    pub(super) fn of(&self, class: &ClassName, mut document: Document) -> Document {
        document.retain(|_, value| !matches!(Kind::of(value), Kind::Relation(_)));
        if document.get("ACL").is_some_and(is_public) {
            document.shift_remove("ACL");
        }
        if *class == ClassName::file() {
            document.shift_remove("url");
        }
        if *class == ClassName::user() {
            let secrets = if self.shows_logins {
                SECRETS
            } else {
                SECRETS_AND_LOGINS
            };
            document.retain(|key, _| !secrets.contains(&key.as_str()));
        }
        let rules = self.rules;
        let is_log = *class == rules.log_class;
        if is_log {
            open_log(&mut document);
        }
        if *class == rules.user_class || *class == rules.order_class {
            open_account(&mut document);
        }
        if self.moved && (is_log || *class == rules.user_class || *class == rules.order_class) {
            document.shift_remove("updatedAt");
        }
        for value in document.values_mut() {
            reduce_files(value);
        }
        document
    }
}

/// As it was before it was fenced, but for the epoch, which goes on counting.
fn open_account(document: &mut Document) {
    match document.integer(PAY_EPOCH) {
        Some(epoch) if epoch < 0 => {
            document.insert(PAY_EPOCH.to_owned(), epoch.saturating_neg().into());
        }
        _ => return,
    }
    if let Some(Value::Array(marks)) = document.get_mut(PAYLOGS) {
        marks.retain(|mark| !mark.as_str().is_some_and(|mark| mark.starts_with(MOVE)));
    }
}

fn open_log(document: &mut Document) {
    document.shift_remove(LOG_MOVE);
    if let Some(state) = document
        .integer("state")
        .filter(|state| *state >= LogState::FENCE)
    {
        document.insert("state".to_owned(), state.saturating_sub(LogState::FENCE).into());
    }
}

fn is_public(acl: &Value) -> bool {
    *acl == serde_json::json!({"*": {"read": true, "write": true}})
}

/// The hash of an object, whatever the order of its keys.
pub(super) fn hash(document: &Document) -> Hash {
    let mut hasher = Sha256::new();
    write_fields(&document.0, &mut hasher);
    hasher.finalize().into()
}

fn write(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Object(fields) => write_fields(fields, hasher),
        Value::Array(elements) => {
            hasher.update(b"[");
            for element in elements {
                write(element, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        // One number, however it is written: `1` and `1.0`.
        Value::Number(number) => match crate::model::value::as_integer(value) {
            Some(integer) => hasher.update(integer.to_string()),
            None => hasher.update(number.to_string()),
        },
        Value::Null | Value::Bool(_) | Value::String(_) => hasher.update(value.to_string()),
    }
}

fn write_fields(fields: &serde_json::Map<String, Value>, hasher: &mut Sha256) {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    hasher.update(b"{");
    for (key, value) in sorted {
        hasher.update(Value::from(key.as_str()).to_string());
        hasher.update(b":");
        write(value, hasher);
        hasher.update(b",");
    }
    hasher.update(b"}");
}

/// The keys in which two objects differ.
pub(super) fn differing_keys(one: &Document, other: &Document) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let hash_of = |value: Option<&Value>| {
        value.map(|value| {
            let mut hasher = Sha256::new();
            write(value, &mut hasher);
            Hash::from(hasher.finalize())
        })
    };
    keys.into_iter()
        .filter(|key| hash_of(one.get(*key)) != hash_of(other.get(*key)))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payment::PaymentConfig;

    fn document(value: Value) -> Document {
        match value {
            Value::Object(fields) => Document(fields),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn two_sides_of_one_object_have_one_hash() {
        let rules = PaymentConfig::new().rules();
        let view = View {
            rules: &rules,
            shows_logins: true,
            moved: false,
        };
        let user = ClassName::user();
        let log = &rules.log_class;
        let post = ClassName::parse("Post").unwrap();
        let pairs = [
            (
                &post,
                json!({"a": 1, "b": {"c": 1, "d": 2}}),
                json!({"b": {"d": 2.0, "c": 1}, "a": 1.0}),
            ),
            (
                &post,
                json!({"ACL": {"*": {"write": true, "read": true}}, "r": {"__type": "Relation", "className": "X"}}),
                json!({}),
            ),
            (
                &post,
                json!({"f": {"__type": "File", "id": "1", "url": "http://a"}}),
                json!({"f": {"__type": "File", "id": "1"}}),
            ),
            (
                &user,
                json!({"password": "h", "salt": "s", "sessionToken": "t"}),
                json!({}),
            ),
            (
                &user,
                json!({"payEpoch": -3, "paylogs": ["l1", "move:1"], "account": 5}),
                json!({"payEpoch": 3, "paylogs": ["l1"], "account": 5}),
            ),
            (log, json!({"state": 12, "move": 1}), json!({"state": 2})),
        ];
        for (class, one, other) in pairs {
            let of = |value: &Value| hash(&view.of(class, document(value.clone())));
            assert_eq!(of(&one), of(&other), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let rules = PaymentConfig::new().rules();
        let view = View {
            rules: &rules,
            shows_logins: true,
            moved: false,
        };
        for (one, other, keys) in [
            (json!({"a": 1}), json!({"a": 2}), vec!["a"]),
            (
                json!({"a": 1, "b": [1, 2]}),
                json!({"a": 1, "b": [2, 1]}),
                vec!["b"],
            ),
            (json!({"a": "1"}), json!({"a": 1}), vec!["a"]),
            (json!({"a": null}), json!({}), vec!["a"]),
            (
                json!({"account": 1, "payEpoch": -2}),
                json!({"account": 1, "payEpoch": 1}),
                vec!["payEpoch"],
            ),
        ] {
            let of = |value: &Value| view.of(&ClassName::user(), document(value.clone()));
            let (one, other) = (of(&one), of(&other));
            assert_ne!(hash(&one), hash(&other));
            assert_eq!(differing_keys(&one, &other), keys);
        }
    }
}
