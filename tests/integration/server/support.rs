//! A test server on a port of its own, and callers.

use std::net::SocketAddr;
use std::sync::Arc;

use paylog::credentials::Credentials;
use paylog::environment::Environment;
use paylog::model::Hooks;
use paylog::server::{PasswordCost, Server, ServerConfig, set_up};
use paylog::storage::{FolderFiles, SqliteStore};
use paylog::store::Database;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) const APP_ID: &str = "test-app";
pub(crate) const APP_KEY: &str = "test-app-key";
pub(crate) const MASTER_KEY: &str = "test-master-key";
pub(crate) const HOOK_KEY: &str = "test-hook-key";

/// A running server, stopped when dropped.
pub(crate) struct TestServer {
    address: SocketAddr,
    http: reqwest::Client,
    pub(crate) server: Server,
    pub(crate) database: Arc<dyn Database>,
    listener: tokio::task::JoinHandle<()>,
    /// Deleted when dropped.
    folder: tempfile::TempDir,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    pub(crate) fn id(&self) -> String {
        self.body["objectId"]
            .as_str()
            .unwrap_or_else(|| panic!("no objectId in {self:?}"))
            .to_owned()
    }

    /// Status and code of an error.
    pub(crate) fn error(&self) -> (u16, i64) {
        assert!(
            self.body["error"].is_string() && self.body.as_object().unwrap().len() == 2,
            "an error is a code and a text, and nothing else: {self:?}"
        );
        (self.status, self.body["code"].as_i64().unwrap())
    }

    /// The names of the body's keys, sorted.
    pub(crate) fn keys(&self) -> Vec<&str> {
        sorted_keys(&self.body)
    }
}

pub(crate) fn sorted_keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The credentials of a caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct As {
    master: bool,
    hook: bool,
    session: Option<String>,
}

impl As {
    pub(crate) fn client() -> Self {
        Self::default()
    }

    pub(crate) fn master() -> Self {
        Self {
            master: true,
            ..Self::default()
        }
    }

    pub(crate) fn user(token: &str) -> Self {
        Self {
            session: Some(token.to_owned()),
            ..Self::default()
        }
    }

    pub(crate) fn with_hook_key(mut self) -> Self {
        self.hook = true;
        self
    }
}

pub(crate) async fn start() -> TestServer {
    start_with(None, |_| {}).await
}

pub(crate) async fn start_with(
    hooks: Option<Arc<dyn Hooks>>,
    configure: impl FnOnce(&mut ServerConfig),
) -> TestServer {
    start_over(|store| store, hooks, configure).await
}

/// Starts a server over a database that `wrap` has wrapped.
pub(crate) async fn start_over(
    wrap: impl FnOnce(Arc<dyn Database>) -> Arc<dyn Database>,
    hooks: Option<Arc<dyn Hooks>>,
    configure: impl FnOnce(&mut ServerConfig),
) -> TestServer {
    let environment = Environment::system();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), environment.clone()).unwrap();
    let database = wrap(Arc::new(store));
    set_up(&*database).await.unwrap();
    let credentials = Credentials {
        app_id: APP_ID.into(),
        app_key: APP_KEY.into(),
        master_key: Some(MASTER_KEY.into()),
        hook_key: Some(HOOK_KEY.into()),
        androidx_key: None,
    };
    let mut config = ServerConfig::new(credentials, environment);
    config.password_cost = PasswordCost::CHEAPEST;
    let files = FolderFiles::open(&folder.path().join("files"), Environment::system()).unwrap();
    config.files = Some(Arc::new(files));
    configure(&mut config);
    let server = Server::new(Arc::clone(&database), config, hooks);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = server
        .router()
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::spawn(async move {
        axum::serve(listener, service).await.unwrap();
    });
    TestServer {
        address,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        server,
        database,
        listener,
        folder,
    }
}

impl TestServer {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/1.1{path}", self.address)
    }

    /// The data folder; the files are in `files`.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A request to an address from a response.
    pub(crate) fn absolute(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        self.http.request(method, url)
    }

    /// A request without credentials.
    pub(crate) fn bare(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub(crate) fn request(&self, caller: &As, method: Method, path: &str) -> reqwest::RequestBuilder {
        let key = if caller.master {
            format!("{MASTER_KEY},master")
        } else {
            APP_KEY.to_owned()
        };
        let mut request = self
            .bare(method, path)
            .header("X-LC-Id", APP_ID)
            .header("X-LC-Key", key);
        if caller.hook {
            request = request.header("X-LC-Hook-Key", HOOK_KEY);
        }
        if let Some(session) = &caller.session {
            request = request.header("X-LC-Session", session);
        }
        request
    }

    pub(crate) async fn get(&self, caller: &As, path: &str, query: &[(&str, &str)]) -> Answer {
        answer(self.request(caller, Method::GET, path).query(query)).await
    }

    pub(crate) async fn post(&self, caller: &As, path: &str, body: Value) -> Answer {
        answer(self.request(caller, Method::POST, path).json(&body)).await
    }

    pub(crate) async fn put(&self, caller: &As, path: &str, body: Value) -> Answer {
        answer(self.request(caller, Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn put_where(&self, caller: &As, path: &str, condition: Value, body: Value) -> Answer {
        let condition = condition.to_string();
        let request = self
            .request(caller, Method::PUT, path)
            .query(&[("where", &condition)]);
        answer(request.json(&body)).await
    }

    pub(crate) async fn delete(&self, caller: &As, path: &str) -> Answer {
        answer(self.request(caller, Method::DELETE, path).json(&json!({}))).await
    }

    /// Runs a query, and returns its rows.
    pub(crate) async fn find(&self, caller: &As, class: &str, condition: Value) -> Vec<Value> {
        let condition = condition.to_string();
        let path = format!("/classes/{class}");
        let query = [("where", condition.as_str()), ("order", "n,createdAt,objectId")];
        let found = self.get(caller, &path, &query).await;
        assert_eq!(found.status, 200, "{found:?}");
        found.body["results"].as_array().unwrap().clone()
    }

    /// Creates an object, and returns its id.
    pub(crate) async fn create(&self, caller: &As, class: &str, body: Value) -> String {
        let created = self.post(caller, &format!("/classes/{class}"), body).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.id()
    }

    /// Reads an object with the master key.
    pub(crate) async fn read(&self, class: &str, id: &str) -> Value {
        let read = self
            .get(&As::master(), &format!("/classes/{class}/{id}"), &[])
            .await;
        assert_eq!(read.status, 200, "{read:?}");
        read.body
    }

    /// Signs a user up, and returns id and session token.
    pub(crate) async fn sign_up(&self, name: &str) -> (String, String) {
        let body = json!({"username": name, "password": format!("{name}'s password")});
        let user = self.post(&As::client(), "/users", body).await;
        assert_eq!(user.status, 201, "{user:?}");
        (user.id(), user.body["sessionToken"].as_str().unwrap().to_owned())
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text));
    Answer {
        status,
        headers,
        body,
    }
}

/// A pointer.
pub(crate) fn pointer(class: &str, id: &str) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": id})
}
