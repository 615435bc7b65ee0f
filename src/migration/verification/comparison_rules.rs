//! What of an object is compared: its [canonical form](canonical_form), less what only one side can know.

use std::collections::BTreeSet;

use crate::migration::canonical_form;
use crate::model::{ClassName, Document, Value};
use crate::payment::Rules;
use crate::payment::protocol::log::LogState;
use crate::payment::protocol::mark::{MOVE, PAY_EPOCH, PAYLOGS};
use crate::payment::protocol::relocation::LOG_MOVE;

/// What is compared, and what is not.
#[derive(Clone, Debug)]
pub(super) struct ComparisonRules<'a> {
    pub(super) rules: &'a Rules,
    /// Whether the source shows third-party logins.
    pub(super) shows_logins: bool,
    /// Whether the app has moved: the documents that hold money were opened here, at a later time.
    pub(super) moved: bool,
}

/// The hash of an object.
pub(super) type Hash = [u8; 32];

impl ComparisonRules<'_> {
    /// What is not compared, in words.
    pub(super) fn left_out(&self) -> Vec<String> {
        let secrets = canonical_form::kept_back(self.shows_logins);
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

    /// The fields of a class that are not compared.
    fn left_out_of(&self, class: &ClassName) -> Vec<&'static str> {
        let rules = self.rules;
        let mut left_out = Vec::new();
        if *class == ClassName::user() {
            left_out.extend(canonical_form::kept_back(self.shows_logins));
        }
        if *class == ClassName::file() {
            left_out.push("url");
        }
        if self.moved && rules.classes().contains(&class) {
            left_out.push("updatedAt");
        }
        left_out
    }

    /// The object as it is where it lives, whether it has moved or not.
    pub(super) fn opened(&self, class: &ClassName, mut document: Document) -> Document {
        if *class == self.rules.log_class {
            open_log(&mut document);
        } else if *class == self.rules.user_class || *class == self.rules.order_class {
            open_account(&mut document);
        }
        document
    }

    /// The hash of such an object.
    pub(super) fn hash(&self, class: &ClassName, opened: &Document) -> Hash {
        canonical_form::hash(opened, &self.left_out_of(class))
    }

    /// The keys in which two objects differ.
    pub(super) fn differing_keys(&self, class: &ClassName, one: &Document, other: &Document) -> Vec<String> {
        let left_out = self.left_out_of(class);
        let alone = |document: &Document, key: &String| {
            let value = document.get(key)?;
            let alone = Document::from_iter([(key.clone(), value.clone())]);
            Some(canonical_form::text(&alone, &left_out)).filter(|text| text != "{}")
        };
        let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        keys.into_iter()
            .filter(|key| alone(one, key) != alone(other, key))
            .cloned()
            .collect()
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
    if let Some(state) = document.integer("state") {
        document.insert("state".to_owned(), LogState::without_fence(state).into());
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
    fn two_sides_of_one_object_have_one_hash() {
        let rules = PaymentConfig::new().rules();
        let view = ComparisonRules {
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
            let of = |value: &Value| view.hash(class, &view.opened(class, document(value.clone())));
            assert_eq!(of(&one), of(&other), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let rules = PaymentConfig::new().rules();
        let view = ComparisonRules {
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
            let user = ClassName::user();
            let of = |value: &Value| view.opened(&user, document(value.clone()));
            let (one, other) = (of(&one), of(&other));
            assert_ne!(view.hash(&user, &one), view.hash(&user, &other));
            assert_eq!(view.differing_keys(&user, &one, &other), keys);
        }
    }
}
