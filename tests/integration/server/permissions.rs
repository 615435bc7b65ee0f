//! ACLs, roles, class permissions, read-only and hidden columns.

use paylog::model::{
    Acl, ClassName, ClassPermissions, Column, ColumnType, Filter, ObjectId, Op, Permission, SchemaChange,
    Update,
};
use paylog::store::Write;
use serde_json::{Value, json};

use super::support::{As, TestServer, pointer, start, start_with};

fn class(name: &str) -> ClassName {
    ClassName::parse(name).unwrap()
}

async fn define(server: &TestServer, change: SchemaChange) {
    server.database.define(change).await.unwrap();
}

// compat: acl.read acl.write acl.returned
#[tokio::test]
async fn acl_hides_and_protects_its_object() {
    let server = start().await;
    let (tom, toms) = server.sign_up("tom").await;
    let (_, jerrys) = server.sign_up("jerry").await;
    let acl = json!({"*": {}, tom: {"read": true, "write": true}});
    let id = server
        .create(&As::user(&toms), "Note", json!({"text": "mine", "ACL": acl}))
        .await;
    let path = format!("/classes/Note/{id}");

    for stranger in [As::client(), As::user(&jerrys)] {
        let hidden = server.get(&stranger, &path, &[]).await;
        assert_eq!(hidden.error(), (403, 403));
        assert_eq!(hidden.body["error"], "Forbidden reading by object's ACL.");
        assert_eq!(
            server.find(&stranger, "Note", json!({})).await,
            Vec::<Value>::new()
        );
        let counted = server
            .get(&stranger, "/classes/Note", &[("count", "1"), ("limit", "0")])
            .await;
        assert_eq!(counted.body["count"], 0);
        let refused = server.put(&stranger, &path, json!({"text": "theirs"})).await;
        assert_eq!(refused.error(), (403, 403));
        assert_eq!(refused.body["error"], "Forbidden writing by object's ACL.");
        assert_eq!(server.delete(&stranger, &path).await.error(), (403, 403));
    }
    for friend in [As::user(&toms), As::master()] {
        assert_eq!(server.get(&friend, &path, &[]).await.body["text"], "mine");
        assert_eq!(server.find(&friend, "Note", json!({})).await.len(), 1);
        assert_eq!(
            server.put(&friend, &path, json!({"text": "mine"})).await.status,
            200
        );
    }
    // The ACL is shown to who asks for it.
    let shown = server
        .get(&As::user(&toms), &path, &[("returnACL", "true")])
        .await;
    assert_eq!(shown.body["ACL"], acl);
    assert!(
        server
            .get(&As::user(&toms), &path, &[])
            .await
            .body
            .get("ACL")
            .is_none()
    );
    let open = server.create(&As::client(), "Note", json!({})).await;
    let shown = server
        .get(
            &As::client(),
            &format!("/classes/Note/{open}"),
            &[("returnACL", "true")],
        )
        .await;
    assert_eq!(shown.body["ACL"], json!({"*": {"read": true, "write": true}}));
}

// compat: role.create role.name role.acl_required role.members role.inheritance role.of_user
#[tokio::test]
async fn role_gives_rights_to_members_and_members_of_children() {
    let server = start().await;
    let (tom, toms) = server.sign_up("tom").await;
    let (jerry, jerrys) = server.sign_up("jerry").await;
    let (_, spikes) = server.sign_up("spike").await;
    let public = json!({"*": {"read": true}});
    let relation = |class: &str, id: &str| json!({"__op": "AddRelation", "objects": [pointer(class, id)]});

    let nameless = server
        .post(&As::client(), "/roles", json!({"name": "editors"}))
        .await;
    assert_eq!(nameless.error(), (400, 1));
    assert_eq!(nameless.body["error"], "Role ACL is required.");
    let odd = json!({"name": "a/b", "ACL": public});
    assert_eq!(
        server.post(&As::client(), "/roles", odd).await.error(),
        (400, 139)
    );

    // Jerry is a moderator, Tom an editor; moderators have the rights of editors.
    let moderators = json!({"name": "moderators", "ACL": public, "users": relation("_User", &jerry)});
    let moderators = server.post(&As::client(), "/classes/_Role", moderators).await;
    assert_eq!(
        moderators.header("location"),
        format!("/1.1/classes/_Role/{}", moderators.id())
    );
    let editors = json!({"name": "editors", "ACL": public, "users": relation("_User", &tom),
        "roles": relation("_Role", &moderators.id())});
    let editors = server.post(&As::client(), "/roles", editors).await.id();
    // A circle ends.
    let circle = json!({"roles": relation("_Role", &editors)});
    let path = format!("/roles/{}", moderators.id());
    assert_eq!(server.put(&As::master(), &path, circle).await.status, 200);

    let acl = json!({"role:editors": {"read": true, "write": true}});
    let id = server.create(&As::master(), "Page", json!({"ACL": acl})).await;
    let path = format!("/classes/Page/{id}");
    for (token, may) in [(&toms, true), (&jerrys, true), (&spikes, false)] {
        let shown = server.get(&As::user(token), &path, &[]).await.body;
        assert_eq!(shown.get("objectId").is_some(), may);
        let status = server.put(&As::user(token), &path, json!({"n": 1})).await.status;
        assert_eq!(status, if may { 200 } else { 403 });
    }
    // Who leaves a role leaves its rights.
    let leave = json!({"users": {"__op": "RemoveRelation", "objects": [pointer("_User", &tom)]}});
    assert_eq!(
        server
            .put(&As::master(), &format!("/roles/{editors}"), leave)
            .await
            .status,
        200
    );
    assert_eq!(server.get(&As::user(&toms), &path, &[]).await.error(), (403, 403));

    // However the store is written, by hooks and functions of the app too, what is remembered of roles is not outlived.
    let role = ObjectId::parse(&editors).unwrap();
    let target = paylog::model::Pointer {
        class_name: ClassName::user(),
        object_id: ObjectId::parse(&tom).unwrap(),
    };
    for (op, may) in [
        (Op::AddRelation(vec![target.clone()]), true),
        (Op::RemoveRelation(vec![target.clone()]), false),
        (Op::AddRelation(vec![target]), true),
    ] {
        let update = Update::new().with("users", op);
        let write = Write::update(&ClassName::role(), &role, Filter::all(), update);
        let _ = server.database.write(write).await;
        let shown = server.get(&As::user(&toms), &path, &[]).await.body;
        assert_eq!(shown.get("objectId").is_some(), may);
    }
    // A role that goes takes its rights along, with those of who is in its children.
    assert_eq!(server.get(&As::user(&jerrys), &path, &[]).await.body["n"], 1);
    let moderator = format!("/roles/{}", moderators.id());
    assert_eq!(server.delete(&As::master(), &moderator).await.status, 200);
    assert_eq!(
        server.get(&As::user(&jerrys), &path, &[]).await.error(),
        (403, 403)
    );
    let open = json!({"ACL": {"__op": "Delete"}});
    let opened = server
        .put(&As::master(), &format!("/roles/{editors}"), open)
        .await;
    assert_eq!(
        opened.error(),
        (400, 1),
        "a role without an ACL would be everybody's"
    );

    let taken = json!({"name": "editors", "ACL": public});
    assert_eq!(
        server.post(&As::client(), "/roles", taken).await.error(),
        (400, 137)
    );
    let renamed = server
        .put(&As::master(), &format!("/roles/{editors}"), json!({"name": "x"}))
        .await;
    assert_eq!(renamed.error(), (400, 139));
    let joined = server
        .put(&As::user(&spikes), &format!("/roles/{editors}"), json!({}))
        .await;
    assert_eq!(
        joined.error(),
        (403, 403),
        "the role's ACL lets everybody read, nobody write"
    );
    let of_tom = json!({"users": pointer("_User", &tom)});
    let roles = server.find(&As::client(), "_Role", of_tom).await;
    assert_eq!((roles.len(), &roles[0]["name"]), (1, &json!("editors")));
    assert_eq!(
        roles[0]["users"],
        json!({"__type": "Relation", "className": "_User"})
    );
}

// compat: class_permissions
#[tokio::test]
async fn class_permissions_bind_clients() {
    let server = start().await;
    let (tom, toms) = server.sign_up("tom").await;
    let (_, jerrys) = server.sign_up("jerry").await;
    let id = server.create(&As::master(), "Log", json!({"n": 1})).await;
    let path = format!("/classes/Log/{id}");
    let named = Permission::Named {
        users: vec![ObjectId::parse(&tom).unwrap()],
        roles: Vec::new(),
    };
    let permissions = ClassPermissions {
        get: Permission::LoggedIn,
        update: named,
        ..ClassPermissions::master_only()
    };
    define(&server, SchemaChange::SetPermissions(class("Log"), permissions)).await;

    let forbidden = |answer: super::support::Answer, right: &str| {
        assert_eq!(answer.error(), (403, 403), "{right}");
        let text = format!("Forbidden to {right} by class permissions.");
        assert_eq!(answer.body["error"], text);
    };
    let client = As::client();
    forbidden(server.get(&client, "/classes/Log", &[]).await, "find");
    forbidden(server.get(&client, &path, &[]).await, "get");
    forbidden(server.post(&client, "/classes/Log", json!({})).await, "create");
    forbidden(server.put(&client, &path, json!({})).await, "update");
    forbidden(server.delete(&client, &path).await, "delete");
    forbidden(server.put(&As::user(&jerrys), &path, json!({})).await, "update");
    forbidden(
        server.put(&As::user(&toms), &path, json!({"new": 1})).await,
        "add_fields",
    );
    assert_eq!(server.get(&As::user(&jerrys), &path, &[]).await.body["n"], 1);
    assert_eq!(
        server.put(&As::user(&toms), &path, json!({"n": 2})).await.status,
        200
    );
    for (method, status) in [("find", 200), ("create", 201)] {
        let answer = match method {
            "find" => server.get(&As::master(), "/classes/Log", &[]).await,
            _ => {
                server
                    .post(&As::master(), "/classes/Log", json!({"new": 1}))
                    .await
            }
        };
        assert_eq!(answer.status, status);
    }
    // Neither a subquery nor an included pointer goes round them.
    let inner = json!({"n": {"$inQuery": {"className": "Log", "where": {}}}}).to_string();
    server
        .create(&client, "Other", json!({"log": pointer("Log", &id)}))
        .await;
    let asked = server.get(&client, "/classes/Other", &[("where", &inner)]).await;
    assert_eq!(asked.error(), (403, 403));
    let included = server.get(&client, "/classes/Other", &[("include", "log")]).await;
    assert_eq!(included.body["results"][0]["log"], pointer("Log", &id));
}

// compat: column.read_only column.hidden
#[tokio::test]
async fn read_only_and_hidden_columns_are_for_master_key_alone() {
    let server = start().await;
    let guarded = |read_only, hidden| Column {
        read_only,
        hidden,
        ..Column::new(ColumnType::Number)
    };
    let user = ClassName::user();
    let account = SchemaChange::SetColumn(user.clone(), "account".into(), guarded(true, false));
    define(&server, account).await;
    let rating = SchemaChange::SetColumn(user, "rating".into(), guarded(false, true));
    define(&server, rating).await;

    let rich = json!({"username": "rich", "password": "p", "account": 1_000_000});
    assert_eq!(
        server.post(&As::client(), "/users", rich).await.error(),
        (400, 117)
    );
    let (id, token) = server.sign_up("tom").await;
    let (path, own) = (format!("/users/{id}"), As::user(&token));
    for body in [
        json!({"account": 1_000_000}),
        json!({"account": {"__op": "Increment", "amount": 1}}),
        json!({"account": {"__op": "Delete"}}),
        json!({"account.x": 1}),
        json!({"nickname": "t", "account": 0}),
    ] {
        let refused = server.put(&own, &path, body.clone()).await;
        assert_eq!(refused.error(), (400, 117), "{body}");
        assert_eq!(refused.body["error"], "The key is read only.");
        let batch = json!({"requests": [{"method": "PUT", "path": format!("/1.1{path}"), "body": body}]});
        let refused = server.post(&own, "/batch", batch).await.body;
        assert_eq!(refused[0]["error"]["code"], 117);
    }
    assert_eq!(
        server
            .put(&As::master(), &path, json!({"account": 5, "rating": 9}))
            .await
            .status,
        200
    );
    let seen = server.get(&own, &path, &[]).await.body;
    assert_eq!((&seen["account"], seen.get("rating")), (&json!(5), None));
    assert!(
        server
            .get(&own, "/users/me", &[])
            .await
            .body
            .get("rating")
            .is_none()
    );
    let fetched = server
        .put(&own, &format!("{path}?new=true"), json!({"rating": 1}))
        .await
        .body;
    assert!(fetched.get("rating").is_none(), "{fetched}");
    assert_eq!(server.read("_User", &id).await["rating"], 1);
    let guess = server
        .put_where(&own, &path, json!({"rating": {"$gt": 0}}), json!({}))
        .await;
    assert_eq!(guess.error(), (403, 119));
}

// compat: acl.default
#[tokio::test]
async fn new_object_gets_default_acl() {
    let server = start().await;
    let (tom, toms) = server.sign_up("tom").await;
    server.create(&As::master(), "Diary", json!({})).await;
    let acl =
        Acl::parse(&json!({"_owner": {"read": true, "write": true}, "role:staff": {"read": true}})).unwrap();
    define(&server, SchemaChange::SetDefaultAcl(class("Diary"), Some(acl))).await;
    let shown = async |id: String| {
        let path = format!("/classes/Diary/{id}");
        server
            .get(&As::master(), &path, &[("returnACL", "true")])
            .await
            .body["ACL"]
            .clone()
    };
    let owned = server.create(&As::user(&toms), "Diary", json!({})).await;
    let expected = json!({tom: {"read": true, "write": true}, "role:staff": {"read": true}});
    assert_eq!(shown(owned).await, expected);
    let ownerless = server.create(&As::client(), "Diary", json!({})).await;
    assert_eq!(shown(ownerless).await, json!({"role:staff": {"read": true}}));
    let explicit = server
        .create(&As::client(), "Diary", json!({"ACL": {"*": {"read": true}}}))
        .await;
    assert_eq!(shown(explicit).await, json!({"*": {"read": true}}));
}

#[tokio::test]
async fn client_creates_class_only_if_allowed() {
    let server = start_with(None, |config| config.clients_create_classes = false).await;
    let refused = server
        .post(&As::client(), "/classes/Fresh", json!({"a": 1}))
        .await;
    assert_eq!(refused.error(), (403, 119));
    assert_eq!(
        server.get(&As::master(), "/classes/Fresh", &[]).await.error(),
        (404, 101)
    );
    server.create(&As::master(), "Fresh", json!({"a": 1})).await;
    server.create(&As::client(), "Fresh", json!({"a": 2})).await;
}

#[tokio::test]
async fn relation_of_unreadable_object_is_empty() {
    let server = start().await;
    let post = server.create(&As::client(), "Post", json!({})).await;
    let likes = json!({"__op": "AddRelation", "objects": [pointer("Post", &post)]});
    let secret = server
        .create(&As::master(), "List", json!({"posts": likes, "ACL": {}}))
        .await;
    let related = json!({"$relatedTo": {"object": pointer("List", &secret), "key": "posts"}});
    assert_eq!(server.find(&As::client(), "Post", related.clone()).await.len(), 0);
    assert_eq!(server.find(&As::master(), "Post", related).await.len(), 1);
}
