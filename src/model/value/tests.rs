//! Equality, order and normalization of values.

#![expect(clippy::cast_precision_loss, reason = "the loss is what is tested")]

use std::cmp::Ordering;

use serde_json::json;

use super::*;

#[test]
fn numbers_compare_exactly() {
    let max = (1_u64 << 53) as f64;
    for (a, b, order) in [
        (json!(1), json!(1.0), Ordering::Equal),
        (json!(0), json!(-0.0), Ordering::Equal),
        (json!(1), json!(1.5), Ordering::Less),
        (json!(-1), json!(-1.5), Ordering::Greater),
        (json!((1_i64 << 53) + 1), json!(max), Ordering::Greater),
        (json!((1_i64 << 53) - 1), json!(max), Ordering::Less),
        (json!(1_i64 << 53), json!(max), Ordering::Equal),
        (json!(i64::MAX), json!(i64::MAX as f64), Ordering::Less),
        (json!(u64::MAX), json!(u64::MAX as f64), Ordering::Less),
        (json!(i64::MIN), json!(i64::MIN as f64), Ordering::Equal),
        (json!(u64::MAX), json!(i64::MAX), Ordering::Greater),
        (json!(1), json!(1e300), Ordering::Less),
        (json!(1), json!(-1e300), Ordering::Greater),
        (json!(0), json!(5e-324), Ordering::Less),
    ] {
        assert_eq!(compare(&a, &b), order, "{a} and {b}");
        assert_eq!(compare(&b, &a), order.reverse(), "{b} and {a}");
        assert_eq!(equal(&a, &b), order.is_eq(), "{a} and {b}");
    }
}

#[test]
fn types_are_ordered() {
    let sorted = [
        json!(null),
        json!(-1e300),
        json!(7),
        json!(""),
        json!("B"),
        json!("a"),
        json!("é"),
        json!({}),
        json!({"a": 1}),
        json!({"a": 1, "b": 0}),
        json!({"a": 2}),
        json!({"__type": "Pointer", "className": "A", "objectId": "2"}),
        json!({"__type": "Pointer", "className": "B", "objectId": "1"}),
        json!({"__type": "GeoPoint", "latitude": 1, "longitude": 1}),
        json!({"__type": "File", "id": "f"}),
        json!({"__type": "Relation", "className": "A"}),
        json!([]),
        json!([1]),
        json!([1, null]),
        json!([2]),
        json!({"__type": "Bytes", "base64": "/w=="}),
        json!({"__type": "Bytes", "base64": "AAA="}),
        json!(false),
        json!(true),
        json!({"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"}),
        json!({"__type": "Date", "iso": "2020-01-01T00:00:00.001Z"}),
    ];
    for (i, a) in sorted.iter().enumerate() {
        for (j, b) in sorted.iter().enumerate() {
            assert_eq!(compare(a, b), i.cmp(&j), "{a} and {b}");
        }
    }
}

#[test]
fn typed_values_are_equal_by_meaning() {
    let pointer = json!({"__type": "Pointer", "className": "Post", "objectId": "p1"});
    let expanded = json!({"title": "x", "objectId": "p1", "className": "Post", "__type": "Pointer"});
    assert!(equal(&pointer, &expanded));
    assert!(!equal(
        &pointer,
        &json!({"__type": "Pointer", "className": "User", "objectId": "p1"})
    ));
    let date = |iso: &str| json!({"__type": "Date", "iso": iso});
    assert!(equal(
        &date("2020-01-01T08:00:00+08:00"),
        &date("2020-01-01T00:00:00.000Z")
    ));
    assert!(!equal(
        &date("2020-01-01T00:00:00.000Z"),
        &json!("2020-01-01T00:00:00.000Z")
    ));
    assert!(equal(
        &json!({"__type": "File", "id": "f", "name": "a"}),
        &json!({"__type": "File", "objectId": "f"})
    ));
    assert!(equal(
        &json!({"__type": "File", "id": "f", "name": "a"}),
        &json!({"__type": "Pointer", "className": "_File", "objectId": "f"})
    ));
    assert!(equal(&json!({"a": 1, "b": [2]}), &json!({"b": [2.0], "a": 1})));
    assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": null})));
    assert!(!equal(&json!([1, 2]), &json!([2, 1])));
}

#[test]
fn values_are_normalized() {
    for (given, uniform) in [
        (json!(7), json!(7)),
        (json!(7.0), json!(7.0)),
        (json!(u64::MAX), json!(1.8446744073709552e19)),
        (json!(null), json!(null)),
        (
            json!({"__type": "Date", "iso": "2015-06-21T18:02:52Z"}),
            json!({"__type": "Date", "iso": "2015-06-21T18:02:52.000Z"}),
        ),
        (
            json!([{"__type": "Date", "iso": "2015-06-21T18:02:52.249999+02:00"}]),
            json!([{"__type": "Date", "iso": "2015-06-21T16:02:52.249Z"}]),
        ),
        (
            json!({"__type": "Bytes", "base64": "YW Jj\nZA"}),
            json!({"__type": "Bytes", "base64": "YWJjZA=="}),
        ),
        (
            json!({"a": {"__type": "Pointer", "className": "Post", "objectId": "x", "title": "expanded"}}),
            json!({"a": {"__type": "Pointer", "className": "Post", "objectId": "x"}}),
        ),
        (
            json!({"__type": "GeoPoint", "latitude": 40, "longitude": -30}),
            json!({"__type": "GeoPoint", "latitude": 40.0, "longitude": -30.0}),
        ),
        (
            json!({"__type": "Object", "className": "C", "at": {"__type": "Date", "iso": "2020-01-01T00:00:00Z"}}),
            json!({"__type": "Object", "className": "C", "at": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"}}),
        ),
        (
            json!({"__type": "File", "id": "f", "name": "n"}),
            json!({"__type": "File", "id": "f", "name": "n"}),
        ),
        (
            json!([{"a": {"__type": "Pointer", "className": "_File", "objectId": "f", "url": "u"}}]),
            json!([{"a": {"__type": "File", "id": "f"}}]),
        ),
    ] {
        let mut value = given.clone();
        normalize(&mut value).unwrap();
        // By text, so that 7 and 7.0 differ.
        assert_eq!(value.to_string(), uniform.to_string(), "{given}");
    }
}

#[test]
fn malformed_value_is_refused_with_code() {
    for (value, code) in [
        (json!({"__type": "Pointer", "className": "Post"}), 106),
        (
            json!({"__type": "Pointer", "className": "1x", "objectId": "x"}),
            106,
        ),
        (
            json!({"__type": "Pointer", "className": "Post", "objectId": 5}),
            106,
        ),
        (
            json!({"__type": "Pointer", "className": "Post", "objectId": "a b"}),
            106,
        ),
        (json!({"__type": "Date"}), 107),
        (json!({"__type": "Date", "iso": "yesterday"}), 107),
        (json!({"__type": "Date", "iso": 5}), 107),
        (json!({"__type": "Bytes", "base64": "*"}), 107),
        (json!({"__type": "File", "name": "n"}), 107),
        (json!({"__type": "Relation"}), 107),
        (json!({"__type": "Thing"}), 107),
        (json!({"__type": 5}), 107),
        (
            json!({"__type": "GeoPoint", "latitude": 90.01, "longitude": 0}),
            302,
        ),
        (
            json!({"__type": "GeoPoint", "latitude": 0, "longitude": -180.01}),
            302,
        ),
        (
            json!({"__type": "GeoPoint", "latitude": "0", "longitude": 0}),
            302,
        ),
        (json!({"__type": "GeoPoint", "latitude": 0}), 302),
        (json!({"a": {"$b": 1}}), 121),
        (json!([{"a.b": 1}]), 121),
        (json!([[{"a": {"__type": "Date", "iso": "x"}}]]), 107),
    ] {
        let error = normalize(&mut value.clone()).unwrap_err();
        assert_eq!(error.code.0, code, "{value}: {error}");
    }
    let deep = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    assert!(normalize(&mut deep(100)).is_ok());
    assert_eq!(normalize(&mut deep(101)).unwrap_err().code.0, 107);
}

#[test]
fn distance_is_great_circle() {
    let point = |latitude, longitude| GeoPoint { latitude, longitude };
    let kilometers = |a: GeoPoint, b| a.radians_to(b) * GeoPoint::EARTH_KILOMETERS;
    let (beijing, shanghai) = (point(39.9042, 116.4074), point(31.2304, 121.4737));
    assert!((kilometers(beijing, shanghai) - 1067.0).abs() < 2.0);
    assert!((point(0.0, 179.5).radians_to(point(0.0, -179.5)).to_degrees() - 1.0).abs() < 1e-9);
    assert!((point(90.0, 0.0).radians_to(point(-90.0, 50.0)).to_degrees() - 180.0).abs() < 1e-9);
}

#[test]
fn integers_are_exact_within_double_range() {
    let most = INTEGER_MAX;
    #[expect(clippy::cast_precision_loss, reason = "2^53 − 1 is exact in a double")]
    let double = most as f64;
    for (value, expected) in [
        (json!(most), Some(most)),
        (json!(-most), Some(-most)),
        (json!(most + 1), None),
        (json!(double), Some(most)),
        (json!(-double), Some(-most)),
        (json!(double + 1.0), None),
        (json!(u64::MAX), None),
        (json!(-0.0), Some(0)),
        (json!(7.5), None),
        (json!(1e300), None),
        (json!("7"), None),
        (json!(null), None),
    ] {
        assert_eq!(as_integer(&value), expected, "{value}");
    }
}

#[test]
fn values_of_one_type_are_ordered() {
    let place = |latitude: i64, longitude: i64| json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude});
    let file = |id: &str| json!({"__type": "File", "id": id});
    let relation = |class: &str| json!({"__type": "Relation", "className": class});
    for (less, more) in [
        (json!(1), json!(2)),
        (json!("a"), json!("b")),
        (file("a"), file("b")),
        (relation("A"), relation("B")),
        (place(1, 9), place(2, 0)),
        (place(1, 2), place(1, 3)),
    ] {
        assert_eq!(compare(&less, &more), Ordering::Less, "{less} {more}");
        assert_eq!(compare(&more, &less), Ordering::Greater, "{less} {more}");
        assert_eq!(compare(&less, &less), Ordering::Equal, "{less}");
    }
}

#[test]
fn nesting_of_values_is_limited() {
    let nested = |levels: usize| {
        let mut value = (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
        normalize(&mut value).is_ok()
    };
    let most = crate::model::limits::VALUE_DEPTH_MAX;
    assert!(nested(most));
    assert!(!nested(most + 1));
}
