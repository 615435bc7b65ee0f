//! The wire form of filters, and the prefixes of patterns.

use super::*;
use crate::model::KeyPath;

/// Two conditions on one key are merged into one object if that keeps the meaning.
#[test]
fn conditions_on_one_key_are_merged() {
    let all = Filter::all;
    for (filter, written) in [
        (all().gte("a", 1).lt("a", 5), json!({"a": {"$gte": 1, "$lt": 5}})),
        (
            all().gte("a", 1).gte("a", 2),
            json!({"a": {"$gte": 1}, "$and": [{"a": {"$gte": 2}}]}),
        ),
        (
            all().gte("a", 1).eq("b", 2).lt("a", 5),
            json!({"a": {"$gte": 1}, "b": 2, "$and": [{"a": {"$lt": 5}}]}),
        ),
        (
            all().eq("a", 1).gte("a", 0),
            json!({"a": 1, "$and": [{"a": {"$gte": 0}}]}),
        ),
        (
            all().gte("a", 0).eq("a", 1),
            json!({"a": {"$gte": 0}, "$and": [{"a": 1}]}),
        ),
        (
            all().eq("a", json!({"x": 1})).gte("a", 0),
            json!({"a": {"x": 1}, "$and": [{"a": {"$gte": 0}}]}),
        ),
        (
            all().gte("a", 0).eq("a", json!({"x": 1})),
            json!({"a": {"$gte": 0}, "$and": [{"a": {"x": 1}}]}),
        ),
        (
            Filter::And(vec![all(), Filter::Key(KeyPath::new("a"), Test::Eq(json!(1)))]),
            json!({"a": 1}),
        ),
    ] {
        assert_eq!(filter.to_value(), written);
    }
    let place = json!({"__type": "GeoPoint", "latitude": 1.0, "longitude": 2.0});
    let near = json!({"p": {"$nearSphere": place, "$exists": true}});
    let area = json!({"p": {"$within": {"$box": [place, place]}}});
    let both = Filter::parse(&json!([near, area])).unwrap();
    // Two searches for a place are none together.
    assert_eq!(both.to_value()["$and"], json!([area]));
    assert_eq!(Filter::parse(&both.to_value()), Ok(both));
    let pattern = |options: &str| {
        let pattern = Pattern::new("x", options).unwrap();
        Filter::Key(KeyPath::new("a"), Test::Regex(pattern)).to_value()
    };
    assert_eq!(pattern(""), json!({"a": {"$regex": "x"}}));
    assert_eq!(pattern("i"), json!({"a": {"$regex": "x", "$options": "i"}}));
    let more = json!({"p": {"$within": {"$box": [place, place], "$centre": place}}});
    assert!(Filter::parse(&more).is_err());
}

#[test]
fn pattern_has_literal_prefix() {
    for (pattern, options, prefix) in [
        ("^abc", "", Some("abc")),
        ("^a b_c-d/e@f:g,h", "", Some("a b_c-d/e@f:g,h")),
        (r"^\Qa.b\Ec", "", Some("a.bc")),
        (r"^\Qa|b", "", Some("a|b")),
        ("^abc.*", "", Some("abc")),
        ("^ab(c|d)", "", Some("ab")),
        ("^中文", "", Some("中文")),
        // The last character may be missing.
        ("^abc?", "", Some("ab")),
        ("^abc*", "", Some("ab")),
        ("^abc+", "", Some("ab")),
        ("^abc{0,2}", "", Some("ab")),
        ("^a?", "", None),
        // Everything may be missing, or stand elsewhere.
        ("^abc|d", "", None),
        ("abc", "", None),
        ("^", "", None),
        ("^.a", "", None),
        ("^abc", "i", None),
        ("^abc", "m", None),
    ] {
        let pattern = Pattern::new(pattern, options).unwrap();
        assert_eq!(pattern.prefix(), prefix, "{pattern:?}");
    }
    for text in ["", "a.b", r"\E", r"a\Eb\Q", "中", "(["] {
        let exactly = Pattern::new(&format!("^{}$", Pattern::quote(text)), "").unwrap();
        assert_eq!(exactly.finds(text), Ok(true), "{exactly:?}");
        assert_eq!(exactly.finds("axb"), Ok(false), "{exactly:?}");
    }
}
