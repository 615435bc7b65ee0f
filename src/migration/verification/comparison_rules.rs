//! Rules of the comparison: an object's [canonical form](canonical_form) without the fields that only one side can know.

use std::collections::BTreeSet;

use crate::migration::canonical_form;
use crate::model::{ClassName, Document, Value};
use crate::payment::SchemaNames;
use crate::payment::protocol::log::{LogState, fields};
use crate::payment::protocol::mark::{MOVE, PAY_EPOCH, PAYLOGS};

/// Rules of the comparison.
#[derive(Clone, Debug)]
pub(super) struct ComparisonRules<'a> {
    pub(super) names: &'a SchemaNames,
    /// True if the source shows third-party logins.
    pub(super) shows_logins: bool,
    /// True if the app has moved: the documents with money were opened here, at a later time.
    pub(super) moved: bool,
}

/// Hash of an object.
pub(super) type Hash = [u8; 32];

impl ComparisonRules<'_> {
    /// Descriptions of the fields that are not compared.
    pub(super) fn descriptions_of_omitted(&self) -> Vec<String> {
        let secrets = canonical_form::hidden_fields(self.shows_logins);
        let mut omitted = vec![
            format!("{} of _User: the REST API does not show them", secrets.join(", ")),
            "url of _File: each server names its own".to_owned(),
            format!(
                "what a move writes: the sign of {PAY_EPOCH}, marks {MOVE}<n> in {PAYLOGS}, {} and the state's {} of logs",
                fields::MOVE,
                LogState::FENCE
            ),
        ];
        if self.moved {
            omitted.push(format!(
                "updatedAt of {}, {} and {}: opening them here was a write",
                self.names.user_class, self.names.order_class, self.names.log_class
            ));
        }
        omitted
    }

    /// Fields of a class that are not compared.
    fn omitted_fields(&self, class: &ClassName) -> Vec<&'static str> {
        let names = self.names;
        let mut omitted = Vec::new();
        if *class == ClassName::user() {
            omitted.extend(canonical_form::hidden_fields(self.shows_logins));
        }
        if *class == ClassName::file() {
            omitted.push("url");
        }
        if self.moved && names.classes().contains(&class) {
            omitted.push("updatedAt");
        }
        omitted
    }

    /// Removes the traces of a move from an object.
    pub(super) fn unfenced(&self, class: &ClassName, mut document: Document) -> Document {
        if *class == self.names.log_class {
            unfence_log(&mut document);
        } else if *class == self.names.user_class || *class == self.names.order_class {
            unfence_account(&mut document);
        }
        document
    }

    /// Hash of an unfenced object.
    pub(super) fn hash(&self, class: &ClassName, unfenced: &Document) -> Hash {
        canonical_form::hash(unfenced, &self.omitted_fields(class))
    }

    /// Fields in which two objects differ.
    pub(super) fn differing_keys(&self, class: &ClassName, one: &Document, other: &Document) -> Vec<String> {
        let omitted = self.omitted_fields(class);
        let alone = |document: &Document, key: &String| {
            let value = document.get(key)?;
            let alone = Document::from_iter([(key.clone(), value.clone())]);
            Some(canonical_form::text(&alone, &omitted)).filter(|text| text != "{}")
        };
        let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        keys.into_iter()
            .filter(|key| alone(one, key) != alone(other, key))
            .cloned()
            .collect()
    }
}

/// Removes the fence of an account or order; the epoch keeps its absolute value.
fn unfence_account(document: &mut Document) {
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

/// Removes the fence of a log.
fn unfence_log(document: &mut Document) {
    document.shift_remove(fields::MOVE);
    if let Some(state) = document.integer(fields::STATE) {
        document.insert(fields::STATE.to_owned(), LogState::without_fence(state).into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payment::PaymentConfig;

    fn document(value: Value) -> Document {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn object_has_the_same_hash_on_both_sides() {
        let names = PaymentConfig::new().names();
        let rules = ComparisonRules {
            names: &names,
            shows_logins: true,
            moved: false,
        };
        let user = ClassName::user();
        let log = &names.log_class;
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
            let of = |value: &Value| rules.hash(class, &rules.unfenced(class, document(value.clone())));
            assert_eq!(of(&one), of(&other), "{one} {other}");
        }
    }

    #[test]
    fn differing_fields_are_named() {
        let names = PaymentConfig::new().names();
        let rules = ComparisonRules {
            names: &names,
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
            let user = ClassName::user();
            let of = |value: &Value| rules.unfenced(&user, document(value.clone()));
            let (one, other) = (of(&one), of(&other));
            assert_ne!(rules.hash(&user, &one), rules.hash(&user, &other));
            assert_eq!(rules.differing_keys(&user, &one, &other), keys);
        }
    }
}
