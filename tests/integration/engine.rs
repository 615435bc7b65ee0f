//! Tests of the LeanEngine runtime over real HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paylog::credentials::Credentials;
use paylog::engine::{
    App, BuildError, CurrentUser, Engine, EngineConfig, FunctionOptions, HookObject, Meta, Object, Params,
    ServeOptions, Sessions, State, serve_with,
};
use paylog::http::RemoteAddress;
use paylog::model::{ClassName, CloudError, Document, ErrorCode, HookCall, HookKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

mod calls;
mod connections;
mod objects;
mod queue;

const SESSION: &str = "a-session-that-is-known";

#[derive(Debug)]
struct OneUser;

#[async_trait]
impl Sessions for OneUser {
    async fn user(&self, session_token: &str) -> Result<Document, CloudError> {
        match session_token {
            SESSION => Ok(document(json!({"objectId": "u1", "username": "ming"}))),
            "a-session-store-that-is-down" => Err(CloudError::new(ErrorCode(303), "no disk")),
            _ => Err(CloudError::new(ErrorCode::USER_NOT_FOUND, "Could not find user.")),
        }
    }
}

#[derive(Clone, Default)]
struct Counters {
    finished: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
struct Greeting {
    name: String,
    #[serde(default = "once")]
    times: u8,
}

fn once() -> u8 {
    1
}

#[derive(Serialize)]
struct Greeted {
    text: String,
    by: Option<String>,
}

async fn hello(Params(greeting): Params<Greeting>, user: Option<CurrentUser>) -> Result<Greeted, CloudError> {
    Ok(Greeted {
        text: format!("Hello, {}!", greeting.name).repeat(greeting.times.into()),
        by: user.map(|user| user.id().to_string()),
    })
}

async fn nothing() -> Result<(), CloudError> {
    Ok(())
}

async fn who(user: CurrentUser) -> Result<String, CloudError> {
    Ok(user.document().text("username").unwrap_or_default().to_owned())
}

async fn refuse() -> Result<(), CloudError> {
    Err(CloudError::new(ErrorCode(4711), "Not today.").with_status(418))
}

async fn panics() -> Result<(), CloudError> {
    panic!("a secret of the server")
}

async fn address(meta: Meta) -> Result<Option<RemoteAddress>, CloudError> {
    Ok(meta.remote_address)
}

async fn echo(Params(parameters): Params<Document>) -> Result<Document, CloudError> {
    Ok(parameters)
}

async fn slow(
    Params(parameters): Params<Document>,
    State(counters): State<Counters>,
) -> Result<(), CloudError> {
    let millis = parameters
        .integer("ms")
        .and_then(|ms| u64::try_from(ms).ok())
        .unwrap_or(0);
    paylog::environment::Environment::system()
        .sleep(Duration::from_millis(millis))
        .await;
    counters.finished.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Review {
    stars: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checked: Option<bool>,
}

async fn check_review(
    mut review: Object<Review>,
    user: Option<CurrentUser>,
) -> Result<Object<Review>, CloudError> {
    if review.stars > 5 {
        return Err(CloudError::other("at most five stars"));
    }
    review.checked = Some(user.is_some());
    Ok(review)
}

async fn guard_title(object: HookObject) -> Result<(), CloudError> {
    if object.updated_keys().iter().any(|key| key == "title") {
        return Err(CloudError::other("the title stays"));
    }
    Ok(())
}

async fn panicking_hook() -> Result<(), CloudError> {
    panic!("a hook's secret")
}

async fn slow_hook() -> Result<(), CloudError> {
    std::future::pending().await
}

fn app() -> App<Counters> {
    App::new()
        .function("hello", hello)
        .function("nothing", nothing)
        .function("who", who)
        .function("refuse", refuse)
        .function("panics", panics)
        .function("address", address)
        .function("echo", echo)
        .function("slow", slow)
        .function_with(
            "stubborn",
            FunctionOptions {
                detached: true,
                ..FunctionOptions::default()
            },
            slow,
        )
        .function_with(
            "rawSession",
            FunctionOptions {
                fetch_user: false,
                ..FunctionOptions::default()
            },
            async |meta: Meta| Ok::<_, CloudError>(meta.session_token.is_some()),
        )
        .function_with(
            "lenient",
            FunctionOptions {
                ignore_invalid_session: true,
                ..FunctionOptions::default()
            },
            async |user: Option<CurrentUser>| Ok::<_, CloudError>(user.is_some()),
        )
        .function("_messageSent", nothing)
        .internal_function("sweep", nothing)
        .before_save("Review", check_review)
        .before_update("Review", guard_title)
        .before_delete("Review", panicking_hook)
        .after_save("Review", slow_hook)
        .on_login(async |user: HookObject| match user.text("username") {
            Some("banned") => Err(CloudError::other("banned")),
            _ => Ok(()),
        })
}

fn credentials() -> Credentials {
    Credentials {
        app_id: "app".into(),
        app_key: "key".into(),
        master_key: Some("master".into()),
        hook_key: Some("hook".into()),
        androidx_key: None,
    }
}

fn config() -> EngineConfig {
    EngineConfig::new(credentials(), Arc::new(OneUser))
}

struct Running {
    url: String,
    http: reqwest::Client,
    counters: Counters,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(config: EngineConfig, options: ServeOptions) -> Running {
    start_app(app(), config, options).await
}

async fn start_app(app: App<Counters>, config: EngineConfig, options: ServeOptions) -> Running {
    let counters = Counters::default();
    let engine = app.build(counters.clone(), config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let router = engine.router();
    let served = tokio::spawn(async move {
        serve_with(listener, router, options, async {
            stopped.await.ok();
        })
        .await
    });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Running {
        url,
        http,
        counters,
        engine,
        stop: Some(stop),
        served,
    }
}

async fn running() -> Running {
    start(config(), ServeOptions::default()).await
}

impl Running {
    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.url));
        request
            .header("X-LC-Id", "app")
            .header("Content-Type", "application/json")
    }

    async fn call(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let mut request = self.post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.body(body.to_string())).await
    }

    async fn with_key(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(path, &[("X-LC-Key", "key")], body).await
    }

    async fn hook(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(path, &[("X-LC-Key", "key"), ("X-LC-Hook-Key", "hook")], body)
            .await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn document(value: Value) -> Document {
    serde_json::from_value(value).unwrap()
}

fn error(code: i32, text: &str) -> Value {
    json!({"code": code, "error": text})
}

// compat: engine.2
#[tokio::test]
async fn ping_needs_no_key() {
    let engine = running().await;
    for path in ["/__engine/1/ping", "/__engine/1.1/ping", "/__engine/1.1/ping/"] {
        let response = engine
            .http
            .get(format!("{}{path}", engine.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        assert!(
            body["runtime"].is_string() && body["version"].is_string(),
            "{body}"
        );
    }
}

// compat: engine.3
#[tokio::test]
async fn every_prefix_reaches_a_function() {
    let engine = running().await;
    for prefix in [
        "/1/functions",
        "/1.1/functions",
        "/1/call",
        "/1.1/call",
        "/__engine/1/functions",
        "/__engine/1.1/call",
    ] {
        let reply = engine
            .with_key(&format!("{prefix}/hello"), &json!({"name": "you"}))
            .await;
        assert_eq!(
            reply,
            (200, json!({"result": {"text": "Hello, you!", "by": null}})),
            "{prefix}"
        );
    }
    let (status, body) = engine.with_key("/1.1/functions/", &json!({})).await;
    assert_eq!(
        (status, &body),
        (404, &error(1, "No function name or class name: /1.1/functions/"))
    );
    let any_method = engine.http.get(format!("{}/1.1/functions/nothing", engine.url));
    let reply = answer(any_method.header("X-LC-Id", "app").header("X-LC-Key", "key")).await;
    assert_eq!(reply, (200, json!({})));
}

// compat: engine.4
#[tokio::test]
async fn metadatas_list_all_definitions_for_the_master_key() {
    let engine = running().await;
    let path = "/1.1/functions/_ops/metadatas";
    assert_eq!(
        engine.with_key(path, &json!({})).await,
        (401, error(401, "Unauthorized."))
    );
    for master in [
        ("X-LC-Key", "master,master"),
        ("X-LC-Key", "master"),
        ("X-AVOSCloud-Master-Key", "master"),
        ("X-Uluru-Master-Key", "master"),
    ] {
        let (status, body) = engine.call(path, &[master], &json!({})).await;
        assert_eq!(status, 200);
        let names = body["result"].as_array().unwrap();
        for name in [
            "hello",
            "sweep",
            "__before_save_for_Review",
            "__after_save_for_Review",
            "__on_login__User",
        ] {
            assert!(names.contains(&json!(name)), "{name} in {body}");
        }
        assert_eq!(names.len(), engine.engine.metadata().len());
    }
}

// compat: engine.5
#[tokio::test]
async fn credentials_by_key_sign_master_and_text_plain_authenticate() {
    let engine = running().await;
    let greeting = json!({"name": "you"});
    let now = paylog::model::Timestamp::from_millis(1_700_000_000_000);
    let sign = paylog::credentials::sign(&"key".into(), now);
    for header in [
        ("X-LC-Key", "key"),
        ("X-LC-Key", "master"),
        ("X-Uluru-Application-Key", "key"),
        ("X-LC-Sign", &*sign),
    ] {
        let (status, _) = engine.call("/1.1/functions/hello", &[header], &greeting).await;
        assert_eq!(status, 200, "{header:?}");
    }
    for header in [
        ("X-LC-Key", "wrong"),
        ("X-LC-Sign", "0,1"),
        ("X-LC-Sign", "0"),
        ("X-Other", "key"),
    ] {
        let reply = engine.call("/1.1/functions/hello", &[header], &greeting).await;
        assert_eq!(reply, (401, error(401, "Unauthorized.")), "{header:?}");
    }
    // The signature with the Android key, if the app has one.
    let android = format!("{},ax-sig-1", paylog::credentials::sign(&"android".into(), now));
    let header = [("X-LC-Sign", &*android)];
    let (status, _) = engine.call("/1.1/functions/hello", &header, &greeting).await;
    assert_eq!(status, 401);
    let mut with_android = config();
    with_android.credentials.androidx_key = Some("android".into());
    let with_android = start(with_android, ServeOptions::default()).await;
    let (status, _) = with_android
        .call("/1.1/functions/hello", &header, &greeting)
        .await;
    assert_eq!(status, 200);
    // It is not the master key's.
    let (status, _) = with_android
        .call("/1.1/functions/_ops/metadatas", &header, &json!({}))
        .await;
    assert_eq!(status, 401);
    let anonymous = engine
        .http
        .post(format!("{}/1.1/functions/hello", engine.url))
        .body("not even JSON");
    assert_eq!(answer(anonymous).await, (401, error(401, "Unauthorized.")));
    let body = json!({
        "name": "you", "_x": 1, "__kept": 2,
        "_ApplicationId": "app", "_ApplicationKey": "key", "_SessionToken": SESSION
    });
    let request = engine.http.post(format!("{}/1.1/functions/echo", engine.url));
    let reply = answer(
        request
            .header("Content-Type", "text/plain")
            .body(body.to_string()),
    )
    .await;
    assert_eq!(reply, (200, json!({"result": {"name": "you", "__kept": 2}})));
}

// compat: engine.5
#[tokio::test]
async fn hook_or_internal_function_without_its_key_is_refused() {
    let engine = running().await;
    for (path, text) in [
        (
            "/1.1/functions/Review/beforeSave",
            "Hook key check failed, request from 127.0.0.1",
        ),
        (
            "/1.1/functions/_messageSent",
            "Hook key check failed, request from 127.0.0.1",
        ),
        (
            "/1.1/functions/_User/onLogin",
            "Hook key check failed, request from 127.0.0.1",
        ),
        (
            "/1.1/functions/sweep",
            "Internal cloud function, request from 127.0.0.1",
        ),
    ] {
        assert_eq!(
            engine.with_key(path, &json!({})).await,
            (401, error(401, text)),
            "{path}"
        );
        let wrong = [("X-LC-Key", "key"), ("X-LC-Hook-Key", "key")];
        assert_eq!(engine.call(path, &wrong, &json!({})).await.0, 401, "{path}");
    }
    for headers in [
        [("X-LC-Key", "master,master"), ("X-A", "b")],
        [("X-LC-Key", "key"), ("X-LC-Hook-Key", "hook")],
    ] {
        assert_eq!(
            engine.call("/1.1/functions/sweep", &headers, &json!({})).await.0,
            200,
            "{headers:?}"
        );
    }
    let mut without = config();
    without.credentials.hook_key = None;
    let engine = start(without, ServeOptions::default()).await;
    for hook_key in ["", "hook"] {
        let headers = [("X-LC-Key", "key"), ("X-LC-Hook-Key", hook_key)];
        let reply = engine
            .call(
                "/1.1/functions/Review/beforeSave",
                &headers,
                &json!({"object": {}}),
            )
            .await;
        assert_eq!(reply.0, 401);
    }
}

// compat: engine.6
#[tokio::test]
async fn preflight_needs_no_authentication() {
    let engine = running().await;
    let url = format!("{}/1.1/functions/_ops/metadatas", engine.url);
    let request = engine
        .http
        .request(reqwest::Method::OPTIONS, url)
        .header("Origin", "https://example.com");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("access-control-allow-origin"), "https://example.com");
    assert_eq!(header("access-control-max-age"), "86400");
    assert_eq!(
        header("access-control-allow-methods"),
        "HEAD, GET, POST, PUT, DELETE, OPTIONS"
    );
    assert!(header("access-control-allow-headers").contains("X-LC-Hook-Key"));
    assert_eq!(response.text().await.unwrap(), "");
}

// compat: engine.7
#[tokio::test]
async fn bodies_as_json_form_and_text_are_parsed() {
    let engine = running().await;
    let (status, body) = answer(
        engine
            .post("/1.1/functions/echo")
            .header("X-LC-Key", "key")
            .body("{oops"),
    )
    .await;
    assert_eq!((status, &body["code"]), (400, &json!(1)), "{body}");
    let (status, body) = answer(
        engine
            .post("/1.1/functions/echo")
            .header("X-LC-Key", "key")
            .body("[1]"),
    )
    .await;
    assert_eq!((status, &body["code"]), (400, &json!(1)), "{body}");
    let empty = engine.post("/1.1/functions/echo").header("X-LC-Key", "key");
    assert_eq!(answer(empty).await, (200, json!({"result": {}})));
    let form = engine.http.post(format!("{}/1.1/functions/echo", engine.url));
    let form = form.header("X-LC-Id", "app").header("X-LC-Key", "key");
    let form = form
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("a=1&b=x%20y");
    assert_eq!(
        answer(form).await,
        (200, json!({"result": {"a": "1", "b": "x y"}}))
    );
    let huge = vec![b' '; 21 * 1024 * 1024];
    let reply = answer(
        engine
            .post("/1.1/functions/echo")
            .header("X-LC-Key", "key")
            .body(huge),
    )
    .await;
    assert_eq!(reply, (413, error(413, "Payload Too Large.")));
}

// compat: engine.8
#[tokio::test]
async fn session_token_resolves_to_a_user() {
    let engine = running().await;
    let with = async |function: &str, token: &str| {
        let headers = [("X-LC-Key", "key"), ("X-LC-Session", token)];
        engine
            .call(
                &format!("/1.1/functions/{function}"),
                &headers,
                &json!({"name": "you"}),
            )
            .await
    };
    assert_eq!(with("who", SESSION).await, (200, json!({"result": "ming"})));
    assert_eq!(with("hello", SESSION).await.1["result"]["by"], "u1");
    let expired = "Verify sessionToken failed, maybe login expired: Could not find user.";
    assert_eq!(with("hello", "unknown").await, (401, error(211, expired)));
    assert_eq!(with("hello", "").await.0, 200);
    assert_eq!(
        with("hello", "a-session-store-that-is-down").await,
        (500, error(303, "no disk"))
    );
    assert_eq!(
        with("rawSession", "unknown").await,
        (200, json!({"result": true}))
    );
    assert_eq!(with("lenient", "unknown").await, (200, json!({"result": false})));
    let (status, body) = with("who", "").await;
    assert_eq!((status, &body["code"]), (401, &json!(211)));
}

// compat: engine.8
#[tokio::test]
async fn wrong_parameter_is_refused_by_name() {
    let engine = running().await;
    for (parameters, name) in [
        (json!({"name": 7}), "name"),
        (json!({"name": "x", "times": 300}), "times"),
    ] {
        let (status, body) = engine.with_key("/1.1/functions/hello", &parameters).await;
        assert_eq!((status, &body["code"]), (400, &json!(107)));
        assert!(
            body["error"].as_str().unwrap().contains(&format!("'{name}'")),
            "{body}"
        );
    }
    let (status, body) = engine.with_key("/1.1/functions/hello", &json!({})).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("name"), "{body}");
}

// compat: engine.9
#[tokio::test]
async fn function_errors_keep_code_and_status() {
    let engine = running().await;
    let call = async |name: &str| {
        engine
            .with_key(&format!("/1.1/functions/{name}"), &json!({}))
            .await
    };
    assert_eq!(
        call("missing").await,
        (404, error(1, "No such cloud function 'missing'"))
    );
    assert_eq!(call("refuse").await, (418, error(4711, "Not today.")));
    let (status, body) = call("panics").await;
    assert_eq!((status, &body["code"]), (500, &json!(1)));
    let text = body["error"].as_str().unwrap();
    assert!(
        text.starts_with("Internal error. (request ") && !text.contains("secret"),
        "{text}"
    );
    assert_eq!(call("nothing").await.0, 200, "the process lives on");
    let reply = engine
        .hook("/1.1/functions/Other/beforeSave", &json!({"object": {}}))
        .await;
    assert_eq!(reply, (404, error(1, "No beforeSave hook of 'Other'")));
    let reply = engine
        .hook("/1.1/functions/onVerified/sms", &json!({"object": {}}))
        .await;
    assert_eq!(reply, (404, error(1, "No such hook: onVerified")));
}

// compat: engine.9
#[tokio::test]
async fn detached_function_continues_after_time_out() {
    let mut config = config();
    config.limits.function = Duration::from_millis(100);
    let engine = start(config, ServeOptions::default()).await;
    let reply = engine
        .with_key("/1.1/functions/stubborn", &json!({"ms": 400}))
        .await;
    assert_eq!(reply, (503, error(124, "The request timed out on the server.")));
    assert_eq!(engine.counters.finished.load(Ordering::SeqCst), 0);
    engine.engine.close().await;
    assert_eq!(engine.counters.finished.load(Ordering::SeqCst), 1);
}

// compat: engine.10
#[tokio::test]
async fn class_hooks_run_over_http() {
    let engine = running().await;
    let path = "/1.1/functions/Review";
    let call = json!({"object": {"stars": 4, "text": "fine", "__before": "1,2"}, "user": {"objectId": "u9"}});
    let reply = engine.hook(&format!("{path}/beforeSave"), &call).await;
    assert_eq!(reply, (200, json!({"stars": 4, "text": "fine", "checked": true})));
    let reply = engine
        .hook(&format!("{path}/beforeSave"), &json!({"object": {"stars": 9}}))
        .await;
    assert_eq!(reply, (400, error(1, "at most five stars")));
    let update = |key: &str| json!({"object": {"objectId": "r", "title": "t", "_updatedKeys": [key]}});
    let reply = engine
        .hook(&format!("{path}/beforeUpdate"), &update("text"))
        .await;
    assert_eq!(reply, (200, json!({"objectId": "r", "title": "t"})));
    let reply = engine
        .hook(&format!("{path}/beforeUpdate"), &update("title"))
        .await;
    assert_eq!(reply, (400, error(1, "the title stays")));
}

// compat: engine.10
#[tokio::test]
async fn class_hooks_run_in_process() {
    let mut config = config();
    config.limits.other_hook = Duration::from_millis(50);
    let engine = app().build(Counters::default(), config).unwrap();
    let hooks = engine.hooks();
    let review = ClassName::parse("Review").unwrap();
    assert!(hooks.defined(&review, HookKind::BeforeSave));
    assert!(!hooks.defined(&review, HookKind::AfterDelete));
    assert!(!hooks.defined(&ClassName::user(), HookKind::BeforeSave));
    let call = |kind, object: Value| HookCall {
        class: review.clone(),
        kind,
        object: document(object),
        updated_keys: vec!["title".into()],
        user: None,
        remote_address: None,
    };
    let stored = hooks
        .call(call(HookKind::BeforeSave, json!({"stars": 1, "a": 1})))
        .await
        .unwrap();
    assert_eq!(stored, document(json!({"stars": 1, "a": 1, "checked": false})));
    let refusal = hooks
        .call(call(HookKind::BeforeUpdate, json!({})))
        .await
        .unwrap_err();
    assert_eq!(refusal.message, "the title stays");
    let panic = hooks
        .call(call(HookKind::BeforeDelete, json!({})))
        .await
        .unwrap_err();
    assert!(
        panic.status == 500 && !panic.message.contains("secret"),
        "{panic}"
    );
    let late = hooks
        .call(call(HookKind::AfterSave, json!({})))
        .await
        .unwrap_err();
    assert_eq!(late.code, ErrorCode::TIMEOUT);
}

// compat: engine.12
#[tokio::test]
async fn on_login_hook_refuses_login() {
    let engine = running().await;
    let login = async |name: &str| {
        engine
            .hook(
                "/1.1/functions/_User/onLogin",
                &json!({"object": {"username": name}}),
            )
            .await
    };
    assert_eq!(login("ming").await, (200, json!({"result": "ok"})));
    assert_eq!(login("banned").await, (400, error(1, "banned")));
}

// compat: recorded.cloud_functions engine.13
#[tokio::test]
async fn call_returns_empty_object_for_unit_and_scalars_unchanged() {
    let engine = running().await;
    assert_eq!(
        engine.with_key("/1.1/functions/nothing", &json!({})).await,
        (200, json!({}))
    );
    assert_eq!(
        engine.with_key("/1.1/call/nothing", &json!({})).await,
        (200, json!({"result": {}}))
    );
    let headers = [("X-LC-Key", "key"), ("X-LC-Session", SESSION)];
    assert_eq!(
        engine.call("/1.1/call/who", &headers, &json!({})).await,
        (200, json!({"result": "ming"}))
    );
}

// compat: engine.14
#[tokio::test]
async fn proxy_headers_count_only_from_trusted_proxy() {
    let headers = [("X-LC-Key", "key"), ("Forwarded", "for=203.0.113.7")];
    let engine = running().await;
    let reply = engine.call("/1.1/functions/address", &headers, &json!({})).await;
    assert_eq!(reply, (200, json!({"result": "127.0.0.1"})));
    let trusting = EngineConfig {
        trust_proxy: true,
        ..config()
    };
    let engine = start(trusting, ServeOptions::default()).await;
    let reply = engine.call("/1.1/functions/address", &headers, &json!({})).await;
    assert_eq!(reply, (200, json!({"result": "203.0.113.7"})));
}

// compat: engine.17
#[tokio::test]
async fn stop_finishes_calls_in_flight_and_accepts_no_more() {
    let mut engine = running().await;
    let request = engine
        .post("/1.1/functions/slow")
        .header("X-LC-Key", "key")
        .body(r#"{"ms": 300}"#);
    let under_way = tokio::spawn(async move { request.send().await.unwrap().status().as_u16() });
    // The call has started once the engine counts it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while engine.engine.calls_in_flight() == 0 && tokio::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    engine.stop.take().unwrap().send(()).unwrap();
    engine.served.await.unwrap().unwrap();
    assert_eq!(under_way.await.unwrap(), 200);
    assert_eq!(engine.counters.finished.load(Ordering::SeqCst), 1);
    let address = engine.url.trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn invalid_or_duplicate_names_fail_the_build() {
    let build = |app: App<Counters>| app.build(Counters::default(), config()).unwrap_err();
    assert_eq!(
        build(App::new().function("a", nothing).function("a", nothing)),
        BuildError::DefinedTwice("a".into())
    );
    let twice = App::new()
        .before_update("Review", guard_title)
        .before_update("Review", guard_title);
    assert_eq!(
        build(twice),
        BuildError::DefinedTwice("__before_update_for_Review".into())
    );
    assert_eq!(
        build(App::new().function("a/b", nothing)),
        BuildError::InvalidName("a/b".into())
    );
    assert!(matches!(
        build(App::new().after_save("1st", guard_title)),
        BuildError::InvalidClass { .. }
    ));
}
