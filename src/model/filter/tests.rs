//! MongoDB's rules, one table per operator.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the tables read better without references"
)]

mod encoding;

use serde_json::json;

use super::*;
use crate::model::{Document, Value, limits};

fn document(value: Value) -> Document {
    match value {
        Value::Object(fields) => Document(fields),
        other => panic!("{other} is no document"),
    }
}

/// Each filter with documents that it matches, and documents that it does not.
fn check(filter: Value, matching: &[Value], others: &[Value]) {
    let parsed = Filter::parse(&filter).unwrap();
    for (documents, expected) in [(matching, true), (others, false)] {
        for value in documents {
            let matches = parsed.matches(&document(value.clone())).unwrap();
            assert_eq!(matches, expected, "{filter} on {value}");
        }
    }
    let reread = Filter::parse(&parsed.to_value()).unwrap();
    assert_eq!(reread, parsed, "{filter} is written as {}", parsed.to_value());
}

fn date(iso: &str) -> Value {
    json!({"__type": "Date", "iso": iso})
}

#[test]
fn empty_filter_matches_everything() {
    check(json!({}), &[json!({}), json!({"a": 1})], &[]);
    check(json!([]), &[json!({})], &[]);
}

#[test]
fn eq_matches_equal_value_or_element() {
    check(
        json!({"a": 1}),
        &[json!({"a": 1}), json!({"a": 1.0}), json!({"a": [2, 1]})],
        &[
            json!({}),
            json!({"a": "1"}),
            json!({"a": null}),
            json!({"a": [[1]]}),
            json!({"a": true}),
            json!({"a": {"b": 1}}),
        ],
    );
    check(
        json!({"a": [1, 2]}),
        &[json!({"a": [1, 2]}), json!({"a": [0, [1, 2]]})],
        &[json!({"a": [2, 1]}), json!({"a": [1, 2, 3]}), json!({"a": 1})],
    );
    check(
        json!({"a": {"x": 1}}),
        &[json!({"a": {"x": 1}}), json!({"a": [{"x": 1.0}]})],
        &[json!({"a": {"x": 1, "y": 2}}), json!({"a": {}})],
    );
    check(
        json!({"a": {}}),
        &[json!({"a": {}})],
        &[json!({}), json!({"a": {"x": 1}})],
    );
    check(
        json!({"a": []}),
        &[json!({"a": []}), json!({"a": [[]]})],
        &[json!({"a": [1]}), json!({})],
    );
    check(
        json!({"a": {"$eq": 1, "$gt": 0}}),
        &[json!({"a": 1})],
        &[json!({"a": 2})],
    );
}

#[test]
fn null_matches_missing_field() {
    check(
        json!({"a": null}),
        &[json!({}), json!({"a": null}), json!({"a": [1, null]})],
        &[
            json!({"a": 0}),
            json!({"a": ""}),
            json!({"a": []}),
            json!({"a": false}),
        ],
    );
    check(
        json!({"a.b": null}),
        &[
            json!({}),
            json!({"a": {}}),
            json!({"a": 5}),
            json!({"a": [{"b": 1}, {}]}),
        ],
        &[
            json!({"a": {"b": 1}}),
            json!({"a": [{"b": 1}]}),
            json!({"a": []}),
            json!({"a": [1, 2]}),
        ],
    );
    check(
        json!({"a": {"$ne": null}}),
        &[json!({"a": 1}), json!({"a": []})],
        &[json!({}), json!({"a": [null]})],
    );
    check(
        json!({"a": {"$in": [1, null]}}),
        &[json!({}), json!({"a": 1}), json!({"a": null})],
        &[json!({"a": 2})],
    );
    check(
        json!({"a": {"$nin": ["", null], "$exists": true}}),
        &[json!({"a": "x"})],
        &[json!({}), json!({"a": ""}), json!({"a": null})],
    );
    check(
        json!({"a": {"$gte": null}}),
        &[json!({}), json!({"a": null})],
        &[json!({"a": 0})],
    );
    check(
        json!({"a": {"$gt": null}}),
        &[],
        &[json!({}), json!({"a": null}), json!({"a": 1})],
    );
}

#[test]
fn ne_excludes_arrays_with_element() {
    check(
        json!({"a": {"$ne": 1}}),
        &[
            json!({}),
            json!({"a": 2}),
            json!({"a": "1"}),
            json!({"a": [2, 3]}),
            json!({"a": []}),
        ],
        &[json!({"a": 1}), json!({"a": 1.0}), json!({"a": [1, 2]})],
    );
    check(
        json!({"a": {"$nin": [1, "x"]}}),
        &[json!({}), json!({"a": [2]}), json!({"a": null})],
        &[json!({"a": [2, 1]}), json!({"a": "x"})],
    );
    check(json!({"a": {"$nin": []}}), &[json!({}), json!({"a": 1})], &[]);
    check(json!({"a": {"$in": []}}), &[], &[json!({}), json!({"a": []})]);
    check(
        json!({"a.b": {"$ne": 1}}),
        &[json!({"a": [{"b": 2}]}), json!({"a": []})],
        &[json!({"a": [{"b": 2}, {"b": 1}]})],
    );
}

#[test]
fn range_compares_within_one_type() {
    check(
        json!({"a": {"$gt": 5}}),
        &[json!({"a": 6}), json!({"a": 5.5}), json!({"a": [1, 9]})],
        &[
            json!({"a": 5}),
            json!({}),
            json!({"a": "9"}),
            json!({"a": null}),
            json!({"a": true}),
            json!({"a": [1]}),
            json!({"a": date("2020-01-01T00:00:00Z")}),
        ],
    );
    check(
        json!({"a": {"$lt": "b"}}),
        &[json!({"a": "a"}), json!({"a": "B"}), json!({"a": ""})],
        &[json!({"a": "b"}), json!({"a": 1}), json!({})],
    );
    check(
        json!({"a": {"$gte": false}}),
        &[json!({"a": false}), json!({"a": true})],
        &[json!({"a": 0}), json!({})],
    );
    check(
        json!({"a": {"$lte": 9_007_199_254_740_992.0}}),
        &[json!({"a": 9_007_199_254_740_992_i64})],
        &[json!({"a": 9_007_199_254_740_993_i64})],
    );
    check(
        json!({"a": {"$gte": date("2020-01-01T00:00:00.500Z")}}),
        &[
            json!({"a": date("2020-01-01T00:00:00.500Z")}),
            json!({"a": date("2020-01-01T08:00:00.501+08:00")}),
        ],
        &[
            json!({"a": date("2020-01-01T00:00:00.499Z")}),
            json!({"a": "2021-01-01T00:00:00.000Z"}),
        ],
    );
    check(
        json!({"a": {"$gt": [1, 2]}}),
        &[json!({"a": [1, 3]}), json!({"a": [[2]]})],
        &[json!({"a": [1, 2]}), json!({"a": 5})],
    );
}

#[test]
fn range_compares_typed_objects() {
    let place = json!({"__type": "GeoPoint", "latitude": 1, "longitude": 2});
    let others = [
        json!({"a": {"x": 1}}),
        json!({"a": place}),
        json!({"a": {"__type": "Pointer", "className": "A", "objectId": "x"}}),
    ];
    let earlier = json!({"a": date("2026-01-01T00:00:00.000Z")});
    check(
        json!({"a": {"$lt": date("2026-01-02T00:00:00.000Z")}}),
        &[earlier],
        &others,
    );
}

#[test]
fn array_elements_satisfy_operators_separately() {
    // No element lies between 5 and 6, but one is above 5 and one below 6.
    check(
        json!({"a": {"$gt": 5, "$lt": 6}}),
        &[json!({"a": [1, 9]}), json!({"a": 5.5})],
        &[json!({"a": 9}), json!({"a": [1, 2]})],
    );
    check(
        json!({"a.x": 1, "a.y": 2}),
        &[json!({"a": [{"x": 1}, {"y": 2}]})],
        &[json!({"a": [{"x": 1}]})],
    );
}

#[test]
fn object_times_compare_as_dates_and_text() {
    let row = json!({"createdAt": "2020-01-01T00:00:00.500Z", "at": "2020-01-01T00:00:00.500Z"});
    for (value, matches) in [
        (json!({"createdAt": {"$gt": date("2020-01-01T00:00:00Z")}}), true),
        (
            json!({"createdAt": {"$gt": date("2020-01-01T00:00:00.500Z")}}),
            false,
        ),
        (json!({"createdAt": date("2020-01-01T08:00:00.5+08:00")}), true),
        (
            json!({"createdAt": {"$in": [1, date("2020-01-01T00:00:00.500Z")]}}),
            true,
        ),
        (
            json!({"createdAt": {"$ne": date("2020-01-01T00:00:00.500Z")}}),
            false,
        ),
        (json!({"createdAt": "2020-01-01T00:00:00.500Z"}), true),
        (json!({"createdAt": {"$lt": "2020-01-01T00:00:01.000Z"}}), true),
        (json!({"updatedAt": {"$lt": date("2030-01-01T00:00:00Z")}}), false),
        // Any other text is no date.
        (json!({"at": {"$gt": date("2020-01-01T00:00:00Z")}}), false),
    ] {
        let documents = [row.clone()];
        if matches {
            check(value, &documents, &[]);
        } else {
            check(value, &[], &documents);
        }
    }
}

#[test]
fn exists_tests_presence() {
    check(
        json!({"a": {"$exists": true}}),
        &[json!({"a": null}), json!({"a": []}), json!({"a": 0})],
        &[json!({}), json!({"b": 1})],
    );
    check(
        json!({"a.b": {"$exists": false}}),
        &[
            json!({}),
            json!({"a": 1}),
            json!({"a": [{"c": 1}]}),
            json!({"a": []}),
        ],
        &[json!({"a": {"b": null}}), json!({"a": [{}, {"b": 1}]})],
    );
    check(json!({"a": {"$exists": 0}}), &[json!({})], &[json!({"a": 1})]);
}

#[test]
fn all_and_size_test_arrays() {
    check(
        json!({"a": {"$all": [1, 2]}}),
        &[json!({"a": [2, 3, 1]}), json!({"a": [1.0, 2, 2]})],
        &[json!({"a": [1]}), json!({}), json!({"a": 1})],
    );
    check(
        json!({"a": {"$all": [1]}}),
        &[json!({"a": 1}), json!({"a": [1]})],
        &[json!({"a": 2})],
    );
    check(json!({"a": {"$all": []}}), &[], &[json!({"a": []}), json!({})]);
    check(
        json!({"a": {"$all": [[1, 2]]}}),
        &[json!({"a": [1, 2]}), json!({"a": [[1, 2]]})],
        &[json!({"a": [1, 2, 3]})],
    );
    check(
        json!({"a": {"$size": 2}}),
        &[json!({"a": [1, 2]}), json!({"a": [[], []]})],
        &[json!({"a": [[1, 2]]}), json!({"a": "ab"}), json!({})],
    );
    check(
        json!({"a": {"$size": 0}}),
        &[json!({"a": []})],
        &[json!({}), json!({"a": null}), json!({"a": [[]]})],
    );
}

#[test]
fn paths_traverse_objects_and_arrays() {
    check(
        json!({"a.b.c": 1}),
        &[json!({"a": {"b": {"c": 1}}}), json!({"a": [{"b": [{"c": 1}]}]})],
        &[json!({"a": {"b": 1}}), json!({"a.b.c": 1})],
    );
    check(
        json!({"a.1": 2}),
        &[
            json!({"a": [1, 2]}),
            json!({"a": {"1": 2}}),
            json!({"a": [{"1": 2}]}),
        ],
        &[json!({"a": [2]}), json!({"a": [[1, 2], 3]})],
    );
    // An index names the element as a whole: an array there is not searched.
    check(json!({"a.1": 2}), &[], &[json!({"a": [5, [2, 4], 3]})]);
    check(json!({"a.1": [2, 4]}), &[json!({"a": [5, [2, 4], 3]})], &[]);
    check(
        json!({"a.0.b": 1}),
        &[json!({"a": [{"b": 1}]}), json!({"a": {"0": {"b": [1]}}})],
        &[json!({"a": [{"b": 2}, {"b": 1}]}), json!({"a": [[{"b": 1}]]})],
    );
    check(json!({"a.0.0": 7}), &[json!({"a": [[7]]})], &[json!({"a": [7]})]);
    check(
        json!({"a.01": 2}),
        &[json!({"a": {"01": 2}})],
        &[json!({"a": [1, 2]})],
    );
    check(json!({"a.b": 1}), &[], &[json!({"a": [[{"b": 1}]]})]);
}

#[test]
fn regex_matches_text() {
    check(
        json!({"a": {"$regex": "^p"}}),
        &[json!({"a": "p1"}), json!({"a": ["x", "py"]})],
        &[json!({"a": "xp"}), json!({"a": 1}), json!({})],
    );
    check(
        json!({"a": {"$regex": r"^\Qa.b\E"}}),
        &[json!({"a": "a.bc"})],
        &[json!({"a": "axb"})],
    );
    check(
        json!({"a": {"$regex": r"\Qa\E\\E\Qb\E$"}}),
        &[json!({"a": r"xa\Eb"})],
        &[json!({"a": "aEb"}), json!({"a": r"a\Ebc"})],
    );
    check(
        json!({"a": {"$regex": r"^\Q(\E\d+"}}),
        &[json!({"a": "(12"})],
        &[json!({"a": "12"})],
    );
    check(
        json!({"a": {"$regex": r"\Q.*"}}),
        &[json!({"a": "x.*"})],
        &[json!({"a": "x"})],
    );
    check(
        json!({"a": {"$regex": r"[\Q]-a\E]"}}),
        &[json!({"a": "]"}), json!({"a": "-"})],
        &[json!({"a": "b"})],
    );
    check(
        json!({"a": {"$regex": "^((?!x).)*$"}}),
        &[json!({"a": "abc"}), json!({"a": ""})],
        &[json!({"a": "axc"})],
    );
    check(
        json!({"a": {"$regex": "(?<=x)y"}}),
        &[json!({"a": "xy"})],
        &[json!({"a": "y"})],
    );
    check(
        json!({"a": {"$regex": "^B", "$options": "i"}}),
        &[json!({"a": "bc"})],
        &[json!({"a": "ab"})],
    );
    check(
        json!({"a": {"$options": "im", "$regex": "^B"}}),
        &[json!({"a": "a\nb"})],
        &[json!({"a": "ab"})],
    );
    check(
        json!({"a": {"$regex": "a.b", "$options": "s"}}),
        &[json!({"a": "a\nb"})],
        &[],
    );
    check(json!({"a": {"$regex": "a.b"}}), &[], &[json!({"a": "a\nb"})]);
    check(
        json!({"a": {"$regex": "a b # why", "$options": "x"}}),
        &[json!({"a": "ab"})],
        &[json!({"a": "a b"})],
    );
    check(
        json!({"a": {"$regex": r"\Qa b#\E", "$options": "x"}}),
        &[json!({"a": "a b#"})],
        &[json!({"a": "ab"})],
    );
    check(
        json!({"a": {"$regex": "é"}}),
        &[json!({"a": "café"})],
        &[json!({"a": "cafe"})],
    );
}

#[test]
fn endless_backtracking_fails_with_timeout() {
    let filter = Filter::parse(&json!({"a": {"$regex": r"^(a|b|ab)*(x)\2c"}})).unwrap();
    let text = format!("{}xyc", "ab".repeat(28));
    let error = filter.matches(&document(json!({"a": text}))).unwrap_err();
    assert_eq!(error.code.0, 124);
}

#[test]
fn and_or_nor_combine_filters() {
    check(
        json!({"$or": [{"a": {"$gt": 150}}, {"b": true}], "c": 1}),
        &[json!({"a": 200, "c": 1}), json!({"b": true, "c": 1})],
        &[json!({"a": 200}), json!({"c": 1})],
    );
    check(
        json!({"$and": [{"a": 1}, {"a": 2}]}),
        &[json!({"a": [1, 2]})],
        &[json!({"a": 1})],
    );
    check(
        json!([{"a": 1}, {"b": 2}]),
        &[json!({"a": 1, "b": 2})],
        &[json!({"a": 1})],
    );
    check(
        json!({"$nor": [{"a": 1}, {"b": 1}]}),
        &[json!({})],
        &[json!({"a": 1}), json!({"b": 1})],
    );
    check(
        json!({"a": {"$not": {"$gt": 1}}}),
        &[json!({"a": 1}), json!({}), json!({"a": "x"})],
        &[json!({"a": 2}), json!({"a": [0, 2]})],
    );
    check(
        json!({"a": {"$not": {"$gt": 1, "$lt": 5}}}),
        &[json!({"a": 1}), json!({"a": 7}), json!({})],
        &[json!({"a": 3})],
    );
    check(
        json!({"a": {"$not": {"$not": {"$exists": true}}}}),
        &[json!({"a": 1})],
        &[json!({})],
    );
    check(
        json!({"a": {"$not": {"$regex": "x"}}}),
        &[json!({"a": "y"}), json!({})],
        &[json!({"a": "x"})],
    );
    check(
        json!({"a": {"$not": {"$eq": 1}}}),
        &[json!({"a": 2})],
        &[json!({"a": 1})],
    );
    // The same key and operator more than once, which one object cannot hold.
    let twice = Filter::all()
        .ne("a", 1)
        .eq("b", 2)
        .ne("a", 3)
        .and_any(vec![Filter::all().eq("c", 1)])
        .and_any(vec![Filter::all().eq("c", 2)]);
    assert_eq!(Filter::parse(&twice.to_value()).unwrap(), twice);
    let (good, bad) = (
        json!({"a": 2, "b": 2, "c": [1, 2]}),
        json!({"a": 3, "b": 2, "c": [1, 2]}),
    );
    check(twice.to_value(), &[good], &[bad]);
}

#[test]
fn pointers_match_by_class_and_id() {
    let pointer = json!({"__type": "Pointer", "className": "Post", "objectId": "p1"});
    let expanded = json!({"__type": "Pointer", "className": "Post", "objectId": "p1", "title": "x"});
    let other = json!({"__type": "Pointer", "className": "Post", "objectId": "p2"});
    check(
        json!({"a": pointer}),
        &[
            json!({"a": pointer}),
            json!({"a": expanded}),
            json!({"a": [other, pointer]}),
        ],
        &[json!({"a": other}), json!({"a": "p1"})],
    );
    check(
        json!({"a": expanded}),
        &[json!({"a": pointer})],
        &[json!({"a": other})],
    );
    check(
        json!({"a": {"$in": [pointer, other]}}),
        &[json!({"a": expanded})],
        &[json!({})],
    );
}

#[test]
fn geo_tests_match_points() {
    let point = |latitude: f64, longitude: f64| json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude});
    let at = |latitude, longitude| json!({"a": point(latitude, longitude)});
    check(
        json!({"a": {"$nearSphere": point(0.0, 0.0)}}),
        &[at(80.0, 0.0)],
        &[json!({}), json!({"a": 1})],
    );
    // One degree is 111.19 km, 69.09 miles, 0.01745 radians.
    for (bound, near, far) in [
        (
            json!({"$maxDistanceInKilometers": 112}),
            at(1.0, 0.0),
            at(1.1, 0.0),
        ),
        (json!({"$maxDistanceInMiles": 70}), at(0.0, 1.0), at(0.0, 1.1)),
        (
            json!({"$maxDistanceInRadians": 0.0175}),
            at(1.0, 0.0),
            at(1.1, 0.0),
        ),
        (json!({"$maxDistance": 0.0175}), at(1.0, 0.0), at(1.1, 0.0)),
        (
            json!({"$minDistanceInKilometers": 112}),
            at(1.1, 0.0),
            at(1.0, 0.0),
        ),
        (json!({"$minDistance": 0.0175}), at(1.1, 0.0), at(1.0, 0.0)),
        (
            json!({"$minDistance": 0.01, "$maxDistance": 0.0175}),
            at(1.0, 0.0),
            at(0.1, 0.0),
        ),
    ] {
        let mut test = json!({"$nearSphere": point(0.0, 0.0)});
        test.as_object_mut()
            .unwrap()
            .extend(bound.as_object().unwrap().clone());
        check(json!({"a": test}), &[near], &[far]);
    }
    check(
        json!({"a": {"$within": {"$box": [point(0.0, 0.0), point(10.0, 10.0)]}}}),
        &[at(5.0, 5.0), at(0.0, 10.0)],
        &[at(5.0, 11.0), at(-1.0, 5.0), json!({})],
    );
    check(
        json!({"a": {"$within": {"$box": [[0.0, -1], [20, 10.0]]}}}),
        &[at(5.0, 15.0), at(-1.0, 0.0)],
        &[at(15.0, 5.0), at(-2.0, 5.0)],
    );
    check(
        json!({"a": {"$within": {"$box": [[0.0, -1], point(10.0, 20.0)]}}}),
        &[at(5.0, 15.0)],
        &[at(15.0, 5.0)],
    );
    check(
        json!({"a": {"$within": {"$box": [point(0.0, 170.0), point(10.0, -170.0)]}}}),
        &[at(5.0, 180.0), at(5.0, -175.0)],
        &[at(5.0, 0.0)],
    );
    check(
        json!({"a": {"$nearSphere": point(0.0, 0.0), "$within": {"$box": [point(0.0, 0.0), point(10.0, 10.0)]}, "$exists": true}}),
        &[at(5.0, 5.0)],
        &[at(20.0, 20.0)],
    );
}

#[test]
fn subqueries_round_trip_but_are_not_evaluated() {
    for filter in [
        json!({"post": {"$inQuery": {"className": "Post", "where": {"image": {"$exists": true}}}}}),
        json!({"post": {"$notInQuery": {"className": "Post", "where": {}, "limit": 5, "skip": 2, "order": "-a", "keys": "a,b"}}}),
        json!({"city": {"$select": {"query": {"className": "Team", "where": {"wins": {"$gt": 0.5}}}, "key": "city"}}}),
        json!({"city": {"$dontSelect": {"query": {"className": "Team", "where": {}}, "key": "city"}}}),
        json!({"$relatedTo": {"object": {"__type": "Pointer", "className": "Person", "objectId": "p"}, "key": "likes"}}),
    ] {
        let parsed = Filter::parse(&filter).unwrap();
        assert_eq!(parsed.to_value(), filter);
        assert_eq!(Filter::parse(&parsed.to_value()).unwrap(), parsed);
        assert_eq!(parsed.matches(&Document::new()).unwrap_err().code.0, 1);
    }
    let text = json!({"a": {"$inQuery": {"className": "Post", "where": "{\"b\":1}"}}});
    let Filter::And(parts) = Filter::parse(&text).unwrap() else {
        panic!()
    };
    let [Filter::Key(_, Test::InQuery(subquery))] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    assert_eq!(subquery.query.filter, Filter::all().eq("b", 1));
    assert_eq!((subquery.query.limit, subquery.class.as_str()), (100, "Post"));
}

#[test]
fn malformed_filter_is_refused_with_code() {
    for (filter, code) in [
        (json!(1), 107),
        (json!("{}"), 107),
        (json!([1]), 107),
        (json!({"a": {"$foo": 1}}), 107),
        (json!({"$foo": []}), 107),
        (json!({"a": {"$gt": 1, "b": 2}}), 107),
        (json!({"a": {"b": 2, "$gt": 1}}), 107),
        (json!({"a": {"$in": 1}}), 107),
        (json!({"a": {"$all": {}}}), 107),
        (json!({"a": {"$size": -1}}), 107),
        (json!({"a": {"$size": 1.5}}), 107),
        (json!({"a": {"$exists": "yes"}}), 107),
        (json!({"a": {"$regex": 1}}), 107),
        (json!({"a": {"$regex": "("}}), 107),
        (json!({"a": {"$regex": "a", "$options": "q"}}), 107),
        (json!({"a": {"$regex": "a", "$options": 1}}), 107),
        (json!({"a": {"$options": "i"}}), 107),
        (json!({"a": {"$not": 1}}), 107),
        (json!({"a": {"$not": {"b": 1}}}), 107),
        (json!({"$or": []}), 107),
        (json!({"$or": {"a": 1}}), 107),
        (json!({"$or": [1]}), 107),
        (json!({"a": {"$inQuery": {"where": {}}}}), 107),
        (json!({"a": {"$select": {"query": {"className": "A"}}}}), 107),
        (json!({"$relatedTo": {"key": "a"}}), 107),
        (json!({"$relatedTo": {"object": 1, "key": "a"}}), 106),
        (json!({"a": {"$maxDistance": 1}}), 107),
        (
            json!({"a": {"$nearSphere": {"__type": "GeoPoint", "latitude": 91, "longitude": 0}}}),
            302,
        ),
        (
            json!({"a": {"$nearSphere": {"__type": "GeoPoint", "latitude": 1, "longitude": 0}, "$maxDistance": "1"}}),
            107,
        ),
        (json!({"a": {"$within": {"$box": []}}}), 107),
        (json!({"a": {"$within": {"$box": [[1, 2, 3], [4, 5]]}}}), 302),
        (json!({"a": {"$within": {"$box": [[1, 2], [3, 91]]}}}), 302),
        (json!({"a": {"$inQuery": {"className": "no name"}}}), 103),
        (json!({"": 1}), 105),
        (json!({"a..b": 1}), 105),
        (json!({"a.$b": 1}), 105),
        (json!({"a": {"b": {"$gt": 1}}}), 121),
        (json!({"a": {"__type": "Pointer", "className": "Post"}}), 106),
        (json!({"a": {"$gt": {"__type": "Date", "iso": "soon"}}}), 107),
    ] {
        let error = Filter::parse(&filter).unwrap_err();
        assert_eq!(error.code.0, code, "{filter}: {error}");
    }
    let error = Filter::parse(&json!({"a": {"$foo": 1}})).unwrap_err();
    assert!(error.message.contains("$foo"), "{error}");
}

#[test]
fn filter_depth_is_limited() {
    let or = |levels: usize| (0..levels).fold(json!({"a": 1}), |inner, _| json!({"$or": [inner]}));
    let not =
        |levels: usize| json!({"a": (0..levels).fold(json!({"$gt": 1}), |inner, _| json!({"$not": inner}))});
    let array = |levels: usize| (0..levels).fold(json!({"a": 1}), |inner, _| json!([inner]));
    let query = |levels: usize| {
        (0..levels).fold(
            json!({"a": 1}),
            |inner, _| json!({"a": {"$inQuery": {"className": "A", "where": inner}}}),
        )
    };
    let max = limits::FILTER_DEPTH_MAX;
    let and = |levels: usize| (0..levels).fold(json!({"a": 1}), |inner, _| json!({"$and": [inner]}));
    for nested in [&or as &dyn Fn(usize) -> Value, &and, &not, &array, &query] {
        assert!(Filter::parse(&nested(max)).is_ok());
        assert_eq!(Filter::parse(&nested(max + 1)).unwrap_err().code.0, 107);
    }
}

#[test]
fn first_unmet_key_is_named() {
    let filter = Filter::all()
        .ne("paylogs", "p")
        .eq("payEpoch", 3)
        .gte("account", 100);
    for (row, unmet) in [
        (json!({"paylogs": ["q"], "payEpoch": 3, "account": 100}), None),
        (
            json!({"paylogs": ["p"], "payEpoch": 4, "account": 1}),
            Some("paylogs"),
        ),
        (json!({"payEpoch": 4, "account": 1}), Some("payEpoch")),
        (json!({"payEpoch": 3, "account": 99}), Some("account")),
        (json!({"payEpoch": 3}), Some("account")),
    ] {
        assert_eq!(
            filter.first_unmet(&document(row.clone())).unwrap().as_deref(),
            unmet,
            "{row}"
        );
    }
    let either = Filter::all().and_any(vec![Filter::all().eq("a", 1)]);
    assert_eq!(
        either.first_unmet(&Document::new()).unwrap().as_deref(),
        Some("$or")
    );
}

#[test]
fn patterns_are_equal_by_text() {
    let pattern = Pattern::new("^a", "i").unwrap();
    assert_eq!(pattern, Pattern::new("^a", "i").unwrap());
    assert_ne!(pattern, Pattern::new("^a", "").unwrap());
    let filter = Filter::all().and_key("a", Test::Regex(pattern));
    assert_eq!(filter.to_value(), json!({"a": {"$regex": "^a", "$options": "i"}}));
}
