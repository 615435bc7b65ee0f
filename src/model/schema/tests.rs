//! Validation against a class, and the visible form of its objects.

use serde_json::json;

use super::*;
use crate::model::{CloudError, Document};

fn class(columns: Value) -> Class {
    let mut class = Class::new(ClassName::parse("Post").unwrap());
    class.columns = serde_json::from_value(columns).unwrap();
    class
}

fn validate(class: &Class, body: Value) -> Result<Value, CloudError> {
    let Value::Object(body) = body else { panic!() };
    let added = class.validate(&crate::model::Update::parse(&Document(body))?)?;
    Ok(added
        .into_iter()
        .map(|(name, column)| (name, serde_json::to_value(column).unwrap()))
        .collect())
}

fn pointer(class: &str) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": "x"})
}

#[test]
fn first_value_fixes_column_type() {
    let relation = json!({"__op": "AddRelation", "objects": [pointer("Tag")]});
    for (value, column) in [
        (json!("x"), json!({"type": "String"})),
        (json!(1), json!({"type": "Number"})),
        (json!(1.5), json!({"type": "Number"})),
        (json!(true), json!({"type": "Boolean"})),
        (json!([1]), json!({"type": "Array"})),
        (json!({"x": 1}), json!({"type": "Object"})),
        (json!({}), json!({"type": "Object"})),
        (
            json!({"__type": "Object", "className": "C"}),
            json!({"type": "Object"}),
        ),
        (
            json!({"__type": "Date", "iso": "2020-01-01T00:00:00Z"}),
            json!({"type": "Date"}),
        ),
        (
            json!({"__type": "Bytes", "base64": "YQ=="}),
            json!({"type": "Bytes"}),
        ),
        (
            json!({"__type": "GeoPoint", "latitude": 1, "longitude": 2}),
            json!({"type": "GeoPoint"}),
        ),
        (json!({"__type": "File", "id": "f"}), json!({"type": "File"})),
        (pointer("_File"), json!({"type": "File"})),
        (pointer("_User"), json!({"type": "Pointer", "className": "_User"})),
        (
            json!({"__type": "Relation", "className": "Tag"}),
            json!({"type": "Relation", "className": "Tag"}),
        ),
        (
            json!({"__op": "Increment", "amount": 1}),
            json!({"type": "Number"}),
        ),
        (
            json!({"__op": "Decrement", "amount": 1}),
            json!({"type": "Number"}),
        ),
        (json!({"__op": "BitOr", "value": 1}), json!({"type": "Number"})),
        (json!({"__op": "Add", "objects": [1]}), json!({"type": "Array"})),
        (
            json!({"__op": "AddUnique", "objects": [1]}),
            json!({"type": "Array"}),
        ),
        (
            json!({"__op": "Remove", "objects": [1]}),
            json!({"type": "Array"}),
        ),
        (relation.clone(), json!({"type": "Relation", "className": "Tag"})),
        (
            json!({"__op": "Batch", "ops": [relation]}),
            json!({"type": "Relation", "className": "Tag"}),
        ),
    ] {
        let added = validate(&class(json!({})), json!({"f": value})).unwrap();
        assert_eq!(added, json!({"f": column}), "{value}");
        // Once there, the column takes the same again, adds nothing, and takes null and Delete.
        let there = class(json!({"f": column}));
        for again in [value, json!(null), json!({"__op": "Delete"})] {
            assert_eq!(
                validate(&there, json!({"f": again})).unwrap(),
                json!({}),
                "{again}"
            );
        }
    }
    for nothing in [json!(null), json!({"__op": "Delete"})] {
        assert_eq!(
            validate(&class(json!({})), json!({"f": nothing})).unwrap(),
            json!({})
        );
    }
    assert_eq!(
        validate(&class(json!({})), json!({"o.x": 1, "a": 1, "o.y": "z"})).unwrap(),
        json!({"o": {"type": "Object"}, "a": {"type": "Number"}})
    );
}

/// Classes of earlier versions have columns of pointers to `_File`.
#[test]
fn pointer_column_to_file_class_is_file_column() {
    let earlier = class(json!({"f": {"type": "Pointer", "className": "_File", "required": true}}));
    assert_eq!(
        serde_json::to_value(&earlier.columns).unwrap(),
        json!({"f": {"type": "File", "required": true}})
    );
    for file in [pointer("_File"), json!({"__type": "File", "id": "x"})] {
        assert_eq!(validate(&earlier, json!({"f": file})).unwrap(), json!({}));
    }
    assert!(validate(&earlier, json!({"f": pointer("Post")})).is_err());
}

#[test]
fn value_of_other_type_is_refused() {
    let there = class(json!({
        "s": {"type": "String"}, "n": {"type": "Number"}, "l": {"type": "Array"}, "o": {"type": "Object"},
        "d": {"type": "Date"}, "p": {"type": "Pointer", "className": "Post"}, "r": {"type": "Relation", "className": "Tag"},
        "g": {"type": "GeoPoint"},
    }));
    let point = json!({"__type": "GeoPoint", "latitude": 1, "longitude": 2});
    for (body, code) in [
        (json!({"s": 1}), 111),
        (json!({"n": "1"}), 111),
        (json!({"n": true}), 111),
        (json!({"s": {"__op": "Increment", "amount": 1}}), 111),
        (json!({"s": {"__op": "Add", "objects": [1]}}), 111),
        (json!({"n": {"__op": "AddUnique", "objects": [1]}}), 111),
        (json!({"l": {"__op": "BitAnd", "value": 1}}), 111),
        (json!({"l": {"x": 1}}), 111),
        (json!({"o": [1]}), 111),
        (
            json!({"o": {"__type": "Date", "iso": "2020-01-01T00:00:00Z"}}),
            111,
        ),
        (json!({"s.x": 1}), 111),
        (json!({"p.x": 1}), 111),
        (json!({"l.x": 1}), 111),
        (json!({"p": pointer("_User")}), 111),
        (json!({"p": "x"}), 111),
        (json!({"r": [pointer("Tag")]}), 111),
        (
            json!({"r": {"__op": "AddRelation", "objects": [pointer("Post")]}}),
            111,
        ),
        (
            json!({"p": {"__op": "AddRelation", "objects": [pointer("Post")]}}),
            111,
        ),
        (
            json!({"new": {"__op": "AddRelation", "objects": [pointer("Post"), pointer("Tag")]}}),
            111,
        ),
        (json!({"ACL": 1}), 123),
        (json!({"ACL": null}), 123),
        (json!({"ACL": {"*": true}}), 123),
        (json!({"ACL": {"*": {"read": 1}}}), 123),
        (json!({"ACL.x": {"read": true}}), 123),
        (json!({"ACL": {"__op": "Add", "objects": []}}), 123),
    ] {
        let error = validate(&there, body.clone()).unwrap_err();
        assert_eq!(error.code.0, code, "{body}: {error}");
    }
    for fits in [
        json!({"l.0": 1}),
        json!({"o.x.y": {"__op": "Delete"}}),
        json!({"ACL": {"*": {"read": true}, "role:admin": {"write": true}}}),
        json!({"ACL": {}}),
        json!({"ACL": {"__op": "Delete"}}),
        json!({"g": point}),
    ] {
        assert_eq!(validate(&there, fits.clone()).unwrap(), json!({}), "{fits}");
    }
    let second = validate(&there, json!({"g2": point})).unwrap();
    assert_eq!(second, json!({"g2": {"type": "GeoPoint"}}));
    // Built by hand, an illegal name is refused here.
    let illegal = crate::model::Update::new().set("a b", 1);
    assert_eq!(there.validate(&illegal).unwrap_err().code.0, 105);
}

#[test]
fn type_errors_use_leancloud_wording() {
    let there = class(
        json!({"at": {"type": "Date"}, "p": {"type": "Pointer", "className": "Post"}, "s": {"type": "String"}}),
    );
    for (body, message) in [
        (
            json!({"at": "2023-08-07T02:19:45.000Z"}),
            r#"Invalid value type for field 'at',value '"2023-08-07T02:19:45.000Z"',expect type is {:type "Date"},but it is '{:type "String"}'."#,
        ),
        (
            json!({"s": {"__op": "Increment", "amount": 3}}),
            r#"Invalid value type for field 's',value '3',expect type is {:type "String"},but it is '{:type "Number"}'."#,
        ),
    ] {
        assert_eq!(validate(&there, body).unwrap_err().message, message);
    }
    let long = validate(&there, json!({"s": vec!["é"; 1000]})).unwrap_err();
    assert!(long.message.len() < 600, "{long}");
}

#[test]
fn columns_of_class_are_limited() {
    let full: serde_json::Map<_, _> = (0..300)
        .map(|at| (format!("c{at}"), json!({"type": "Number"})))
        .collect();
    let full = class(Value::Object(full));
    assert!(validate(&full, json!({"c0": 1})).is_ok());
    assert_eq!(validate(&full, json!({"new": 1})).unwrap_err().code.0, 105);
}

#[test]
fn reserved_column_name_is_refused() {
    for name in [
        "ObjectId",
        "objectid",
        "CREATEDAT",
        "updatedat",
        "acl",
        "Acl",
        "className",
        "ClassName",
    ] {
        let error = validate(&class(json!({})), json!({name: "x"})).unwrap_err();
        assert_eq!(error.code.0, 105, "{name}");
        assert!(error.message.contains(name), "{error}");
    }
    assert!(validate(&class(json!({})), json!({"id": "x", "class": "x", "acls": 1})).is_ok());
    // One that was brought from elsewhere can be used, and goes on to be brought.
    let there = class(json!({"acl": {"type": "String"}}));
    assert_eq!(validate(&there, json!({"acl": "x"})), Ok(json!({})));
    let brought = [("Acl".to_owned(), json!("x"))];
    assert!(
        class(json!({}))
            .validate_fields(brought.iter().map(|(k, v)| (k, v)))
            .is_ok()
    );
}

#[test]
fn visible_object_lacks_hidden_columns_and_has_defaults_and_relations() {
    let class = class(json!({
        "secret": {"type": "String", "hidden": true},
        "company": {"type": "String", "default": "none"},
        "likes": {"type": "Relation", "className": "Post"},
    }));
    let shown = |value: Value| {
        let Value::Object(fields) = value else { panic!() };
        class.visible(Document(fields)).into_value()
    };
    let likes = json!({"__type": "Relation", "className": "Post"});
    assert_eq!(
        shown(json!({"secret": "x", "a": 1})),
        json!({"a": 1, "company": "none", "likes": likes})
    );
    assert_eq!(
        shown(json!({"company": "mine"})),
        json!({"company": "mine", "likes": likes})
    );
    assert_eq!(
        shown(json!({"company": null})),
        json!({"company": null, "likes": likes})
    );
}

#[test]
fn built_in_classes_have_columns_and_permissions() {
    let initial = |name: &str| Class::initial(ClassName::parse(name).unwrap());
    let user = initial("_User");
    assert_eq!(user.permissions.find, Permission::MasterOnly);
    assert_eq!(user.permissions.get, Permission::Public);
    assert!(user.columns["password"].hidden && !user.columns["username"].hidden);
    assert!(
        user.indexes
            .iter()
            .any(|index| index.keys == ["username"] && index.unique)
    );
    assert_eq!(validate(&user, json!({"username": 5})).unwrap_err().code.0, 111);
    assert_eq!(
        validate(&user, json!({"authData.weixin": {"__op": "Delete"}})).unwrap(),
        json!({})
    );
    let role = initial("_Role");
    assert_eq!(
        validate(
            &role,
            json!({"users": {"__op": "AddRelation", "objects": [pointer("_User")]}})
        )
        .unwrap(),
        json!({})
    );
    assert_eq!(
        validate(
            &role,
            json!({"users": {"__op": "AddRelation", "objects": [pointer("_Role")]}})
        )
        .unwrap_err()
        .code
        .0,
        111
    );
    assert_eq!(initial("_File").permissions.delete, Permission::MasterOnly);
    assert_eq!(initial("_File").permissions.create, Permission::Public);
    assert_eq!(
        initial("_Installation").columns["channels"].column_type,
        ColumnType::Array
    );
    assert_eq!(initial("Post"), Class::new(ClassName::parse("Post").unwrap()));
}

#[test]
fn permission_allows_its_holders() {
    let client = |user: Option<&str>, roles: &[&str]| Principal::Client {
        user: user.map(|user| ObjectId::parse(user).unwrap()),
        roles: roles.iter().map(ToString::to_string).collect(),
    };
    let named = Permission::Named {
        users: vec![ObjectId::parse("u").unwrap()],
        roles: vec!["r".to_owned()],
    };
    for (permission, anyone, somebody, user, member) in [
        (Permission::Public, true, true, true, true),
        (Permission::LoggedIn, false, true, true, true),
        (named, false, false, true, true),
        (Permission::MasterOnly, false, false, false, false),
    ] {
        assert!(permission.allows(&Principal::Master));
        assert_eq!(permission.allows(&Principal::anonymous()), anyone);
        assert_eq!(permission.allows(&client(Some("v"), &["q"])), somebody);
        assert_eq!(permission.allows(&client(Some("u"), &[])), user);
        assert_eq!(permission.allows(&client(Some("v"), &["q", "r"])), member);
    }
}

#[test]
fn loaded_object_is_validated_against_class() {
    let class = class(json!({"n": {"type": "Number"}, "p": {"type": "Pointer", "className": "A"}}));
    let validate = |fields: Value| {
        let Value::Object(fields) = fields else { panic!() };
        let added = class.validate_fields(fields.iter())?;
        let added = added.into_iter().map(|(name, column)| (name, json!(column)));
        Ok::<Value, CloudError>(Value::Object(added.collect()))
    };
    let fits = json!({
        "objectId": 7, "createdAt": 7, "updatedAt": 7, "ACL": {"*": {"read": true}},
        "n": 1.5, "p": pointer("A"), "gone": null, "s": "x", "at": {"__type": "GeoPoint", "latitude": 1, "longitude": 2},
    });
    assert_eq!(
        validate(fits),
        Ok(json!({"s": {"type": "String"}, "at": {"type": "GeoPoint"}}))
    );
    for (fields, code) in [
        (json!({"n": "x"}), 111),
        (json!({"p": pointer("B")}), 111),
        (json!({"ACL": {"*": true}}), 123),
        (json!({"$a": 1}), 105),
        (json!({"q": pointer("1")}), 103),
    ] {
        assert_eq!(validate(fields.clone()).unwrap_err().code.0, code, "{fields}");
    }
}

#[test]
fn partial_acl_update_is_refused() {
    let class = class(json!({}));
    for (body, fits) in [
        (json!({"ACL": {"*": {"read": true}}}), true),
        (json!({"ACL": {"__op": "Delete"}}), true),
        (json!({"ACL.u": {}}), false),
        (json!({"ACL.u": {"*": {"read": true}}}), false),
        (json!({"ACL.u": {"__op": "Delete"}}), false),
        (json!({"ACL": {"__op": "Increment", "amount": 1}}), false),
    ] {
        let admitted = validate(&class, body.clone()).map_err(|error| error.code.0);
        let expected = if fits { Ok(json!({})) } else { Err(123) };
        assert_eq!(admitted, expected, "{body}");
    }
}

#[test]
fn type_error_shows_sent_value() {
    let class = class(json!({"s": {"type": "String"}}));
    let message = |body: Value| validate(&class, body).unwrap_err().message;
    assert!(message(json!({"s": {"amount": 7}})).contains(r#"value '{"amount":7}'"#));
    assert!(message(json!({"s": {"__op": "Increment", "amount": 7}})).contains("value '7'"));
}

#[test]
fn relations_list_target_classes() {
    let class = class(json!({
        "likes": {"type": "Relation", "className": "Tag"}, "n": {"type": "Number"},
        "author": {"type": "Pointer", "className": "_User"},
    }));
    let relations: Vec<_> = class.relations().collect();
    assert_eq!(relations, [("likes", &ClassName::parse("Tag").unwrap())]);
}
