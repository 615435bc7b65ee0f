//! Definitions of classes: parsing and showing them.

use super::*;

fn class() -> Class {
    Class::new(ClassName::parse("Post").unwrap())
}

fn parse_for(class: &Class, body: Value) -> Result<Definition, CloudError> {
    let Value::Object(body) = body else {
        panic!("{body}")
    };
    Definition::parse(&body, class)
}

fn defined(body: Value) -> Class {
    let mut class = class();
    parse_for(&class, body).unwrap().apply(&mut class);
    class
}

fn whole() -> Value {
    json!({
        "columns": {
            "author": {"type": "Pointer", "className": "_User", "required": true},
            "likes": {"type": "Relation", "className": "_User"},
            "rank": {"type": "Number", "default": 5, "readOnly": true},
            "secret": {"type": "String", "hidden": true},
        },
        "permissions": {
            "add_fields": {},
            "create": {"onlySignInUsers": true},
            "delete": {"users": ["u"], "roles": []},
            "update": {"users": [], "roles": ["editors"]},
            "find": {"*": true},
            "get": {"users": ["u", "v"], "roles": ["editors"]},
        },
        "indexes": [{"keys": ["rank", "author.name"], "unique": true, "sparse": false}],
        "acl": {"*": {"read": true}},
    })
}

#[test]
fn definition_round_trips_through_class() {
    let mut shown = whole();
    shown["className"] = "Post".into();
    assert_eq!(Value::Object(show(&defined(whole()))), shown);
    let bare = json!({
        "className": "Post", "columns": {}, "indexes": [], "acl": null,
        "permissions": {"add_fields": {"*": true}, "create": {"*": true}, "delete": {"*": true},
            "update": {"*": true}, "find": {"*": true}, "get": {"*": true}},
    });
    assert_eq!(Value::Object(show(&class())), bare);
}

#[test]
fn unnamed_parts_stay_unchanged() {
    let mut class = defined(whole());
    let again = json!({
        "columns": {"rank": {"hidden": true}, "title": {"type": "String"}},
        "permissions": {"find": {}, "get": {"*": false}},
        "indexes": [{"keys": ["rank", "author.name"], "unique": true}, {"keys": ["title"]}],
    });
    parse_for(&class, again).unwrap().apply(&mut class);
    let shown = Value::Object(show(&class));
    assert_eq!(
        shown["columns"]["rank"],
        json!({"type": "Number", "default": 5, "readOnly": true, "hidden": true})
    );
    assert_eq!(shown["columns"]["title"], json!({"type": "String"}));
    assert_eq!(
        shown["columns"]["secret"],
        json!({"type": "String", "hidden": true})
    );
    assert_eq!(shown["permissions"]["find"], json!({}));
    assert_eq!(shown["permissions"]["get"], json!({}));
    assert_eq!(shown["permissions"]["create"], json!({"onlySignInUsers": true}));
    // An index that is there is not made twice.
    assert_eq!(class.indexes.len(), 2);
    assert_eq!(shown["acl"], json!({"*": {"read": true}}));
    let less = json!({"columns": {"rank": {"default": null, "readOnly": false}}, "acl": null});
    parse_for(&class, less).unwrap().apply(&mut class);
    let shown = Value::Object(show(&class));
    assert_eq!(
        shown["columns"]["rank"],
        json!({"type": "Number", "hidden": true})
    );
    assert_eq!(shown["acl"], json!(null));
}

#[test]
fn changes_list_columns_before_indexes() {
    let name = ClassName::parse("Post").unwrap();
    let changes = parse_for(&class(), whole()).unwrap().into_changes(&name);
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| match change {
            SchemaChange::CreateClass(_) => "class",
            SchemaChange::SetColumn(_, key, _) => key,
            SchemaChange::SetPermissions(..) => "permissions",
            SchemaChange::AddIndex(..) => "index",
            SchemaChange::SetDefaultAcl(..) => "acl",
        })
        .collect();
    assert_eq!(
        kinds,
        ["author", "likes", "rank", "secret", "permissions", "index", "acl"]
    );
    let acl = Acl::parse(&json!({"*": {"read": true}})).unwrap();
    assert_eq!(
        changes.last(),
        Some(&SchemaChange::SetDefaultAcl(name.clone(), Some(acl)))
    );
    let away = parse_for(&class(), json!({"acl": null}))
        .unwrap()
        .into_changes(&name);
    assert_eq!(away, [SchemaChange::SetDefaultAcl(name.clone(), None)]);
    assert_eq!(parse_for(&class(), json!({})).unwrap().into_changes(&name), []);
}

#[test]
fn malformed_definition_is_refused() {
    let class = defined(whole());
    let column = |attributes: Value| json!({"columns": {"n": attributes}});
    let permission = |holders: Value| json!({"permissions": {"get": holders}});
    let keys = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>();
    for (body, code) in [
        (json!({"name": "x"}), 107),
        (json!({"columns": []}), 107),
        (json!({"columns": {"createdAt": {"type": "Date"}}}), 107),
        (json!({"columns": {"ACL": {"type": "Object"}}}), 107),
        (json!({"columns": {"a.b": {"type": "String"}}}), 105),
        (json!({"columns": {"Acl": {"type": "Object"}}}), 105),
        (json!({"columns": {"className": {"type": "String"}}}), 105),
        (column(json!("String")), 107),
        (column(json!({})), 107),
        (column(json!({"type": "Text"})), 107),
        (column(json!({"type": "Pointer"})), 107),
        (column(json!({"type": "String", "length": 5})), 107),
        (column(json!({"type": "String", "hidden": 1})), 107),
        (column(json!({"type": "String", "default": 5})), 111),
        (
            column(json!({"type": "Relation", "className": "A",
                "default": {"__type": "Relation", "className": "A"}})),
            111,
        ),
        // A column keeps its type.
        (json!({"columns": {"rank": {"type": "String"}}}), 111),
        (
            json!({"columns": {"likes": {"type": "Relation", "className": "A"}}}),
            111,
        ),
        (json!({"permissions": {"read": {"*": true}}}), 107),
        (permission(json!(true)), 107),
        (permission(json!({"everyone": true})), 107),
        (permission(json!({"*": "yes"})), 107),
        (permission(json!({"users": "u"})), 107),
        (permission(json!({"roles": [7]})), 107),
        (json!({"indexes": {}}), 107),
        (json!({"indexes": [{"keys": []}]}), 107),
        (json!({"indexes": [{"keys": "rank"}]}), 107),
        (json!({"indexes": [{"keys": keys(INDEX_KEYS_MAX + 1)}]}), 107),
        (json!({"indexes": [{"keys": ["rank"], "name": "x"}]}), 107),
        (json!({"indexes": [{"keys": ["rank"], "sparse": 1}]}), 107),
        (json!({"indexes": [{"keys": ["$rank"]}]}), 105),
        (json!({"acl": true}), 123),
    ] {
        let error = parse_for(&class, body.clone()).unwrap_err();
        assert_eq!(error.code.0, code, "{body}: {error}");
    }
    for body in [
        json!({"indexes": [{"keys": keys(INDEX_KEYS_MAX)}]}),
        json!({"columns": {"rank": {"type": "Number"}}}),
        column(json!({"type": "Date", "default": {"__type": "Date", "iso": "2026-01-01T00:00:00Z"}})),
    ] {
        assert!(parse_for(&class, body.clone()).is_ok(), "{body}");
    }
}

#[test]
fn columns_and_indexes_are_limited() {
    let columns = |count: usize| {
        let columns = (0..count).map(|n| (format!("c{n}"), json!({"type": "Number"})));
        json!({"columns": columns.collect::<Map<_, _>>()})
    };
    let most = limits::COLUMNS_MAX;
    assert!(parse_for(&class(), columns(most)).is_ok());
    assert_eq!(parse_for(&class(), columns(most + 1)).unwrap_err().code.0, 1);
    // Those that are there count once.
    let half = defined(columns(most - 1));
    assert!(parse_for(&half, columns(most)).is_ok());
    assert!(parse_for(&half, columns(most + 1)).is_err());

    let indexes = |count: usize| json!({"indexes": vec![json!({"keys": ["a"]}); count]});
    assert!(parse_for(&class(), indexes(INDEXES_MAX)).is_ok());
    assert_eq!(
        parse_for(&class(), indexes(INDEXES_MAX + 1)).unwrap_err().code.0,
        1
    );
    let one = defined(json!({"indexes": [{"keys": ["b"]}]}));
    assert!(parse_for(&one, indexes(INDEXES_MAX - 1)).is_ok());
    assert!(parse_for(&one, indexes(INDEXES_MAX)).is_err());
}
