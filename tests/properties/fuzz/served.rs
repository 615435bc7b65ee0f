//! Fuzzing of the stores and the server.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bolero::check;
use paylog::credentials::Credentials;
use paylog::environment::Environment;
use paylog::model::{
    ClassName, Column, ColumnType, Document, Index, Principal, Query, SchemaChange, Update, Value,
};
use paylog::server::{PasswordCost, Server, ServerConfig, set_up};
use paylog::storage::{MemoryStore, SqliteStore};
use paylog::store::{Database, Write};
use serde_json::{Map, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::{documents, generator, json_of, time};

/// SQL and the evaluator agree on the results of any query.
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
                let index = Index {
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
    let mut input = generator(bytes);
    let method = ["GET", "POST", "PUT", "DELETE"][usize::from(input.byte() % 4)];
    let mut uri = PATHS[usize::from(input.byte()) % PATHS.len()].to_owned();
    let shape = input.byte();
    if shape & 1 == 1 {
        let condition = Value::Object(input.fields(0)).to_string();
        let condition: String = condition.bytes().map(|byte| format!("%{byte:02x}")).collect();
        uri.push_str(&format!("?where={condition}"));
        for name in [
            "order", "limit", "keys", "include", "count", "skip", "cursor", "scan_key", "cql", "pvalues",
            "new",
        ] {
            if input.byte().is_multiple_of(6) {
                let word: String = input.word().bytes().map(|byte| format!("%{byte:02x}")).collect();
                uri.push_str(&format!("&{name}={word}"));
            }
        }
    }
    let key = if shape & 2 == 2 { "master,master" } else { "key" };
    let body = if shape & 12 == 12 {
        input.bytes.as_slice().to_vec()
    } else if shape & 16 == 16 {
        let requests: Vec<Value> = (0..input.byte() % 4)
            .map(|_| json!({"method": input.word(), "path": input.word(), "body": input.fields(0), "params": input.fields(0)}))
            .collect();
        json!({ "requests": requests }).to_string().into_bytes()
    } else {
        Value::Object(input.fields(0)).to_string().into_bytes()
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
