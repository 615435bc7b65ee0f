//! Parameters, order and projection.

use serde_json::json;

use super::*;
use crate::model::{Document, Filter, Value};

fn document(value: Value) -> Document {
    match value {
        Value::Object(fields) => Document(fields),
        other => panic!("{other} is no document"),
    }
}

fn parse(parameters: Value) -> Query {
    Query::parse(&document(parameters)).unwrap()
}

#[test]
fn url_and_batch_parameters_parse_equally() {
    let url = parse(json!({
        "where": r#"{"score":{"$gt":150}}"#, "limit": "10", "skip": "5", "order": "-score, name,+a.b",
        "count": "1", "keys": "a, -b ,c.d", "include": "author1, author2.friend", "returnACL": "true", "new": "true",
    }));
    let batch = parse(json!({
        "where": {"score": {"$gt": 150}}, "limit": 10, "skip": 5, "order": "-score,name,a.b",
        "count": 1, "keys": "a,c.d,-b", "include": "author1,author2.friend", "returnACL": true,
    }));
    assert_eq!(url, batch);
    assert_eq!(url.filter.to_value(), json!({"score": {"$gt": 150}}));
    assert_eq!(
        (url.limit, url.skip, url.count, url.return_acl),
        (10, 5, true, true)
    );
    let written: Vec<(&str, String)> = url.to_parameters();
    let expected = [
        ("where", r#"{"score":{"$gt":150}}"#),
        ("order", "-score,name,a.b"),
        ("limit", "10"),
        ("skip", "5"),
        ("count", "1"),
        ("keys", "a,c.d,-b"),
        ("include", "author1,author2.friend"),
        ("returnACL", "true"),
    ];
    assert_eq!(written, expected.map(|(name, text)| (name, text.to_owned())));
}

#[test]
fn default_parameters_are_omitted() {
    let query = parse(
        json!({"where": "", "keys": "", "include": "", "order": "", "count": "0", "returnACL": "false"}),
    );
    assert_eq!(query, Query::default());
    assert_eq!(parse(json!({"where": "{}", "limit": 100})), Query::default());
    assert!(Query::default().to_parameters().is_empty());
}

#[test]
fn limit_is_clamped() {
    for (given, limit) in [
        (json!("0"), 0),
        (json!(1), 1),
        (json!("1000"), 1000),
        (json!(5000), 1000),
        (json!("99999999999"), 1000),
        (json!(-1), 100),
    ] {
        assert_eq!(parse(json!({"limit": given})).limit, limit, "{given}");
    }
    assert_eq!(parse(json!({"skip": "-5"})).skip, 0);
    for malformed in [
        json!({"limit": "ten"}),
        json!({"limit": 1.5}),
        json!({"skip": ""}),
        json!({"where": "{"}),
        json!({"where": "[1]"}),
        json!({"where": 5}),
        json!({"order": ["a"]}),
        json!({"keys": 1}),
    ] {
        let error = Query::parse(&document(malformed.clone())).unwrap_err();
        assert_eq!(error.code.0, 107, "{malformed}: {error}");
    }
}

#[test]
fn documents_sort_by_type_and_value() {
    let sorted = |order: &str, values: &[Value]| -> Vec<String> {
        let mut rows: Vec<Document> = values.iter().map(|row| document(row.clone())).collect();
        let keys = OrderKey::parse_list(order);
        rows.sort_by(|a, b| OrderKey::compare(&keys, a, b));
        rows.into_iter().map(|row| row.into_value().to_string()).collect()
    };
    let rows = [
        json!({"a": []}),
        json!({}),
        json!({"a": null}),
        json!({"a": 1}),
        json!({"a": [9, 2]}),
        json!({"a": 3}),
        json!({"a": "b"}),
        json!({"a": {"x": 1}}),
        json!({"a": false}),
        json!({"a": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"}}),
    ];
    let text = |rows: &[Value]| rows.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut reversed = rows.to_vec();
    reversed.reverse();
    // Equal ones (missing and null) stay as they stood.
    let mut expected = rows.to_vec();
    expected.swap(1, 2);
    assert_eq!(sorted("a", &reversed), text(&expected));
    // Descending, the array counts as its largest element.
    assert_eq!(
        sorted(
            "-a",
            &[
                json!({"a": 3}),
                json!({"a": [9, 2]}),
                json!({"a": 8}),
                json!({"a": 10})
            ]
        ),
        text(&[
            json!({"a": 10}),
            json!({"a": [9, 2]}),
            json!({"a": 8}),
            json!({"a": 3})
        ])
    );
    assert_eq!(
        sorted(
            "a,-b",
            &[json!({"a": 1, "b": 1}), json!({"a": 1, "b": 2}), json!({"a": 0})]
        ),
        text(&[json!({"a": 0}), json!({"a": 1, "b": 2}), json!({"a": 1, "b": 1})])
    );
    assert_eq!(
        sorted(
            "a.x",
            &[
                json!({"a": [{"x": 5}, {"x": 2}]}),
                json!({"a": {"x": 3}}),
                json!({"a": 9}),
                json!({"a": {"x": 1}})
            ]
        ),
        text(&[
            json!({"a": 9}),
            json!({"a": {"x": 1}}),
            json!({"a": [{"x": 5}, {"x": 2}]}),
            json!({"a": {"x": 3}})
        ])
    );
}

#[test]
fn keys_project_document() {
    let row = json!({
        "objectId": "o", "createdAt": "c", "updatedAt": "u", "ACL": {}, "a": 1, "b": {"x": 1, "y": {"z": 2, "w": 3}},
        "l": [{"x": 1, "y": 2}, 5], "p": {"__type": "Pointer", "className": "Post", "objectId": "p", "title": "t", "body": "b"},
    });
    for (keys, expected) in [
        (
            "a",
            json!({"objectId": "o", "createdAt": "c", "updatedAt": "u", "ACL": {}, "a": 1}),
        ),
        (
            "none",
            json!({"objectId": "o", "createdAt": "c", "updatedAt": "u", "ACL": {}}),
        ),
        (
            "b.y.z,-ACL",
            json!({"objectId": "o", "createdAt": "c", "updatedAt": "u", "b": {"y": {"z": 2}}}),
        ),
        (
            "b,b.x,-createdAt,-updatedAt,-ACL",
            json!({"objectId": "o", "b": {"x": 1, "y": {"z": 2, "w": 3}}}),
        ),
        (
            "l.x,-createdAt,-updatedAt,-ACL",
            json!({"objectId": "o", "l": [{"x": 1}]}),
        ),
        (
            "p.title,-createdAt,-updatedAt,-ACL",
            json!({"objectId": "o", "p": {"__type": "Pointer", "className": "Post", "objectId": "p", "title": "t"}}),
        ),
        (
            "-objectId,-createdAt,-updatedAt,-ACL,-b,-l.x,-p",
            json!({"a": 1, "l": [{"y": 2}, 5]}),
        ),
        (
            "-b.y.w,-l,-p,-ACL,-none.x,-a.x",
            json!({"objectId": "o", "createdAt": "c", "updatedAt": "u", "a": 1, "b": {"x": 1, "y": {"z": 2}}}),
        ),
    ] {
        assert_eq!(
            Keys::parse(keys).project(document(row.clone())).into_value(),
            expected,
            "{keys}"
        );
    }
}

#[test]
fn built_query_has_parameters() {
    let query = Query::new(Filter::all().eq("a", 1)).order_by("-n").limit(7);
    assert_eq!((query.limit, query.order.len()), (7, 1));
    assert_eq!(query.filter, Filter::all().eq("a", 1));
}

#[test]
fn nested_path_orders_documents() {
    let compare = |order: &str, a: Value, b: Value| {
        OrderKey::compare(&OrderKey::parse_list(order), &document(a), &document(b))
    };
    use std::cmp::Ordering::{Greater, Less};
    assert_eq!(compare("l.0", json!({"l": [[1]]}), json!({"l": [null]})), Greater);
    assert_eq!(compare("l.0", json!({"l": [[1]]}), json!({"l": [[2]]})), Less);
    assert_eq!(compare("l", json!({"l": [3, 1]}), json!({"l": [2]})), Less);
    assert_eq!(compare("-l", json!({"l": [3, 1]}), json!({"l": [2]})), Less);
    // A dot leads into an object, whatever keys look like.
    let dotted = json!({"a.b": 5, "a": {"b": 1}});
    assert_eq!(compare("a.b", dotted, json!({"a": {"b": 2}})), Less);
}

#[test]
fn empty_parameters_are_ignored() {
    let nothing = json!({"order": null, "keys": null, "include": null, "where": null});
    assert_eq!(parse(nothing), Query::default());
    let bad = document(json!({"order": 7}));
    assert_eq!(Query::parse(&bad).unwrap_err().code.0, 107);
}

#[test]
fn keys_project_nested_object() {
    let query = parse(json!({"keys": "a.b,p.b"}));
    let pointer = json!({"__type": "Pointer", "className": "X", "objectId": "y", "b": 1, "c": 2});
    let plain = json!({"className": "X", "objectId": "y", "b": 1, "c": 2});
    let kept = query
        .keys
        .unwrap()
        .project(document(json!({"a": plain, "p": pointer})));
    assert_eq!(kept.get("a"), Some(&json!({"b": 1})));
    assert_eq!(
        kept.get("p"),
        Some(&json!({"__type": "Pointer", "className": "X", "objectId": "y", "b": 1}))
    );
}
