//! Definitions of classes by the master key: columns, permissions, indexes, ACLs.

use paylog::model::{Class, ClassName, SchemaChange};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{As, answer, start};

// compat: schemas
#[tokio::test]
async fn schemas_are_readable_by_master_key_alone() {
    let server = start().await;
    server
        .create(
            &As::client(),
            "Post",
            json!({"title": "a", "n": 1, "author": super::support::pointer("_User", "x")}),
        )
        .await;
    for path in ["/schemas", "/schemas/Post", "/schemas/Post/definition"] {
        let refused = server.get(&As::client(), path, &[]).await;
        assert_eq!(refused.error(), (400, 1), "{path}");
        assert_eq!(refused.body["error"], "The request must be signed by master key.");
    }
    let master = As::master();
    let all = server.get(&master, "/schemas", &[]).await.body;
    assert_eq!(all["_User"]["username"], json!({"type": "String"}));
    assert_eq!(all["_User"]["authData"], json!({"type": "Object"}));
    let post = server.get(&master, "/schemas/Post", &[]).await.body;
    assert_eq!(all["Post"], post);
    // What the program keeps for itself no request can name, and so it is no class of the app's.
    let own = Class::new(ClassName::parse("_EngineTask").unwrap());
    server
        .database
        .define(SchemaChange::CreateClass(own))
        .await
        .unwrap();
    let all = server.get(&master, "/schemas", &[]).await.body;
    assert_eq!((all.get("_EngineTask"), all.get("Post")), (None, Some(&post)));
    assert_eq!(
        post,
        json!({
            "objectId": {"type": "String"}, "createdAt": {"type": "Date"}, "updatedAt": {"type": "Date"},
            "ACL": {"type": "ACL"}, "title": {"type": "String"}, "n": {"type": "Number"},
            "author": {"type": "Pointer", "className": "_User"}
        })
    );
    assert_eq!(
        server.get(&master, "/schemas/Absent", &[]).await.error(),
        (404, 101)
    );
    let deleted = answer(server.request(&master, Method::DELETE, "/schemas/Post")).await;
    assert_eq!(deleted.error(), (405, 1));
}

// compat: administration
#[tokio::test]
async fn class_is_created_with_whole_definition() {
    let server = start().await;
    let (tom, toms) = server.sign_up("tom").await;
    let definition = json!({
        "columns": {
            "title": {"type": "String", "required": true},
            "views": {"type": "Number", "readOnly": true, "default": 0},
            "secret": {"type": "String", "hidden": true},
            "at": {"type": "Date", "default": {"__type": "Date", "iso": "2026-01-01T00:00:00.000Z"}},
            "author": {"type": "Pointer", "className": "_User"}
        },
        "permissions": {"delete": {}, "update": {"users": [tom]}, "find": {"onlySignInUsers": true}},
        "indexes": [{"keys": ["title"], "unique": true}, {"keys": ["author", "views"], "sparse": true}],
        "acl": {"_owner": {"read": true, "write": true}, "*": {"read": true}}
    });
    assert_eq!(
        server
            .post(&As::client(), "/schemas/Page", definition.clone())
            .await
            .error(),
        (400, 1)
    );
    let created = server.post(&As::master(), "/schemas/Page", definition).await;
    assert_eq!(
        (created.status, created.header("location")),
        (201, "/1.1/schemas/Page"),
        "{created:?}"
    );
    let shown = server.get(&As::master(), "/schemas/Page/definition", &[]).await;
    assert_eq!(shown.body, created.body);
    assert_eq!(
        shown.body["permissions"],
        json!({"add_fields": {"*": true}, "create": {"*": true}, "get": {"*": true}, "delete": {},
            "update": {"users": [tom], "roles": []}, "find": {"onlySignInUsers": true}})
    );
    assert_eq!(
        shown.body["columns"]["views"],
        json!({"type": "Number", "readOnly": true, "default": 0})
    );
    assert_eq!(
        shown.body["indexes"],
        json!([{"keys": ["title"], "unique": true, "sparse": false},
            {"keys": ["author", "views"], "unique": false, "sparse": true}])
    );
    let again = server.post(&As::master(), "/schemas/Page", json!({})).await;
    assert_eq!(again.error(), (400, 1));

    // And it holds.
    let own = As::user(&toms);
    assert_eq!(
        server.post(&own, "/classes/Page", json!({})).await.error(),
        (400, 113)
    );
    let page = server
        .post(
            &own,
            "/classes/Page?fetchWhenSave=true",
            json!({"title": "a", "secret": "s"}),
        )
        .await;
    assert_eq!(
        (&page.body["views"], page.body.get("secret")),
        (&json!(0), None),
        "{page:?}"
    );
    assert_eq!(page.body["at"]["iso"], "2026-01-01T00:00:00.000Z");
    assert_eq!(
        server
            .post(&own, "/classes/Page", json!({"title": "a"}))
            .await
            .error(),
        (400, 137)
    );
    assert_eq!(
        server
            .post(&own, "/classes/Page", json!({"title": "b", "views": 5}))
            .await
            .error(),
        (400, 117)
    );
    let path = format!("/classes/Page/{}", page.id());
    for empty in [json!({"title": null}), json!({"title": {"__op": "Delete"}})] {
        assert_eq!(server.put(&own, &path, empty).await.error(), (400, 113));
    }
    assert_eq!(
        server.get(&As::client(), "/classes/Page", &[]).await.error(),
        (403, 403)
    );
    assert_eq!(server.get(&own, "/classes/Page", &[]).await.status, 200);
    assert_eq!(server.delete(&own, &path).await.error(), (403, 403));
    let acl = server.get(&own, &path, &[("returnACL", "true")]).await.body["ACL"].clone();
    assert_eq!(
        acl,
        json!({"*": {"read": true}, tom: {"read": true, "write": true}})
    );
}

// compat: administration
#[tokio::test]
async fn definition_changes_only_named_parts() {
    let server = start().await;
    let (client, master) = (As::client(), As::master());
    let id = server
        .create(&client, "Post", json!({"title": "a", "n": 1}))
        .await;
    let change = async |body: Value| server.put(&master, "/schemas/Post", body).await;
    let changed = change(json!({"columns": {"n": {"readOnly": true}, "more": {"type": "Array"}}})).await;
    assert_eq!(
        changed.body["columns"],
        json!({"title": {"type": "String"}, "n": {"type": "Number", "readOnly": true}, "more": {"type": "Array"}})
    );
    let path = format!("/classes/Post/{id}");
    assert_eq!(
        server.put(&client, &path, json!({"n": 2})).await.error(),
        (400, 117)
    );
    change(json!({"columns": {"n": {"readOnly": false, "default": 7}}})).await;
    assert_eq!(server.put(&client, &path, json!({"n": 2})).await.status, 200);
    change(json!({"columns": {"n": {"default": null}}, "permissions": {"get": {}}})).await;
    assert_eq!(server.get(&client, &path, &[]).await.error(), (403, 403));
    change(json!({"permissions": {"get": {"*": true}}})).await;
    assert_eq!(server.get(&client, &path, &[]).await.body["n"], 2);
    change(json!({"acl": {"*": {"read": true}}})).await;
    let guarded = server.create(&client, "Post", json!({"title": "b"})).await;
    let refused = server
        .put(&client, &format!("/classes/Post/{guarded}"), json!({}))
        .await;
    assert_eq!(refused.error(), (403, 403));
    let changed = change(json!({"acl": null})).await;
    assert_eq!(changed.body["acl"], Value::Null);
    // An index that what is stored breaks is refused.
    server.create(&client, "Post", json!({"title": "a"})).await;
    let unique = change(json!({"indexes": [{"keys": ["title"], "unique": true}]})).await;
    assert_eq!(unique.error(), (400, 137));
    let shown = server.get(&master, "/schemas/Post/definition", &[]).await.body;
    assert_eq!(shown["indexes"], json!([]));
}

#[tokio::test]
async fn malformed_definition_changes_nothing() {
    let server = start().await;
    let master = As::master();
    server.create(&master, "Post", json!({"n": 1})).await;
    let before = server.get(&master, "/schemas/Post/definition", &[]).await.body;
    for (body, code) in [
        (json!({"fields": {}}), 107),
        (json!({"columns": []}), 107),
        (json!({"columns": {"n": {"type": "String"}}}), 111),
        (json!({"columns": {"m": {}}}), 107),
        (json!({"columns": {"m": {"type": "Text"}}}), 107),
        (json!({"columns": {"m": {"type": "Pointer"}}}), 107),
        (json!({"columns": {"m": {"type": "Number", "default": "x"}}}), 111),
        (json!({"columns": {"m": {"type": "Number", "hide": true}}}), 107),
        (json!({"columns": {"m": {"type": "Number", "hidden": 1}}}), 107),
        (json!({"columns": {"a.b": {"type": "Number"}}}), 105),
        (json!({"columns": {"objectId": {"type": "String"}}}), 107),
        (json!({"permissions": {"read": {}}}), 107),
        (json!({"permissions": {"get": true}}), 107),
        (json!({"permissions": {"get": {"everyone": true}}}), 107),
        (json!({"permissions": {"get": {"users": "tom"}}}), 107),
        (json!({"permissions": {"get": {"users": ["a b"]}}}), 104),
        (json!({"indexes": {}}), 107),
        (json!({"indexes": [{"keys": []}]}), 107),
        (json!({"indexes": [{"keys": ["$a"]}]}), 105),
        (json!({"indexes": [{"keys": ["a"], "order": 1}]}), 107),
        (json!({"acl": {"*": 7}}), 123),
        (
            json!({"columns": {"fine": {"type": "Number"}}, "acl": {"*": 7}}),
            123,
        ),
    ] {
        let refused = server.put(&master, "/schemas/Post", body.clone()).await;
        assert_eq!(refused.error(), (400, code), "{body}");
    }
    let after = server.get(&master, "/schemas/Post/definition", &[]).await.body;
    assert_eq!(after, before);
    assert_eq!(
        server.post(&master, "/schemas/_Secret", json!({})).await.error(),
        (400, 103)
    );
}
