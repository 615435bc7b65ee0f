//! `paylog serve --engine`: the real program with a LeanEngine app in another language; and the queue of the real
//! program, killed at the worst moment.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use paylog::environment::Environment;
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::net::TcpListener;

use crate::support::program::{As, Server, http_client, poll, program};

/// A fake app that records its requests, and responds by the name of the function or hook.
#[derive(Clone)]
struct Fake {
    url: String,
    http: reqwest::Client,
    /// Address of its storage.
    paylog: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<RecordedRequest>>>,
    names: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Clone, Debug)]
struct RecordedRequest {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Value,
}

impl Fake {
    async fn start(names: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            http: http_client(),
            paylog: Arc::default(),
            asked: Arc::default(),
            names: Arc::new(Mutex::new(names.to_vec())),
        };
        let routes = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    /// Saves the object of a hook call again, as an SDK does: with the app's keys, and without a sign of the hook.
    async fn save_again(&self, asked: &RecordedRequest) -> Response {
        let id = asked.body["object"]["objectId"].as_str().unwrap();
        let url = format!("{}/1.1/classes/Circle/{id}", self.paylog.lock().unwrap());
        let mut request = self.http.put(url).json(&json!({"n": 1}));
        for name in ["x-lc-id", "x-lc-key", "x-lc-hook-key"] {
            request = request.header(name, &asked.headers[name]);
        }
        let response = request.send().await.unwrap();
        (response.status(), response.bytes().await.unwrap()).into_response()
    }

    /// Saves the object of a hook call again, as older SDKs do: they know no hook key, and send back the signature that
    /// came with the object.
    async fn save_signed(&self, asked: &RecordedRequest) -> Response {
        let object = &asked.body["object"];
        if object["_updatedKeys"] != json!(["n"]) {
            return axum::Json(json!({"result": "ok"})).into_response();
        }
        let id = object["objectId"].as_str().unwrap();
        let url = format!("{}/1.1/classes/Marked/{id}", self.paylog.lock().unwrap());
        let more = json!({"__op": "Increment", "amount": 1});
        let mut request = self
            .http
            .put(url)
            .json(&json!({"n": more, "__after": object["__after"]}));
        for name in ["x-lc-id", "x-lc-key"] {
            request = request.header(name, &asked.headers[name]);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        axum::Json(json!({"result": "ok"})).into_response()
    }

    /// Returns the requests to this path so far.
    fn requests(&self, path: &str) -> Vec<RecordedRequest> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

async fn answer(
    State(fake): State<Fake>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = RecordedRequest {
        method,
        path: uri.path().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    fake.asked.lock().unwrap().push(asked.clone());
    let name = uri.path().trim_start_matches("/1.1/functions/");
    let refused = |status: StatusCode, code: i32, text: &str| {
        (status, axum::Json(json!({"code": code, "error": text}))).into_response()
    };
    match name {
        // The Go and PHP SDKs check this header first, and the master key only without it.
        "_ops/metadatas" if asked.headers.contains_key("x-lc-key") => {
            refused(StatusCode::UNAUTHORIZED, 401, "Master Key check failed")
        }
        "_ops/metadatas" => axum::Json(json!({"result": *fake.names.lock().unwrap()})).into_response(),
        "echo" => axum::Json(json!({"result": asked.body})).into_response(),
        "refuse" => refused(StatusCode::IM_A_TEAPOT, 4711, "not today"),
        "Review/beforeSave" if asked.body["object"]["stars"] == 9 => {
            refused(StatusCode::BAD_REQUEST, 1, "at most five stars")
        }
        "Review/beforeSave" if asked.body["object"]["stars"] == 8 => {
            refused(StatusCode::BAD_REQUEST, 124, "a code of the app's own")
        }
        "Review/beforeSave" => {
            let mut object = asked.body["object"].clone();
            object["checked"] = true.into();
            axum::Json(object).into_response()
        }
        "Review/afterSave" | "Review/beforeUpdate" | "_User/beforeSave" => {
            let mut object = asked.body["object"].clone();
            object.as_object_mut().unwrap().remove("_updatedKeys");
            axum::Json(object).into_response()
        }
        "_User/onLogin" if asked.body["object"]["username"] == "banned" => {
            refused(StatusCode::BAD_REQUEST, 1, "banned")
        }
        "_User/onLogin" => axum::Json(json!({"result": "ok"})).into_response(),
        "_User/onAuthData" if asked.body["authData"]["weibo"]["access_token"] == "forged" => {
            refused(StatusCode::BAD_REQUEST, 1, "forged")
        }
        "_User/onAuthData" => {
            let mut data = asked.body["authData"].clone();
            data["weibo"]["checked"] = true.into();
            axum::Json(json!({"result": data})).into_response()
        }
        "Circle/beforeUpdate" => fake.save_again(&asked).await,
        "Marked/beforeUpdate" => axum::Json(asked.body["object"].clone()).into_response(),
        "Marked/afterUpdate" => fake.save_signed(&asked).await,
        "hang" => std::future::pending().await,
        _ => refused(StatusCode::NOT_FOUND, 1, "unknown to the fake"),
    }
}

async fn start_with_remote_app(fake: &Fake, data: &std::path::Path) -> Server {
    let server = Server::start_with(data, &["--sandbox=true", "--engine", &fake.url]).await;
    wait_until_discovered(&server).await;
    server
}

/// Waits until the app has been discovered: before that, writes that it might refuse are blocked.
async fn wait_until_discovered(server: &Server) {
    poll("the discovery of the app", async || {
        let names = server
            .ask("GET", "/1.1/functions/_ops/metadatas", As::Master, &Value::Null)
            .await;
        names["result"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == "echo")
            .then_some(())
    })
    .await;
}

// compat: engine.8
#[tokio::test]
async fn remote_function_call_is_forwarded_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(&["echo", "refuse"]).await;
    let server = start_with_remote_app(&fake, folder.path()).await;
    let session = server.sign_up("ming").await;
    let sent = json!({"a": [1, {"b": null}]});
    assert_eq!(server.call("echo", As::User(&session), &sent).await, sent);
    let asked = fake.requests("/1.1/functions/echo").pop().unwrap();
    assert_eq!((&asked.method, &asked.body), (&Method::POST, &sent));
    let header = |name: &str| asked.headers[name].to_str().unwrap();
    assert_eq!(header("x-lc-id"), server.keys.app_id);
    assert_eq!(header("x-lc-key"), server.keys.app_key);
    assert_eq!(header("x-lc-session"), session);
    assert_eq!(header("forwarded"), "for=127.0.0.1");
    let (status, body) = server
        .send("POST", "/1.1/functions/refuse", As::Client, &json!({}))
        .await;
    assert_eq!((status, body), (418, json!({"code": 4711, "error": "not today"})));
    let (status, body) = server
        .send("POST", "/1.1/functions/nobodys", As::Client, &json!({}))
        .await;
    assert_eq!(
        (status, body),
        (
            404,
            json!({"code": 1, "error": "No such cloud function 'nobodys'"})
        )
    );
    // paylog's own functions are not forwarded.
    assert_eq!(server.balance(&session).await, 0);
    // A client without the app's key is not forwarded either.
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    let before = fake.requests("/1.1/functions/echo").len();
    let request = stranger.post(format!("{}/1.1/functions/echo", server.address));
    let response = request
        .header("X-LC-Id", &server.keys.app_id)
        .body("{}")
        .send()
        .await;
    assert_eq!(response.unwrap().status(), 401);
    assert_eq!(fake.requests("/1.1/functions/echo").len(), before);
    // The definitions of a restarted app are discovered.
    fake.names.lock().unwrap().push("later");
    poll("the new function", async || {
        let (_, body) = server
            .send("POST", "/1.1/functions/later", As::Client, &json!({}))
            .await;
        (body["error"] == "unknown to the fake").then_some(())
    })
    .await;
}

// compat: engine.10
#[tokio::test]
async fn remote_hooks_run_on_writes() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = [
        "echo",
        "__on_login__User",
        "__on_authdata__User",
        "__before_save_for_Review",
        "__after_save_for_Review",
        "__before_update_for_Review",
        "__before_save_for__User",
    ];
    let fake = Fake::start(&hooks).await;
    let server = start_with_remote_app(&fake, folder.path()).await;
    let session = server.sign_up("ming").await;
    let review = |stars: u8| json!({"stars": stars, "text": "fine"});
    let made = server
        .ask("POST", "/1.1/classes/Review", As::User(&session), &review(4))
        .await;
    let path = format!("/1.1/classes/Review/{}", made["objectId"].as_str().unwrap());
    let stored = server.ask("GET", &path, As::Client, &Value::Null).await;
    assert_eq!(stored["checked"], true, "{stored}");
    let asked = fake.requests("/1.1/functions/Review/beforeSave").pop().unwrap();
    assert_eq!(
        asked.headers["x-lc-hook-key"].to_str().unwrap(),
        server.keys.hook_key
    );
    assert_eq!(asked.headers["forwarded"].to_str().unwrap(), "for=127.0.0.1");
    assert_eq!(asked.body["user"]["username"], "ming");
    assert_eq!(asked.body["user"]["sessionToken"], session);
    poll("the after hook", async || {
        (!fake.requests("/1.1/functions/Review/afterSave").is_empty()).then_some(())
    })
    .await;
    let (status, body) = server
        .send("POST", "/1.1/classes/Review", As::User(&session), &review(9))
        .await;
    assert_eq!((status, &body["code"]), (400, &json!(142)));
    assert_eq!(
        body["error"],
        "Cloud Code validation failed. Error detail : at most five stars"
    );
    let (status, body) = server
        .send("POST", "/1.1/classes/Review", As::User(&session), &review(8))
        .await;
    assert_eq!((status, &body["code"]), (400, &json!(142)));
    let text = body["error"].as_str().unwrap();
    assert!(text.ends_with("a code of the app's own"), "{text}");
    server
        .ask("PUT", &path, As::User(&session), &json!({"text": "good"}))
        .await;
    let asked = fake.requests("/1.1/functions/Review/beforeUpdate").pop().unwrap();
    assert_eq!(asked.body["object"]["_updatedKeys"], json!(["text"]));
    assert_eq!(asked.body["object"]["text"], "good");
    let login = json!({"username": "ming", "password": "correct horse"});
    server.ask("POST", "/1.1/login", As::Client, &login).await;
    let asked = fake.requests("/1.1/functions/_User/onLogin").pop().unwrap();
    let user = &asked.body["object"];
    assert_eq!(user["username"], "ming");
    assert_eq!(
        (&user["__type"], &user["className"]),
        (&json!("Object"), &json!("_User"))
    );
    assert_eq!(user["sessionToken"], session);
    assert_signed(&server, "__on_login__User", &user["__sign"]);
    server.sign_up("banned").await;
    let login = json!({"username": "banned", "password": "correct horse"});
    let (status, _) = server.send("POST", "/1.1/login", As::Client, &login).await;
    assert!(status >= 400, "{status}");
    let by_weibo = |token: &str| json!({"authData": {"weibo": {"uid": "1", "access_token": token}}});
    let made = server
        .ask("POST", "/1.1/users", As::Client, &by_weibo("valid"))
        .await;
    assert_eq!(made["authData"]["weibo"]["checked"], true, "{made}");
    let (status, body) = server
        .send("POST", "/1.1/users", As::Client, &by_weibo("forged"))
        .await;
    assert_eq!((status, &body["code"]), (400, &json!(142)), "{body}");
    // Both define this hook: the app's runs, and paylog still guards the money.
    assert!(!fake.requests("/1.1/functions/_User/beforeSave").is_empty());
    let rich = json!({"username": "rich", "password": "correct horse", "account": 5});
    let (status, _) = server.send("POST", "/1.1/users", As::Master, &rich).await;
    assert_eq!(status, 400);
}

// compat: user.secrets
#[tokio::test]
async fn secrets_are_in_no_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let fake = Fake::start(&["echo", "refuse", "__before_save_for_Review"]).await;
    let data = folder.path().join("data");
    let mut command = program();
    command
        .args(["serve", "--port", "0", "--log", "trace", "--request-log"])
        .args(["--engine", &fake.url, "--data"])
        .arg(&data)
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    let server = Server::started(command.spawn().unwrap(), &data).await;
    wait_until_discovered(&server).await;
    let first = server.sign_up("ming").await;
    let user = As::User(&first);
    let me = format!("/1.1/users/me?session_token={first}");
    let id = server.ask("GET", &me, As::Client, &Value::Null).await["objectId"].clone();
    let path = format!("/1.1/users/{}", id.as_str().unwrap());
    server.call("echo", user, &json!({"n": 1})).await;
    server.call("getBalance", user, &json!({})).await;
    server
        .ask("POST", "/1.1/classes/Review", user, &json!({"stars": 4}))
        .await;
    server
        .send("POST", "/1.1/classes/Review", user, &json!({"stars": 9}))
        .await;
    let change = json!({"old_password": "correct horse", "new_password": "battery staple"});
    let answer = server
        .ask("PUT", &format!("{path}/updatePassword"), user, &change)
        .await;
    let second = answer["sessionToken"].as_str().unwrap().to_owned();
    // Refused requests with secrets in them.
    for (method, path, body) in [
        (
            "POST",
            "/1.1/users",
            json!({"username": "ming", "password": "correct horse"}),
        ),
        (
            "POST",
            "/1.1/login",
            json!({"username": "ming", "password": "correct horse"}),
        ),
        ("PUT", &*path, json!({"sessionToken": second.clone()})),
    ] {
        let (status, body) = server.send(method, path, As::User(&second), &body).await;
        assert!(status >= 400, "{method} {path}: {body}");
    }
    server
        .ask(
            "POST",
            "/1.1/login",
            As::Client,
            &json!({"username": "ming", "password": "battery staple"}),
        )
        .await;
    let keys = server.keys.clone();
    server.stop().await;
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("/1.1/classes/Review"), "the requests are logged");
    for secret in [
        &*first,
        &*second,
        "correct horse",
        "battery staple",
        &*keys.app_key,
        &*keys.master_key,
        &*keys.hook_key,
    ] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

// compat: hook.recursion engine.11
#[tokio::test]
async fn recursive_remote_hooks_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(&["echo", "__before_update_for_Circle"]).await;
    let server = start_with_remote_app(&fake, folder.path()).await;
    server.address.clone_into(&mut fake.paylog.lock().unwrap());
    let made = server
        .ask("POST", "/1.1/classes/Circle", As::Client, &json!({"n": 0}))
        .await;
    let path = format!("/1.1/classes/Circle/{}", made["objectId"].as_str().unwrap());
    let rounds = || fake.requests("/1.1/functions/Circle/beforeUpdate").len();
    let mut before = 0;
    for _ in 0..2 {
        let (status, body) = server.send("PUT", &path, As::Client, &json!({"n": 2})).await;
        assert_eq!((status, &body["code"]), (400, &json!(142)));
        let text = body["error"].as_str().unwrap();
        assert!(text.contains("__ignore_hooks"), "{text}");
        // The client's write, and those that were admitted.
        assert_eq!(rounds() - before, 257);
        before = rounds();
    }
    let stored = server.ask("GET", &path, As::Client, &Value::Null).await;
    assert_eq!(stored["n"], 0, "{stored}");
}

/// Checks the signature that the PHP SDK requires instead of the hook key.
fn assert_signed(server: &Server, name: &str, mark: &Value) {
    let (millis, digest) = mark.as_str().unwrap().split_once(',').unwrap();
    let mut mac = Hmac::<Sha1>::new_from_slice(server.keys.master_key.as_bytes()).unwrap();
    mac.update(format!("{name}:{millis}").as_bytes());
    let expected = mac.finalize().into_bytes();
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected, "{name}");
}

// compat: hook.recursion hook.mark engine.11
#[tokio::test]
async fn hook_signature_replaces_the_hook_key_of_older_sdks() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["echo", "__before_update_for_Marked", "__after_update_for_Marked"];
    let fake = Fake::start(&names).await;
    let server = start_with_remote_app(&fake, folder.path()).await;
    server.address.clone_into(&mut fake.paylog.lock().unwrap());
    let made = server
        .ask("POST", "/1.1/classes/Marked", As::Client, &json!({"n": 0}))
        .await;
    let path = format!("/1.1/classes/Marked/{}", made["objectId"].as_str().unwrap());
    let calls = |hook: &str| fake.requests(&format!("/1.1/functions/Marked/{hook}"));
    let change = json!({"n": {"__op": "Increment", "amount": 1}});
    server.ask("PUT", &path, As::Client, &change).await;
    poll("the save of the after hook", async || {
        let stored = server.ask("GET", &path, As::Client, &Value::Null).await;
        assert!(stored.get("__after").is_none(), "{stored}");
        (stored["n"] == 2).then_some(())
    })
    .await;
    // Its own save runs the before hook, and not again the hook that it comes from.
    let (before, after) = (calls("beforeUpdate"), calls("afterUpdate"));
    assert_eq!((before.len(), after.len()), (2, 1));
    assert_signed(
        &server,
        "__before_for_Marked",
        &before[0].body["object"]["__before"],
    );
    assert_signed(&server, "__after_for_Marked", &after[0].body["object"]["__after"]);
    assert_eq!(before[1].body["object"]["_updatedKeys"], json!(["n"]));
    // A signature holds for one kind of hook and one class.
    let mark = &before[0].body["object"]["__before"];
    for (key, expected) in [("__after", 3), ("__before", 3), ("__sign", 4)] {
        let marked = json!({"other": 1, key: mark});
        server.ask("PUT", &path, As::Client, &marked).await;
        assert_eq!(calls("beforeUpdate").len(), expected, "{key}");
    }
}

// compat: engine.10
#[tokio::test]
async fn unreachable_remote_app_blocks_writes_it_may_refuse() {
    let folder = tempfile::tempdir().unwrap();
    // Bound without an acceptor; unreachable once it is dropped.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let server = Server::start_with(folder.path(), &["--sandbox=true", "--engine", &url]).await;
    let (status, body) = server
        .send("POST", "/1.1/classes/Review", As::Client, &json!({"stars": 1}))
        .await;
    assert_eq!((status, &body["code"]), (400, &json!(142)), "{body}");
    let (status, body) = server
        .send("POST", "/1.1/functions/theirs", As::Client, &json!({}))
        .await;
    assert_eq!((status, &body["code"]), (503, &json!(503)), "{body}");
}

const TASKS: &str = "/1.1/engine/cloud-queue/tasks";

async fn ended(server: &Server, id: &str) -> Value {
    poll("the task to end", async || {
        let info = server
            .ask("GET", &format!("{TASKS}/{id}"), As::Client, &Value::Null)
            .await;
        (info["status"] != "queued").then_some(info)
    })
    .await
}

// compat: engine.15
#[tokio::test]
async fn running_task_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(&["echo", "hang"]).await;
    let mut server = start_with_remote_app(&fake, folder.path()).await;
    let task = json!({"function": "hang", "uniqueId": "hanging"});
    server.ask("POST", TASKS, As::Master, &task).await;
    let waiting = json!({"function": "auditAccounts", "uniqueId": "waiting", "delay": 1});
    server.ask("POST", TASKS, As::Master, &waiting).await;
    poll("the task to run", async || {
        (!fake.requests("/1.1/functions/hang").is_empty()).then_some(())
    })
    .await;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(server);
    let clock = Environment::system();
    let server = start_with_remote_app(&fake, folder.path()).await;
    poll("the task to run again", async || {
        (fake.requests("/1.1/functions/hang").len() > 1).then_some(())
    })
    .await;
    // The lease of a process that is known to be dead is not awaited.
    assert!(clock.elapsed() < Duration::from_secs(15), "{:?}", clock.elapsed());
    let asked = fake.requests("/1.1/functions/hang").pop().unwrap();
    assert_eq!(
        asked.headers["x-lc-hook-key"].to_str().unwrap(),
        server.keys.hook_key
    );
}

// compat: engine.15
#[tokio::test]
async fn waiting_task_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    let task = json!({"function": "auditAccounts", "uniqueId": "later", "delay": 300});
    server.ask("POST", TASKS, As::Master, &task).await;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(server);
    let server = Server::start(folder.path()).await;
    let info = ended(&server, "later").await;
    assert_eq!(info["status"], "success", "{info}");
    assert!(info["result"]["accounts"].is_number(), "{info}");
    let (status, _) = server.send("POST", TASKS, As::Client, &task).await;
    assert_eq!(status, 401);
}

// compat: engine.15
#[tokio::test]
async fn cron_calls_a_function_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.yaml");
    let path = file.to_str().unwrap();
    let fake = Fake::start(&["echo"]).await;
    std::fs::write(
        &file,
        "jobs: [{name: often, function: echo, every: 1, params: {n: 1}}]",
    )
    .unwrap();
    let data = folder.path().join("data");
    let server = Server::start_with(&data, &["--engine", &fake.url, "--cron", path]).await;
    poll("the job to run twice", async || {
        (fake.requests("/1.1/functions/echo").len() > 1).then_some(())
    })
    .await;
    assert_eq!(fake.requests("/1.1/functions/echo")[0].body, json!({"n": 1}));
    drop(server);
    std::fs::write(&file, "jobs: [{name: often, function: missing, every: 1}]").unwrap();
    let data = data.to_str().unwrap();
    let output = crate::support::program::run(&["serve", "--port", "0", "--data", data, "--cron", path]);
    let error = crate::support::program::refusal(&output);
    assert!(error.contains("missing"), "{error}");
}

/// Starts a TCP forwarder to an address that is set later. The tests of the examples use it too.
pub(crate) async fn forwarder() -> (String, Arc<Mutex<Option<SocketAddr>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let known = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let target = *known.lock().unwrap();
            let Some(target) = target else { continue };
            tokio::spawn(async move {
                if let Ok(mut to) = tokio::net::TcpStream::connect(target).await {
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    (url, target)
}
