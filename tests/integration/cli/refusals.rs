//! Refusals of wrong arguments, and errors of a machine that lacks something.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{folder, text};
use crate::support::program::{
    As, Server, inspection_error, keys, launch, poll, program, refusal, run, serve, spawn, stderr, stdout,
};

/// Requests a recharge of the channel "sandbox"; returns status and body.
async fn recharge(server: &Server, name: &str) -> (u16, Value) {
    let session = server.sign_up(name).await;
    let asked = json!({"amount": 100, "channel": "sandbox", "key": "first"});
    let path = "/1.1/functions/recharge";
    server.send("POST", path, As::User(&session), &asked).await
}

#[tokio::test]
async fn refused_start_leaves_nothing_behind() {
    let (root, data) = folder();
    let cron = root.path().join("c1.yaml");
    fs::write(&cron, "jobs: [{name: a, function: nosuch, every: 5}]").unwrap();
    for (option, value, said) in [
        ("--public-url", "foo", "--public-url"),
        ("--engine", "foo", "--engine"),
        ("--cron", text(&cron), "c1.yaml: the job"),
    ] {
        let output = run(&["serve", "--port", "0", "--data", text(&data), option, value]);
        let error = refusal(&output);
        assert!(error.contains(said), "{error}");
        assert!(!data.exists(), "{option} left a folder");
    }
    let server = Server::start_with(&data, &[]).await;
    assert_eq!(recharge(&server, "first").await.0, 200);
    assert!(server.stop().await.success());

    // A folder with a database is not new, even if other files are missing.
    fs::remove_file(data.join("credentials.json")).unwrap();
    let server = Server::start_with(&data, &[]).await;
    let (status, answer) = recharge(&server, "second").await;
    assert_eq!((status, &answer["code"]), (400, &json!(9008)), "{answer}");
    assert!(server.stop().await.success());
}

#[cfg(unix)]
#[tokio::test]
async fn data_files_are_private_to_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, data) = folder();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start(&data).await;
    server.sign_up("tester").await;
    for name in [
        "paylog.sqlite3",
        "paylog.sqlite3-wal",
        "paylog.sqlite3-shm",
        "credentials.json",
    ] {
        let mode = fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert!(server.stop().await.success());

    let keys = data.join("credentials.json");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let recovered = run(&["recover", "--data", text(&data)]);
    assert!(recovered.status.success(), "{}", stderr(&recovered));
    assert!(stderr(&recovered).contains("chmod 600"), "{}", stderr(&recovered));
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_output_is_an_error() {
    let (root, _) = folder();
    let app = root.path().join("app");
    let to = |out: Stdio| {
        let mut command = program();
        command.args(["new", text(&app)]).stdout(out);
        command.stderr(Stdio::piped()).output().unwrap()
    };
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = refusal(&to(full.into()));
    assert!(error.contains("standard output cannot be written"), "{error}");
    fs::remove_dir_all(&app).unwrap();
    // A closed pipe is no error.
    let mut gone = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = gone.stdin.take().unwrap();
    gone.wait().unwrap();
    let written = to(pipe.into());
    assert!(written.status.success(), "{}", stderr(&written));
}

#[test]
fn zero_limits_and_unknown_log_levels_are_refused() {
    let none = run(&["serve", "--concurrent-requests-max", "0"]);
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
    let (_folder, data) = folder();
    let mistyped = run(&["audit", "--data", text(&data), "--log", "wran"]);
    assert!(inspection_error(&mistyped).contains("not a log filter"));
}

#[tokio::test]
async fn backup_names_the_unwritable_file() {
    let (_folder, data) = folder();
    assert!(Server::start(&data).await.stop().await.success());
    let error = refusal(&run(&["backup", "/nonexist/x", "--data", text(&data)]));
    assert!(error.contains("written to /nonexist/x"), "{error}");
    assert_eq!(error.matches("os error 2").count(), 1, "{error}");
}

#[tokio::test]
async fn command_with_other_keys_than_the_server_names_the_variables() {
    let (_folder, data) = folder();
    let mut command = serve(&data);
    command
        .env("LEANCLOUD_APP_ID", "shipped-id")
        .env("LEANCLOUD_APP_KEY", "shipped-key")
        .env("LEANCLOUD_APP_MASTER_KEY", "shipped-master");
    let server = Server::started(launch(&mut command), &data).await;
    let error = refusal(&run(&["recover", "--data", text(&data)]));
    for part in ["401", "LEANCLOUD_APP_MASTER_KEY", "other keys"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let with_keys = program()
        .args(["recover", "--data", text(&data)])
        .env("LEANCLOUD_APP_ID", "shipped-id")
        .env("LEANCLOUD_APP_KEY", "shipped-key")
        .env("LEANCLOUD_APP_MASTER_KEY", "shipped-master")
        .output()
        .unwrap();
    assert!(with_keys.status.success(), "{}", stderr(&with_keys));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn duration_is_a_number_in_json_logs() {
    let (root, data) = folder();
    let log = root.path().join("log");
    let mut command = program();
    command
        .args(["serve", "--port", "0", "--log-format", "json", "--request-log"])
        .args(["--data", text(&data)])
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap());
    let server = Server::started(command.spawn().unwrap(), &data).await;
    server.ask("GET", "/1.1/date", As::Client, &Value::Null).await;
    let lines = fs::read_to_string(&log).unwrap();
    let line = lines.lines().find(|line| line.contains("/1.1/date")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert!(line["duration_ms"].is_u64(), "{line}");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn pull_from_an_unreachable_source_is_refused() {
    let (root, data) = folder();
    let log = root.path().join("log");
    let mut child = program()
        .args(["pull", "--server", "http://127.0.0.1:1", "--data", text(&data)])
        .env("LEANCLOUD_APP_ID", "a")
        .env("LEANCLOUD_APP_MASTER_KEY", "m")
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    poll("the pull to complain", async || {
        let said = fs::read_to_string(&log).unwrap();
        said.contains("request to http://127.0.0.1:1 failed, retrying")
            .then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A payment class that clients may write prevents a start, until one command locks it.
#[tokio::test]
async fn doctor_locks_classes_that_clients_may_write() {
    let (_folder, data) = folder();
    let server = Server::start(&data).await;
    let open = json!({"permissions": {"create": {"*": true}}});
    server.ask("PUT", "/1.1/schemas/Product", As::Master, &open).await;
    assert!(server.stop().await.success());
    let error = refusal(&serve(&data).output().unwrap());
    assert!(
        error.contains("paylog doctor --lock") && !error.contains("PAYLOG_LOG_CLASS"),
        "{error}"
    );
    let found = run(&["doctor", "--data", text(&data)]);
    assert_eq!(found.status.code(), Some(1), "{}", stdout(&found));
    let locked = run(&["doctor", "--lock", "--data", text(&data)]);
    assert!(locked.status.success(), "{}{}", stdout(&locked), stderr(&locked));
    let server = Server::started(spawn(&data, &[]), &data).await;
    assert_eq!(keys(&data).app_id, server.keys.app_id);
    // The command refuses a folder that a server has open.
    assert!(inspection_error(&run(&["doctor", "--lock", "--data", text(&data)])).contains("stop the server"));
    assert!(server.stop().await.success());
}
