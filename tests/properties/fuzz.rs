//! Nonsense, in quantity: filters, operations and bodies that nobody would write. Nothing panics, nothing is answered
//! with a 500.
//!
//! Each target runs for a second under `cargo test`; `PAYLOG_FUZZ_SECONDS` makes it longer. A failure is made as small as
//! it can be, and printed with the `BOLERO_RANDOM_SEED` that repeats it. With `cargo-bolero` the same targets run under
//! a fuzzer that looks where the bytes lead: `cargo bolero test --test properties fuzz::filters`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bolero::check;
use paylog::credentials::Credentials;
use paylog::environment::Environment;
use paylog::model::{
    ClassName, Column, ColumnType, Document, Filter, Principal, Query, SchemaChange, Update, Value,
};
use paylog::server::{PasswordCost, Server, ServerConfig, set_up};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::{Database, Write};
use serde_json::{Map, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "a",
    "b",
    "a.b",
    "a.0",
    "a.0.b",
    "n",
    "at",
    "text",
    "list",
    "rel",
    "objectId",
    "createdAt",
    "updatedAt",
    "ACL",
    "$eq",
    "$ne",
    "$lt",
    "$lte",
    "$gt",
    "$gte",
    "$in",
    "$nin",
    "$exists",
    "$all",
    "$size",
    "$regex",
    "$options",
    "$not",
    "$and",
    "$or",
    "$nor",
    "$inQuery",
    "$notInQuery",
    "$select",
    "$dontSelect",
    "$relatedTo",
    "$nearSphere",
    "$maxDistance",
    "$maxDistanceInKilometers",
    "$minDistanceInMiles",
    "$within",
    "$box",
    "object",
    "key",
    "query",
    "className",
    "where",
    "limit",
    "skip",
    "order",
    "keys",
    "include",
    "__op",
    "Increment",
    "Decrement",
    "Add",
    "AddUnique",
    "Remove",
    "Delete",
    "BitAnd",
    "BitOr",
    "BitXor",
    "AddRelation",
    "RemoveRelation",
    "Batch",
    "amount",
    "objects",
    "value",
    "ops",
    "__type",
    "Date",
    "iso",
    "2026-01-01T00:00:00.000Z",
    "Bytes",
    "base64",
    "Pointer",
    "GeoPoint",
    "latitude",
    "longitude",
    "File",
    "id",
    "Relation",
    "Thing",
    "_User",
    "_Role",
    "*",
    "read",
    "write",
    "role:x",
    "username",
    "password",
    "email",
    "authData",
    "sessionToken",
    "requests",
    "method",
    "path",
    "body",
    "params",
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "/1.1/classes/Thing",
    "/1.1/classes/Thing/x",
    "/1.1/users",
    "/1.1/batch",
    "__ignore_hooks",
    "beforeSave",
    "new",
    "fetchWhenSave",
    "true",
    "",
    ".",
    "$",
    "\u{0}",
    "中",
    "-a",
    "a,b",
    "^a",
    "(",
    "[a-",
];

/// Turns bytes into JSON that looks like something.
struct Scribe<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

impl Scribe<'_> {
    fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    fn word(&mut self) -> String {
        WORDS[usize::from(self.byte()) % WORDS.len()].to_owned()
    }

    fn fields(&mut self, depth: u8) -> Map<String, Value> {
        let count = self.byte() % 4;
        (0..count).map(|_| (self.word(), self.value(depth + 1))).collect()
    }

    fn point(&mut self) -> Value {
        let degrees = |byte: u8| f64::from(byte) - 128.0;
        json!({"__type": "GeoPoint", "latitude": degrees(self.byte()), "longitude": degrees(self.byte()) * 1.5})
    }

    fn value(&mut self, depth: u8) -> Value {
        let kinds = if depth > 5 { 8 } else { 13 };
        match self.byte() % kinds {
            0 => Value::Null,
            1 => Value::Bool(self.byte().is_multiple_of(2)),
            2 => json!(i64::from(self.byte()) - 100),
            3 => json!([i64::MIN, i64::MAX, 0, 1 << 53, -1][usize::from(self.byte()) % 5]),
            4 => json!([0.5, -0.0, 1e300, 1e-300, 9.3e18][usize::from(self.byte()) % 5]),
            5 => Value::String(self.word()),
            6 => json!({"__type": "Pointer", "className": self.word(), "objectId": self.word()}),
            7 => self.point(),
            8 => (0..self.byte() % 4).map(|_| self.value(depth + 1)).collect(),
            9 => json!({(self.word()): self.value(depth + 1)}),
            _ => Value::Object(self.fields(depth)),
        }
    }
}

fn scribe(bytes: &[u8]) -> Scribe<'_> {
    Scribe { bytes: bytes.iter() }
}

/// How long a target runs.
fn time() -> Duration {
    let seconds = std::env::var_os("PAYLOG_FUZZ_SECONDS").and_then(|text| text.to_str()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// A text as JSON, as it comes or as the scribe has it.
fn json_of(bytes: &[u8]) -> Value {
    match bytes.split_first() {
        Some((0..=25, text)) => serde_json::from_slice(text).unwrap_or_default(),
        _ => Value::Object(scribe(bytes).fields(0)),
    }
}

fn documents() -> Vec<Document> {
    let texts = [
        json!({}),
        json!({"a": 1, "n": 5, "text": "abc", "list": [1, "a", null, {"b": 2}]}),
        json!({"a": {"b": [{"b": 1}, [1, 2]], "0": 7}, "n": 0.5, "text": ""}),
        json!({"a": [[{"b": null}], "x"], "at": {"__type": "GeoPoint", "latitude": 10.0, "longitude": 20.0}}),
        json!({"a": null, "objectId": "x", "createdAt": "2026-01-01T00:00:00.000Z", "ACL": {"*": {"read": true}}}),
    ];
    texts
        .into_iter()
        .map(|value| serde_json::from_value(value).unwrap())
        .collect()
}

#[test]
fn filters() {
    let documents = documents();
    check!()
        .with_test_time(time())
        .with_max_len(256)
        .for_each(|bytes: &[u8]| {
            let Ok(filter) = Filter::parse(&json_of(bytes)) else {
                return;
            };
            let written = filter.to_value();
            assert_eq!(Filter::parse(&written).as_ref(), Ok(&filter), "{written}");
            for document in &documents {
                let _ = filter.matches(document);
                let _ = filter.first_unmet(document);
            }
        });
}

#[test]
fn operations() {
    let documents = documents();
    check!()
        .with_test_time(time())
        .with_max_len(256)
        .for_each(|bytes: &[u8]| {
            let Value::Object(body) = json_of(bytes) else {
                return;
            };
            let body = Document(body);
            let _ = Update::parse_create(&body);
            let Ok(update) = Update::parse(&body) else {
                return;
            };
            for document in &documents {
                let mut changed = document.clone();
                if update.apply(&mut changed).is_err() {
                    assert_eq!(changed, *document, "a refused update has left a trace: {body:?}");
                }
            }
        });
}

/// What SQL finds is what the evaluator finds, whatever is asked.
#[test]
fn queries() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path(), Environment::system()).unwrap();
    let memory = MemoryStore::new(Environment::system());
    let class = ClassName::parse("Thing").unwrap();
    runtime.block_on(async {
        for store in [&sqlite as &dyn Database, &memory] {
            for key in ["n", "text", "a.b", "list"] {
                let index = paylog::model::Index {
                    keys: vec![key.to_owned()],
                    unique: false,
                    sparse: false,
                };
                store
                    .define(SchemaChange::AddIndex(class.clone(), index))
                    .await
                    .unwrap();
            }
            for (n, document) in documents().into_iter().enumerate() {
                // Ids and times differ between the stores; what tells objects apart is `mark`.
                let fields = document
                    .iter()
                    .filter(|(key, _)| !["objectId", "createdAt"].contains(&key.as_str()));
                let fields = fields.filter(|(key, _)| *key != "a" || n == 1);
                let update = fields.fold(Update::new(), |update, (key, value)| {
                    update.set(key, value.clone())
                });
                let _ = store
                    .batch(vec![Write::create(&class, update.set("mark", n))])
                    .await;
            }
        }
    });
    let stores = AssertUnwindSafe((runtime, sqlite, memory));
    check!()
        .with_test_time(time())
        .with_max_len(256)
        .for_each(|bytes: &[u8]| {
            let (runtime, sqlite, memory) = &*stores;
            let Value::Object(parameters) = json_of(bytes) else {
                return;
            };
            let parameters = Document(Map::from_iter([("where".to_owned(), Value::Object(parameters))]));
            let Ok(query) = Query::parse(&parameters) else {
                return;
            };
            let text = query.filter.to_value().to_string();
            if ["objectId", "createdAt", "updatedAt"]
                .iter()
                .any(|key| text.contains(key))
            {
                return;
            }
            let query = Query {
                count: true,
                ..query.order_by("mark")
            };
            let marks = |found: paylog::store::Found| {
                let marks: Vec<_> = found.results.iter().map(|row| row.integer("mark")).collect();
                (marks, found.count)
            };
            let (first, second) = runtime.block_on(async {
                let first = sqlite.find_as(&class, &query, &Principal::anonymous()).await;
                (
                    first,
                    memory.find_as(&class, &query, &Principal::anonymous()).await,
                )
            });
            match (first, second) {
                (Ok(first), Ok(second)) => assert_eq!(marks(first), marks(second), "{text}"),
                // The evaluator gives up on a pattern; SQL may have left the row out.
                (first, second) => assert!(second.is_err(), "{text}: {first:?}"),
            }
        });
}

fn server(runtime: &Runtime, folder: &std::path::Path) -> axum::Router {
    let environment = Environment::system();
    let store: Arc<dyn Database> = Arc::new(SqliteStore::open(folder, environment.clone()).unwrap());
    runtime.block_on(async {
        set_up(&*store).await.unwrap();
        let class = ClassName::parse("Thing").unwrap();
        for (name, column_type) in [
            ("n", ColumnType::Number),
            ("at", ColumnType::GeoPoint),
            (
                "rel",
                ColumnType::Relation {
                    class_name: class.clone(),
                },
            ),
        ] {
            let change = SchemaChange::SetColumn(class.clone(), name.to_owned(), Column::new(column_type));
            store.define(change).await.unwrap();
        }
    });
    let credentials = Credentials {
        app_id: "app".into(),
        app_key: "key".into(),
        master_key: Some("master".into()),
        hook_key: Some("hook".into()),
        androidx_key: None,
    };
    let mut config = ServerConfig::new(credentials, environment);
    config.password_cost = PasswordCost::CHEAPEST;
    Server::new(store, config, None).router()
}

const PATHS: &[&str] = &[
    "/1.1/classes/Thing",
    "/1.1/classes/Thing/x",
    "/1.1/classes/Fresh",
    "/1.1/classes/_User",
    "/1.1/classes/_Role",
    "/1.1/classes/_File",
    "/1.1/users",
    "/1.1/users/x",
    "/1.1/users/me",
    "/1.1/login",
    "/1.1/roles",
    "/1.1/batch",
    "/1.1/batch/save",
    "/1.1/scan/classes/Thing",
    "/1.1/cloudQuery",
    "/1.1/schemas",
    "/1.1/schemas/Thing",
    "/1.1/files",
    "/1.1/fileTokens",
    "/1.1/fileCallback",
    "/1.1/date",
    "/1.1/users/x/updatePassword",
    "/1.1/users/x/refreshSessionToken",
    "/1.1/usersByMobilePhone",
    "/1.1/users/strictlyQuery",
];

/// A request to any path, with any parameters and any body.
fn request(bytes: &[u8]) -> Request<Body> {
    let mut scribe = scribe(bytes);
    let method = ["GET", "POST", "PUT", "DELETE"][usize::from(scribe.byte() % 4)];
    let mut uri = PATHS[usize::from(scribe.byte()) % PATHS.len()].to_owned();
    let shape = scribe.byte();
    if shape & 1 == 1 {
        let condition = Value::Object(scribe.fields(0)).to_string();
        let condition: String = condition.bytes().map(|byte| format!("%{byte:02x}")).collect();
        uri.push_str(&format!("?where={condition}"));
        for name in [
            "order", "limit", "keys", "include", "count", "skip", "cursor", "scan_key", "cql", "pvalues",
            "new",
        ] {
            if scribe.byte().is_multiple_of(6) {
                let word: String = scribe.word().bytes().map(|byte| format!("%{byte:02x}")).collect();
                uri.push_str(&format!("&{name}={word}"));
            }
        }
    }
    let key = if shape & 2 == 2 { "master,master" } else { "key" };
    let body = if shape & 12 == 12 {
        scribe.bytes.as_slice().to_vec()
    } else if shape & 16 == 16 {
        let requests: Vec<Value> = (0..scribe.byte() % 4)
            .map(|_| json!({"method": scribe.word(), "path": scribe.word(), "body": scribe.fields(0), "params": scribe.fields(0)}))
            .collect();
        json!({ "requests": requests }).to_string().into_bytes()
    } else {
        Value::Object(scribe.fields(0)).to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("X-LC-Id", "app")
        .header("X-LC-Key", key);
    let request = if shape & 32 == 32 {
        request.header("Content-Type", "text/plain")
    } else {
        request
    };
    request.body(Body::from(body)).unwrap()
}

// compat: wire.no_500
#[test]
fn requests() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let router = server(&runtime, folder.path());
    let served = AssertUnwindSafe((runtime, router));
    check!()
        .with_test_time(time())
        .with_max_len(512)
        .for_each(|bytes: &[u8]| {
            let (runtime, router) = &*served;
            let request = request(bytes);
            let what = format!("{} {}", request.method(), request.uri());
            let answer = runtime.block_on(router.clone().oneshot(request)).unwrap();
            // A server that is told too much at once says so; all else would be a fault of ours.
            let status = answer.status();
            assert!(
                status.as_u16() < 500 || status == StatusCode::SERVICE_UNAVAILABLE,
                "{what}: {status}"
            );
        });
}
