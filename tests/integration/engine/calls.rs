//! Calls between functions, user and realtime hooks, metrics, and web pages.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paylog::client::Client;
use paylog::engine::{
    App, AuthData, Cloud, CookieSession, CookieSessionLayer, CurrentUser, EngineConfig, HookObject,
    HttpsRedirectLayer, Meta, Params, RealtimeHook, RemoteCaller, RemoteRequest, ServeOptions,
};
use paylog::model::{CloudError, Document, ErrorCode, Value as CloudValue};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Counters, Running, SESSION, answer, config, document, error, nothing, start_app};

async fn add(Params(numbers): Params<Document>, user: Option<CurrentUser>) -> Result<Value, CloudError> {
    let sum = numbers.integer("a").unwrap_or(0) + numbers.integer("b").unwrap_or(0);
    Ok(json!({"sum": sum, "for": user.map(|user| user.id().to_string())}))
}

async fn twice(cloud: Cloud, Params(numbers): Params<Document>) -> Result<i64, CloudError> {
    let first: Document = cloud.run("add", &numbers).await?;
    let second: Document = cloud.run("add", &numbers).await?;
    Ok(first.integer("sum").unwrap_or(0) + second.integer("sum").unwrap_or(0))
}

async fn for_me(cloud: Cloud, user: CurrentUser) -> Result<Document, CloudError> {
    cloud.as_user(&user).run("add", &json!({"a": 1})).await
}

async fn elsewhere(cloud: Cloud, user: Option<CurrentUser>) -> Result<Value, CloudError> {
    let cloud = match &user {
        Some(user) => cloud.as_user(user),
        None => cloud,
    };
    cloud.rpc("theirs", &json!({"n": 1})).await
}

async fn add_elsewhere(cloud: Cloud) -> Result<Value, CloudError> {
    cloud.run_remote("add", &()).await
}

async fn no_time_left(cloud: Cloud, meta: Meta) -> Result<bool, CloudError> {
    let left: u64 = cloud.run("left", &()).await?;
    Ok(u128::from(left) <= meta.remaining().as_millis() + 1)
}

async fn unforeseen() -> Result<(), CloudError> {
    Err(CloudError::internal("the password of the database is hunter2"))
}

async fn asks_storage() -> Result<Value, CloudError> {
    // No server listens on port 1.
    let client = Client::builder("http://127.0.0.1:1", "app", "key")
        .build()
        .map_err(CloudError::internal)?;
    Ok(client.run::<_, Value>("x", &()).await?)
}

fn calling_app() -> App<Counters> {
    App::new()
        .function("add", add)
        .function("twice", twice)
        .function("forMe", for_me)
        .function("elsewhere", elsewhere)
        .function("addElsewhere", add_elsewhere)
        .function("noTimeLeft", no_time_left)
        .internal_function("left", async |meta: Meta| {
            Ok::<_, CloudError>(u64::try_from(meta.remaining().as_millis()).unwrap_or(0))
        })
        .function("unforeseen", unforeseen)
        .function("asksStorage", asks_storage)
}

async fn calling(config: EngineConfig) -> Running {
    start_app(calling_app(), config, ServeOptions::default()).await
}

/// Remote functions.
#[derive(Default)]
struct Others(Mutex<Vec<(String, bool, Option<String>)>>);

#[async_trait]
impl RemoteCaller for Others {
    async fn call(&self, request: RemoteRequest) -> Result<CloudValue, CloudError> {
        let token = request
            .session_token
            .map(|token| token.expose_secret().to_owned());
        self.0
            .lock()
            .unwrap()
            .push((request.name.clone(), request.rpc, token));
        match request.name.as_str() {
            "theirs" => Ok(json!({"from": "them", "params": request.params})),
            _ => Err(CloudError::new(ErrorCode(4711), "not ours").with_status(404)),
        }
    }
}

// compat: engine.8
#[tokio::test]
async fn function_calls_another_in_process() {
    let engine = calling(config()).await;
    let reply = engine
        .with_key("/1.1/functions/twice", &json!({"a": 3, "b": 4}))
        .await;
    assert_eq!(reply, (200, json!({"result": 14})));
    let with_session = [("X-LC-Key", "key"), ("X-LC-Session", SESSION)];
    let reply = engine
        .call("/1.1/functions/forMe", &with_session, &json!({}))
        .await;
    assert_eq!(reply, (200, json!({"result": {"sum": 1, "for": "u1"}})));
    // By default the called function has no user.
    let reply = engine
        .call("/1.1/functions/twice", &with_session, &json!({"a": 1}))
        .await;
    assert_eq!(reply, (200, json!({"result": 2})));
    let reply = engine.with_key("/1.1/functions/noTimeLeft", &json!({})).await;
    assert_eq!(reply, (200, json!({"result": true})));
}

// compat: engine.8
#[tokio::test]
async fn undefined_function_is_called_through_the_remote_port() {
    let engine = calling(config()).await;
    let missing = (404, error(1, "No such cloud function 'theirs'"));
    assert_eq!(
        engine.with_key("/1.1/functions/elsewhere", &json!({})).await,
        missing
    );
    let others = Arc::new(Others::default());
    let mut config = config();
    config.remote = Some(Arc::clone(&others) as Arc<dyn RemoteCaller>);
    let engine = calling(config).await;
    let reply = engine.with_key("/1.1/functions/elsewhere", &json!({})).await;
    assert_eq!(
        reply,
        (200, json!({"result": {"from": "them", "params": {"n": 1}}}))
    );
    let with_session = [("X-LC-Key", "key"), ("X-LC-Session", SESSION)];
    let reply = engine
        .call("/1.1/functions/elsewhere", &with_session, &json!({}))
        .await;
    assert_eq!(reply.0, 200);
    let reply = engine.with_key("/1.1/functions/addElsewhere", &json!({})).await;
    assert_eq!(reply, (404, error(4711, "not ours")));
    let asked = others.0.lock().unwrap().clone();
    assert_eq!(
        asked,
        [
            ("theirs".to_owned(), true, None),
            ("theirs".to_owned(), true, Some(SESSION.to_owned())),
            ("add".to_owned(), false, None),
        ]
    );
}

// compat: engine.8
#[tokio::test]
async fn app_calls_its_own_functions() {
    let engine = calling(config()).await;
    let cloud = engine.engine.cloud();
    let sum: Document = cloud.run("add", &json!({"a": 1, "b": 2})).await.unwrap();
    assert_eq!(sum, document(json!({"sum": 3, "for": null})));
    let missing = cloud.run::<Value>("missing", &()).await.unwrap_err();
    assert_eq!(missing.status, 404);
    let misread = cloud.run::<u8>("add", &()).await.unwrap_err();
    assert_eq!(misread.status, 500);
}

// compat: engine.9
#[tokio::test]
async fn unforeseen_error_is_hidden_from_the_caller() {
    let engine = calling(config()).await;
    for function in ["unforeseen", "asksStorage"] {
        let request = engine.post(&format!("/1.1/functions/{function}"));
        let response = request.header("X-LC-Key", "key").body("{}").send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(response.status(), 500);
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            body,
            error(1, &format!("Internal error. (request {id})")),
            "{function}"
        );
    }
}

// compat: engine.9
#[tokio::test]
async fn storage_error_keeps_its_code() {
    let rejected = {
        let server = wiremock::MockServer::start().await;
        wiremock::Mock::given(wiremock::matchers::any())
            .respond_with(
                wiremock::ResponseTemplate::new(400)
                    .set_body_json(json!({"code": 137, "error": "A unique field was given a taken value."})),
            )
            .mount(&server)
            .await;
        let client = Client::builder(server.uri(), "app", "key").build().unwrap();
        client.run::<_, Value>("x", &()).await.unwrap_err()
    };
    let error = CloudError::from(rejected);
    assert_eq!((error.code, error.status), (ErrorCode(137), 500));
    assert_eq!(error.message, "A unique field was given a taken value.");
}

// compat: engine.12
#[tokio::test]
async fn realtime_hooks_have_fixed_names_and_need_the_hook_key() {
    let app = App::new()
        .on_realtime(
            RealtimeHook::MessageReceived,
            async |Params(message): Params<Document>| {
                Ok::<_, CloudError>(json!({"drop": message.text("content") == Some("spam")}))
            },
        )
        .on_realtime(RealtimeHook::ClientOnline, nothing)
        .on_complete(async |Params(job): Params<Document>| match job.text("status") {
            Some("OK") => Ok(()),
            _ => Err(CloudError::other("a job failed")),
        });
    let engine = start_app(app, config(), ServeOptions::default()).await;
    let path = "/1.1/functions/_messageReceived";
    let spam = json!({"content": "spam", "fromPeer": "a"});
    assert_eq!(
        engine.hook(path, &spam).await,
        (200, json!({"result": {"drop": true}}))
    );
    let from = "Hook key check failed, request from 127.0.0.1";
    assert_eq!(engine.with_key(path, &spam).await, (401, error(401, from)));
    for path in [
        "/1.1/functions/BigQuery/onComplete",
        "/1.1/functions/Insight/onComplete",
    ] {
        let job = |status: &str| json!({"id": "j", "status": status, "message": ""});
        assert_eq!(
            engine.hook(path, &job("OK")).await,
            (200, json!({"result": "ok"}))
        );
        assert_eq!(
            engine.hook(path, &job("ERROR")).await,
            (400, error(1, "a job failed"))
        );
        assert_eq!(engine.with_key(path, &job("OK")).await, (401, error(401, from)));
    }
    let names = engine.engine.metadata();
    for name in ["_messageReceived", "_clientOnline", "__on_complete_bigquery_job"] {
        assert!(names.iter().any(|known| &**known == name), "{names:?}");
    }
}

// compat: engine.12
#[tokio::test]
async fn user_hooks_have_fixed_paths() {
    let app = App::new()
        .on_auth_data(async |AuthData(mut data): AuthData| match data.get_mut("weibo") {
            Some(weibo) if weibo["access_token"] == "valid" => {
                weibo["checked"] = true.into();
                Ok(data)
            }
            _ => Err(CloudError::other("an invalid token")),
        })
        .on_verified_sms(async |user: HookObject| match user.text("mobilePhoneNumber") {
            Some(_) => Ok(()),
            None => Err(CloudError::other("no number")),
        })
        .on_verified_email(nothing);
    let engine = start_app(app, config(), ServeOptions::default()).await;
    let path = "/1.1/functions/_User/onAuthData";
    let data = |token: &str| json!({"authData": {"weibo": {"uid": "1", "access_token": token}}});
    let mut checked = data("valid")["authData"].clone();
    checked["weibo"]["checked"] = true.into();
    assert_eq!(
        engine.hook(path, &data("valid")).await,
        (200, json!({"result": checked}))
    );
    assert_eq!(
        engine.hook(path, &data("forged")).await,
        (400, error(1, "an invalid token"))
    );
    let verified = json!({"object": {"objectId": "u1", "mobilePhoneNumber": "+8613800000000"}});
    for path in ["/1.1/functions/onVerified/sms", "/1.1/functions/onVerified/email"] {
        assert_eq!(engine.hook(path, &verified).await, (200, json!({"result": "ok"})));
        assert_eq!(engine.with_key(path, &verified).await.0, 401, "{path}");
    }
    let names = ["__on_authdata__User", "__on_verified_sms", "__on_verified_email"];
    assert_eq!(
        engine
            .engine
            .metadata()
            .iter()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        names
    );
}

#[tokio::test]
async fn metrics_need_the_master_key() {
    let engine = calling(config()).await;
    let url = format!("{}/__engine/1/metrics", engine.url);
    let get = |key: &'static str| {
        engine
            .http
            .get(&url)
            .header("X-LC-Id", "app")
            .header("X-LC-Key", key)
            .send()
    };
    assert_eq!(get("key").await.unwrap().status(), 401);
    engine.with_key("/1.1/functions/add", &json!({})).await;
    engine.with_key("/1.1/functions/unforeseen", &json!({})).await;
    let response = get("master,master").await.unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = response.text().await.unwrap();
    for line in [
        r#"leanengine_calls_total{function="add",outcome="ok"} 1"#,
        r#"leanengine_calls_total{function="unforeseen",outcome="failed"} 1"#,
        r#"leanengine_call_seconds_count{function="add"} 1"#,
        "leanengine_calls_under_way 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn request_id_counts_only_from_trusted_proxy() {
    let ask = async |engine: &Running, id: &str| {
        let request = engine.post("/1.1/functions/add").header("X-LC-Key", "key");
        let response = request
            .header("X-Request-Id", id)
            .body("{}")
            .send()
            .await
            .unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    let engine = calling(config()).await;
    assert_ne!(ask(&engine, "mine-1").await, "mine-1");
    let mut trusting = config();
    trusting.trust_proxy = true;
    let engine = calling(trusting).await;
    assert_eq!(ask(&engine, "mine-1").await, "mine-1");
    assert_ne!(ask(&engine, "mine 1").await, "mine 1");
    let long = "x".repeat(65);
    assert_ne!(ask(&engine, &long).await, long);
}

/// Page with the user of its session.
async fn reader(axum::Extension(session): axum::Extension<CookieSession>) -> String {
    let name = session.user().and_then(|user| user.text("username"));
    name.unwrap_or("nobody").to_owned()
}

// compat: engine.14
#[tokio::test]
async fn pages_use_cookie_session_and_redirect_to_https() {
    use axum::routing::get;
    let cookies = CookieSessionLayer::new("a long secret")
        .unwrap()
        .fetch_user(Arc::new(super::OneUser));
    let site = axum::Router::new()
        .route("/", get(reader))
        .route(
            "/in",
            get(async |axum::Extension(session): axum::Extension<CookieSession>| {
                session.log_in("u1", SESSION);
            }),
        )
        .route(
            "/out",
            get(async |axum::Extension(session): axum::Extension<CookieSession>| session.log_out()),
        )
        .layer(cookies)
        .merge(
            calling_app()
                .build(Counters::default(), config())
                .unwrap()
                .router(),
        )
        .layer(HttpsRedirectLayer { production: false });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move { axum::serve(listener, site).await });
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let page = async |path: &str, cookie: &str| {
        let request = http.get(format!("{url}{path}")).header("Cookie", cookie);
        let response = request.send().await.unwrap();
        let set = response.headers().get_all("set-cookie").iter();
        let set: Vec<String> = set
            .map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned())
            .collect();
        (response.text().await.unwrap(), set.join("; "))
    };
    assert_eq!(page("/", "").await.0, "nobody");
    let (_, cookie) = page("/in", "").await;
    assert_eq!(page("/", &cookie).await.0, "ming");
    let forged = cookie.replacen("avos:sess=", "avos:sess=x", 1);
    assert_eq!(page("/", &forged).await.0, "nobody");
    let (_, out) = page("/out", &cookie).await;
    assert_eq!(page("/", &out).await.0, "nobody");

    let plain = ("Forwarded", "for=203.0.113.7;proto=http");
    let redirected = http.get(format!("{url}/a?b=c")).header(plain.0, plain.1);
    let response = redirected.header("Host", "www.example.com").send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "https://www.example.com/a?b=c");
    // Programs call functions and would not follow a redirect.
    let call = http
        .post(format!("{url}/1.1/functions/add"))
        .header(plain.0, plain.1)
        .header("X-LC-Id", "app")
        .header("X-LC-Key", "key");
    assert_eq!(answer(call).await.0, 200);
    served.abort();
}

#[tokio::test]
async fn engine_routes_merge_into_an_axum_app() {
    let engine = calling_app().build(Counters::default(), config()).unwrap();
    let site = axum::Router::new()
        .route("/", axum::routing::get(async || "Welcome!"))
        .merge(engine.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move { axum::serve(listener, site).await });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = http.get(&url).send().await.unwrap();
    assert_eq!(page.text().await.unwrap(), "Welcome!");
    let call = http
        .post(format!("{url}/1.1/functions/add"))
        .header("X-LC-Id", "app")
        .header("X-LC-Key", "key")
        .header("Content-Type", "application/json")
        .body(r#"{"a": 1}"#);
    assert_eq!(
        answer(call).await,
        (200, json!({"result": {"sum": 1, "for": null}}))
    );
    served.abort();
}
