//! The client against paylog's own server over TCP: both interpret the protocol alike.

use std::net::SocketAddr;
use std::sync::OnceLock;

use async_trait::async_trait;
use paylog::client::{Authentication, Client, ClientBuilder, ReadOptions, WriteOptions};
use paylog::credentials::Credentials;
use paylog::engine::{App, EngineConfig, HookObject, Limits, RemoteApp, Sessions, State};
use paylog::environment::Environment;
use paylog::model::{
    ClassName, CloudError, Document, ErrorCode, Filter, HookKind, Hooks, ObjectId, Query, Update,
};
use paylog::server::{PasswordCost, Server, ServerConfig, set_up};
use paylog::storage::MemoryStore;
use paylog::store::{Store, Write, WriteOutcome};
use serde_json::json;

use super::{APP_KEY, Arc, AtomicUsize, MASTER_KEY, Ordering, TcpListener, class};

async fn start() -> ClientBuilder {
    let environment = Environment::system();
    let credentials = Credentials {
        app_id: "app-id".to_owned(),
        app_key: APP_KEY.into(),
        master_key: Some(MASTER_KEY.into()),
        hook_key: None,
        androidx_key: None,
    };
    let database = Arc::new(MemoryStore::new(environment.clone()));
    set_up(&*database).await.unwrap();
    let mut config = ServerConfig::new(credentials, environment);
    config.password_cost = PasswordCost::CHEAPEST;
    let router = Server::new(database, config, None).router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Client::builder(url, "app-id", APP_KEY).master_key(MASTER_KEY)
}

async fn create(client: &Client, fields: Update) -> ObjectId {
    let WriteOutcome::Applied(written) = client
        .objects(&class())
        .create(&fields, WriteOptions::new())
        .await
    else {
        panic!("not created");
    };
    written.object_id.unwrap()
}

fn applied(outcome: &WriteOutcome) -> bool {
    matches!(outcome, WriteOutcome::Applied(_))
}

fn code(outcome: &WriteOutcome) -> Option<i32> {
    match outcome {
        WriteOutcome::Rejected(error) => Some(error.code.0),
        _ => None,
    }
}

#[tokio::test]
async fn object_create_read_update_delete() {
    let client = start().await.build().unwrap();
    let class = class();
    let objects = client.objects(&class);
    let name = "支付宝 \"a\" + b & c=d?#% 🙂";
    let id = create(&client, Update::new().set("name", name).set("score", 1)).await;
    let found = objects.get(&id, &ReadOptions::default()).await.unwrap().unwrap();
    assert_eq!(
        (found.text("name"), found.integer("score")),
        (Some(name), Some(1))
    );
    let rows = objects
        .query(&Query::new(Filter::all().eq("name", name)))
        .await
        .unwrap();
    assert_eq!(rows.results.len(), 1);

    let once = WriteOptions::new()
        .precondition(Filter::all().eq("name", name).lt("score", 2))
        .fetch();
    let WriteOutcome::Applied(written) = objects
        .update(&id, &Update::new().increment("score", 1), once.clone())
        .await
    else {
        panic!("not changed");
    };
    assert_eq!(written.fields.integer("score"), Some(2));
    let again = objects
        .update(&id, &Update::new().increment("score", 1), once.clone())
        .await;
    assert_eq!(again, WriteOutcome::NotMatched);
    let wrong = objects
        .update(&id, &Update::new().set("score", "two"), WriteOptions::new())
        .await;
    assert_eq!(code(&wrong), Some(111));
    assert_eq!(objects.delete(&id, once).await, WriteOutcome::NotMatched);
    assert!(applied(&objects.delete(&id, WriteOptions::new()).await));
    assert_eq!(objects.get(&id, &ReadOptions::default()).await, Ok(None));
}

#[tokio::test]
async fn condition_is_honoured_in_a_batch() {
    let client = start().await.build().unwrap();
    let class = class();
    let id = create(&client, Update::new().set("state", 0)).await;
    let step = |from: i64| {
        let precondition = Filter::all().eq("state", from);
        Write::update(
            &class,
            &id,
            precondition,
            Update::new().set("state", from + 1).increment("steps", 1),
        )
    };
    let absent = Write::update(
        &class,
        &ObjectId::parse("000000000000000000000000").unwrap(),
        Filter::all().eq("state", 0),
        Update::new().set("state", 1),
    );
    let outcomes = client
        .batch(vec![step(1), step(0), absent, step(1), step(0)])
        .await;
    let seen: Vec<_> = outcomes.iter().map(applied).collect();
    assert_eq!(seen, [false, true, false, true, false], "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .all(|outcome| applied(outcome) || *outcome == WriteOutcome::NotMatched),
        "{outcomes:?}"
    );
    let found = Store::get(&client, &class, &id).await.unwrap().unwrap();
    assert_eq!(
        (found.integer("state"), found.integer("steps")),
        (Some(2), Some(2))
    );
    assert_eq!(client.write(step(0)).await, WriteOutcome::NotMatched);
}

#[tokio::test]
async fn one_of_many_concurrent_conditional_updates_is_applied() {
    let client = start().await.build().unwrap();
    let class = class();
    let id = create(&client, Update::new().set("account", 100)).await;
    let attempts = (0..20).map(|n| {
        let precondition = Filter::all()
            .gte("account", 100)
            .ne("paylogs", format!("log-{n}"));
        let update = Update::new()
            .increment("account", -100)
            .add_unique("paylogs", vec![format!("log-{n}").into()]);
        client.write(Write::update(&class, &id, precondition, update))
    });
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(
        outcomes.iter().filter(|outcome| applied(outcome)).count(),
        1,
        "{outcomes:?}"
    );
    let found = Store::get(&client, &class, &id).await.unwrap().unwrap();
    assert_eq!(found.integer("account"), Some(0));
}

#[tokio::test]
async fn long_queries_counts_batched_reads_and_scans_work() {
    let client = start().await.build().unwrap();
    let class = class();
    let writes: Vec<_> = (0..7)
        .map(|n| Write::create(&class, Update::new().set("n", n)))
        .collect();
    assert!(client.write_all(&writes, &[]).await.iter().all(applied));
    let many: Vec<_> = (3..1000).map(|n| json!(n)).collect();
    let long = Query::new(Filter::all().one_of("n", many.clone())).order_by("-n");
    let rows = client.objects(&class).query(&long).await.unwrap().results;
    assert_eq!(
        rows.iter()
            .map(|row| row.integer("n").unwrap())
            .collect::<Vec<_>>(),
        [6, 5, 4, 3]
    );
    assert_eq!(
        client
            .objects(&class)
            .count(&Filter::all().one_of("n", many))
            .await,
        Ok(4)
    );

    let known = rows[0].object_id().unwrap();
    let wanted = [
        (class.clone(), known),
        (class.clone(), ObjectId::parse("fakeId").unwrap()),
    ];
    let read = client.get_all(&wanted).await.unwrap();
    assert_eq!(read[0].as_ref().unwrap().as_ref().unwrap().integer("n"), Some(6));
    assert_eq!(read[1], Ok(None));

    let master = client.as_master().unwrap();
    let mut scan = master.objects(&class).scan(Filter::all().lt("n", 6)).page_size(2);
    let mut seen = Vec::new();
    while let Some(page) = scan.next_page().await.unwrap() {
        assert!(page.len() <= 2);
        seen.extend(page.iter().map(|row| row.integer("n").unwrap()));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn user_sign_up_login_and_session_refresh() {
    let client = start().await.build().unwrap();
    let signed_up = client
        .sign_up("tester", "pass \"word\"", Document::new())
        .await
        .unwrap();
    let id = signed_up.user.object_id().unwrap();
    let taken = client
        .sign_up("tester", "other", Document::new())
        .await
        .unwrap_err();
    assert_eq!(taken.code().unwrap().0, 202);
    let wrong = client.log_in("tester", "wrong").await.unwrap_err();
    assert_eq!(wrong.code().unwrap().0, 210);
    let session = client
        .log_in("tester", "pass \"word\"")
        .await
        .unwrap()
        .client(&client);
    assert_eq!(session.me().await.unwrap().user.object_id(), Some(id.clone()));

    let users = ClassName::user();
    let nickname = Update::new().set("nickname", "T");
    assert!(applied(
        &session
            .objects(&users)
            .update(&id, &nickname, WriteOptions::new())
            .await
    ));
    let stranger = client
        .objects(&users)
        .update(&id, &nickname, WriteOptions::new())
        .await;
    assert_eq!(code(&stranger).map(|_| ()), Some(()), "{stranger:?}");

    let token = session
        .update_password(&id, "pass \"word\"", "new")
        .await
        .unwrap();
    assert_eq!(session.me().await.unwrap_err().code().unwrap().0, 211);
    let session = client.with_session(token);
    let token = session.refresh_session_token(&id).await.unwrap();
    assert!(session.me().await.is_err());
    assert!(client.with_session(token).me().await.is_ok());
    assert!(client.log_in("tester", "new").await.is_ok());
}

#[tokio::test]
async fn each_key_has_its_own_permissions() {
    let builder = start().await;
    let class = class();
    for authentication in [Authentication::Sign, Authentication::Key] {
        let client = builder.clone().authentication(authentication).build().unwrap();
        create(&client, Update::new().set("n", 1)).await;
        assert!(
            client
                .as_master()
                .unwrap()
                .objects(&class)
                .scan(Filter::all())
                .next_page()
                .await
                .is_ok()
        );
        let wrong = builder
            .clone()
            .authentication(authentication)
            .master_key("wrong")
            .build()
            .unwrap();
        let outcome = wrong.write(Write::create(&class, Update::new())).await;
        assert_eq!(code(&outcome), Some(401));
        let outcomes = wrong.batch(vec![Write::create(&class, Update::new()); 2]).await;
        assert_eq!(
            outcomes.iter().map(code).collect::<Vec<_>>(),
            [Some(401), Some(401)]
        );
    }
    let client = builder.build().unwrap();
    let server_time = client.date().await.unwrap();
    let drift = server_time.as_millis() - Environment::system().now().as_millis();
    assert!(drift.abs() < 60_000, "{drift}");
    let unnamed = WriteOptions::new().ignore_hooks(&HookKind::ALL);
    let outcome = client
        .as_master()
        .unwrap()
        .objects(&class)
        .create(&Update::new(), unnamed)
        .await;
    assert!(applied(&outcome), "{outcome:?}");
}

/// State of hooks that save: their client, and the number of their runs.
#[derive(Clone, Default)]
struct Saving {
    client: Arc<OnceLock<Client>>,
    rounds: Arc<AtomicUsize>,
}

/// Saves the object of the hook through the server.
async fn save_again(State(saving): State<Saving>, object: HookObject) -> Result<(), CloudError> {
    saving.rounds.fetch_add(1, Ordering::SeqCst);
    let (class, id) = (object.class().clone(), object.object_id().unwrap());
    let client = saving.client.get().unwrap();
    let change = Update::new().increment("n", 1);
    let outcome = client
        .objects(&class)
        .update(&id, &change, WriteOptions::new())
        .await;
    match outcome {
        WriteOutcome::Applied(_) => Ok(()),
        WriteOutcome::Rejected(error) => Err(error),
        other => Err(CloudError::other(format!("{other:?}"))),
    }
}

struct Nobody;

#[async_trait]
impl Sessions for Nobody {
    async fn user(&self, _: &str) -> Result<Document, CloudError> {
        Err(CloudError::unauthorized())
    }
}

/// Serves routes on a free port, and returns the address.
async fn serve(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    url
}

/// A server whose hooks save their object; with `beside` they run in a separate app.
async fn saving_hooks(beside: bool) -> (Server, Client, Saving) {
    let environment = Environment::system();
    let credentials = Credentials {
        app_id: "app-id".to_owned(),
        app_key: APP_KEY.into(),
        master_key: Some(MASTER_KEY.into()),
        hook_key: Some("hook-key".into()),
        androidx_key: None,
    };
    let saving = Saving::default();
    let engine = App::new()
        .before_update("Before", save_again)
        .after_update("After", save_again)
        .build(
            saving.clone(),
            EngineConfig::new(credentials.clone(), Arc::new(Nobody)),
        )
        .unwrap();
    let hooks: Arc<dyn Hooks> = if beside {
        let url = serve(engine.router()).await;
        let app = RemoteApp::new(&url, credentials.clone(), environment.clone(), Limits::default());
        let app = app.unwrap();
        app.discover().await.unwrap();
        Arc::new(app)
    } else {
        engine.hooks()
    };
    let database = Arc::new(MemoryStore::new(environment.clone()));
    set_up(&*database).await.unwrap();
    let server = Server::new(database, ServerConfig::new(credentials, environment), Some(hooks));
    let builder = Client::builder(serve(server.router()).await, "app-id", APP_KEY);
    let client = builder.hook_key("hook-key").build().unwrap();
    saving.client.set(client.clone()).unwrap();
    (server, client, saving)
}

// compat: hook.recursion
#[tokio::test]
async fn recursion_of_hooks_is_limited() {
    for beside in [false, true] {
        let (server, client, saving) = saving_hooks(beside).await;
        let one = |class: &ClassName| {
            let (client, class) = (client.clone(), class.clone());
            async move {
                let objects = client.objects(&class);
                let created = objects
                    .create(&Update::new().set("n", 0), WriteOptions::new())
                    .await;
                let WriteOutcome::Applied(written) = created else {
                    panic!("not created: {created:?}");
                };
                let id = written.object_id.unwrap();
                let change = Update::new().increment("n", 1);
                let outcome = objects.update(&id, &change, WriteOptions::new()).await;
                (id, outcome)
            }
        };
        let n = async |class: &ClassName, id: &ObjectId| {
            let found = client.objects(class).get(id, &ReadOptions::default()).await;
            found.unwrap().unwrap().integer("n")
        };
        let before = ClassName::parse("Before").unwrap();
        let (id, outcome) = one(&before).await;
        assert_eq!(code(&outcome), Some(ErrorCode::HOOK_REFUSED.0), "{outcome:?}");
        assert_eq!(saving.rounds.swap(0, Ordering::SeqCst), 8);
        assert_eq!(n(&before, &id).await, Some(0));

        // Each write of an after hook is done before the next one runs; only the last one is refused.
        let after = ClassName::parse("After").unwrap();
        let (id, outcome) = one(&after).await;
        assert!(applied(&outcome), "{outcome:?}");
        server.close().await;
        assert_eq!(saving.rounds.load(Ordering::SeqCst), 8);
        assert_eq!(n(&after, &id).await, Some(8));
    }
}
