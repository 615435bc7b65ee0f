use serde_json::json;

use super::*;
use crate::model::{Document, ErrorCode, Timestamp};

fn now() -> Timestamp {
    Timestamp::from_millis(1_313_806_017_931)
}

fn select(text: &str, values: &[Value]) -> SelectStatement {
    SelectStatement::parse(text, values, now()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A statement means the same as the parameters of a query.
#[test]
fn select_statement_is_parsed_as_query() {
    for (text, parameters) in [
        ("select * from GameScore", json!({})),
        ("SELECT * FROM GameScore LIMIT 10", json!({"limit": 10})),
        (
            "select * from GameScore limit 100,10",
            json!({"skip": 100, "limit": 10}),
        ),
        (
            "select name,score from GameScore order by score,-name",
            json!({"keys": "name,score", "order": "score,-name"}),
        ),
        (
            "select * from GameScore order by +a desc, -b asc limit 5",
            json!({"order": "a,-b", "limit": 5}),
        ),
        (
            "select * from GameScore order by n,m desc",
            json!({"order": "-n,-m"}),
        ),
        (
            "select * from GameScore order by n,+m desc",
            json!({"order": "-n,m"}),
        ),
        (
            "select * from GameScore order by +n,m desc",
            json!({"order": "n,-m"}),
        ),
        (
            "select * from GameScore order by -n,m asc",
            json!({"order": "-n,m"}),
        ),
        (
            "select * from GameScore order by n desc,m",
            json!({"order": "-n,m"}),
        ),
        (
            "select * from GameScore order by n desc,m asc,k",
            json!({"order": "-n,m,k"}),
        ),
        (
            "select *,count(objectId) from GameScore limit 10",
            json!({"count": 1, "limit": 10}),
        ),
        ("select count(*) from GameScore", json!({"count": 1, "limit": 0})),
        (
            "select include author, include author.address, * from GameScore",
            json!({"include": "author,author.address"}),
        ),
        (
            "select include, limit from GameScore",
            json!({"keys": "include,limit"}),
        ),
        (
            "select * from GameScore where name='dennis' and score >= -1.5e2",
            json!({"where": {"$and": [{"name": {"$eq": "dennis"}}, {"score": {"$gte": -150.0}}]}}),
        ),
        (
            "select * from GameScore where a = 1 or b != 2 and c <> 3",
            json!({"where": {"$or": [{"a": {"$eq": 1}}, {"$and": [{"b": {"$ne": 2}}, {"c": {"$ne": 3}}]}]}}),
        ),
        (
            "select * from GameScore where (a < 1 or a > 2) and b <= 3",
            json!({"where": {"$and": [{"$or": [{"a": {"$lt": 1}}, {"a": {"$gt": 2}}]}, {"b": {"$lte": 3}}]}}),
        ),
        (
            "select * from GameScore where a is exists and b is not exists and c is null and d is not null",
            json!({"where": {"$and": [{"a": {"$exists": true}}, {"b": {"$exists": false}},
                {"c": {"$eq": null}}, {"d": {"$ne": null}}]}}),
        ),
        (
            "select * from GameScore where name in ('a', \"b\") and n not in (1,2) and t all (1,1) and size(t) = 2",
            json!({"where": {"$and": [{"name": {"$in": ["a", "b"]}}, {"n": {"$nin": [1, 2]}},
                {"t": {"$all": [1, 1]}}, {"t": {"$size": 2}}]}}),
        ),
        (
            "select * from GameScore where createdAt < date('2011-08-20T02:06:57.931Z')",
            json!({"where": {"createdAt": {"$lt": {"__type": "Date", "iso": "2011-08-20T02:06:57.931Z"}}}}),
        ),
        (
            "select * from GameScore where author = pointer('_User', 'x1')",
            json!({"where": {"author": {"$eq": {"__type": "Pointer", "className": "_User", "objectId": "x1"}}}}),
        ),
        (
            "select * from GameScore where p near geopoint(116.3, 39.9) max 2 km min 1 km",
            json!({"where": {"p": {"$nearSphere": {"__type": "GeoPoint", "longitude": 116.3, "latitude": 39.9},
                "$maxDistanceInKilometers": 2, "$minDistanceInKilometers": 1}}}),
        ),
        (
            "select * from GameScore where p within [-10, -20] and [30.5, 40]",
            json!({"where": {"p": {"$within": {"$box": [
                {"__type": "GeoPoint", "longitude": -10, "latitude": -20},
                {"__type": "GeoPoint", "longitude": 30.5, "latitude": 40}]}}}}),
        ),
        (
            "select * from GameScore where related likes to pointer('Post', 'p1')",
            json!({"where": {"$relatedTo": {"key": "likes",
                "object": {"__type": "Pointer", "className": "Post", "objectId": "p1"}}}}),
        ),
        (
            "select * from GameScore where name in (select name from Player where n > 80 limit 5)",
            json!({"where": {"name": {"$select": {"key": "name",
                "query": {"className": "Player", "where": {"n": {"$gt": 80}}, "limit": 5}}}}}),
        ),
        (
            "select * from GameScore where name != (select name from Player)",
            json!({"where": {"name": {"$dontSelect": {"key": "name",
                "query": {"className": "Player", "limit": 1000}}}}}),
        ),
        (
            "select * from GameScore where player not in (select * from Player)",
            json!({"where": {"player": {"$notInQuery": {"className": "Player", "limit": 1000}}}}),
        ),
        (
            "select * from GameScore where a like 'x%' and b like '%x' and c like '%x%' and d like 'x.y' and e like 'x%y'",
            json!({"where": {"$and": [{"a": {"$regex": "^\\Qx\\E"}}, {"b": {"$regex": "\\Qx\\E\\z"}},
                {"c": {"$regex": "\\Qx\\E"}}, {"d": {"$regex": "^\\Qx.y\\E\\z"}},
                {"e": {"$regex": "^\\Qx\\E[\\s\\S]*\\Qy\\E\\z"}}]}}),
        ),
        (
            "select * from GameScore where a like '%Hello[ ]World%' and b like '100[%]' and c like '[a-c]x%' and d like 'x[' \
             and e like '[]]' and f like '[^\\\\]'",
            json!({"where": {"$and": [{"a": {"$regex": "\\QHello World\\E"}}, {"b": {"$regex": "^\\Q100%\\E\\z"}},
                {"c": {"$regex": "^[a-c]\\Qx\\E"}}, {"d": {"$regex": "^\\Qx[\\E\\z"}},
                {"e": {"$regex": "^\\Q]\\E\\z"}}, {"f": {"$regex": "^[^\\\\]\\z"}}]}}),
        ),
        (
            "select * from GameScore where a not like '%x%' and b regexp '^a.c'",
            json!({"where": {"$and": [{"a": {"$not": {"$regex": "\\Qx\\E"}}}, {"b": {"$regex": "^a.c"}}]}}),
        ),
        (
            "select * from GameScore where a = 'it''s' and b = \"a\\\"b\" and `order` = true and x.y = null",
            json!({"where": {"$and": [{"a": {"$eq": "it's"}}, {"b": {"$eq": "a\"b"}},
                {"order": {"$eq": true}}, {"x.y": {"$eq": null}}]}}),
        ),
    ] {
        let selection = select(text, &[]);
        assert_eq!(selection.class.as_str(), "GameScore");
        let parameters: Document = serde_json::from_value(parameters).unwrap();
        assert_eq!(selection.query, Query::parse(&parameters).unwrap(), "{text}");
    }
}

#[test]
fn placeholders_take_values_in_order() {
    let selection = select(
        "select * from A where a = ? and b in (?, 2) and c in ? and d > date(?) limit ?,?",
        &[
            json!("x"),
            json!(1),
            json!([3, 4]),
            json!("2011-08-20T02:06:57.931Z"),
            json!(5),
            json!(6),
        ],
    );
    let parameters = json!({"skip": 5, "limit": 6, "where": {"$and": [{"a": {"$eq": "x"}}, {"b": {"$in": [1, 2]}},
        {"c": {"$in": [3, 4]}}, {"d": {"$gt": {"__type": "Date", "iso": "2011-08-20T02:06:57.931Z"}}}]}});
    let parameters: Document = serde_json::from_value(parameters).unwrap();
    assert_eq!(selection.query, Query::parse(&parameters).unwrap());
    // A value is a value, whatever it holds.
    let hostile = select("select * from A where a = ?", &[json!("' or '1'='1")]);
    assert_eq!(hostile.query.filter.to_value(), json!({"a": "' or '1'='1"}));
    let refused = SelectStatement::parse("select * from A where a = ?", &[], now()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::CQL_SYNTAX);
    // What is left over is left.
    let surplus = select("select * from A where a = ?", &[json!(1), json!(2)]);
    assert_eq!(surplus.query.filter.to_value(), json!({"a": 1}));
}

#[test]
fn syntax_error_shows_position() {
    let error = SelectStatement::parse("select * GameScore limit 10", &[], now()).unwrap_err();
    assert_eq!(error.code, ErrorCode::CQL_SYNTAX);
    assert_eq!(
        error.message,
        "CQL syntax error.Detail: Parse error at line 1, column 10:\n\
         select * GameScore limit 10\n         ^\nExpected one of:\nfrom\n,\n"
    );
    let error = SelectStatement::parse("select *\nfrom A where é = 1 and", &[], now()).unwrap_err();
    assert!(error.message.contains("line 2, column 23:"), "{error}");
}

#[test]
fn malformed_statement_is_refused() {
    let deep = format!(
        "select * from A where {}a = 1{}",
        "(".repeat(200),
        ")".repeat(200)
    );
    let nested = format!(
        "select * from A where {} a = 1 {}",
        "a in (select b from A where ".repeat(50),
        ")".repeat(50)
    );
    for text in [
        "",
        ";",
        "select",
        "select *",
        "select * from",
        "select * from A where",
        "select * from A where a",
        "select * from A where a =",
        "select * from A where a = 'x",
        "select * from A where a = b",
        "select * from A where a in ()x",
        "select * from A where a in (1",
        "select * from A where a = nothing(1)",
        "select * from A where a = date()",
        "select * from A limit x",
        "select * from A limit 'x'",
        "select * from A order",
        "select * from A order by",
        "select * from A limit 1 limit 2",
        "select * from A where a = 1.2.3",
        "select * from A where a # 1",
        "select a b from A",
        "select * from A; drop",
        "select * from A where a = -'x'",
        "select * from A where a > (select b from B)",
        "select * from A where a in (select b, c from B)",
        "select * from A where a = [1]",
        "select * from A where a = {",
        "select * from A where a = {b}",
        "select * from A where a = {b:}",
        "select * from A where a = {b: 1 c: 2}",
        "select * from A where a = {1: 2}",
        "select * from A where a = current_timestamp",
        "select * from A where a = current_timestamp(1)",
        &deep,
        &nested,
    ] {
        let error = SelectStatement::parse(text, &[], now()).unwrap_err();
        assert_eq!(error.code, ErrorCode::CQL_SYNTAX, "{text:.60}: {error}");
    }
    for text in [
        "insert into A(a) values (1)",
        "UPDATE A set a = 1",
        "delete from A",
    ] {
        assert_eq!(
            SelectStatement::parse(text, &[], now()).unwrap_err().code,
            ErrorCode::OTHER,
            "{text}"
        );
    }
    assert_eq!(
        SelectStatement::parse("select * from 'A'", &[], now())
            .unwrap_err()
            .code,
        ErrorCode::CQL_SYNTAX
    );
    assert_eq!(
        SelectStatement::parse("select * from A.b", &[], now())
            .unwrap_err()
            .code,
        ErrorCode::INVALID_CLASS_NAME
    );
}

#[test]
fn siblings_do_not_count_as_nesting() {
    let groups = vec!["(a = 1 and b = 2)"; 50].join(" or ");
    assert!(SelectStatement::parse(&format!("select * from A where {groups}"), &[], now()).is_ok());
}

#[test]
fn statement_length_is_limited() {
    let text = |length: usize| {
        let text = "select * from A where a = ''";
        text.replace("''", &format!("'{}'", "x".repeat(length - text.len())))
    };
    assert!(SelectStatement::parse(&text(131_072), &[], now()).is_ok());
    let error = SelectStatement::parse(&text(131_073), &[], now()).unwrap_err();
    assert_eq!(error.code, ErrorCode::CQL_SYNTAX);
}

#[test]
fn like_matches_pattern() {
    for (pattern, found, missed) in [
        ("%", &["", "a", "a\nb"][..], &[][..]),
        ("%%", &["", "a"], &[]),
        ("", &[""], &["a", "\n"]),
        ("a", &["a"], &["a\n", "ab", "ba"]),
        ("a%", &["a", "ab\n"], &["ba"]),
        ("%a", &["a", "ba"], &["ab"]),
        ("a%b", &["ab", "a\nb"], &["abc"]),
        ("100[%]", &["100%"], &["100", "1000"]),
        ("[a-c]", &["b"], &["d", "[a-c]", "-"]),
        ("[^a-c]", &["d"], &["b"]),
        ("%Hello[ ]World%", &["Hello World!"], &["HelloWorld"]),
        ("[", &["["], &["a"]),
        ("[]", &["[]"], &[""]),
        ("a_", &["a_"], &["ab"]),
    ] {
        let filter = select("select * from A where a like ?", &[json!(pattern)])
            .query
            .filter;
        let finds = |text: &&str| {
            let document = Document::from_iter([("a".to_owned(), json!(text))]);
            filter.matches(&document).unwrap()
        };
        assert!(found.iter().all(finds), "{pattern}: {filter:?}");
        assert!(!missed.iter().any(finds), "{pattern}: {filter:?}");
    }
}

#[test]
fn distance_units_are_parsed() {
    let operators = |unit: &str| {
        let text = format!("select * from A where p near geopoint(1, 2) max 2 {unit} min 1 {unit}");
        let filter = select(&text, &[]).query.filter.to_value();
        let operators = filter["p"].as_object().unwrap();
        operators.keys().skip(1).cloned().collect::<Vec<_>>()
    };
    for (units, expected) in [
        (["miles", "mile"], "InMiles"),
        (["km", "kilometers"], "InKilometers"),
    ] {
        for unit in units {
            let expected = ["$maxDistance", "$minDistance"].map(|bound| format!("{bound}{expected}"));
            assert_eq!(operators(unit), expected, "{unit}");
        }
    }
    assert_eq!(operators("radians"), operators("radian"));
    assert_eq!(operators("radians"), operators(""));
}

#[test]
fn values_of_every_type_are_parsed() {
    let values = select(
        "select * from A where a = false and b = true and c = null and d = +2 and e = -2.5
            and f = file('x') and g = bytes('AQ==') and h = base64('AQ==') and i <= current_timestamp()
            and j = {className: 'Post', 'objectId': 'x', __type: 'Pointer'} and k = {n: {m: ?, `o`: null}}
            and l = {}",
        &[json!(7)],
    );
    let expected = json!({"$and": [{"a": {"$eq": false}}, {"b": {"$eq": true}}, {"c": {"$eq": null}},
        {"d": {"$eq": 2}}, {"e": {"$eq": -2.5}}, {"f": {"$eq": {"__type": "File", "id": "x"}}},
        {"g": {"$eq": {"__type": "Bytes", "base64": "AQ=="}}}, {"h": {"$eq": {"__type": "Bytes", "base64": "AQ=="}}},
        {"i": {"$lte": {"__type": "Date", "iso": "2011-08-20T02:06:57.931Z"}}},
        {"j": {"$eq": {"__type": "Pointer", "className": "Post", "objectId": "x"}}},
        {"k": {"$eq": {"n": {"m": 7, "o": null}}}}, {"l": {"$eq": {}}}]});
    assert_eq!(
        values.query.filter,
        crate::model::Filter::parse(&expected).unwrap()
    );
    let subquery = select("select * from A where name = (select name from Player)", &[]);
    let same = select("select * from A where name in (select name from Player)", &[]);
    assert_eq!(subquery, same);
    // All keys are all keys, whatever else is named.
    assert_eq!(select("select *, a from A", &[]).query.keys, None);
}

#[test]
fn syntax_error_shows_wrong_token() {
    for (text, column) in [
        ("select * from A where a = - b", 29),
        ("select * from A where a = ) b", 27),
        ("select * from A limit 1-2", 24),
        ("select * from A where a = word b", 27),
    ] {
        let error = SelectStatement::parse(text, &[], now()).unwrap_err().message;
        assert!(error.contains(&format!("line 1, column {column}:")), "{error}");
    }
}
