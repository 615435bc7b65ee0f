//! The official SDKs, unchanged, use the server as an app would. The cases are in `tests/sdk`, in the SDKs' languages.
//!
//! `.ci/run` installs the SDKs and sets `PAYLOG_SDK_REQUIRED`. Elsewhere a test without its SDK reports that and is
//! skipped. To install them by hand: `.ci/sdk`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paylog::credentials::Credentials;
use paylog::engine::{App, CurrentUser, Engine, EngineConfig, HookObject, Params, Sessions};
use paylog::environment::Environment;
use paylog::model::{CloudError, Document, ErrorCode};
use paylog::server::sessions::user_by_token;
use paylog::server::{PasswordCost, Server, ServerConfig, set_up};
use paylog::storage::{FolderFiles, SqliteStore};
use paylog::store::Database;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::skip::is_installed;

/// Time-out of all cases of one SDK.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sessions of the server's own users.
#[derive(Debug)]
struct OwnUsers(Arc<dyn Database>);

#[async_trait]
impl Sessions for OwnUsers {
    async fn user(&self, session_token: &str) -> Result<Document, CloudError> {
        let found = user_by_token(&*self.0, session_token).await;
        found
            .map_err(|error| CloudError::other(error.to_string()))?
            .ok_or_else(|| CloudError::new(ErrorCode::USER_NOT_FOUND, "Could not find user."))
    }
}

async fn greet(Params(parameters): Params<Document>, user: Option<CurrentUser>) -> Result<Value, CloudError> {
    let name = parameters.text("name").unwrap_or("stranger");
    let by = user.map(|user| user.id().to_string());
    Ok(json!({"text": format!("Hello, {name}!"), "by": by}))
}

async fn refuse() -> Result<(), CloudError> {
    Err(CloudError::new(ErrorCode(4711), "Not today."))
}

async fn echo(Params(parameters): Params<Document>) -> Result<Document, CloudError> {
    Ok(parameters)
}

async fn check_review(mut review: HookObject) -> Result<HookObject, CloudError> {
    check_stars(&review)?;
    if let Some(text) = review.text("text") {
        let cut: String = text.chars().take(100).collect();
        review.insert("text".to_owned(), cut.into());
    }
    Ok(review)
}

async fn check_change(review: HookObject) -> Result<(), CloudError> {
    check_stars(&review)
}

fn check_stars(review: &Document) -> Result<(), CloudError> {
    match review.integer("stars") {
        Some(stars) if stars > 5 => Err(CloudError::other("at most five stars")),
        _ => Ok(()),
    }
}

async fn keep_reviews() -> Result<(), CloudError> {
    Err(CloudError::other("reviews stay"))
}

fn app() -> App<()> {
    App::new()
        .function("greet", greet)
        .function("refuse", refuse)
        .function("echo", echo)
        .before_save("Review", check_review)
        .before_update("Review", check_change)
        .before_delete("Review", keep_reviews)
}

/// A server with functions and hooks. It ends when it is dropped.
struct Running {
    target: Value,
    listener: tokio::task::JoinHandle<()>,
    _engine: Engine,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn start() -> Running {
    let environment = Environment::system();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), environment.clone()).unwrap();
    let database: Arc<dyn Database> = Arc::new(store);
    set_up(&*database).await.unwrap();
    let credentials = Credentials {
        app_id: "sdk-app".into(),
        app_key: "sdk-app-key".into(),
        master_key: Some("sdk-master-key".into()),
        hook_key: Some("sdk-hook-key".into()),
        androidx_key: None,
    };
    let sessions = Arc::new(OwnUsers(Arc::clone(&database)));
    let engine = EngineConfig {
        environment: environment.clone(),
        ..EngineConfig::new(credentials.clone(), sessions)
    };
    let engine = app().build((), engine).unwrap();
    let files = FolderFiles::open(&folder.path().join("files"), environment.clone()).unwrap();
    let mut config = ServerConfig::new(credentials, environment);
    config.password_cost = PasswordCost::CHEAPEST;
    config.files = Some(Arc::new(files));
    let server = Server::new(database, config, Some(engine.hooks()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = engine
        .router()
        .merge(server.router())
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::spawn(async move {
        axum::serve(listener, service).await.unwrap();
    });
    Running {
        target: json!({
            "url": format!("http://{address}"),
            "appId": "sdk-app",
            "appKey": "sdk-app-key",
            "masterKey": "sdk-master-key",
            "hookKey": "sdk-hook-key",
        }),
        listener,
        _engine: engine,
        _folder: folder,
    }
}

/// Folder in which `.ci/sdk` installs the SDKs: next to the build's output.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("sdk")
}

fn cases(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk")
        .join(language)
}

async fn drive(mut command: Command) {
    let server = start().await;
    command
        .env("PAYLOG_SDK_TARGET", server.target.to_string())
        .env_remove("NODE_OPTIONS")
        .kill_on_drop(true);
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(name);
    }
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("the cases of an SDK came to no end")
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", output.status);
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_sdk_works_unchanged() {
    let modules = installed().join("javascript/node_modules");
    if !is_installed("JavaScript SDK", &modules.join("leancloud-storage/package.json")) {
        return;
    }
    let mut command = Command::new("node");
    command
        .arg(cases("javascript").join("main.js"))
        .env("NODE_PATH", modules);
    drive(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_works_unchanged() {
    let python = installed().join("python/bin/python");
    if !is_installed("Python SDK", &python) {
        return;
    }
    let mut command = Command::new(python);
    // The cases leave no compiled files in the repository.
    command
        .args(["-B", "-W", "ignore", "-m", "unittest", "discover", "-v"])
        .current_dir(cases("python"));
    drive(command).await;
}
