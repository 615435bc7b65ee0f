//! Properties of all filters, updates and values.

use std::cmp::Ordering;

use paylog::model::value::{compare, equal, normalize};
use paylog::model::{
    Document, Filter, KeyPath, Keys, OrderKey, Pattern, Query, Test, Timestamp, Update, Value,
};
use proptest::prelude::*;
use serde_json::json;

use crate::strategies::{self, cases};

fn matches(path: &KeyPath, test: Test, document: &Document) -> bool {
    Filter::Key(path.clone(), test).matches(document).unwrap()
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn filter_round_trips(filter in strategies::filters()) {
        let written = filter.to_value();
        let text = written.to_string();
        let read: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Filter::parse(&read).unwrap(), filter);
    }

    #[test]
    fn update_round_trips(update in strategies::updates()) {
        let text = update.to_value().to_string();
        let Value::Object(body) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        prop_assert_eq!(Update::parse(&Document(body)).unwrap(), update);
    }

    #[test]
    fn query_round_trips(query in strategies::queries()) {
        let parameters: Document = query
            .to_parameters()
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Value::from(text)))
            .collect();
        prop_assert_eq!(Query::parse(&parameters).unwrap(), query);
    }

    #[test]
    fn negations_are_complements(
        document in strategies::wild_documents(),
        path in strategies::paths(),
        value in strategies::values(),
        values in prop::collection::vec(strategies::values(), 0..3),
        test in strategies::tests(),
    ) {
        let holds = |test: Test| matches(&path, test, &document);
        prop_assert_ne!(holds(Test::Eq(value.clone())), holds(Test::Ne(value)));
        prop_assert_ne!(holds(Test::In(values.clone())), holds(Test::Nin(values)));
        prop_assert_ne!(holds(Test::Exists(true)), holds(Test::Exists(false)));
        prop_assert_ne!(holds(test.clone()), holds(Test::Not(Box::new(test))));
    }

    #[test]
    fn de_morgan(
        document in strategies::wild_documents(),
        parts in prop::collection::vec(strategies::filters(), 1..4),
    ) {
        let is = |filter: Filter| filter.matches(&document).unwrap();
        let denied = |filter: &Filter| Filter::Nor(vec![filter.clone()]);
        let all_denied: Vec<Filter> = parts.iter().map(denied).collect();
        prop_assert_eq!(is(Filter::Nor(parts.clone())), is(Filter::And(all_denied.clone())));
        prop_assert_eq!(is(denied(&Filter::And(parts.clone()))), is(Filter::Or(all_denied)));
        prop_assert_ne!(is(Filter::Or(parts.clone())), is(Filter::Nor(parts)));
    }

    #[test]
    fn in_equals_disjunction_of_equalities(
        document in strategies::wild_documents(),
        path in strategies::paths(),
        values in prop::collection::vec(strategies::values(), 0..4),
    ) {
        let equalities = values
            .iter()
            .map(|value| Filter::Key(path.clone(), Test::Eq(value.clone())))
            .collect();
        prop_assert_eq!(
            matches(&path, Test::In(values.clone()), &document),
            Filter::Or(equalities).matches(&document).unwrap()
        );
        let all = values.iter().all(|value| matches(&path, Test::Eq(value.clone()), &document));
        prop_assert_eq!(matches(&path, Test::All(values.clone()), &document), all && !values.is_empty());
    }

    #[test]
    fn lte_and_gte_equal_range_or_equality(
        document in strategies::wild_documents(),
        path in strategies::paths(),
        value in strategies::scalars(),
    ) {
        let holds = |test: Test| matches(&path, test, &document);
        let equals = holds(Test::Eq(value.clone()));
        prop_assert_eq!(holds(Test::Lte(value.clone())), holds(Test::Lt(value.clone())) || equals);
        prop_assert_eq!(holds(Test::Gte(value.clone())), holds(Test::Gt(value)) || equals);
    }

    #[test]
    fn first_unmet_key_exists_iff_filter_does_not_match(
        document in strategies::wild_documents(),
        filter in strategies::filters(),
    ) {
        let unmet = filter.first_unmet(&document).unwrap();
        prop_assert_eq!(unmet.is_none(), filter.matches(&document).unwrap());
        // The parts before the one that is named all match.
        if let (Some(unmet), Filter::And(parts)) = (unmet, &filter) {
            let first = parts.iter().find(|part| !part.matches(&document).unwrap()).unwrap();
            match first {
                Filter::Key(path, _) => prop_assert_eq!(unmet, path.as_str()),
                _ => prop_assert!(unmet == "$or" || unmet == "$nor"),
            }
        }
    }

    #[test]
    fn values_are_totally_ordered(
        a in strategies::values(),
        b in strategies::values(),
        c in strategies::values(),
    ) {
        prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert_eq!(compare(&a, &b).is_eq(), equal(&a, &b));
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
    }

    #[test]
    fn documents_are_sorted_consistently(
        mut documents in prop::collection::vec(strategies::wild_documents(), 3),
        order in prop::sample::select(vec!["n", "-l", "l,-n", "o.x", "-l.x,s"]),
    ) {
        let keys = OrderKey::parse_list(order);
        // `sort_by` refuses an order that is not total, by a panic.
        documents.sort_by(|a, b| OrderKey::compare(&keys, a, b));
        prop_assert!(OrderKey::compare(&keys, &documents[0], &documents[2]).is_le());
    }

    #[test]
    fn failed_update_leaves_document_unchanged(
        before in strategies::wild_documents(),
        update in strategies::wild_updates(),
    ) {
        let mut after = before.clone();
        match update.apply(&mut after) {
            Ok(applied) => prop_assert_eq!(applied.columns, update.columns()),
            Err(_) => prop_assert_eq!(
                serde_json::to_string(&after).unwrap(),
                serde_json::to_string(&before).unwrap()
            ),
        }
    }

    #[test]
    fn unnamed_columns_stay_unchanged(
        before in strategies::documents(),
        update in strategies::updates(),
    ) {
        let mut after = before.clone();
        let _ = update.apply(&mut after);
        for column in strategies::COLUMNS {
            if !update.columns().iter().any(|written| written == column) {
                prop_assert_eq!(before.get(column), after.get(column));
            }
        }
    }

    #[test]
    fn increments_commute_and_merge(a in any::<i32>(), b in any::<i32>(), start in any::<i32>()) {
        let apply = |updates: &[Update]| {
            let mut document = Document::from_iter([("n".to_owned(), json!(start))]);
            for update in updates {
                update.apply(&mut document).unwrap();
            }
            document
        };
        let (first, second) = (
            Update::new().increment("n", a.into()),
            Update::new().increment("n", b.into()),
        );
        let there = apply(&[first.clone(), second.clone()]);
        prop_assert_eq!(&there, &apply(&[second, first]));
        prop_assert_eq!(&there, &apply(&[Update::new().increment("n", a.into()).increment("n", b.into())]));
        prop_assert_eq!(there.get("n"), Some(&json!(i64::from(start) + i64::from(a) + i64::from(b))));
    }

    #[test]
    fn add_unique_is_idempotent_and_remove_inverts_it(
        start in prop::collection::vec(strategies::values(), 0..4),
        values in prop::collection::vec(strategies::values(), 0..4),
    ) {
        let mut document = Document::from_iter([("l".to_owned(), json!(start))]);
        let add = Update::new().add_unique("l", values.clone());
        add.apply(&mut document).unwrap();
        let once = document.clone();
        add.apply(&mut document).unwrap();
        prop_assert_eq!(&document, &once);
        for value in &values {
            prop_assert!(matches(&KeyPath::new("l"), Test::Eq(value.clone()), &document));
        }
        Update::new().remove("l", values.clone()).apply(&mut document).unwrap();
        let left = document["l"].as_array().unwrap();
        prop_assert!(left.iter().all(|left| !values.iter().any(|value| equal(left, value))));
        let kept = start.iter().filter(|there| !values.iter().any(|value| equal(there, value)));
        prop_assert_eq!(left.iter().collect::<Vec<_>>(), kept.collect::<Vec<_>>());
    }

    #[test]
    fn set_value_is_found_by_equality(document in strategies::documents(), value in strategies::values()) {
        let mut document = document;
        Update::new().set("any", value.clone()).apply(&mut document).unwrap();
        prop_assert!(Filter::all().eq("any", value).matches(&document).unwrap());
    }

    #[test]
    fn quoted_text_matches_itself(text in any::<String>(), flags in "[imxs]{0,2}") {
        let tricky = text.replace('a', r"\E").replace('b', r"\Q").replace('c', "\\");
        for text in [text, tricky] {
            for pattern in [Pattern::quote(&text), format!("^{}", Pattern::quote(&text)), format!("{}$", Pattern::quote(&text))] {
                let pattern = Pattern::new(&pattern, &flags).unwrap();
                prop_assert!(pattern.finds(&text).unwrap(), "{:?} does not find {:?}", pattern, text);
            }
            let other = format!("{text}!");
            let exact = Pattern::new(&format!("^{}$", Pattern::quote(&other)), "").unwrap();
            prop_assert!(!exact.finds(&text).unwrap());
        }
    }

    #[test]
    fn text_with_quote_marks_matches_itself(text in r"([\\EQab]|\\E|\\Q){0,8}") {
        let pattern = Pattern::new(&format!("^{}$", Pattern::quote(&text)), "").unwrap();
        prop_assert!(pattern.finds(&text).unwrap());
    }

    #[test]
    fn parsing_any_input_does_not_panic(value in strategies::json()) {
        if let Ok(filter) = Filter::parse(&value) {
            let written = filter.to_value();
            prop_assert_eq!(Filter::parse(&written).unwrap(), filter, "{}", written);
        }
        let mut uniform = value.clone();
        if normalize(&mut uniform).is_ok() {
            let mut again = uniform.clone();
            normalize(&mut again).unwrap();
            prop_assert_eq!(again, uniform);
        }
        let body = Document::from_iter([("a".to_owned(), value.clone())]);
        if let Ok(update) = Update::parse(&body) {
            prop_assert_eq!(&update, &reread(&update));
            let mut document = Document::new();
            let _ = update.apply(&mut document);
        }
        if let Value::Object(fields) = value {
            let _ = Query::parse(&Document(fields.clone()));
            if let Ok(update) = Update::parse(&Document(fields)) {
                prop_assert_eq!(&update, &reread(&update));
            }
        }
    }

    #[test]
    fn keys_project_and_exclude(document in strategies::documents(), names in prop::sample::subsequence(strategies::COLUMNS.to_vec(), 0..4)) {
        let list = names.join(",");
        let kept = Keys::parse(&list).project(document.clone());
        let left = Keys::parse(&names.iter().map(|name| format!("-{name}")).collect::<Vec<_>>().join(",")).project(document.clone());
        for (key, value) in document.iter() {
            let named = names.contains(&key.as_str());
            prop_assert_eq!(kept.get(key), (named || names.is_empty()).then_some(value));
            prop_assert_eq!(left.get(key), (!named).then_some(value));
        }
    }

    #[test]
    fn timestamps_compare_as_dates(at in 0_i64..4_000_000_000_000, other in 0_i64..4_000_000_000_000) {
        let text = |millis| Timestamp::from_millis(millis).to_string();
        let document = Document::from_iter([("createdAt".to_owned(), json!(text(at)))]);
        let date = json!({"__type": "Date", "iso": text(other)});
        for value in [date, json!(text(other))] {
            let holds = |test: fn(Value) -> Test| matches(&KeyPath::new("createdAt"), test(value.clone()), &document);
            prop_assert_eq!(holds(Test::Lt), at < other);
            prop_assert_eq!(holds(Test::Gte), at >= other);
            prop_assert_eq!(holds(Test::Eq), at == other);
        }
    }
}

fn reread(update: &Update) -> Update {
    match update.to_value() {
        Value::Object(body) => Update::parse(&Document(body)).unwrap(),
        other => panic!("{other}"),
    }
}
