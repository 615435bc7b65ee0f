//! Effects, errors and wire forms of operations.

use serde_json::json;

use super::*;
use crate::model::{ClassName, CloudError, Document, ObjectId};

fn document(value: Value) -> Document {
    match value {
        Value::Object(fields) => Document(fields),
        other => panic!("{other} is no document"),
    }
}

fn parse(body: Value) -> Result<Update, CloudError> {
    Update::parse(&document(body))
}

/// Bodies with the document before and after; compared as text, so that 7 and 7.0 and the order of fields count.
fn check(cases: &[(Value, Value, Value)]) {
    for (body, before, after) in cases {
        let update = parse(body.clone()).unwrap();
        let mut changed = document(before.clone());
        update.apply(&mut changed).unwrap();
        assert_eq!(
            changed.into_value().to_string(),
            after.to_string(),
            "{body} on {before}"
        );
        let Value::Object(written) = update.to_value() else {
            panic!()
        };
        assert_eq!(Update::parse(&Document(written)).unwrap(), update, "{body}");
    }
}

/// Bodies that parse but do not fit the document, which stays unchanged.
fn check_refused(cases: &[(Value, Value, i32)]) {
    for (body, before, code) in cases {
        let mut body = body.clone();
        // A further operation before and after the one that fails must not be seen either.
        body.as_object_mut().unwrap().insert("last".to_owned(), json!(1));
        let update = Update::new().set("first", 1).with("a0", Op::Delete);
        let update = Update {
            ops: [update.ops, parse(body.clone()).unwrap().ops].concat(),
        };
        let mut changed = document(before.clone());
        let error = update.apply(&mut changed).unwrap_err();
        assert_eq!(error.code.0, *code, "{body} on {before}: {error}");
        assert_eq!(changed.into_value().to_string(), before.to_string(), "{body}");
    }
}

#[test]
fn set_stores_value() {
    check(&[
        (json!({"a": 1}), json!({}), json!({"a": 1})),
        (
            json!({"a": null}),
            json!({"a": 1, "b": 2}),
            json!({"a": null, "b": 2}),
        ),
        (
            json!({"b": 7.0, "a": "x"}),
            json!({"a": 1}),
            json!({"a": "x", "b": 7.0}),
        ),
        (
            json!({"a": {"x": {"delete": false}}}),
            json!({}),
            json!({"a": {"x": {"delete": false}}}),
        ),
        (
            json!({"a": {"delete": true, "x": 1}}),
            json!({}),
            json!({"a": {"delete": true, "x": 1}}),
        ),
        (
            json!({"a": {"__type": "Date", "iso": "2020-01-01T00:00:00Z"}}),
            json!({}),
            json!({"a": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"}}),
        ),
        // A relation is not kept in the document.
        (
            json!({"a": {"__type": "Relation", "className": "Post"}}),
            json!({}),
            json!({}),
        ),
    ]);
}

#[test]
fn increment_adds_number() {
    let by = |amount: Value| json!({"a": {"__op": "Increment", "amount": amount}});
    check(&[
        (by(json!(5)), json!({}), json!({"a": 5})),
        (by(json!(-5)), json!({"a": 7, "b": 1}), json!({"a": 2, "b": 1})),
        (by(json!(1.5)), json!({"a": 1}), json!({"a": 2.5})),
        (by(json!(1)), json!({"a": 1.0}), json!({"a": 2.0})),
        (
            by(json!(1)),
            json!({"a": i64::MAX}),
            json!({"a": 9.223_372_036_854_776e18}),
        ),
        (
            by(json!(-1)),
            json!({"a": i64::MIN}),
            json!({"a": -9.223_372_036_854_776e18}),
        ),
        (
            by(json!(9_007_199_254_740_992_i64)),
            json!({"a": 1}),
            json!({"a": 9_007_199_254_740_993_i64}),
        ),
        (
            by(json!(u64::MAX)),
            json!({}),
            json!({"a": 1.8446744073709552e19}),
        ),
        (
            json!({"a": {"__op": "Decrement", "amount": 3}}),
            json!({"a": 10}),
            json!({"a": 7}),
        ),
        (
            json!({"a": {"__op": "Decrement", "amount": 3}}),
            json!({}),
            json!({"a": -3}),
        ),
        (
            json!({"a": {"__op": "Decrement", "amount": 0.5}}),
            json!({"a": 1}),
            json!({"a": 0.5}),
        ),
        (
            json!({"a": {"__op": "Decrement", "amount": i64::MIN}}),
            json!({}),
            json!({"a": 9.223_372_036_854_776e18}),
        ),
        (
            json!({"a.b": {"__op": "Increment", "amount": 1}}),
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": 2, "c": 2}}),
        ),
        (
            json!({"a.b.c": {"__op": "Increment", "amount": 1}}),
            json!({}),
            json!({"a": {"b": {"c": 1}}}),
        ),
    ]);
    check_refused(&[
        (by(json!(1)), json!({"a": "1"}), 111),
        (by(json!(1)), json!({"a": null}), 111),
        (by(json!(1)), json!({"a": []}), 111),
        (by(json!(1e308)), json!({"a": 1.7e308}), 111),
        (
            json!({"a.b": {"__op": "Increment", "amount": 1}}),
            json!({"a": 5}),
            111,
        ),
        (
            json!({"a.b": {"__op": "Increment", "amount": 1}}),
            json!({"a": {"b": "x"}}),
            111,
        ),
    ]);
}

#[test]
fn array_operations_change_array() {
    let op = |name: &str, objects: Value| json!({"a": {"__op": name, "objects": objects}});
    let pointer = json!({"__type": "Pointer", "className": "Post", "objectId": "p1"});
    let expanded = json!({"__type": "Pointer", "className": "Post", "objectId": "p1", "title": "x"});
    check(&[
        (
            op("Add", json!([2])),
            json!({"a": [1, 2]}),
            json!({"a": [1, 2, 2]}),
        ),
        (
            op("Add", json!(["x", [1], {"k": 1}])),
            json!({}),
            json!({"a": ["x", [1], {"k": 1}]}),
        ),
        (op("Add", json!([])), json!({}), json!({"a": []})),
        (
            op("AddUnique", json!([2])),
            json!({"a": [1, 2]}),
            json!({"a": [1, 2]}),
        ),
        (
            op("AddUnique", json!([2.0, 3, 3])),
            json!({"a": [1, 2]}),
            json!({"a": [1, 2, 3]}),
        ),
        (
            op("AddUnique", json!([1])),
            json!({"a": [1, 1]}),
            json!({"a": [1, 1]}),
        ),
        (op("AddUnique", json!(["x", "x"])), json!({}), json!({"a": ["x"]})),
        (
            op("AddUnique", json!([expanded])),
            json!({"a": [pointer]}),
            json!({"a": [pointer]}),
        ),
        (
            op("Remove", json!([2, 5])),
            json!({"a": [1, 2, 3, 2.0]}),
            json!({"a": [1, 3]}),
        ),
        (op("Remove", json!([2])), json!({}), json!({})),
        (
            op("Remove", json!([[1]])),
            json!({"a": [[1], 1]}),
            json!({"a": [1]}),
        ),
        (
            op("Remove", json!([pointer])),
            json!({"a": [expanded, 1]}),
            json!({"a": [1]}),
        ),
        (
            json!({"a.l": {"__op": "AddUnique", "objects": [1]}}),
            json!({}),
            json!({"a": {"l": [1]}}),
        ),
        (
            json!({"a.l": {"__op": "Remove", "objects": [1]}}),
            json!({"a": {"l": [1, 2]}}),
            json!({"a": {"l": [2]}}),
        ),
    ]);
    check_refused(&[
        (op("Add", json!([1])), json!({"a": 1}), 111),
        (op("AddUnique", json!([1])), json!({"a": {"x": 1}}), 111),
        (op("Remove", json!([1])), json!({"a": null}), 111),
    ]);
}

#[test]
fn delete_removes_key() {
    let delete = json!({"__op": "Delete"});
    check(&[
        (
            json!({"b": delete}),
            json!({"a": 1, "b": 2, "c": 3}),
            json!({"a": 1, "c": 3}),
        ),
        (json!({"b": {"delete": true}}), json!({"b": 2}), json!({})),
        (json!({"x": delete}), json!({"a": 1}), json!({"a": 1})),
        (
            json!({"a.b": delete}),
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"c": 2}}),
        ),
        (
            json!({"a.b.c": delete}),
            json!({"a": {"x": 1}}),
            json!({"a": {"x": 1}}),
        ),
        (json!({"a.x": delete}), json!({}), json!({})),
        (
            json!({"a.1": delete}),
            json!({"a": [1, 2, 3]}),
            json!({"a": [1, null, 3]}),
        ),
        (
            json!({"a.0.b": delete}),
            json!({"a": [{"b": 1, "c": 2}]}),
            json!({"a": [{"c": 2}]}),
        ),
    ]);
}

#[test]
fn bit_operations_combine_integers() {
    let op = |name: &str, value: i64| json!({"a": {"__op": name, "value": value}});
    check(&[
        (op("BitAnd", 1), json!({}), json!({"a": 0})),
        (op("BitOr", 1), json!({}), json!({"a": 1})),
        (op("BitXor", 1), json!({}), json!({"a": 1})),
        (op("BitAnd", 6), json!({"a": 3}), json!({"a": 2})),
        (op("BitOr", 6), json!({"a": 3}), json!({"a": 7})),
        (op("BitXor", 6), json!({"a": 3}), json!({"a": 5})),
        (op("BitAnd", -1), json!({"a": 12.0}), json!({"a": 12})),
    ]);
    check_refused(&[
        (op("BitAnd", 1), json!({"a": 1.5}), 111),
        (op("BitOr", 1), json!({"a": "1"}), 111),
        (op("BitXor", 1), json!({"a": null}), 111),
    ]);
}

#[test]
fn dotted_keys_write_nested_fields() {
    check(&[
        (json!({"a.b": 1}), json!({}), json!({"a": {"b": 1}})),
        (
            json!({"a.b": 1, "a.c": 2}),
            json!({"a": {"x": 0}}),
            json!({"a": {"x": 0, "b": 1, "c": 2}}),
        ),
        (
            json!({"a.b.c": 1}),
            json!({"a": {"b": {}}}),
            json!({"a": {"b": {"c": 1}}}),
        ),
        (json!({"a.1": 9}), json!({"a": [1, 2]}), json!({"a": [1, 9]})),
        (
            json!({"a.3": 9}),
            json!({"a": [1]}),
            json!({"a": [1, null, null, 9]}),
        ),
        (
            json!({"a.1.x": 9}),
            json!({"a": [1]}),
            json!({"a": [1, {"x": 9}]}),
        ),
        (
            json!({"a.0.x": 9}),
            json!({"a": [{"y": 1}]}),
            json!({"a": [{"y": 1, "x": 9}]}),
        ),
        (json!({"a.0": 9}), json!({}), json!({"a": {"0": 9}})),
    ]);
    check_refused(&[
        (json!({"a.b": 1}), json!({"a": 1}), 111),
        (json!({"a.b": 1}), json!({"a": null}), 111),
        (json!({"a.b": 1}), json!({"a": [1]}), 111),
        (
            json!({"a.b": 1}),
            json!({"a": {"__type": "Pointer", "className": "Post", "objectId": "p"}}),
            111,
        ),
        (json!({"a.99999999": 1}), json!({"a": [1]}), 107),
        (
            json!({"b.x": 1, "a.x": 1, "a.y.z": 1}),
            json!({"c": 1, "a": {"y": 1}, "d": 1}),
            111,
        ),
    ]);
}

#[test]
fn relation_operations_leave_document_unchanged() {
    let pointer = |id: &str| Pointer {
        class_name: ClassName::parse("Post").unwrap(),
        object_id: ObjectId::parse(id).unwrap(),
    };
    let update = parse(json!({
        "name": "x",
        "likes": {"__op": "Batch", "ops": [
            {"__op": "AddRelation", "objects": [pointer("a").to_value(), pointer("b").to_value()]},
            {"__op": "RemoveRelation", "objects": [pointer("c").to_value()]},
        ]},
        "b": {"__op": "RemoveRelation", "objects": [pointer("a").to_value()]},
    }))
    .unwrap();
    let mut changed = document(json!({"n": 1}));
    let applied = update.apply(&mut changed).unwrap();
    assert_eq!(changed.into_value(), json!({"n": 1, "name": "x"}));
    assert_eq!(applied.columns, ["name", "likes", "b"]);
    let change = |key: &str, add, id| RelationChange {
        key: key.to_owned(),
        add,
        target: pointer(id),
    };
    assert_eq!(
        applied.relations,
        [
            change("likes", true, "a"),
            change("likes", true, "b"),
            change("likes", false, "c"),
            change("b", false, "a"),
        ]
    );
    assert!(!update.is_relative());
    let Value::Object(written) = update.to_value() else {
        panic!()
    };
    assert_eq!(Update::parse(&Document(written)).unwrap(), update);
}

#[test]
fn malformed_body_is_refused_with_code() {
    let pointer = json!({"__type": "Pointer", "className": "Post", "objectId": "p"});
    let add_relation =
        |count: usize| json!({"likes": {"__op": "AddRelation", "objects": vec![pointer.clone(); count]}});
    assert!(parse(add_relation(1000)).is_ok());
    for (body, code) in [
        (json!({"a": {"__op": "add", "objects": []}}), 1),
        (json!({"a": {"__op": "Multiply", "amount": 2}}), 1),
        (json!({"a": {"__op": 1}}), 107),
        (json!({"a": {"__op": "Increment"}}), 107),
        (json!({"a": {"__op": "Increment", "amount": "1"}}), 107),
        (json!({"a": {"__op": "Decrement", "amount": null}}), 107),
        (json!({"a": {"__op": "Add", "objects": 1}}), 107),
        (json!({"a": {"__op": "AddUnique"}}), 107),
        (
            json!({"a": {"__op": "Remove", "objects": {"__type": "Date"}}}),
            107,
        ),
        (
            json!({"a": {"__op": "Add", "objects": [{"__type": "Date", "iso": "x"}]}}),
            107,
        ),
        (json!({"a": {"__op": "BitAnd", "value": 1.5}}), 107),
        (json!({"a": {"__op": "BitOr"}}), 107),
        (json!({"a": {"__op": "AddRelation", "objects": []}}), 128),
        (json!({"a": {"__op": "RemoveRelation"}}), 128),
        (add_relation(1001), 128),
        (json!({"a.b": {"__op": "AddRelation", "objects": [pointer]}}), 128),
        (json!({"a": {"__op": "AddRelation", "objects": ["p"]}}), 106),
        (
            json!({"a": {"__op": "Batch", "ops": [{"__op": "Add", "objects": [1]}]}}),
            304,
        ),
        (
            json!({"a": {"__op": "Batch", "ops": [{"__op": "Batch", "ops": []}]}}),
            304,
        ),
        (json!({"a": {"__op": "Batch", "ops": []}}), 107),
        (json!({"a b": 1}), 105),
        (json!({"中": 1}), 105),
        (json!({"": 1}), 105),
        (json!({"1a": 1}), 105),
        (json!({"__x": 1}), 105),
        (json!({"$a": 1}), 105),
        (json!({".a": 1}), 105),
        (json!({"a.": 1}), 105),
        (json!({"a..b": 1}), 105),
        (json!({"objectId": "x"}), 105),
        (json!({"createdAt": "x"}), 105),
        (json!({"updatedAt.x": 1}), 105),
        (json!({"a.$b": 1}), 121),
        (json!({"a": {"x.y": 1}}), 121),
        (json!({"a": {"__type": "Pointer", "className": "Post"}}), 106),
        (
            json!({"a": {"__type": "GeoPoint", "latitude": 100, "longitude": 0}}),
            302,
        ),
        (json!({"a": 1, "a.b": 1}), 107),
        (json!({"a.b.c": 1, "a.b": 1}), 107),
        (json!({"a.b.c": 1, "a": 1}), 107),
    ] {
        let error = parse(body.clone()).unwrap_err();
        assert_eq!(error.code.0, code, "{body}: {error}");
    }
    assert!(
        parse(json!({"_SessionToken": 1, "aB_9": 1, "id": 1, "ab": 1, "ab.c": 1, "a.d": 1, "a-b": 1}))
            .is_err()
    );
    assert!(parse(json!({"_SessionToken": 1, "aB_9": 1, "id": 1, "a.d": 1, "a.c": 1})).is_ok());
    let error = parse(json!({"a-b": 1})).unwrap_err();
    assert_eq!(
        error.message,
        "Invalid key name. Keys are case-sensitive and 'a-zA-Z0-9_' are the only valid characters. The column is: 'a-b'."
    );
}

#[test]
fn create_with_dotted_key_is_refused() {
    let create = |body| Update::parse_create(&document(body));
    assert!(
        create(json!({"a": {"__op": "Add", "objects": [1]}, "n": {"__op": "Increment", "amount": 1}}))
            .is_ok()
    );
    assert_eq!(create(json!({"a.b": 1})).unwrap_err().code.0, 105);
}

#[test]
fn type_error_names_expected_type() {
    let update = Update::new().increment("foo", 5);
    let error = update.apply(&mut document(json!({"foo": "bar"}))).unwrap_err();
    assert_eq!(
        error.message,
        r#"Invalid value type for field 'foo',value '5',expect type is {:type "String"},but it is '{:type "Number"}'."#
    );
}

#[test]
fn operations_on_one_key_are_merged() {
    let joined = Update::new()
        .increment("n", -100)
        .increment("n", 30)
        .add_unique("l", vec![1.into()])
        .add_unique("l", vec![2.into()])
        .increment("s", 1)
        .set("s", "x");
    let expected = Update::new()
        .increment("n", -70)
        .add_unique("l", vec![1.into(), 2.into()])
        .set("s", "x");
    assert_eq!(joined, expected);
    let targets = |ids: &[&str]| -> Vec<Pointer> {
        let class_name = ClassName::parse("Post").unwrap();
        ids.iter()
            .map(|id| Pointer {
                class_name: class_name.clone(),
                object_id: ObjectId::parse(id).unwrap(),
            })
            .collect()
    };
    let relations = Update::new()
        .with("r", Op::AddRelation(targets(&["a"])))
        .with("r", Op::RemoveRelation(targets(&["b"])))
        .with("r", Op::Batch(vec![Op::AddRelation(targets(&["c"]))]));
    let batch = Op::Batch(vec![
        Op::AddRelation(targets(&["a"])),
        Op::RemoveRelation(targets(&["b"])),
        Op::AddRelation(targets(&["c"])),
    ]);
    assert_eq!(relations, Update::new().with("r", batch));
    // What cannot be joined is done in order.
    let apart = Update::new()
        .set("n", 5)
        .increment("n", 2)
        .remove("l", vec![1.into()])
        .with("l", Op::Add(vec![3.into()]));
    let mut changed = document(json!({"l": [1, 2]}));
    apart.apply(&mut changed).unwrap();
    assert_eq!(changed.into_value(), json!({"l": [2, 3], "n": 7}));
}

#[test]
fn columns_are_listed_in_order() {
    let names: Vec<String> = (0..40).map(|at| format!("c{at}")).collect();
    let update = names
        .iter()
        .fold(Update::new(), |update, name| update.set(name, 1))
        .set("c0.x", 1);
    let mut changed = Document::new();
    assert_eq!(update.apply(&mut changed).unwrap_err().code.0, 111);
    assert!(changed.is_empty());
    let update = names
        .iter()
        .fold(Update::new(), |update, name| update.set(name, 1));
    assert_eq!(update.apply(&mut changed).unwrap().columns, names);
}

/// A relative update must not be resent after an unknown outcome.
#[test]
fn relative_updates_are_recognized() {
    let relative = |op: Value| parse(json!({"n": 1, "a": op})).unwrap().is_relative();
    for op in [
        json!({"__op": "Increment", "amount": 1}),
        json!({"__op": "Decrement", "amount": 1}),
        json!({"__op": "Add", "objects": [1]}),
        json!({"__op": "BitXor", "value": 1}),
    ] {
        assert!(relative(op.clone()), "{op}");
    }
    for op in [
        json!(7),
        json!({"__op": "Delete"}),
        json!({"__op": "AddUnique", "objects": [1]}),
        json!({"__op": "Remove", "objects": [1]}),
        json!({"__op": "BitAnd", "value": 1}),
        json!({"__op": "BitOr", "value": 1}),
    ] {
        assert!(!relative(op.clone()), "{op}");
    }
}

#[test]
fn operations_on_one_column_apply_in_order() {
    let mut changed = document(json!({"n": 1}));
    Update::new()
        .set("n", 5)
        .increment("n", 2)
        .apply(&mut changed)
        .unwrap();
    assert_eq!(changed.into_value(), json!({"n": 7}));
    // Only relation operations go together into a batch.
    let target = Pointer {
        class_name: ClassName::parse("Post").unwrap(),
        object_id: ObjectId::parse("a").unwrap(),
    };
    let relation = Op::AddRelation(vec![target]);
    let add = Op::Add(vec![1.into()]);
    assert_eq!(
        Update::new()
            .with("r", relation.clone())
            .with("r", add.clone())
            .ops
            .len(),
        2
    );
    assert_eq!(
        Update::new()
            .with("r", add.clone())
            .with("r", relation.clone())
            .ops
            .len(),
        2
    );
    let mixed = Update::new().with("r", Op::Batch(vec![relation, add]));
    assert_eq!(mixed.apply(&mut Document::new()).unwrap_err().code.0, 304);
}

#[test]
fn array_padding_is_limited() {
    let write = |index: usize| {
        let mut grown = document(json!({"l": [1, 2]}));
        let written = Update::new().set(&format!("l.{index}"), 3).apply(&mut grown);
        written.map(|_| grown["l"].as_array().unwrap().len())
    };
    let last = 2 + crate::model::limits::ARRAY_PADDING_MAX;
    assert_eq!(write(2), Ok(3));
    assert_eq!(write(last), Ok(last + 1));
    assert_eq!(write(last + 1).unwrap_err().code.0, 107);
}
