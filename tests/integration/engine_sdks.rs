//! Apps written with the official engine SDKs for Node.js and Python, unchanged, as remote apps of the real program:
//! paylog calls their functions and hooks, and they call its storage.
//!
//! `.ci/run` installs the SDKs. Elsewhere a test without its SDK reports that and is skipped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::remote_app::forwarder;
use crate::support::program::{As, Server, launch, poll};
use crate::support::skip::is_installed;

/// Folder of the SDKs: next to the build's output.
fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("sdk").join(path)
}

/// Returns the path if it exists.
fn find(sdk: &str, path: &str) -> Option<PathBuf> {
    let path = installed(path);
    is_installed(sdk, &path).then_some(path)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk/engine")
        .join(name)
}

/// The program with a remote app. Both end with the test.
struct Beside {
    server: Server,
    app: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.app.kill();
        let _ = self.app.wait();
    }
}

async fn start(mut app: Command) -> Beside {
    let folder = tempfile::tempdir().unwrap();
    let (url, target) = forwarder().await;
    let server = Server::start_with(folder.path(), &["--sandbox=true", "--engine", &url]).await;
    let keys = &server.keys;
    let mut app = launch(
        app.env("LEANCLOUD_APP_ID", &keys.app_id)
            .env("LEANCLOUD_APP_KEY", &keys.app_key)
            .env("LEANCLOUD_APP_MASTER_KEY", &keys.master_key)
            .env("LEANCLOUD_APP_HOOK_KEY", &keys.hook_key)
            .env("LEANCLOUD_API_SERVER", &server.address)
            .env("LEANCLOUD_APP_ENV", "production")
            .env("NODE_ENV", "production")
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped()),
    );
    let mut port = String::new();
    let mut output = BufReader::new(app.stdout.take().unwrap());
    output.read_line(&mut port).unwrap();
    let port: u16 = port.trim().parse().expect("the app says its port");
    // Its later output must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    *target.lock().unwrap() = Some(([127, 0, 0, 1], port).into());
    let beside = Beside {
        server,
        app,
        _folder: folder,
    };
    poll("the app to be known", async || {
        let path = "/1.1/functions/_ops/metadatas";
        let names = beside.server.ask("GET", path, As::Master, &Value::Null).await;
        names.to_string().contains("whoAmI").then_some(())
    })
    .await;
    beside
}

/// Checks common to apps in every language.
async fn functions_and_hooks(server: &Server) {
    let session = server.sign_up("ming").await;
    let user = As::User(&session);
    assert_eq!(
        server.call("whoAmI", user, &json!({"n": 7})).await,
        json!({"user": "ming", "n": 7})
    );
    assert_eq!(
        server.call("whoAmI", As::Client, &json!({})).await["user"],
        Value::Null
    );
    let (status, body) = server
        .send("POST", "/1.1/functions/refuse", As::Client, &json!({}))
        .await;
    let refusal = json!({"code": 4711, "error": "not today"});
    assert_eq!((status, body), (418, refusal));

    let review = |stars: u8| json!({"stars": stars, "text": "fine"});
    let made = server.ask("POST", "/1.1/classes/Review", user, &review(4)).await;
    let id = made["objectId"].as_str().unwrap();
    let path = format!("/1.1/classes/Review/{id}");
    let stored = server.ask("GET", &path, As::Client, &Value::Null).await;
    assert_eq!(
        stored["by"], "ming",
        "what the before hook has set is stored: {stored}"
    );
    let (status, body) = server.send("POST", "/1.1/classes/Review", user, &review(9)).await;
    assert_eq!((status, &body["code"]), (400, &json!(142)));
    let text = body["error"].as_str().unwrap();
    assert!(
        text.starts_with("Cloud Code validation failed. Error detail : ") && text.contains("five stars"),
        "{text}"
    );
    assert_eq!(server.call("countReviews", As::Client, &json!({})).await, 1);
    // The after hook has saved its own object.
    let notes = format!("/1.1/classes/Note?where={{\"about\":\"{id}\"}}");
    poll("the after hook", async || {
        // The class exists once the hook has saved an object.
        let (_, notes) = server.send("GET", &notes, As::Master, &Value::Null).await;
        (notes["results"].as_array()?.len() == 1).then_some(())
    })
    .await;
    server.ask("PUT", &path, user, &json!({"text": "good"})).await;
    for (method, body) in [("PUT", json!({"stars": 5})), ("DELETE", json!({}))] {
        let (status, body) = server.send(method, &path, user, &body).await;
        assert_eq!((status, &body["code"]), (400, &json!(142)), "{method}: {body}");
        assert!(body["error"].as_str().unwrap().contains("stay"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn node_sdk_app_runs_as_remote_app() {
    let Some(modules) = find("LeanEngine SDK for Node.js", "javascript/node_modules") else {
        return;
    };
    if find("LeanEngine SDK for Node.js", "javascript/node_modules/leanengine").is_none() {
        return;
    }
    let mut app = Command::new("node");
    app.arg(source("app.js")).env("NODE_PATH", modules);
    let beside = start(app).await;
    let server = &beside.server;
    functions_and_hooks(server).await;
    // A function of the app calls one of paylog's, and enqueues one of its own in paylog's queue.
    let session = server.sign_up("lan").await;
    server.recharge(&session, 500, "top-up").await;
    let balance = server.call("balance", As::User(&session), &json!({})).await;
    assert_eq!(balance, json!({"account": 500, "frozen": 0}));
    let (status, body) = server
        .send("POST", "/1.1/functions/inner", As::Client, &json!({"n": 1}))
        .await;
    assert_eq!(status, 401, "internal functions are not for clients: {body}");
    let id = server
        .call("later", As::Client, &json!({"n": 4, "id": "later-1"}))
        .await;
    assert_eq!(id, "later-1");
    let info = poll("the task to end", async || {
        let path = "/1.1/engine/cloud-queue/tasks/later-1";
        let info = server.ask("GET", path, As::Client, &Value::Null).await;
        (info["status"] != "queued").then_some(info)
    })
    .await;
    assert_eq!(
        (&info["status"], &info["result"]),
        (&json!("success"), &json!(5)),
        "{info}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn python_sdk_app_runs_as_remote_app() {
    let Some(python) = find("LeanEngine SDK for Python", "python/bin/python") else {
        return;
    };
    let mut app = Command::new(python);
    app.args(["-B", "-W", "ignore"]).arg(source("app.py"));
    let beside = start(app).await;
    functions_and_hooks(&beside.server).await;
}
