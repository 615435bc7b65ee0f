//! The requests of official SDKs in languages that do not run here: their paths, parameters and headers, and the fields that
//! each reads from the response.

use md5::{Digest, Md5};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{APP_ID, APP_KEY, Answer, As, MASTER_KEY, TestServer, answer, pointer, start};

/// A client with the headers of an SDK.
struct Sdk<'s> {
    server: &'s TestServer,
    agent: &'static str,
    /// True if the key is sent as a signature.
    signs: bool,
    session: Option<String>,
    master: bool,
}

impl<'s> Sdk<'s> {
    fn new(server: &'s TestServer, agent: &'static str, signs: bool) -> Self {
        Self {
            server,
            agent,
            signs,
            session: None,
            master: false,
        }
    }

    fn signature(&self) -> String {
        let time = "1700000000000";
        let key = if self.master { MASTER_KEY } else { APP_KEY };
        let digest = Md5::new().chain_update(time).chain_update(key).finalize();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digest},{time}{}", if self.master { ",master" } else { "" })
    }

    async fn send(&self, method: Method, path: &str, query: &[(&str, &str)], body: Value) -> Answer {
        let mut request = self
            .server
            .bare(method, path)
            .query(query)
            .header("X-LC-Id", APP_ID)
            .header("User-Agent", self.agent)
            .header("X-LC-Prod", "1")
            .header("Accept", "application/json")
            .header("Content-Type", "application/json; charset=utf-8");
        request = match (self.signs, self.master) {
            (true, _) => request.header("X-LC-Sign", self.signature()),
            (false, true) => request.header("X-LC-Key", format!("{MASTER_KEY},master")),
            (false, false) => request.header("X-LC-Key", APP_KEY),
        };
        if let Some(session) = &self.session {
            request = request.header("X-LC-Session", session);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        answer(request).await
    }

    async fn ok(&self, method: Method, path: &str, query: &[(&str, &str)], body: Value) -> Value {
        let answer = self.send(method, path, query, body).await;
        assert!(
            (200..300).contains(&answer.status),
            "{} {path}: {answer:?}",
            self.agent
        );
        answer.body
    }

    /// Signs up and logs in as the SDK does, by `/users` and `/login`.
    async fn log_in(&mut self, name: &str) -> String {
        let body = json!({"username": name, "password": "secret", "email": format!("{name}@example.com")});
        let user = self.ok(Method::POST, "/users", &[], body).await;
        let login = json!({"email": format!("{name}@example.com"), "password": "secret"});
        let again = self.ok(Method::POST, "/login", &[], login).await;
        assert_eq!(again["sessionToken"], user["sessionToken"]);
        self.session = Some(user["sessionToken"].as_str().unwrap().to_owned());
        user["objectId"].as_str().unwrap().to_owned()
    }
}

fn id(body: &Value) -> String {
    body["objectId"].as_str().unwrap().to_owned()
}

/// Java sends booleans for `fetchWhenSave`, `where` with a POST too, and every query to the path of its class.
// compat: sdk.java sdk.flutter
#[tokio::test]
async fn requests_of_the_java_sdk() {
    let server = start().await;
    let mut java = Sdk::new(&server, "LeanCloud-Java-SDK/8.2", true);
    let fetch = [("fetchWhenSave", "true")];
    let made = java
        .ok(
            Method::POST,
            "/classes/Todo",
            &[("fetchWhenSave", "false"), ("where", "null")],
            json!({"title": "a"}),
        )
        .await;
    let path = format!("/classes/Todo/{}", id(&made));
    let fetched = java
        .ok(
            Method::PUT,
            &path,
            &fetch,
            json!({"n": {"__op": "Increment", "amount": 2}}),
        )
        .await;
    assert_eq!(fetched["n"], 2);
    let condition = json!({"n": {"$gte": 2}}).to_string();
    let query = [("fetchWhenSave", "true"), ("where", condition.as_str())];
    let fetched = java
        .ok(
            Method::PUT,
            &path,
            &query,
            json!({"n": {"__op": "Decrement", "amount": 2}}),
        )
        .await;
    assert_eq!(fetched["n"], 0);
    assert_eq!(
        java.send(Method::PUT, &path, &query, json!({"n": 9}))
            .await
            .error(),
        (400, 305)
    );
    let (near, order) = (json!({"n": {"$lt": 1}}).to_string(), "-createdAt,title");
    let query = [
        ("where", near.as_str()),
        ("order", order),
        ("limit", "10"),
        ("skip", "0"),
        ("keys", "title,n"),
    ];
    let found = java.ok(Method::GET, "/classes/Todo", &query, Value::Null).await;
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    let counted = java
        .ok(
            Method::GET,
            "/classes/Todo",
            &[("where", "{}"), ("count", "1"), ("limit", "0")],
            Value::Null,
        )
        .await;
    assert_eq!(counted["count"], 1);

    let user = java.log_in("java").await;
    assert_eq!(
        id(&java.ok(Method::GET, "/users/me", &[], Value::Null).await),
        user
    );
    let passwords = json!({"old_password": "secret", "new_password": "other"});
    let changed = java
        .ok(
            Method::PUT,
            &format!("/users/{user}/updatePassword"),
            &[],
            passwords,
        )
        .await;
    java.session = Some(changed["sessionToken"].as_str().unwrap().to_owned());
    let refreshed = java
        .ok(
            Method::PUT,
            &format!("/users/{user}/refreshSessionToken"),
            &[],
            Value::Null,
        )
        .await;
    assert_ne!(refreshed["sessionToken"], changed["sessionToken"]);
    java.session = Some(refreshed["sessionToken"].as_str().unwrap().to_owned());
    java.ok(
        Method::PUT,
        &format!("/classes/_User/{user}"),
        &fetch,
        json!({"nickname": "j"}),
    )
    .await;
    java.ok(Method::GET, "/date", &[], Value::Null).await;
    // Two operations on one field are two requests.
    let todo = java
        .ok(Method::POST, "/classes/Todo", &[], json!({"tags": ["a", "b"]}))
        .await;
    let change = |op: &str, tag: &str| {
        json!({"method": "PUT", "path": format!("/1.1/classes/Todo/{}", id(&todo)),
            "body": {"__internalId": id(&todo), "tags": {"__op": op, "objects": [tag]}}})
    };
    let requests = json!({"requests": [change("Add", "c"), change("Remove", "a")]});
    java.ok(Method::POST, "/batch/save", &[], requests).await;
    let read = java
        .ok(
            Method::GET,
            &format!("/classes/Todo/{}", id(&todo)),
            &[],
            Value::Null,
        )
        .await;
    assert_eq!(read["tags"], json!(["b", "c"]));
}

/// Swift fetches and deletes several objects by `/batch`, and reads users at `/users`.
// compat: sdk.swift sdk.flutter
#[tokio::test]
async fn requests_of_the_swift_sdk() {
    let server = start().await;
    let mut swift = Sdk::new(&server, "LeanCloud-Swift-SDK/17.10", true);
    let first = id(&swift
        .ok(Method::POST, "/classes/Todo", &[], json!({"map": {"number": 1}}))
        .await);
    let increase = json!({"map.number": {"__op": "Increment", "amount": 1}, "map.fresh": 1, "tags": {"__op": "AddUnique", "objects": ["a"]}});
    swift
        .ok(
            Method::PUT,
            &format!("/classes/Todo/{first}"),
            &[("fetchWhenSave", "true")],
            increase,
        )
        .await;
    let read = swift
        .ok(
            Method::GET,
            &format!("/classes/Todo/{first}"),
            &[("keys", "map"), ("include", "owner")],
            Value::Null,
        )
        .await;
    assert_eq!(read["map"], json!({"number": 2, "fresh": 1}));
    let requests = json!({"requests": [
        {"method": "GET", "path": format!("/1.1/classes/Todo/{first}")},
        {"method": "DELETE", "path": format!("/1.1/classes/Todo/{first}")},
    ]});
    let answers = swift.ok(Method::POST, "/batch", &[], requests).await;
    assert_eq!(
        (&answers[0]["success"]["objectId"], &answers[1]["success"]),
        (&json!(first), &json!({}))
    );
    let user = swift.log_in("swift").await;
    let me = swift.ok(Method::GET, "/users/me", &[], Value::Null).await;
    assert_eq!(id(&me), user);
    let updated = swift
        .ok(
            Method::PUT,
            &format!("/users/{user}"),
            &[],
            json!({"nickname": "s"}),
        )
        .await;
    assert_eq!(id(&updated), user);
    let role = json!({"name": "swifters", "ACL": {"*": {"read": true}}});
    swift.ok(Method::POST, "/roles", &[], role).await;
    let requests = json!({"requests": [
        {"method": "POST", "path": "/1.1/classes/Todo", "body": {"__internalId": "child", "n": 1}},
        {"method": "POST", "path": "/1.1/classes/Todo",
            "body": {"__internalId": "parent", "__children": [{"className": "Todo", "cid": "child", "key": "next"}]}},
    ]});
    let saved = swift.ok(Method::POST, "/batch/save", &[], requests).await;
    let parent = id(&saved["parent"]);
    let read = swift
        .ok(Method::GET, &format!("/classes/Todo/{parent}"), &[], Value::Null)
        .await;
    assert_eq!(read["next"], pointer("Todo", &id(&saved["child"])));
}

/// Objective-C reads users at `/users`, and deletes with an empty body.
// compat: sdk.objc sdk.flutter
#[tokio::test]
async fn requests_of_the_objective_c_sdk() {
    let server = start().await;
    let mut objc = Sdk::new(&server, "AVOS Cloud iOS-v13.9 SDK", true);
    let made = id(&objc
        .ok(
            Method::POST,
            "/classes/Todo",
            &[],
            json!({"n": 1, "at": {"__type": "Date", "iso": "2026-01-01T00:00:00.000Z"}}),
        )
        .await);
    // A new object is marked as new.
    let fresh = json!({"method": "POST", "path": "/1.1/classes/Todo", "new": true, "body": {"__internalId": "fresh", "n": 7}});
    let saved = objc
        .ok(Method::POST, "/batch/save", &[], json!({"requests": [fresh]}))
        .await;
    assert!(
        saved["fresh"]["objectId"].is_string() && saved["fresh"]["createdAt"].is_string(),
        "{saved}"
    );
    let requests = json!({"requests": [
        {"method": "PUT", "path": format!("/1.1/classes/Todo/{made}"), "body": {"n": {"__op": "Increment", "amount": 1}}},
        {"method": "PUT", "path": format!("/1.1/classes/Todo/{made}"), "body": {"n": 1}, "params": {"where": {"n": 5}}},
    ]});
    let answers = objc.ok(Method::POST, "/batch", &[], requests).await;
    assert_eq!(answers[0]["success"]["objectId"], json!(made));
    assert_eq!(answers[1]["error"]["code"], 305);
    let inner = json!({"className": "Todo", "where": {"n": 2}});
    let holder = objc
        .ok(
            Method::POST,
            "/classes/Holder",
            &[],
            json!({"todo": pointer("Todo", &made)}),
        )
        .await;
    let condition = json!({"todo": {"$inQuery": inner}}).to_string();
    let found = objc
        .ok(
            Method::GET,
            "/classes/Holder",
            &[("where", &condition), ("include", "todo")],
            Value::Null,
        )
        .await;
    assert_eq!(
        (
            &found["results"][0]["objectId"],
            &found["results"][0]["todo"]["n"]
        ),
        (&holder["objectId"], &json!(2))
    );
    let user = objc.log_in("objc").await;
    objc.ok(Method::GET, &format!("/users/{user}"), &[], Value::Null)
        .await;
    objc.ok(Method::DELETE, &format!("/classes/Todo/{made}"), &[], json!({}))
        .await;
}

/// C# saves several objects by `/batch` and reads `error.code` as a number.
// compat: sdk.csharp
#[tokio::test]
async fn requests_of_the_csharp_sdk() {
    let server = start().await;
    let mut csharp = Sdk::new(&server, "LeanCloud-CSharp-SDK/2.3", true);
    let requests = json!({"requests": [
        {"method": "POST", "path": "/1.1/classes/Todo", "body": {"n": 1}},
        {"method": "POST", "path": "/1.1/classes/Todo", "body": {"n": "text"}},
    ]});
    let answers = csharp.ok(Method::POST, "/batch", &[], requests).await;
    let made = answers[0]["success"]["objectId"].as_str().unwrap();
    assert_eq!(answers[1]["error"]["code"].as_i64(), Some(111));
    let query = [("fetchWhenSave", "true"), ("where", r#"{"n":1}"#)];
    let fetched = csharp
        .ok(
            Method::PUT,
            &format!("/classes/Todo/{made}"),
            &query,
            json!({"n": 2}),
        )
        .await;
    assert_eq!(fetched["n"], 2);
    let user = csharp.log_in("csharp").await;
    csharp
        .ok(
            Method::PUT,
            &format!("/users/{user}"),
            &[],
            json!({"nickname": "c"}),
        )
        .await;
    let refused = csharp.send(Method::GET, "/users/me", &[], Value::Null).await;
    assert_eq!(refused.status, 200);
    csharp.session = Some("0123456789abcdefghijklmno".to_owned());
    assert_eq!(
        csharp
            .send(Method::GET, "/users/me", &[], Value::Null)
            .await
            .error(),
        (400, 211)
    );
}

/// Go sends the plain key, reads users at `/users` and files at `/classes/files`, and parses the times of a create.
// compat: sdk.go
#[tokio::test]
async fn requests_of_the_go_sdk() {
    let server = start().await;
    let mut go = Sdk::new(&server, "LeanCloud-Golang-SDK/0.1", false);
    let made = go
        .ok(
            Method::POST,
            "/classes/Staff",
            &[],
            json!({"name": "a", "raw": {"__type": "Bytes", "base64": "AP8="}}),
        )
        .await;
    assert!(made["createdAt"].is_string() && made["objectId"].is_string());
    let path = format!("/classes/Staff/{}", id(&made));
    go.ok(
        Method::PUT,
        &path,
        &[],
        json!({"age": {"__op": "Increment", "amount": 1}}),
    )
    .await;
    let read = go.ok(Method::GET, &path, &[], Value::Null).await;
    assert_eq!(read["raw"], json!({"__type": "Bytes", "base64": "AP8="}));
    let user = go.log_in("go").await;
    go.ok(Method::PUT, &format!("/users/{user}"), &[], json!({"age": 3}))
        .await;
    assert_eq!(
        id(&go
            .ok(Method::GET, &format!("/users/{user}"), &[], Value::Null)
            .await),
        user
    );
    go.master = true;
    let users = go
        .ok(Method::GET, "/users", &[("where", r#"{"age":3}"#)], Value::Null)
        .await;
    assert_eq!(users["results"].as_array().unwrap().len(), 1);
    let role = json!({"name": "gophers", "ACL": {"*": {"read": true}}});
    let role = id(&go.ok(Method::POST, "/roles", &[], role).await);
    go.ok(Method::GET, &format!("/roles/{role}"), &[], Value::Null)
        .await;
    go.ok(
        Method::GET,
        "/roles",
        &[("where", r#"{"name":"gophers"}"#)],
        Value::Null,
    )
    .await;
}

/// PHP sends the session token as a parameter, and creates with operations.
// compat: sdk.php
#[tokio::test]
async fn requests_of_the_php_sdk() {
    let server = start().await;
    let mut php = Sdk::new(&server, "LeanCloud PHP SDK/0.13", true);
    let body = json!({"n": {"__op": "Increment", "amount": 5}, "list": {"__op": "Add", "objects": [1, [2], {"a": 3}]}});
    let made = id(&php.ok(Method::POST, "/classes/Test", &[], body).await);
    let path = format!("/classes/Test/{made}");
    let read = php.ok(Method::GET, &path, &[], Value::Null).await;
    assert_eq!(
        (&read["n"], &read["list"]),
        (&json!(5), &json!([1, [2], {"a": 3}]))
    );
    let wrong = json!({"hash": {"__op": "add", "objects": [1]}});
    assert_eq!(php.send(Method::PUT, &path, &[], wrong).await.error(), (400, 1));
    let wrong = json!({"list": {"__op": "Batch", "ops": [{"__op": "Add", "objects": [1]}]}});
    assert_eq!(php.send(Method::PUT, &path, &[], wrong).await.error(), (400, 304));
    let text = json!({"name": "text"});
    php.ok(Method::PUT, &path, &[], text).await;
    let wrong = json!({"name": {"__op": "Increment", "amount": 1}});
    assert_eq!(php.send(Method::PUT, &path, &[], wrong).await.error(), (400, 111));
    // The targets of a relation need not be there.
    let likes =
        json!({"likes": {"__op": "AddRelation", "objects": [pointer("Test", "5d8308029c9235000886c4cf")]}});
    php.ok(Method::PUT, &path, &[], likes).await;
    php.log_in("php").await;
    let token = php.session.take().unwrap();
    let me = php
        .ok(
            Method::GET,
            "/users/me",
            &[("session_token", &token)],
            Value::Null,
        )
        .await;
    assert_eq!(me["sessionToken"], json!(token));
    php.ok(Method::DELETE, &path, &[], Value::Null).await;
    assert_eq!(server.get(&As::client(), &path, &[]).await.body, json!({}));
}

/// The JavaScript SDK of 2015 sends everything as plain text, and logs in by a GET that is sent as a POST.
// compat: user.log_in.get file.by_name
#[tokio::test]
async fn requests_of_the_javascript_sdk_of_2015() {
    let server = start().await;
    let (id, token) = server.sign_up("tom").await;
    let send = async |path: &str, body: Value| {
        let mut whole = json!({"_ApplicationId": APP_ID, "_ApplicationKey": APP_KEY, "_ClientVersion": "js0.6.10",
            "_InstallationId": "5d830802-9c92-3500-0886-c4cf5d830802"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        let request = server
            .bare(Method::POST, path)
            .header("Content-Type", "text/plain");
        answer(request.body(whole.to_string())).await
    };
    let login = json!({"_method": "GET", "username": "tom", "password": "tom's password"});
    let user = send("/login", login).await;
    assert_eq!((user.status, user.id()), (200, id.clone()), "{user:?}");
    assert_eq!(user.body["sessionToken"], token);
    let wrong = json!({"_method": "GET", "username": "tom", "password": "x"});
    assert_eq!(send("/login", wrong).await.error(), (400, 210));
    // As LeanCloud's guide shows it, too.
    let query = [("username", "tom"), ("password", "tom's password")];
    let user = server.get(&As::client(), "/login", &query).await;
    assert_eq!((user.status, user.id()), (200, id));
    assert_eq!(user.header("cache-control"), "no-cache,no-store");
    assert_eq!(server.get(&As::client(), "/login", &[]).await.error(), (400, 200));
    assert_eq!(
        server.get(&As::client(), "/login", &query[..1]).await.error(),
        (400, 201)
    );

    // Outside of China it uploads within the body.
    let file = json!({"base64": "aGVsbG8=", "_ContentType": "text/plain", "mime_type": "text/plain",
        "metaData": {"owner": "unknown", "size": 5}});
    let file = send("/files/hello.txt", file).await;
    assert_eq!(
        (file.status, &file.body["name"]),
        (201, &json!("hello.txt")),
        "{file:?}"
    );
    let read = server.absolute(Method::GET, file.body["url"].as_str().unwrap());
    assert_eq!(answer(read).await.body, "hello");
}

/// Python 2.5 chooses the key of a file, and fails if an external file has no size in the response.
// compat: file.chosen_key file.by_name
#[tokio::test]
async fn requests_of_the_python_sdk_2_5() {
    let server = start().await;
    let python = Sdk::new(&server, "AVOS Cloud python-2.5.0 SDK", true);
    let key = "1b9d6bcdbbfd4b2d9b5dab8dfbbd4bed.txt";
    let body = json!({"name": "a.txt", "key": key, "ACL": null, "mime_type": "text/plain",
        "metaData": {"owner": "unknown", "size": 1}});
    let token = python.ok(Method::POST, "/fileTokens", &[], body).await;
    assert_eq!((&token["key"], &token["provider"]), (&json!(key), &json!("s3")));
    let body = json!({"name": "logo", "ACL": null, "metaData": {"owner": "unknown", "__source": "external"},
        "mime_type": "application/octet-stream", "url": "https://example.com/logo.png"});
    let file = python.ok(Method::POST, "/files/logo", &[], body).await;
    for key in ["name", "url", "objectId", "size"] {
        assert!(file.get(key).is_some(), "{key}: {file}");
    }
}

/// Statistics of leaderboards are posted as a list. The error says that the feature is missing, not that a list is no
/// object.
// compat: wire.paths
#[tokio::test]
async fn list_body_for_missing_feature_names_the_feature() {
    let server = start().await;
    for path in [
        "/leaderboard/users/self/statistics",
        "/leaderboard/users/5d8307/statistics?overwrite=1",
    ] {
        let request = server.request(&As::client(), Method::POST, path);
        let refused = answer(request.json(&json!([{"statisticName": "score", "statisticValue": 1}]))).await;
        assert_eq!(refused.error(), (400, 1), "{path}");
        assert!(
            refused.body["error"]
                .as_str()
                .unwrap()
                .starts_with("Leaderboards"),
            "{refused:?}"
        );
    }
    // For all else it is still no object; and a stranger is a stranger.
    let list = server
        .request(&As::client(), Method::POST, "/classes/Post")
        .json(&json!([1]));
    assert_eq!(answer(list).await.error(), (400, 107));
    let stranger = server
        .bare(Method::POST, "/leaderboard/users/self/statistics")
        .json(&json!([]));
    assert_eq!(answer(stranger).await.error(), (401, 401));
}
