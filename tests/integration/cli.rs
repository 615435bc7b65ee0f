//! The command line of the real program.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use paylog::environment::Environment;
use paylog::model::{ClassName, Filter, Query, Update};
use paylog::storage::SqliteStore;
use paylog::store::{Store, Write, WriteOutcome};
use serde_json::{Value, json};

use crate::support::program::{
    As, Server, ended, inspection_error, launch, poll, program, refusal, run, stderr, stdout, terminate,
};

mod refusals;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A temporary folder, and the path of a data folder in it that does not exist yet.
fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    for command in [
        "serve", "recover", "audit", "stuck", "resume", "cancel", "doctor", "backup", "restore", "pull",
        "verify", "bench", "new", "package",
    ] {
        assert!(
            stdout(&help).contains(&format!("\n  {command} ")),
            "{command} is not in the help"
        );
        assert!(run(&[command, "--help"]).status.success(), "{command} --help");
    }
    let version = run(&["--version"]);
    assert_eq!(
        stdout(&version).trim(),
        format!("paylog {}", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn first_start_generates_keys_and_prints_client_keys_only() {
    let (_folder, data) = folder();
    let mut child = program()
        .args(["--port", "0", "--data", text(&data)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    crate::support::program::address_of(&mut child, &data).await;
    let keys = crate::support::program::keys(&data);
    terminate(&child);
    assert!(ended(&mut child).await.success());
    let output = child.wait_with_output().unwrap();
    let (printed, logged) = (stdout(&output), stderr(&output));
    for shown in [&keys.app_id, &keys.app_key, &"credentials.json".to_owned()] {
        assert!(printed.contains(shown.as_str()), "{shown} is not in:\n{printed}");
    }
    for secret in [&keys.master_key, &keys.hook_key] {
        assert!(!printed.contains(secret.as_str()) && !logged.contains(secret.as_str()));
    }
    assert_eq!(printed.matches("curl ").count(), 3, "{printed}");
    assert!((printed + &logged).contains("sandbox"));
    assert!(
        !data.join("server.json").exists(),
        "the note of the running server stays behind"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("credentials.json"), 0o600);
    }
}

// compat: engine.1
#[tokio::test]
async fn keys_are_kept_and_overridden_by_the_environment() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let first = server.keys.clone();
    assert!(server.stop().await.success());
    let mut server = Server::start(&data).await;
    assert_eq!(server.keys.app_id, first.app_id);
    assert_eq!(server.keys.master_key, first.master_key);
    server.ask("GET", "/1.1/date", As::Master, &Value::Null).await;
    terminate(&server.child);
    ended(&mut server.child).await;

    let mut child = program()
        .args(["--port", "0", "--data", text(&data)])
        .env("LEANCLOUD_APP_ID", "shipped-id")
        .env("LEANCLOUD_APP_KEY", "shipped-key")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.address = crate::support::program::address_of(&mut child, &data).await;
    let (status, _) = server.send("GET", "/1.1/schemas", As::Client, &Value::Null).await;
    assert_eq!(status, 401, "the stored key no longer counts");
    server.keys.app_id = "shipped-id".into();
    server.keys.app_key = "shipped-key".into();
    server.ask("GET", "/1.1/date", As::Client, &Value::Null).await;
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    let said = stdout(&output) + &stderr(&output);
    assert!(
        said.contains("LEANCLOUD_APP_ID") && said.contains("LEANCLOUD_APP_KEY"),
        "{said}"
    );
    assert_eq!(crate::support::program::keys(&data).app_id, first.app_id);
}

#[test]
fn incomplete_key_variables_are_refused_by_name() {
    let (_folder, data) = folder();
    let output = program()
        .args(["--port", "0", "--data", text(&data)])
        .env("LEANCLOUD_APP_ID", "an-id")
        .output()
        .unwrap();
    let error = refusal(&output);
    assert!(error.contains("LEANCLOUD_APP_KEY is not set"), "{error}");
    let output = program()
        .args(["--port", "0", "--data", text(&data)])
        .env("LEANCLOUD_APP_MASTER_KEY", "")
        .output()
        .unwrap();
    assert!(refusal(&output).contains("LEANCLOUD_APP_MASTER_KEY is set but empty"));
    assert!(!data.exists(), "a refused start leaves nothing behind");

    fs::create_dir(&data).unwrap();
    fs::write(data.join("credentials.json"), r#"{"appId": "a", "appKey": "k"}"#).unwrap();
    let error = refusal(&run(&["--port", "0", "--data", text(&data)]));
    assert!(
        error.contains("credentials.json") && error.contains("masterKey, hookKey"),
        "{error}"
    );
}

/// The program as a LeanEngine app, on the API of another paylog in the role of LeanCloud.
// compat: engine.1 engine.17
#[tokio::test]
async fn leanengine_app_serves_functions_on_leanclouds_api() {
    let (_folder, data) = folder();
    let storage = Server::start(&data).await;
    let session = storage.sign_up("tester").await;
    let product = storage.product(1_500).await;
    storage.recharge(&session, 10_000, "first").await;

    let keys = storage.keys.clone();
    let with_keys = |mut command: std::process::Command| {
        command
            .env("LEANCLOUD_API_SERVER", &storage.address)
            .env("LEANCLOUD_APP_ID", &keys.app_id)
            .env("LEANCLOUD_APP_KEY", &keys.app_key)
            .env("LEANCLOUD_APP_MASTER_KEY", &keys.master_key)
            .env("LEANCLOUD_APP_HOOK_KEY", &keys.hook_key)
            .env("LEANCLOUD_APP_PORT", "0");
        command
    };
    let mut child = launch(with_keys(program()).stdout(Stdio::piped()));
    let mut line = String::new();
    let mut printed = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut printed, &mut line).unwrap();
    let port = line
        .split("0.0.0.0:")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let engine = Server::beside(child, format!("http://127.0.0.1:{}", port.unwrap()), keys.clone());

    let order = engine.order(&session, &product, "order").await;
    let asked = json!({"order": order});
    let paid = engine.call("payOrder", As::User(&session), &asked).await;
    assert_eq!(paid["outcome"], "succeeded", "{paid}");
    assert_eq!(engine.balance(&session).await, 8_500);
    let test_money = json!({"amount": 1, "channel": "sandbox", "key": "k"});
    let (status, answer) = engine
        .send("POST", "/1.1/functions/recharge", As::User(&session), &test_money)
        .await;
    assert_eq!((status, &answer["code"]), (400, &json!(9008)), "{answer}");
    let (status, _) = engine.send("GET", "/1.1/date", As::Client, &Value::Null).await;
    assert_eq!(status, 404, "the storage API is LeanCloud's");
    let names = engine
        .ask("GET", "/1.1/functions/_ops/metadatas", As::Master, &Value::Null)
        .await;
    assert!(
        names["result"].as_array().unwrap().contains(&json!("payOrder")),
        "{names}"
    );

    for command in ["doctor", "audit", "recover"] {
        let output = with_keys(program()).arg(command).output().unwrap();
        assert!(
            output.status.success(),
            "{command}: {}{}",
            stdout(&output),
            stderr(&output)
        );
    }
    assert!(engine.stop().await.success());
    let audit = run(&["audit", "--data", text(&data)]);
    assert!(audit.status.success(), "{}", stdout(&audit));
}

/// The start probes the API: the effective permissions decide.
#[tokio::test]
async fn start_is_refused_if_clients_could_write_money() {
    let (_folder, data) = folder();
    // A LeanCloud app without any configuration: its class names are not those that the server guards.
    let storage = Server::start(&data).await;
    let mut command = on_leancloud(&storage.address);
    command
        .env("LEANCLOUD_APP_ID", &storage.keys.app_id)
        .env("LEANCLOUD_APP_KEY", &storage.keys.app_key)
        .env("LEANCLOUD_APP_MASTER_KEY", &storage.keys.master_key)
        .env("LEANCLOUD_APP_HOOK_KEY", &storage.keys.hook_key)
        .env("LEANCLOUD_APP_PORT", "0")
        .env("PAYLOG_LOG_CLASS", "Unguarded");
    let error = refusal(&command.output().unwrap());
    for part in ["class Unguarded", "\"key\"", "create", "--allow-unsafe"] {
        assert!(error.contains(part), "{part} is not in:\n{error}");
    }
    let left = storage
        .ask("GET", "/1.1/classes/Unguarded", As::Master, &Value::Null)
        .await;
    assert_eq!(left["results"], json!([]), "the checks leave nothing behind");
}

// compat: engine.1
#[test]
fn missing_leancloud_keys_are_named() {
    let output = program()
        .env("LEANCLOUD_API_SERVER", "https://api.example.com")
        .env("LEANCLOUD_APP_ID", "a")
        .output()
        .unwrap();
    let error = refusal(&output);
    for name in [
        "LEANCLOUD_APP_KEY",
        "LEANCLOUD_APP_MASTER_KEY",
        "LEANCLOUD_APP_HOOK_KEY",
    ] {
        assert!(error.contains(name), "{error}");
    }
    assert!(!error.contains("LEANCLOUD_APP_ID"), "{error}");
}

/// The program with the four keys of LeanCloud set.
fn on_leancloud(api_server: &str) -> std::process::Command {
    let mut command = program();
    command
        .env("LEANCLOUD_API_SERVER", api_server)
        .env("LEANCLOUD_APP_ID", "a")
        .env("LEANCLOUD_APP_KEY", "k")
        .env("LEANCLOUD_APP_MASTER_KEY", "m")
        .env("LEANCLOUD_APP_HOOK_KEY", "h");
    command
}

#[test]
fn invalid_addresses_are_refused() {
    for address in ["api.example.com", "ftp://api.example.com", "https://"] {
        let error = refusal(&on_leancloud(address).output().unwrap());
        assert!(
            error.contains("LEANCLOUD_API_SERVER") && error.contains(address),
            "{error}"
        );
    }
    let (_folder, data) = folder();
    let two_homes = on_leancloud("https://api.example.com")
        .args(["--data", text(&data)])
        .output()
        .unwrap();
    assert!(refusal(&two_homes).contains("--data"));
}

#[test]
fn engine_with_its_own_address_as_storage_is_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    for host in ["127.0.0.1", "localhost"] {
        let output = on_leancloud(&format!("http://{host}:{port}"))
            .args(["--port", &port])
            .output()
            .unwrap();
        let error = refusal(&output);
        assert!(error.contains("own address"), "{error}");
    }
}

#[test]
fn database_option_is_refused_as_not_built() {
    let error = refusal(&run(&["--database", "postgres://user:secret@localhost/db"]));
    assert!(
        error.contains("not built yet") && !error.contains("secret"),
        "{error}"
    );
}

#[tokio::test]
async fn port_in_use_is_named() {
    let (_folder, data) = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = refusal(&run(&["--port", &port, "--data", text(&data)]));
    assert!(error.contains(&port) && error.contains("--port"), "{error}");
}

#[test]
fn unwritable_folder_is_named() {
    let (folder, _) = folder();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    for data in [file.join("data"), file] {
        let error = refusal(&run(&["--port", "0", "--data", text(&data)]));
        assert!(error.contains(text(&data)) && error.contains("--data"), "{error}");
    }
}

#[tokio::test]
async fn data_of_a_newer_version_are_refused_unchanged() {
    let (_folder, data) = folder();
    assert!(Server::start(&data).await.stop().await.success());
    let database = rusqlite::Connection::open(data.join("paylog.sqlite3")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    for command in ["serve", "audit", "recover", "doctor"] {
        let output = program()
            .args([command, "--data", text(&data)])
            .env("LEANCLOUD_APP_PORT", "0")
            .output()
            .unwrap();
        let error = match command {
            "audit" | "doctor" => inspection_error(&output),
            _ => refusal(&output),
        };
        assert!(
            error.contains("format 99") && error.contains("newer paylog"),
            "{command}: {error}"
        );
    }
}

#[tokio::test]
async fn second_server_on_a_folder_is_refused() {
    let (_folder, data) = folder();
    let first = Server::start(&data).await;
    let error = refusal(&run(&["--port", "0", "--data", text(&data)]));
    assert!(
        error.contains(text(&data)) && error.contains("another"),
        "{error}"
    );
    first.ask("GET", "/1.1/date", As::Client, &Value::Null).await;
    assert!(first.stop().await.success());
}

#[tokio::test]
async fn audit_finds_an_edited_balance_after_a_payment() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let session = server.sign_up("tester").await;
    let product = server.product(1_500).await;
    server.recharge(&session, 10_000, "first").await;
    let order = server.order(&session, &product, "order").await;
    let asked = json!({"order": order});
    let paid = server.call("payOrder", As::User(&session), &asked).await;
    assert_eq!(paid["outcome"], "succeeded", "{paid}");
    let again = server.call("payOrder", As::User(&session), &asked).await;
    assert_eq!((&again["log"], &again["replayed"]), (&paid["log"], &json!(true)));
    assert_eq!(server.balance(&session).await, 8_500);

    // Audits beside the running server.
    let audit = run(&["audit", "--data", text(&data)]);
    assert!(audit.status.success(), "{}", stdout(&audit));
    assert!(server.stop().await.success());
    let audit = run(&["audit", "--data", text(&data), "--json"]);
    assert!(audit.status.success(), "{}", stdout(&audit));
    let found: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(
        (&found["accounts"], &found["logs"]),
        (&json!(1), &json!(2)),
        "{found}"
    );

    // The audit finds a balance edited by hand, and names the account.
    let store = SqliteStore::open(&data, Environment::system()).unwrap();
    let class = ClassName::user();
    let user = store
        .find(&class, &Query::new(Filter::all()))
        .await
        .unwrap()
        .remove(0);
    let user = user.object_id().unwrap();
    let edit = Write::update(&class, &user, Filter::all(), Update::new().set("account", 8_501));
    assert!(matches!(store.write(edit).await, WriteOutcome::Applied(_)));
    store.close().await;
    drop(store);
    let audit = run(&["audit", "--data", text(&data)]);
    assert_eq!(audit.status.code(), Some(1), "{}", stdout(&audit));
    assert!(
        stdout(&audit).contains(user.as_str()),
        "{user} is not named:\n{}",
        stdout(&audit)
    );
}

/// An audit beside a server that makes payments reads one moment: any finding would be real.
#[tokio::test]
async fn audit_beside_a_busy_server_is_clean() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let session = server.sign_up("tester").await;
    let product = server.product(100).await;
    server.recharge(&session, 1_000_000, "first").await;
    let busy = async {
        for round in 0.. {
            let order = server.order(&session, &product, &format!("order{round}")).await;
            server
                .call("payOrder", As::User(&session), &json!({"order": order}))
                .await;
        }
    };
    let audits = tokio::task::spawn_blocking({
        let data = data.clone();
        move || {
            for _ in 0..10 {
                let audit = run(&["audit", "--data", text(&data)]);
                assert!(audit.status.success(), "{}{}", stdout(&audit), stderr(&audit));
            }
        }
    });
    tokio::select! {
        () = busy => {}
        audited = audits => audited.unwrap(),
    }
}

#[tokio::test]
async fn error_response_has_a_request_id() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    for path in [
        "/1.1/classes/Log",
        "/1.1/functions/nosuch",
        "/nowhere",
        "/1.1/nowhere",
    ] {
        let response = crate::support::program::http_client()
            .get(format!("{}{path}", server.address))
            .send()
            .await
            .unwrap();
        assert!(
            response.status().is_client_error(),
            "{path} answered {}",
            response.status()
        );
        let id = response.headers().get("x-request-id");
        assert!(id.is_some_and(|id| id.len() >= 16), "{path}: {id:?}");
    }
}

#[test]
fn client_keys_are_refused_as_master_key() {
    let (_folder, data) = folder();
    let refused = program()
        .args(["serve", "--port", "0", "--data", text(&data)])
        .env("LEANCLOUD_APP_ID", "a")
        .env("LEANCLOUD_APP_KEY", "b")
        .env("LEANCLOUD_APP_MASTER_KEY", "b")
        .output()
        .unwrap();
    let error = refusal(&refused);
    assert!(
        error.contains("the app key is the same as the master key"),
        "{error}"
    );
}

#[tokio::test]
async fn health_shows_counters_to_the_master_key_only() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let seen = server.ask("GET", "/health", As::Client, &Value::Null).await;
    assert_eq!((&seen["status"], &seen["counters"]), (&json!("ok"), &Value::Null));
    let seen = server.ask("GET", "/health", As::Master, &Value::Null).await;
    assert!(seen["counters"]["requests"].as_u64().unwrap() > 0, "{seen}");
}

#[tokio::test]
async fn recover_works_through_the_running_server() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let beside = run(&["recover", "--data", text(&data)]);
    assert!(beside.status.success(), "{}", stderr(&beside));
    assert!(server.stop().await.success());
    let alone = run(&["recover", "--json", "--data", text(&data)]);
    assert!(alone.status.success(), "{}", stderr(&alone));
    serde_json::from_slice::<Value>(&alone.stdout).unwrap();
}

/// The app's `afterPayment` logs "paid".
#[tokio::test]
async fn recover_runs_after_payment_before_closing() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let session = server.sign_up("tester").await;
    server.recharge(&session, 10_000, "first").await;
    assert!(server.stop().await.success());
    // The state after a crash right after the response.
    let log = ClassName::parse("Log").unwrap();
    let store = SqliteStore::open(&data, Environment::system()).unwrap();
    let all = Query::new(Filter::all());
    let id = store.find(&log, &all).await.unwrap()[0].object_id().unwrap();
    let reopen = Write::update(&log, &id, Filter::all(), Update::new().set("state", 4));
    assert!(matches!(store.write(reopen).await, WriteOutcome::Applied(_)));
    store.close().await;
    let recovered = run(&["recover", "--log", "debug", "--data", text(&data)]);
    let said = stdout(&recovered) + &stderr(&recovered);
    assert!(recovered.status.success(), "{said}");
    assert!(said.contains("1 succeeded"), "{said}");
    let told = said
        .lines()
        .filter(|line| line.contains("paid") && line.contains(id.as_str()));
    assert_eq!(told.count(), 1, "{said}");
}

#[tokio::test]
async fn recover_reports_open_payments() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    assert!(server.stop().await.success());
    let log = ClassName::parse("Log").unwrap();
    let store = SqliteStore::open(&data, Environment::system()).unwrap();
    let fields = Update::new()
        .set("key", "k")
        .set("state", 2)
        .set("stuck", "look at it");
    assert!(matches!(
        store.write(Write::create(&log, fields)).await,
        WriteOutcome::Applied(_)
    ));
    store.close().await;
    let recovered = run(&["recover", "--data", text(&data)]);
    assert_eq!(recovered.status.code(), Some(1), "{}", stderr(&recovered));
    assert!(
        stdout(&recovered).contains("1 are stuck"),
        "{}",
        stdout(&recovered)
    );
}

#[tokio::test]
async fn client_deleting_a_user_with_money_is_refused() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let session = server.sign_up("tester").await;
    server.recharge(&session, 10_000, "first").await;
    let me = server
        .ask("GET", "/1.1/users/me", As::User(&session), &Value::Null)
        .await;
    let id = me["objectId"].as_str().unwrap();
    for path in [format!("/1.1/users/{id}"), format!("/1.1/classes/_User/{id}")] {
        for from in [As::User(&session), As::Client, As::Master] {
            let (status, answer) = server.send("DELETE", &path, from, &json!({})).await;
            assert!(
                (400..500).contains(&status),
                "{path} as {from:?}: {status} {answer}"
            );
        }
    }
    assert_eq!(server.balance(&session).await, 10_000);
    let doctor = run(&["doctor", "--data", text(&data)]);
    assert!(doctor.status.success(), "{}", stdout(&doctor));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn hooks_guard_the_class_names_of_the_environment() {
    let (_folder, data) = folder();
    let mut server = Server::start(&data).await;
    terminate(&server.child);
    ended(&mut server.child).await;
    crate::support::program::forget_names(&data).await;
    let mut command = program();
    command
        .args([
            "--port",
            "0",
            "--log",
            "warn",
            "--sandbox=true",
            "--data",
            text(&data),
        ])
        .env("PAYLOG_LOG_CLASS", "PayLog")
        .env("PAYLOG_ORDER_CLASS", "PayOrder")
        .stdout(std::process::Stdio::null());
    server.child = launch(&mut command);
    server.address = crate::support::program::address_of(&mut server.child, &data).await;
    for class in ["PayLog", "PayOrder"] {
        let path = format!("/1.1/classes/{class}");
        let (status, answer) = server.send("POST", &path, As::Master, &json!({"state": 3})).await;
        assert!((400..500).contains(&status), "{class}: {status} {answer}");
    }
    assert!(server.stop().await.success());
}

#[test]
fn commands_on_an_absent_folder_create_none() {
    let (_folder, data) = folder();
    for command in ["recover", "audit", "doctor", "stuck", "verify"] {
        let output = run(&[command, "--data", text(&data)]);
        let error = match command {
            "recover" => refusal(&output),
            _ => inspection_error(&output),
        };
        assert!(error.contains(text(&data)), "{command}: {error}");
        assert!(!data.exists(), "{command} made a data folder");
    }
    let error = refusal(&run(&["backup", "/dev/null/x", "--data", text(&data)]));
    assert!(error.contains(text(&data)), "{error}");
}

#[tokio::test]
async fn backup_of_a_running_server_is_restored() {
    let (folder, data) = folder();
    let server = Server::start(&data).await;
    let session = server.sign_up("tester").await;
    server.recharge(&session, 10_000, "first").await;
    let plain = folder.path().join("plain.backup");
    let whole = folder.path().join("whole.backup");
    let made = run(&["backup", text(&plain), "--data", text(&data)]);
    assert!(made.status.success(), "{}", stderr(&made));
    let made = run(&[
        "backup",
        text(&whole),
        "--with-credentials",
        "--data",
        text(&data),
    ]);
    assert!(made.status.success(), "{}", stderr(&made));
    let error = refusal(&run(&["backup", text(&whole), "--data", text(&data)]));
    assert!(
        error.contains("exists"),
        "an older backup is not overwritten: {error}"
    );
    let keys_of = |file: &Path| std::path::PathBuf::from(format!("{}.credentials.json", file.display()));
    assert!(!keys_of(&plain).exists());
    #[cfg(unix)]
    for private in [&plain, &whole, &keys_of(&whole)] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(private).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", private.display());
    }
    let secret = server.keys.master_key.as_bytes();
    for file in [&plain, &whole] {
        let holds = fs::read(file)
            .unwrap()
            .windows(secret.len())
            .any(|part| part == secret);
        assert!(!holds, "the master key is in {}", file.display());
    }
    // The backup does not hold later changes.
    server.recharge(&session, 5_000, "second").await;

    let error = refusal(&run(&["restore", text(&whole), "--data", text(&data)]));
    assert!(error.contains("empty"), "{error}");
    let keys = server.keys.clone();
    for (file, same_keys) in [(&whole, true), (&plain, false)] {
        let restored = folder.path().join(format!("restored {same_keys}"));
        let output = run(&["restore", text(file), "--data", text(&restored)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(run(&["audit", "--data", text(&restored)]).status.success());
        let copy = Server::start(&restored).await;
        assert_eq!(copy.keys.master_key == keys.master_key, same_keys);
        assert_eq!(copy.balance(&session).await, 10_000);
        assert!(copy.stop().await.success());
    }
    let error = refusal(&run(&[
        "restore",
        text(&data.join("credentials.json")),
        "--data",
        text(&folder.path().join("other")),
    ]));
    assert!(error.contains("backup"), "{error}");
}

#[test]
fn bench_measures_each_storage_operation() {
    let folder = tempfile::tempdir().unwrap();
    // Enough requests that the warm-up has its own objects.
    let measured = run(&[
        "bench",
        "--storage",
        "--payments",
        "200",
        "--in-flight",
        "8",
        "--json",
        "--folder",
        text(folder.path()),
    ]);
    assert!(measured.status.success(), "{}", stderr(&measured));
    let report: Value = serde_json::from_str(&stdout(&measured)).unwrap();
    let operations = report["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 6, "{report}");
    for operation in operations {
        assert!(operation["perSecond"].as_f64().unwrap() > 0.0, "{operation}");
        assert!(
            operation["latencyMs"]["p99"].as_f64().unwrap() > 0.0,
            "{operation}"
        );
    }
    assert!(report["peakMemoryBytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn bench_of_a_running_server_is_repeatable() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let keys = &server.keys;
    for _ in 0..2 {
        let mut bench = program();
        bench
            .args([
                "bench",
                "--storage",
                "--payments",
                "50",
                "--in-flight",
                "4",
                "--json",
            ])
            .args(["--server", &server.address, "--app-id", &keys.app_id])
            .args(["--app-key", &keys.app_key, "--master-key", &keys.master_key]);
        let measured = tokio::task::spawn_blocking(move || bench.output())
            .await
            .unwrap()
            .unwrap();
        assert!(measured.status.success(), "{}", stderr(&measured));
        let report: Value = serde_json::from_str(&stdout(&measured)).unwrap();
        assert_eq!(report["operations"].as_array().unwrap().len(), 6, "{report}");
        assert_eq!(report["peakMemoryBytes"], Value::Null, "not our own process");
    }
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn stopped_bench_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["bench", "--storage", "--payments", "10000000", "--folder"];
    let mut bench = program()
        .args(arguments)
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = poll("the server under test", async || {
        let data = fs::read_dir(folder.path()).unwrap().next()?.unwrap().path();
        let server: Value = serde_json::from_slice(&fs::read(data.join("server.json")).ok()?).ok()?;
        Some(
            server["address"]
                .as_str()?
                .trim_start_matches("http://")
                .to_owned(),
        )
    })
    .await;
    terminate(&bench);
    assert_eq!(ended(&mut bench).await.code(), Some(1));
    assert!(TcpStream::connect(&address).is_err(), "the server goes on");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
