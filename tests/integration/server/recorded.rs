//! Recorded answers of LeanCloud, against this server: the same requests, in our own words, with the status and the shape of
//! the body.
//!
//! A shape is a body in which `<id>`, `<time>` and the like stand for variable parts; `<id:a>` also names the part, and
//! `{a}` is its value from then on. The keys must be the same.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use paylog::model::{
    ClassName, CloudError, Column, ColumnType, Document, Filter, HookCall, HookKind, Hooks, SchemaChange,
    Timestamp, Update,
};
use paylog::store::{Database, Write, WriteOutcome};
use serde_json::{Value, json};

use super::support::{Answer, As, HOOK_KEY, TestServer, answer, start, start_with};

/// Requests in order, with the named parts of their responses.
struct Script {
    server: TestServer,
    caller: As,
    names: BTreeMap<String, String>,
}

impl Script {
    fn over(server: TestServer) -> Self {
        let caller = As::client();
        Self {
            server,
            caller,
            names: BTreeMap::new(),
        }
    }

    fn filled_in(&self, text: &str) -> String {
        let fill =
            |text: String, (name, value): (&String, &String)| text.replace(&format!("{{{name}}}"), value);
        self.names.iter().fold(text.to_owned(), fill)
    }

    /// Sends a request and compares status and body.
    async fn ask(&mut self, request: &str, body: Value, status: u16, shape: Value) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let (path, condition) = match path.split_once(" where ") {
            Some((path, condition)) => (path, Some(self.filled_in(condition))),
            None => (path, None),
        };
        let path = self.filled_in(path);
        let mut sent = self.server.request(&self.caller, method.parse().unwrap(), &path);
        if let Some(condition) = condition {
            sent = sent.query(&[("where", condition)]);
        }
        if !body.is_null() {
            let body: Value = serde_json::from_str(&self.filled_in(&body.to_string())).unwrap();
            sent = sent.json(&body);
        }
        let answer = answer(sent).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        let shape: Value = serde_json::from_str(&self.filled_in(&shape.to_string())).unwrap();
        self.compare(&answer.body, &shape, request);
        if status == 201 {
            let class = path.trim_start_matches("/classes/").split('?').next().unwrap();
            let class = if class == "/users" { "_User" } else { class };
            assert_eq!(
                answer.header("location"),
                format!("/1.1/classes/{class}/{}", answer.id())
            );
        }
        answer
    }

    fn compare(&mut self, found: &Value, shape: &Value, at: &str) {
        match (found, shape) {
            (_, Value::String(kind)) if kind.starts_with('<') => self.compare_kind(found, kind, at),
            (Value::Object(found), Value::Object(shape)) => {
                let keys = |fields: &serde_json::Map<String, Value>| -> Vec<String> {
                    let mut keys: Vec<String> = fields.keys().cloned().collect();
                    keys.sort();
                    keys
                };
                assert_eq!(keys(found), keys(shape), "{at}");
                for (key, shape) in shape {
                    self.compare(&found[key], shape, &format!("{at} .{key}"));
                }
            }
            (Value::Array(found), Value::Array(shape)) => {
                assert_eq!(found.len(), shape.len(), "{at}: {found:?}");
                for (found, shape) in found.iter().zip(shape) {
                    self.compare(found, shape, at);
                }
            }
            _ => assert_eq!(found, shape, "{at}"),
        }
    }

    fn compare_kind(&mut self, found: &Value, kind: &str, at: &str) {
        let kind = kind.trim_matches(['<', '>']);
        let (kind, name) = kind.split_once(':').unwrap_or((kind, ""));
        let text = found
            .as_str()
            .unwrap_or_else(|| panic!("{at}: {found} is no text"));
        let legal = match kind {
            "id" => text.len() == 24 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            "time" => text.len() == 24 && Timestamp::parse(text).is_ok(),
            "token" => text.len() == 25 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')),
            "text" => true,
            _ => panic!("no kind '{kind}'"),
        };
        assert!(legal, "{at}: {text} is no {kind}");
        if !name.is_empty() {
            self.names.insert(name.to_owned(), text.to_owned());
        }
    }
}

fn created(name: &str) -> Value {
    json!({"objectId": format!("<id:{name}>"), "createdAt": "<time>"})
}

fn updated(name: &str) -> Value {
    json!({"updatedAt": "<time>", "objectId": format!("{{{name}}}")})
}

/// An object with its id and times.
#[expect(clippy::needless_pass_by_value, reason = "so that a literal can be given")]
fn object(name: &str, fields: Value) -> Value {
    let mut object = json!({"objectId": format!("{{{name}}}"), "createdAt": "<time>", "updatedAt": "<time>"});
    for (key, value) in fields.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn to(class: &str, name: &str) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": format!("{{{name}}}")})
}

fn relation(class: &str) -> Value {
    json!({"__type": "Relation", "className": class})
}

async fn define(server: &TestServer, class: &str, key: &str, column: Column) {
    let change = SchemaChange::SetColumn(ClassName::parse(class).unwrap(), key.to_owned(), column);
    server.database.define(change).await.unwrap();
}

// compat: recorded.object object.create object.get object.last_modified object.delete object.unknown_id values.geo_points
#[tokio::test]
async fn recorded_objects() {
    let mut script = Script::over(start().await);
    let point = |latitude: f64| json!({"__type": "GeoPoint", "latitude": latitude, "longitude": -30});
    let add = json!({"name": "talk", "m": {"__op": "Add", "objects": ["one", "two"]}});
    script
        .ask("POST /classes/_Conversation", add, 201, created("c"))
        .await;
    script
        .ask(
            "POST /classes/Post",
            json!({"title": "a", "location": point(40.0)}),
            201,
            created("p"),
        )
        .await;
    // A class may have points in two columns.
    script
        .ask(
            "POST /classes/Post",
            json!({"title": "b", "geo": point(80.01)}),
            201,
            created("q"),
        )
        .await;
    let score = json!({"score": 5, "player": "dd", "cheats": false, "arr": ["x", "y"], "id": "an id"});
    script
        .ask("POST /classes/Score", score.clone(), 201, created("s"))
        .await;
    let read = script
        .ask("GET /classes/Score/{s}", Value::Null, 200, object("s", score))
        .await;
    let modified = read.header("last-modified");
    assert!(
        modified.ends_with(" GMT") && modified.as_bytes()[modified.len() - 8] == b'.',
        "{modified}"
    );

    for (op, left) in [
        (json!({"__op": "Remove", "objects": [2]}), json!([1])),
        (json!({"__op": "AddUnique", "objects": [2]}), json!([1, 2])),
        (json!({"__op": "Add", "objects": [2]}), json!([1, 2, 2])),
    ] {
        script
            .ask("POST /classes/Post", json!({"data": [1, 2]}), 201, created("d"))
            .await;
        script
            .ask("PUT /classes/Post/{d}", json!({"data": op}), 200, updated("d"))
            .await;
        script
            .ask(
                "GET /classes/Post/{d}",
                Value::Null,
                200,
                object("d", json!({"data": left})),
            )
            .await;
    }
    for (op, result) in [("BitAnd", 0), ("BitOr", 1), ("BitXor", 1)] {
        let body = json!({"flags": {"__op": op, "value": 1}});
        script.ask("POST /classes/Score", body, 201, created("f")).await;
        script
            .ask(
                "GET /classes/Score/{f}",
                Value::Null,
                200,
                object("f", json!({"flags": result})),
            )
            .await;
    }
    script
        .ask("POST /classes/Score", json!({}), 201, created("e"))
        .await;
    script
        .ask("DELETE /classes/Score/{e}", json!({}), 200, json!({}))
        .await;
    let gone = script
        .ask("GET /classes/Score/{e}", Value::Null, 200, json!({}))
        .await;
    assert_eq!(gone.header("last-modified"), "");
    script
        .ask("GET /classes/Score/{e}?keys=absent", Value::Null, 200, json!({}))
        .await;
    script
        .ask("GET /classes/Score/123", Value::Null, 200, json!({}))
        .await;
}

// compat: recorded.object object.fetch_when_save object.conditional object.keys values.default relation.column
#[tokio::test]
async fn recorded_saves_that_fetch() {
    let server = start().await;
    let default = Column {
        default: Some("leancloud".into()),
        ..Column::new(ColumnType::String)
    };
    define(&server, "Person", "company", default).await;
    let likes = ColumnType::Relation {
        class_name: ClassName::parse("Post").unwrap(),
    };
    define(&server, "Person", "likes", Column::new(likes)).await;
    let mut script = Script::over(server);
    let shown = json!({"name": "d", "company": "leancloud", "likes": relation("Post"), "objectId": "<id:p>",
        "createdAt": "<time>", "updatedAt": "<time>"});
    script
        .ask("POST /classes/Person?new=true", json!({"name": "d"}), 201, shown)
        .await;
    script
        .ask("PUT /classes/Person/{p}", json!({"age": 9}), 200, updated("p"))
        .await;
    let fetched = json!({"age": 19, "likes": relation("Post"), "updatedAt": "<time>", "objectId": "{p}"});
    let add = json!({"age": {"__op": "Increment", "amount": 10}});
    script
        .ask("PUT /classes/Person/{p}?new=true", add, 200, fetched)
        .await;
    script
        .ask(
            "GET /classes/Person/{p}?keys=name",
            Value::Null,
            200,
            object("p", json!({"name": "d"})),
        )
        .await;

    script
        .ask("POST /classes/Score", json!({"score": 1}), 201, created("s"))
        .await;
    let unmet = json!({"code": 305, "error": "No effect on updating/deleting a document."});
    script
        .ask(
            r#"PUT /classes/Score/{s} where {"score":-1}"#,
            json!({"score": 7}),
            400,
            unmet,
        )
        .await;
    let fetched = json!({"score": 7, "updatedAt": "<time>", "objectId": "{s}"});
    let met = r#"PUT /classes/Score/{s}?new=true where {"score":{"$ne":-1}}"#;
    script.ask(met, json!({"score": 7}), 200, fetched).await;
    script
        .ask("PUT /classes/Score/{s}", json!({"score": 8}), 200, updated("s"))
        .await;
}

// compat: recorded.acl_role acl.returned acl.verbatim role.acl_required role.create role.of_user
#[tokio::test]
async fn recorded_acls_and_roles() {
    let mut script = Script::over(start().await);
    let acl = json!({"*": {"read": true, "write": true}, "a reader": {"read": true}, "role:a-writer": {"write": true}});
    let body = json!({"score": 2, "ACL": acl});
    script
        .ask("POST /classes/Score", body.clone(), 201, created("s"))
        .await;
    script
        .ask(
            "GET /classes/Score/{s}?returnACL=true",
            Value::Null,
            200,
            object("s", body),
        )
        .await;
    script
        .ask("DELETE /classes/Score/{s}", json!({}), 200, json!({}))
        .await;
    let refused = json!({"code": 1, "error": "Role ACL is required."});
    script
        .ask("POST /classes/_Role", json!({"name": "foo"}), 400, refused)
        .await;
    let (user, _) = script.server.sign_up("somebody").await;
    script.names.insert("u".to_owned(), user);
    let users = json!({"__op": "AddRelation", "objects": [to("_User", "u")]});
    let body = json!({"name": "tester", "ACL": {"*": {"read": true}}, "users": users});
    script.ask("POST /classes/_Role", body, 201, created("r")).await;
    let role = json!({"name": "tester", "roles": relation("_Role"), "users": relation("_User")});
    let found = json!({"results": [object("r", role)]});
    script
        .ask(
            r#"GET /classes/_Role?limit=1 where {"name":"tester"}"#,
            Value::Null,
            200,
            found.clone(),
        )
        .await;
    let of_user = format!("GET /classes/_Role where {}", json!({"users": to("_User", "u")}));
    script.ask(&of_user, Value::Null, 200, found).await;
    script.caller = As::master();
    script
        .ask("DELETE /classes/_Role/{r}", json!({}), 200, json!({}))
        .await;
}

// compat: recorded.batch recorded.errors batch.order batch.partial batch.get batch.delete_many batch.query batch.errors
#[tokio::test]
async fn recorded_batches() {
    let mut script = Script::over(start().await);
    let post = |class: &str, body: Value| json!({"method": "POST", "path": format!("/1.1/classes/{class}"), "body": body});
    let get = |path: &str| json!({"method": "GET", "path": format!("/1.1/classes/{path}")});
    let batch = |requests: Vec<Value>| json!({ "requests": requests });
    let people = vec![
        post("Person", json!({"name": "1"})),
        post("Person", json!({"name": "2"})),
    ];
    let made = json!([{"success": created("a")}, {"success": created("b")}]);
    script.ask("POST /batch", batch(people), 200, made).await;
    let book = post(
        "Post",
        json!({"author1": to("Person", "a"), "author2": to("Person", "b")}),
    );
    script
        .ask(
            "POST /batch",
            batch(vec![book]),
            200,
            json!([{"success": created("p")}]),
        )
        .await;
    let gets = vec![get("Person/{a}"), get("Person/fakeId"), get("Fake/{a}")];
    let absent = json!({"code": 101, "error": "Class or object doesn't exists."});
    let answers =
        json!([{"success": object("a", json!({"name": "1"}))}, {"success": null}, {"error": absent}]);
    script.ask("POST /batch", batch(gets), 200, answers).await;
    let saves = vec![
        json!({"method": "PUT", "path": "/1.1/classes/Person/fakeid", "body": {"age": 30}}),
        post("Person", json!({"age": 40})),
        json!({"method": "PUT", "path": "/1.1/classes/Person/{a}", "body": {"age": 30}}),
    ];
    let absent = json!({"code": 1, "error": "Could not find object by id 'fakeid' for class 'Person'."});
    let answers = json!([{"error": absent}, {"success": created("c")}, {"success": updated("a")}]);
    script.ask("POST /batch", batch(saves), 200, answers).await;
    let params = json!({"where": {"name": {"$all": ["2"]}}, "limit": 1});
    let query = json!({"method": "GET", "path": "/1.1/classes/Person", "params": params});
    let answers = json!([{"success": {"results": [object("b", json!({"name": "2"}))]}}]);
    script.ask("POST /batch", batch(vec![query]), 200, answers).await;
    let delete = json!({"method": "DELETE", "path": "/1.1/classes/Person/{a},{b},{c}", "body": {}});
    script
        .ask("POST /batch", batch(vec![delete]), 200, json!([{"success": {}}]))
        .await;
    let none = json!({"results": [], "count": 0});
    script
        .ask(
            "GET /classes/Person?limit=0&count=1 where {}",
            Value::Null,
            200,
            none,
        )
        .await;
}

// compat: recorded.query where.equality where.arrays where.or_and where.regex query.keys query.count query.include scan scan.cursor
#[tokio::test]
async fn recorded_queries() {
    let mut script = Script::over(start().await);
    script
        .ask("POST /classes/Test", json!({"foo": "bar"}), 201, created("t"))
        .await;
    let score = json!({"player": "tester", "score": 1000, "players": ["a", "b"], "test": to("Test", "t")});
    script
        .ask("POST /classes/Score", score.clone(), 201, created("s"))
        .await;
    let at = |latitude: f64, longitude: f64| json!({"__type": "GeoPoint", "latitude": latitude, "longitude": longitude});
    script
        .ask(
            "POST /classes/Post",
            json!({"location": at(41.0, -30.0)}),
            201,
            created("far"),
        )
        .await;
    script
        .ask(
            "POST /classes/Post",
            json!({"location": at(40.0, -30.0)}),
            201,
            created("near"),
        )
        .await;
    let near = format!(
        "GET /classes/Post?limit=10 where {}",
        json!({"location": {"$nearSphere": at(40.0, -30.0)}})
    );
    let sorted = json!({"results": [
        object("near", json!({"location": at(40.0, -30.0)})),
        object("far", json!({"location": at(41.0, -30.0)})),
    ]});
    script.ask(&near, Value::Null, 200, sorted).await;

    let found = json!({"results": [object("s", score.clone())]});
    let none = json!({"results": []});
    for (condition, matches) in [
        (json!({"objectId": {"$exists": true}}), true),
        (
            json!({"$and": [{"score": {"$gt": 150}}, {"cheats": true}]}),
            false,
        ),
        (json!({"$or": [{"score": {"$gt": 150}}, {"cheats": true}]}), true),
        (json!({"player": "tester"}), true),
        (json!({"players": {"$size": 2}}), true),
        (json!({"players": "a"}), true),
        (json!({"player": {"$regex": "^\\Qte\\E"}}), true),
        (json!({"player": {"$regex": "^\\Qes\\E"}}), false),
    ] {
        let request = format!("GET /classes/Score?limit=1 where {condition}");
        script
            .ask(
                &request,
                Value::Null,
                200,
                if matches { found.clone() } else { none.clone() },
            )
            .await;
    }
    let count = r#"GET /classes/Score?limit=0&count=1 where {"player":{"$regex":"^\\Qt\\E"}}"#;
    script
        .ask(count, Value::Null, 200, json!({"results": [], "count": 1}))
        .await;
    let mut included = object("t", json!({"foo": "bar"}));
    included["__type"] = "Pointer".into();
    included["className"] = "Test".into();
    let mut whole = score.clone();
    whole["test"] = included;
    let request = "GET /classes/Score?include=score,test where {}";
    script
        .ask(
            request,
            Value::Null,
            200,
            json!({"results": [object("s", whole)]}),
        )
        .await;
    let part = object("s", json!({"score": 1000, "test": to("Test", "t")}));
    script
        .ask(
            "GET /classes/Score?keys=test,score where {}",
            Value::Null,
            200,
            json!({"results": [part]}),
        )
        .await;
    let mut with_acl = score;
    with_acl["ACL"] = json!({"*": {"read": true, "write": true}});
    let request = "GET /classes/Score?returnACL=true where {}";
    script
        .ask(
            request,
            Value::Null,
            200,
            json!({"results": [object("s", with_acl)]}),
        )
        .await;

    script.caller = As::master();
    for name in ["a", "b", "c", "d"] {
        script
            .ask("POST /classes/Row", json!({"mark": 7}), 201, created(name))
            .await;
    }
    let row = |name: &str| object(name, json!({"mark": 7}));
    let page = json!({"results": [row("a"), row("b")], "cursor": "<text:cursor>"});
    let scan = r#"GET /scan/classes/Row?scan_key=objectId&limit=2 where {"mark":7}"#;
    let sorted = {
        let mut ids: Vec<String> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| script.names[*name].clone())
            .collect();
        ids.sort();
        ids
    };
    for (name, id) in ["a", "b", "c", "d"].iter().zip(sorted) {
        script.names.insert((*name).to_owned(), id);
    }
    script.ask(scan, Value::Null, 200, page).await;
    let next = r#"GET /scan/classes/Row?scan_key=objectId&limit=2&cursor={cursor} where {"mark":7}"#;
    let page = json!({"results": [row("c"), row("d")], "cursor": "<text:cursor>"});
    script.ask(next, Value::Null, 200, page).await;
    script
        .ask(next, Value::Null, 200, json!({"results": [], "cursor": null}))
        .await;
}

// compat: recorded.relation relation.add relation.query relation.column query.include query.include.blanks
#[tokio::test]
async fn recorded_relations() {
    let mut script = Script::over(start().await);
    script
        .ask("POST /classes/Person", json!({"name": "1"}), 201, created("p"))
        .await;
    script
        .ask("POST /classes/Person", json!({"name": "2"}), 201, created("q"))
        .await;
    let authors = json!({"author1": to("Person", "p"), "author2": to("Person", "q")});
    script.ask("POST /classes/Post", authors, 201, created("b")).await;
    let expanded = |name: &str, fields: Value| {
        let mut expanded = object(name, fields);
        expanded["__type"] = "Pointer".into();
        expanded["className"] = "Person".into();
        expanded
    };
    for list in ["author1,author2", "author1,%20author2"] {
        let whole = json!({"author1": expanded("p", json!({"name": "1"})), "author2": expanded("q", json!({"name": "2"}))});
        let request = format!("GET /classes/Post/{{b}}?include={list}");
        script.ask(&request, Value::Null, 200, object("b", whole)).await;
    }
    let add = json!({"likes": {"__op": "AddRelation", "objects": [to("Post", "b")]}, "name": "3"});
    script
        .ask("PUT /classes/Person/{p}", add, 200, updated("p"))
        .await;
    // The column is then in every object of the class.
    let shown = json!({"name": "2", "likes": relation("Post")});
    script
        .ask("GET /classes/Person/{q}", Value::Null, 200, object("q", shown))
        .await;
    let related = json!({"$relatedTo": {"object": to("Person", "p"), "key": "likes"}});
    let post = object(
        "b",
        json!({"author1": to("Person", "p"), "author2": to("Person", "q")}),
    );
    let request = format!("GET /classes/Post where {related}");
    script
        .ask(&request, Value::Null, 200, json!({"results": [post.clone()]}))
        .await;
    let request = format!("GET /classes/Post?limit=0&count=1 where {related}");
    script
        .ask(&request, Value::Null, 200, json!({"results": [], "count": 1}))
        .await;
    let request = format!(
        "GET /classes/Post where {}",
        json!({"author1": to("Person", "p")})
    );
    script
        .ask(&request, Value::Null, 200, json!({"results": [post]}))
        .await;
}

// compat: recorded.user user.sign_up user.log_in user.me user.update_password user.refresh_token user.wrong_password user.secrets
#[tokio::test]
async fn recorded_users() {
    let mut script = Script::over(start().await);
    let user = |token: bool| {
        let mut user = json!({"objectId": "<id:u>", "createdAt": "<time>", "updatedAt": "<time>", "username": "tester",
            "email": "user1@example.com", "gender": "female", "emailVerified": false, "mobilePhoneVerified": false});
        if token {
            user["sessionToken"] = "<token:t>".into();
        }
        user
    };
    let body = json!({"username": "tester", "password": "password1", "email": "user1@example.com", "gender": "female"});
    script.ask("POST /users", body, 201, user(true)).await;
    let token = script.names["t"].clone();
    let refused = json!({"code": 210, "error": "The username and password mismatch."});
    script
        .ask(
            "POST /login",
            json!({"username": "tester", "password": "wrong"}),
            400,
            refused,
        )
        .await;
    for name in [
        json!({"username": "tester"}),
        json!({"email": "user1@example.com"}),
    ] {
        let mut body = name;
        body["password"] = "password1".into();
        script.ask("POST /login", body, 200, user(true)).await;
        assert_eq!(script.names["t"], token, "one token for every login");
    }
    script
        .ask("GET /users/me?session_token={t}", Value::Null, 200, user(true))
        .await;
    let nobody = json!({"code": 211, "error": "Could not find user."});
    let stale = "GET /users/me?session_token=0123456789abcdefghijklmno";
    script.ask(stale, Value::Null, 400, nobody).await;

    script.caller = As::user(&token);
    script
        .ask("GET /classes/_User/{u}", Value::Null, 200, user(false))
        .await;
    script
        .ask(
            "PUT /classes/_User/{u}",
            json!({"username": "tester"}),
            200,
            updated("u"),
        )
        .await;
    let changed = json!({"updatedAt": "<time>", "objectId": "{u}", "sessionToken": "<token:t2>"});
    let passwords = json!({"old_password": "password1", "new_password": "new pass"});
    script
        .ask("PUT /users/{u}/updatePassword", passwords, 200, changed)
        .await;
    assert_ne!(script.names["t2"], token);
    script.caller = As::user(&script.names["t2"]);
    let changed = json!({"updatedAt": "<time>", "objectId": "{u}", "sessionToken": "<token:t3>"});
    script
        .ask("PUT /users/{u}/refreshSessionToken", Value::Null, 200, changed)
        .await;

    script.caller = As::master();
    let none = r#"GET /classes/_User?limit=1 where {"username":"nobody"}"#;
    script.ask(none, Value::Null, 200, json!({"results": []})).await;
    let some = r#"GET /classes/_User where {"gender":"female"}"#;
    script
        .ask(some, Value::Null, 200, json!({"results": [user(false)]}))
        .await;
    script
        .ask("DELETE /classes/_User/{u}", json!({}), 200, json!({}))
        .await;
}

/// Hooks that mark the object which they see, as an app's hook would.
#[derive(Default)]
struct Marks(OnceLock<Arc<dyn Database>>);

#[async_trait]
impl Hooks for Marks {
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        class.as_str() == "Hooked" && kind != HookKind::AfterDelete
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        let mark = match call.kind {
            HookKind::BeforeSave => {
                let mut object = call.object;
                object.insert("byBeforeSave".to_owned(), 1.into());
                return Ok(object);
            }
            HookKind::BeforeDelete => return Err(CloudError::other("Error from beforeDelete")),
            HookKind::AfterSave => "byAfterSave",
            HookKind::BeforeUpdate => "byBeforeUpdate",
            _ => "byAfterUpdate",
        };
        let id = call.object.object_id().unwrap();
        let update = Update::new().set(mark, 1);
        let database = self.0.get().unwrap();
        let outcome = database
            .write(Write::update(&call.class, &id, Filter::all(), update))
            .await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
        Ok(Document::new())
    }
}

const ALL_BEFORE: [&str; 3] = ["beforeSave", "beforeUpdate", "beforeDelete"];
const ALL_AFTER: [&str; 3] = ["afterSave", "afterUpdate", "afterDelete"];

// compat: recorded.cloud_hooks hook.before_save hook.before_update hook.before_delete hook.after hook.ignore hook.error
#[tokio::test]
async fn recorded_hooks() {
    let marks = Arc::new(Marks::default());
    let server = start_with(Some(Arc::clone(&marks) as Arc<dyn Hooks>), |_| {}).await;
    assert!(marks.0.set(Arc::clone(&server.database)).is_ok());
    let mut script = Script::over(server);
    script.caller = As::client().with_hook_key();
    assert!(!HOOK_KEY.is_empty());
    let body = |fields: Value, ignored: &[&str]| {
        let mut body = fields;
        if !ignored.is_empty() {
            body["__ignore_hooks"] = json!(ignored);
        }
        body
    };
    for (ignored_at_save, ignored_at_update, marks) in [
        (&[][..], None, &["byBeforeSave", "byAfterSave"][..]),
        (&ALL_BEFORE[..], None, &["byAfterSave"]),
        (&["afterSave"], None, &["byBeforeSave"]),
        (
            &[],
            Some(&[][..]),
            &["byBeforeSave", "byAfterSave", "byBeforeUpdate", "byAfterUpdate"],
        ),
        (
            &[],
            Some(&ALL_AFTER[..]),
            &["byBeforeSave", "byAfterSave", "byBeforeUpdate"],
        ),
        (
            &[],
            Some(&ALL_BEFORE[..]),
            &["byBeforeSave", "byAfterSave", "byAfterUpdate"],
        ),
    ] {
        let save = body(json!({"title": "test"}), ignored_at_save);
        script.ask("POST /classes/Hooked", save, 201, created("h")).await;
        let mut expected = json!({"title": "test"});
        if marks.contains(&"byAfterSave") {
            wait_for(&script, "byAfterSave").await;
        }
        if let Some(ignored) = ignored_at_update {
            let update = body(json!({"title": "other"}), ignored);
            script
                .ask("PUT /classes/Hooked/{h}", update, 200, updated("h"))
                .await;
            expected["title"] = "other".into();
            if marks.contains(&"byAfterUpdate") {
                wait_for(&script, "byAfterUpdate").await;
            }
        }
        for mark in marks {
            expected[*mark] = 1.into();
        }
        script
            .ask("GET /classes/Hooked/{h}", Value::Null, 200, object("h", expected))
            .await;
    }
    script
        .ask("POST /classes/Hooked", json!({}), 201, created("i"))
        .await;
    let delete = |id: &str, ignored: &[&str]| json!({"method": "DELETE", "path": format!("/1.1/classes/Hooked/{id}"), "body": body(json!({}), ignored)});
    let refused =
        json!({"code": 142, "error": "Cloud Code validation failed. Error detail : Error from beforeDelete"});
    let requests = json!({"requests": [delete("{h}", &ALL_BEFORE), delete("{i}", &[])]});
    script
        .ask(
            "POST /batch",
            requests,
            200,
            json!([{"success": {}}, {"error": refused}]),
        )
        .await;
    script
        .ask(
            "DELETE /classes/Hooked/{i}",
            body(json!({}), &ALL_BEFORE),
            200,
            json!({}),
        )
        .await;
}

/// Waits for an after hook, which runs behind the response.
async fn wait_for(script: &Script, mark: &str) {
    let id = &script.names["h"];
    crate::support::program::poll("an after hook", async || {
        let object = script.server.read("Hooked", id).await;
        object.get(mark).map(|_| ())
    })
    .await;
}

// compat: recorded.user auth_data.log_in auth_data.link auth_data.unlink auth_data.anonymous auth_data.errors
#[tokio::test]
async fn recorded_auth_data() {
    let mut script = Script::over(start().await);
    let user = |data: Value| {
        json!({"objectId": "<id:u>", "createdAt": "<time>", "updatedAt": "<time>", "username": "<token>",
            "sessionToken": "<token:t>", "authData": data, "emailVerified": false, "mobilePhoneVerified": false})
    };
    let nobody = json!({"code": 211, "error": "Could not find user."});
    let weixin =
        json!({"weixin_1": {"uid": "openid1", "access_token": "access", "expires_in": 1_382_686_496}});
    let body = json!({"authData": weixin});
    script
        .ask("POST /users?failOnNotExist=true", body, 400, nobody)
        .await;
    let test = json!({"test": {"uid": "uid1", "access_token": "access", "expires_in": 1_382_686_496}});
    script
        .ask("POST /users", json!({"authData": test}), 201, user(test.clone()))
        .await;
    script
        .ask("POST /users", json!({"authData": test}), 200, user(test.clone()))
        .await;
    script.caller = As::user(&script.names["t"]);
    let more =
        json!({"weixin": {"openid": "openid2", "access_token": "access", "expires_in": 1_382_686_496}});
    let mut both = test;
    both["weixin"] = more["weixin"].clone();
    let linked = json!({"updatedAt": "<time>", "objectId": "{u}", "authData": both});
    script
        .ask(
            "PUT /classes/_User/{u}?new=true",
            json!({"authData": more}),
            200,
            linked,
        )
        .await;
    let unlink = json!({"authData.weixin": {"__op": "Delete"}});
    script
        .ask("PUT /classes/_User/{u}", unlink, 200, updated("u"))
        .await;

    script.caller = As::client();
    let anonymous = json!({"anonymous": {"id": "1b671a64-40d5-491e-99b0-da01ff1f3341"}});
    script
        .ask(
            "POST /users",
            json!({"authData": anonymous}),
            201,
            user(anonymous),
        )
        .await;
    script.caller = As::user(&script.names["t"]);
    let github = json!({"github": {"uid": "uid2", "access_token": "access"}});
    let linked = json!({"updatedAt": "<time>", "objectId": "{u}", "authData": github});
    script
        .ask(
            "PUT /classes/_User/{u}?new=true",
            json!({"authData": github}),
            200,
            linked,
        )
        .await;
}

// compat: recorded.query recorded.errors cql cql.errors
#[tokio::test]
async fn recorded_cql_statements() {
    let mut script = Script::over(start().await);
    script
        .ask("POST /classes/Score", json!({}), 201, created("s"))
        .await;
    let found = json!({"results": [object("s", json!({}))], "className": "Score"});
    let cql = |text: &str| format!("GET /cloudQuery?cql={}", text.replace(' ', "%20"));
    script
        .ask(&cql("select * from Score"), Value::Null, 200, found.clone())
        .await;
    script
        .ask(
            &cql("select * from Score limit 10"),
            Value::Null,
            200,
            found.clone(),
        )
        .await;
    let mut counted = found;
    counted["count"] = 1.into();
    let statement = cql("select *,count(objectId) from Score limit 10");
    script.ask(&statement, Value::Null, 200, counted.clone()).await;
    let statement = cql("select *,count(objectId) from Score limit ?") + "&pvalues=[5]";
    script.ask(&statement, Value::Null, 200, counted).await;
    let refused = script
        .ask(
            &cql("select * Score limit 10"),
            Value::Null,
            400,
            json!({"code": 300, "error": "<text>"}),
        )
        .await;
    assert!(
        refused.body["error"]
            .as_str()
            .unwrap()
            .starts_with("CQL syntax error.Detail: ")
    );
}

// compat: recorded.misc date
#[tokio::test]
async fn recorded_date() {
    let mut script = Script::over(start().await);
    let date = json!({"__type": "Date", "iso": "<time>"});
    script.ask("GET /date", Value::Null, 200, date).await;
}
