//! Objects: create, read, update, delete; operations; conditional writes.

use paylog::model::{Class, ClassName, SchemaChange};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{As, answer, pointer, start};

// compat: object.create object.get object.update object.delete
#[tokio::test]
async fn object_create_read_update_delete() {
    let server = start().await;
    let client = As::client();
    let body = json!({"title": "first", "score": 7, "ratio": 0.5, "tags": ["a", "b"], "none": null});
    let created = server.post(&client, "/classes/Post", body).await;
    assert_eq!(
        (created.status, created.keys()),
        (201, vec!["createdAt", "objectId"])
    );
    let id = created.id();
    assert_eq!(created.header("location"), format!("/1.1/classes/Post/{id}"));
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));

    let path = format!("/classes/Post/{id}");
    let read = server.get(&client, &path, &[]).await;
    assert_eq!(read.status, 200);
    assert_eq!(
        read.body,
        json!({"title": "first", "score": 7, "ratio": 0.5, "tags": ["a", "b"], "none": null, "objectId": id,
            "createdAt": created.body["createdAt"], "updatedAt": created.body["createdAt"]})
    );
    // An HTTP date with milliseconds.
    let modified = read.header("last-modified");
    assert!(modified.ends_with(" GMT") && modified.contains('.'), "{modified}");

    let updated = server.put(&client, &path, json!({"title": "second"})).await;
    assert_eq!(
        (updated.status, updated.keys()),
        (200, vec!["objectId", "updatedAt"])
    );
    let read = server.get(&client, &path, &[]).await.body;
    assert_eq!((&read["title"], &read["score"]), (&json!("second"), &json!(7)));
    assert_eq!(read["updatedAt"], updated.body["updatedAt"]);

    let deleted = server.delete(&client, &path).await;
    assert_eq!((deleted.status, deleted.body), (200, json!({})));
    let absent = server.get(&client, &path, &[]).await;
    assert_eq!((absent.status, &absent.body), (200, &json!({})));
    assert_eq!(absent.header("last-modified"), "");
    // Deleting what is not there changes nothing, and is no failure.
    assert_eq!(server.delete(&client, &path).await.status, 200);
}

// compat: object.unknown_id object.last_modified
#[tokio::test]
async fn absent_object_is_answered_as_by_leancloud() {
    let server = start().await;
    let client = As::client();
    let missing = server
        .get(&client, "/classes/Nothing/5d83080ef40d3a0007541db3", &[])
        .await;
    assert_eq!(missing.error(), (404, 101));
    assert_eq!(missing.body["error"], "Class or object doesn't exists.");
    assert_eq!(
        server.get(&client, "/classes/Nothing", &[]).await.error(),
        (404, 101)
    );
    assert_eq!(
        server.delete(&client, "/classes/Nothing/1").await.error(),
        (404, 101)
    );

    server.create(&client, "Post", json!({})).await;
    let missing = server.put(&client, "/classes/Post/fakeid", json!({"a": 1})).await;
    assert_eq!(missing.error(), (400, 1));
    assert_eq!(
        missing.body["error"],
        "Could not find object by id 'fakeid' for class 'Post'."
    );
    // What cannot be an id is the id of nothing.
    let odd = server.get(&client, "/classes/Post/%E4%BD%A0!", &[]).await;
    assert_eq!((odd.status, odd.body), (200, json!({})));
    for (id, shown) in [("a%20b", "a b"), ("a.b", "a.b")] {
        let missing = server
            .put(&client, &format!("/classes/Post/{id}"), json!({"a": 1}))
            .await;
        assert_eq!(missing.error(), (400, 1));
        assert_eq!(
            missing.body["error"],
            format!("Could not find object by id '{shown}' for class 'Post'.")
        );
    }
}

// compat: object.fetch_when_save
#[tokio::test]
async fn response_to_save_has_fields_on_request() {
    let server = start().await;
    let client = As::client();
    let friend = server.create(&client, "Person", json!({})).await;
    let likes = json!({"__op": "AddRelation", "objects": [pointer("Person", &friend)]});
    server
        .create(&client, "Person", json!({"likes": likes, "name": "a"}))
        .await;

    for option in ["fetchWhenSave=true", "new=true"] {
        let created = server
            .post(
                &client,
                &format!("/classes/Person?{option}"),
                json!({"name": "b"}),
            )
            .await;
        assert_eq!(created.status, 201);
        assert_eq!(
            created.keys(),
            ["createdAt", "likes", "name", "objectId", "updatedAt"],
            "the whole object, relation columns included"
        );
        assert_eq!(
            created.body["likes"],
            json!({"__type": "Relation", "className": "Person"})
        );
        let path = format!("/classes/Person/{}?{option}", created.id());
        let increment = json!({"age": {"__op": "Increment", "amount": 19}});
        let updated = server.put(&client, &path, increment).await;
        assert_eq!(updated.keys(), ["age", "likes", "objectId", "updatedAt"]);
        assert_eq!(updated.body["age"], 19);
    }
}

// compat: object.conditional
#[tokio::test]
async fn conditional_write_is_atomic() {
    let server = start().await;
    let client = As::client();
    let id = server.create(&client, "Account", json!({"balance": 100})).await;
    let path = format!("/classes/Account/{id}");
    let debit = json!({"balance": {"__op": "Increment", "amount": -60}});
    let enough = json!({"balance": {"$gte": 60}});
    assert_eq!(
        server
            .put_where(&client, &path, enough.clone(), debit.clone())
            .await
            .status,
        200
    );
    let refused = server
        .put_where(&client, &path, enough.clone(), debit.clone())
        .await;
    assert_eq!(refused.error(), (400, 305));
    assert_eq!(
        refused.body["error"],
        "No effect on updating/deleting a document."
    );
    assert_eq!(server.read("Account", &id).await["balance"], 40);
    // A condition on what is not there does not hold either.
    let absent = server
        .put_where(&client, "/classes/Account/none", json!({}), debit)
        .await;
    assert_eq!(absent.error(), (400, 305));

    let delete = |condition: Value| {
        let condition = condition.to_string();
        let request = server.request(&client, Method::DELETE, &path);
        answer(request.query(&[("where", condition)]))
    };
    assert_eq!(delete(json!({"balance": 0})).await.error(), (400, 305));
    assert_eq!(delete(json!({"balance": 40})).await.status, 200);
    assert_eq!(server.read("Account", &id).await, json!({}));
}

// compat: op.increment op.add op.add_unique op.remove op.delete op.bits op.dotted op.on_create
#[tokio::test]
async fn operations_change_their_fields() {
    let server = start().await;
    let client = As::client();
    // Operation on the field `a`, its value before (absent where null), its value after.
    let cases = [
        (json!({"__op": "Increment", "amount": 2}), json!(1), json!(3)),
        (json!({"__op": "Increment", "amount": 2}), Value::Null, json!(2)),
        (json!({"__op": "Decrement", "amount": 2}), json!(1), json!(-1)),
        (
            json!({"__op": "Add", "objects": [2]}),
            json!([1, 2]),
            json!([1, 2, 2]),
        ),
        (json!({"__op": "Add", "objects": [2]}), Value::Null, json!([2])),
        (
            json!({"__op": "AddUnique", "objects": [2, 3]}),
            json!([1, 2]),
            json!([1, 2, 3]),
        ),
        (
            json!({"__op": "Remove", "objects": [2]}),
            json!([2, 1, 2]),
            json!([1]),
        ),
        (json!({"__op": "Delete"}), json!("x"), Value::Null),
        (json!({"__op": "BitAnd", "value": 6}), json!(3), json!(2)),
        (json!({"__op": "BitOr", "value": 6}), json!(3), json!(7)),
        (json!({"__op": "BitXor", "value": 6}), json!(3), json!(5)),
    ];
    for (number, (op, before, after)) in cases.into_iter().enumerate() {
        // A class each: columns have types.
        let class = format!("Case{number}");
        let body = if before.is_null() {
            json!({})
        } else {
            json!({"a": before})
        };
        let id = server.create(&client, &class, body).await;
        let updated = server
            .put(&client, &format!("/classes/{class}/{id}"), json!({"a": op}))
            .await;
        assert_eq!(updated.status, 200, "{op}: {updated:?}");
        assert_eq!(server.read(&class, &id).await["a"], after, "{op} on {before}");
    }
    // Inside embedded objects, by dotted keys; and several at once.
    let id = server
        .create(&client, "Nested", json!({"a": {"n": 1, "gone": true}, "b": 1}))
        .await;
    let path = format!("/classes/Nested/{id}");
    let body = json!({"a.n": {"__op": "Increment", "amount": 1}, "a.gone": {"__op": "Delete"}, "b": 2});
    assert_eq!(server.put(&client, &path, body).await.status, 200);
    let read = server.read("Nested", &id).await;
    assert_eq!((&read["a"], &read["b"]), (&json!({"n": 2}), &json!(2)));
    // A failing operation leaves the others undone.
    let body = json!({"b": 9, "a": {"__op": "Increment", "amount": 1}});
    assert_eq!(server.put(&client, &path, body).await.error(), (400, 111));
    assert_eq!(server.read("Nested", &id).await["b"], 2);
}

// compat: relation.add relation.remove relation.query relation.reverse relation.batch_op query.redirect
#[tokio::test]
async fn relation_is_searched_from_both_ends() {
    let server = start().await;
    let client = As::client();
    let posts = [
        server.create(&client, "Post", json!({"n": 1})).await,
        server.create(&client, "Post", json!({"n": 2})).await,
        server.create(&client, "Post", json!({"n": 3})).await,
    ];
    let pointers: Vec<Value> = posts.iter().map(|id| pointer("Post", id)).collect();
    let likes = json!({"__op": "AddRelation", "objects": [pointers[0], pointers[1]]});
    let fan = server.create(&client, "Fan", json!({"likes": likes})).await;
    let other = server.create(&client, "Fan", json!({})).await;
    assert_eq!(
        server.read("Fan", &other).await["likes"],
        json!({"__type": "Relation", "className": "Post"}),
        "the column is in every object"
    );

    let related = json!({"$relatedTo": {"object": pointer("Fan", &fan), "key": "likes"}});
    let numbers = |rows: Vec<Value>| rows.iter().map(|row| row["n"].clone()).collect::<Vec<_>>();
    assert_eq!(
        numbers(server.find(&client, "Post", related.clone()).await),
        [1, 2]
    );
    let both = json!({"$relatedTo": related["$relatedTo"], "n": {"$gt": 1}});
    assert_eq!(numbers(server.find(&client, "Post", both).await), [2]);
    let counted = server
        .get(
            &client,
            "/classes/Post",
            &[("where", &related.to_string()), ("limit", "0"), ("count", "1")],
        )
        .await;
    assert_eq!(counted.body, json!({"results": [], "count": 2}));
    // By the class of the owner, where the target's is not known.
    let query = [
        ("where", related.to_string()),
        ("redirectClassNameForKey", "likes".to_owned()),
    ];
    let query: Vec<(&str, &str)> = query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let redirected = server.get(&client, "/classes/Fan", &query).await;
    assert_eq!(redirected.body["className"], "Post");
    assert_eq!(redirected.body["results"].as_array().unwrap().len(), 2);

    let fans_of = |post: &Value| json!({"likes": post});
    assert_eq!(server.find(&client, "Fan", fans_of(&pointers[0])).await.len(), 1);
    assert_eq!(server.find(&client, "Fan", fans_of(&pointers[2])).await.len(), 0);
    let not = json!({"likes": {"$ne": pointers[0]}});
    assert_eq!(
        server.find(&client, "Fan", not).await[0]["objectId"],
        other.as_str()
    );

    let remove = json!({"likes": {"__op": "RemoveRelation", "objects": [pointers[0]]}});
    assert_eq!(
        server
            .put(&client, &format!("/classes/Fan/{fan}"), remove)
            .await
            .status,
        200
    );
    assert_eq!(numbers(server.find(&client, "Post", related).await), [2]);
    let empty = json!({"likes": {"__op": "AddRelation", "objects": []}});
    assert_eq!(
        server
            .put(&client, &format!("/classes/Fan/{fan}"), empty)
            .await
            .error(),
        (400, 128)
    );
}

// compat: key.names class.names type.fixed type.mismatch op.unknown op.batch op.dotted relation.limits acl.invalid values.geo_points
#[tokio::test]
async fn malformed_body_changes_nothing() {
    let server = start().await;
    let client = As::client();
    let id = server
        .create(
            &client,
            "Typed",
            json!({"text": "a", "number": 1, "list": [], "map": {}}),
        )
        .await;
    let path = format!("/classes/Typed/{id}");
    let before = server.read("Typed", &id).await;
    let cases = [
        (json!({"text": 1}), 111),
        (json!({"number": "1"}), 111),
        (json!({"text": {"__op": "Increment", "amount": 1}}), 111),
        (json!({"list": {"__op": "add", "objects": [1]}}), 1),
        (json!({"list": {"__op": "Add"}}), 107),
        (json!({"number": {"__op": "Increment", "amount": "1"}}), 107),
        (json!({"bad-key": 1}), 105),
        (json!({"$set": 1}), 105),
        (json!({"map": {"a.b": 1}}), 121),
        (json!({"map": {"$a": 1}}), 121),
        (json!({"p": {"__type": "Pointer", "className": "A"}}), 106),
        (
            json!({"g": {"__type": "GeoPoint", "latitude": 91, "longitude": 0}}),
            302,
        ),
        (json!({"ACL": "everyone"}), 123),
        (json!({"ACL": {"*": {"read": "yes"}}}), 123),
    ];
    for (body, code) in cases {
        let refused = server.put(&client, &path, body.clone()).await;
        assert_eq!(refused.error(), (400, code), "{body}: {refused:?}");
    }
    assert_eq!(server.read("Typed", &id).await, before);
    assert_eq!(
        server
            .post(&client, "/classes/Typed", json!({"a.b": 1}))
            .await
            .error(),
        (400, 105)
    );
    assert_eq!(
        server.post(&client, "/classes/9Class", json!({})).await.error(),
        (400, 103)
    );
    assert_eq!(
        server.post(&client, "/classes/_Secret", json!({})).await.error(),
        (400, 103)
    );
    // Nobody sets what the server sets.
    let body = json!({"objectId": "mine", "createdAt": "2001-01-01T00:00:00.000Z", "text": "b"});
    let created = server.post(&client, "/classes/Typed", body).await;
    assert_eq!(created.status, 201);
    let stored = server.read("Typed", &created.id()).await;
    assert_ne!(stored["objectId"], "mine");
    assert_eq!(stored["createdAt"], created.body["createdAt"]);
}

// compat: key.reserved index.key_length
#[tokio::test]
async fn illegal_key_and_long_indexed_value_are_refused() {
    let server = start().await;
    let client = As::client();
    let id = server.create(&client, "Shop", json!({"name": "a"})).await;
    let path = format!("/classes/Shop/{id}");
    for key in ["ObjectId", "acl", "ClassName", "createdat"] {
        let refused = server.put(&client, &path, json!({key: "x"})).await;
        assert_eq!(refused.error(), (400, 105), "{key}");
        let refused = server.post(&client, "/classes/Shop", json!({key: "x"})).await;
        assert_eq!(refused.error(), (400, 105), "{key}");
    }
    // In their own letter case they mean what they mean.
    let body = json!({"className": "Shop", "objectId": "x", "ACL": {"*": {"read": true, "write": true}}, "name": "b"});
    assert_eq!(server.put(&client, &path, body).await.status, 200);

    let index = json!({"indexes": [{"keys": ["name"]}]});
    assert_eq!(
        server.put(&As::master(), "/schemas/Shop", index).await.status,
        200
    );
    let name = |length: usize| json!({"name": "x".repeat(length)});
    assert_eq!(server.put(&client, &path, name(1024)).await.status, 200);
    for refused in [
        server.put(&client, &path, name(1025)).await,
        server.post(&client, "/classes/Shop", name(1025)).await,
    ] {
        assert_eq!(refused.error(), (400, 1));
        let text = refused.body["error"].as_str().unwrap();
        assert!(text.starts_with("The key is too long"), "{text}");
    }
}

// compat: relation.many where.arrays
#[tokio::test]
async fn relation_query_takes_many_objects() {
    let server = start().await;
    let client = As::client();
    let mut tags = Vec::new();
    for n in 0..120 {
        tags.push(pointer(
            "Tag",
            &server.create(&client, "Tag", json!({"n": n})).await,
        ));
    }
    let add = |tags: &[Value]| json!({"tags": {"__op": "AddRelation", "objects": tags}});
    let first = server.create(&client, "Post", add(&tags[..2])).await;
    let second = server.create(&client, "Post", add(&tags[1..3])).await;
    let third = server.create(&client, "Post", json!({})).await;
    let found = async |condition: Value| {
        let rows = server.find(&client, "Post", json!({"tags": condition})).await;
        let ids = rows
            .iter()
            .map(|row| row["objectId"].as_str().unwrap().to_owned());
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids
    };
    let sorted = |mut ids: Vec<&String>| {
        ids.sort();
        ids.into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        found(json!({"$inQuery": {"className": "Tag", "where": {}}})).await,
        sorted(vec![&first, &second])
    );
    assert_eq!(
        found(json!({"$notInQuery": {"className": "Tag", "where": {}, "limit": 1000}})).await,
        sorted(vec![&third])
    );
    assert_eq!(found(json!({"$in": tags})).await, sorted(vec![&first, &second]));
    assert_eq!(found(json!({"$in": tags[2..]})).await, sorted(vec![&second]));
    assert_eq!(
        found(json!({"$nin": tags[2..]})).await,
        sorted(vec![&first, &third])
    );
    assert_eq!(
        found(json!({"$all": tags[1..2]})).await,
        sorted(vec![&first, &second])
    );
    assert_eq!(found(json!({"$all": tags[..2]})).await, sorted(vec![&first]));
    assert_eq!(found(json!({"$all": tags[..3]})).await, sorted(vec![]));
    assert_eq!(found(json!({"$all": ["no pointer"]})).await, sorted(vec![]));
    assert_eq!(found(json!({"$all": []})).await, sorted(vec![]));
    assert_eq!(
        found(json!({"$not": {"$all": tags[..2]}})).await,
        sorted(vec![&second, &third])
    );
}

// compat: object.delete_many
#[tokio::test]
async fn delete_of_many_ids_deletes_all() {
    let server = start().await;
    let client = As::client();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(server.create(&client, "Post", json!({})).await);
    }
    let path = format!("/classes/Post/{},{}", ids[0], ids[2]);
    assert_eq!(server.delete(&client, &path).await.body, json!({}));
    let left = server.find(&client, "Post", json!({})).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["objectId"], ids[1].as_str());
    assert_eq!(
        server.delete(&client, "/classes/Post/,").await.error(),
        (400, 104)
    );
}

// compat: limits
#[tokio::test]
async fn size_of_object_and_number_of_classes_and_columns_are_bounded() {
    let server = start().await;
    let client = As::client();
    // Two halves that are within the bounds of a request, and an object that is not within its own.
    let half = "x".repeat(9 * 1024 * 1024);
    let id = server.create(&client, "Large", json!({"first": half})).await;
    let path = format!("/classes/Large/{id}");
    let refused = server.put(&client, &path, json!({"second": half})).await;
    assert_eq!(refused.error(), (400, 116));
    let whole = server
        .post(&client, "/classes/Large", json!({"first": half.repeat(2)}))
        .await;
    assert_eq!(whole.error(), (400, 116));

    // As many columns as a class can have, and one more.
    let columns =
        |count: usize| -> serde_json::Map<_, _> { (0..count).map(|n| (format!("c{n}"), json!(n))).collect() };
    let wide = server
        .post(&client, "/classes/Wide", Value::Object(columns(301)))
        .await;
    assert_eq!(wide.error(), (400, 105));
    let id = server.create(&client, "Wide", Value::Object(columns(300))).await;
    let path = format!("/classes/Wide/{id}");
    let further = server.put(&client, &path, json!({"further": 1})).await;
    assert_eq!(further.error(), (400, 105));
    assert_eq!(server.put(&client, &path, json!({"c299": 1})).await.status, 200);

    let there = server.database.schema().classes.len();
    for n in there..500 {
        let class = Class::new(ClassName::parse(&format!("Class{n}")).unwrap());
        server
            .database
            .define(SchemaChange::CreateClass(class))
            .await
            .unwrap();
    }
    let further = server.post(&client, "/classes/OneMore", json!({})).await;
    assert_eq!(further.error(), (400, 154));
    assert_eq!(
        server.post(&client, "/classes/Large", json!({})).await.status,
        201
    );
}
