//! The move of a live app: a paylog server in the role of LeanCloud holds the app, whose clients write while it is pulled.
//!
//! Workers in the test make the payments over the API, one document per write, as on LeanCloud. No worker at the source
//! recovers unfinished payments.

mod hanging_store;
mod sdk;
mod source_app;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paylog::environment::Environment;
use paylog::model::{ClassName, ErrorCode, Query};
use paylog::payment::service::CallerKey;
use paylog::storage::SqliteStore;
use paylog::store::Store;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::support::program::{self, As, Server, TIMEOUT, poll, stderr, stdout};
use sdk::Sdk;
use source_app::{FILE, MONEY, PASSWORD, SourceApp};

/// Returns a command of `paylog` with the source's address and keys, and a target folder.
fn paylog(
    app: &SourceApp,
    command: &str,
    address: &str,
    home: &Path,
    arguments: &[&str],
) -> std::process::Command {
    let mut line = program::program();
    line.args([
        command,
        address,
        &app.storage().address,
        "--requests-per-second",
        "5000",
    ])
    .args(["--log", "warn", "--data"])
    .arg(home)
    .args(arguments)
    .env("LEANCLOUD_APP_ID", &app.storage().keys.app_id)
    .env("LEANCLOUD_APP_MASTER_KEY", &app.storage().keys.master_key);
    line
}

/// Pulls, on another thread, so that the clients of the app continue.
async fn pull(app: &SourceApp, home: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut line = paylog(app, "pull", "--server", home, arguments);
    let output = tokio::task::spawn_blocking(move || line.output().unwrap())
        .await
        .unwrap();
    (output.status.success(), stdout(&output), stderr(&output))
}

/// Verifies; returns the success and the proof.
async fn verify(app: &SourceApp, home: &Path) -> (bool, Value) {
    let mut line = paylog(app, "verify", "--against", home, &["--json"]);
    let output = tokio::task::spawn_blocking(move || line.output().unwrap())
        .await
        .unwrap();
    let proof = serde_json::from_str(&stdout(&output));
    (
        output.status.success(),
        proof.unwrap_or_else(|_| panic!("{}", stderr(&output))),
    )
}

/// Exports the app, as LeanCloud's console does, and imports it. The export has the password hashes, which the API does
/// not show.
async fn import_export(app: &SourceApp, folder: &Path, home: &Path) {
    let export = folder.join("export.tar.gz");
    for (command, file, data) in [("export", &export, app.data()), ("import", &export, home)] {
        let mut line = program::program();
        line.arg(command)
            .arg(file)
            .args(["--log", "warn", "--data"])
            .arg(data);
        line.current_dir(folder);
        let output = tokio::task::spawn_blocking(move || line.output().unwrap())
            .await
            .unwrap();
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    }
}

/// Payments before the cut-over. Nobody closes them at the source, so their number is limited.
const PAYMENTS_BEFORE: usize = 100;

/// Pays at the source, [`PAYMENTS_BEFORE`] times and again from the cut-over on, until the source refuses; returns the
/// code of the refusal.
async fn keep_paying(
    app: Arc<SourceApp>,
    mut has_begun: watch::Receiver<bool>,
    paid: Arc<AtomicU64>,
) -> ErrorCode {
    let worker = app.worker();
    for round in 0.. {
        if round == PAYMENTS_BEFORE {
            has_begun.wait_for(|begun| *begun).await.unwrap();
        }
        let key = CallerKey::from_value(&json!(format!("busy-{round}"))).unwrap();
        let (from, to) = (&app.users[round % 2].id, &app.users[(round + 1) % 2].id);
        match worker.transfer(from, to, &json!(1), None, &key).await {
            Ok(_) => paid.fetch_add(1, Ordering::Relaxed),
            Err(error) => return error.code,
        };
    }
    unreachable!()
}

/// Writes posts at the source, as many as there are permits.
async fn keep_writing(app: Arc<SourceApp>, permits: Arc<Semaphore>) {
    for round in 0.. {
        let Ok(permit) = permits.acquire().await else {
            return;
        };
        permit.forget();
        let post = app.post(&format!("written meanwhile {round}"), round).await;
        if round % 3 == 0 {
            let path = format!("/1.1/classes/Post/{post}");
            app.storage().ask("DELETE", &path, As::Master, &json!({})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_app_moves_while_clients_write() {
    let folder = tempfile::tempdir().unwrap();
    move_app(SourceApp::build().await, folder.path()).await;
}

/// The same app, created with the official SDK at the source and used with it at the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn app_of_the_javascript_sdk_moves() {
    let Some(sdk) = Sdk::installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (app, built) = SourceApp::build_with_sdk(&sdk).await;
    let home = move_app(app, folder.path()).await;
    let server = Server::start(&home).await;
    sdk.run("live.js", &server, &built).await;
    assert!(server.stop().await.success());
}

/// Moves the app while clients write and pay; returns its new folder.
async fn move_app(app: SourceApp, folder: &Path) -> PathBuf {
    let app = Arc::new(app);
    let home = folder.join("home");
    import_export(&app, folder, &home).await;

    let permits = Arc::new(Semaphore::new(0));
    let (begin, has_begun) = watch::channel(false);
    let paid = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(keep_writing(Arc::clone(&app), Arc::clone(&permits)));
    let payer = tokio::spawn(keep_paying(Arc::clone(&app), has_begun, Arc::clone(&paid)));

    // The copy, and further rounds, while clients write.
    for _ in 0..2 {
        permits.add_permits(50);
        let (done, said, complaints) = pull(&app, &home, &["--files"]).await;
        assert!(done, "{said}\n{complaints}");
        assert!(!complaints.contains(&app.storage().keys.master_key));
    }
    // A copy of a live app is not served.
    let refused = program::serve(&home).output().unwrap();
    assert!(program::refusal(&refused).contains("paylog pull --final"));
    permits.close();
    writer.await.unwrap();

    // The cut-over, while the payer continues.
    let before = paid.load(Ordering::Relaxed);
    begin.send_replace(true);
    let (done, said, complaints) = pull(&app, &home, &["--files", "--final", "--json"]).await;
    assert!(done, "{said}\n{complaints}");
    let refusal = tokio::time::timeout(TIMEOUT, payer).await.unwrap().unwrap();
    assert_eq!(
        refusal,
        ErrorCode::ACCOUNT_MOVED,
        "a late payment is refused cleanly"
    );
    assert!(
        paid.load(Ordering::Relaxed) > before,
        "nobody paid during the cut-over"
    );
    let proof: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&proof["clean"], &proof["problems"]),
        (&json!(true), &json!([])),
        "{proof}"
    );
    let of = |name: &str| {
        let classes = proof["classes"].as_array().unwrap();
        classes
            .iter()
            .find(|class| class["class"] == name)
            .unwrap()
            .clone()
    };
    for name in ["_User", "_Role", "_File", "Post", "Log", "Order"] {
        let class = of(name);
        assert_eq!(class["here"], class["there"], "{class}");
        assert_eq!(class["hashHere"], class["hashThere"], "{class}");
        assert!(class["here"].as_u64().unwrap() > 0, "{class}");
    }
    assert_eq!(
        of("Post")["relations"]["fans"],
        json!({"here": 4, "there": 4, "dangling": 0})
    );
    assert_eq!(of("_Role")["relations"]["users"]["here"], 2);
    assert_eq!(proof["moneyHere"], proof["moneyThere"]);
    // All states of payments have been moved.
    let open = proof["moneyHere"]["open"].as_object().unwrap();
    assert_eq!(
        open.keys().collect::<Vec<_>>(),
        ["0", "1", "2", "3", "4"],
        "{open:?}"
    );
    assert_eq!(proof["logins"]["cannot"], json!({}));

    // The proof is the same again, since nothing was written here.
    let (same, proof) = verify(&app, &home).await;
    assert!(same, "{proof}");
    // A moved app is not pulled again.
    let (done, _, complaints) = pull(&app, &home, &[]).await;
    assert!(!done && complaints.contains("has moved here"), "{complaints}");

    check_moved_app(&app, &home).await;
    home
}

/// Asserts, at the target, that all users log in, that all payments are completed, and that the money is unchanged.
async fn check_moved_app(app: &SourceApp, home: &Path) {
    let server = Server::start(home).await;
    for user in &app.users {
        let asked = json!({"username": user.name, "password": PASSWORD});
        let answer = server.ask("POST", "/1.1/login", As::Client, &asked).await;
        assert_eq!(answer["objectId"], user.id.as_str());
    }
    let third_party = json!({"authData": {"weixin": *source_app::WEIXIN}});
    let answer = server.ask("POST", "/1.1/users", As::Client, &third_party).await;
    assert_eq!(answer["objectId"], app.stranger.as_str());
    let path = format!("/1.1/classes/_File/{}", app.file);
    let row = server.ask("GET", &path, As::Master, &json!({})).await;
    let url = row["url"].as_str().unwrap();
    assert!(url.starts_with(&server.address), "{url}");
    let bytes = program::http_client()
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes, FILE);
    // A private object is still private.
    let (status, answer) = server
        .send(
            "GET",
            &format!("/1.1/classes/Post/{}", app.private_post),
            As::Client,
            &json!({}),
        )
        .await;
    assert!(status == 403 || answer == json!({}), "{status} {answer}");

    // All unfinished payments of the source, except the unpaid recharge.
    poll("recovery", async || {
        let recovered = server.call("recoverPayments", As::Master, &json!({})).await;
        assert_eq!(recovered["stuck"], 0, "{recovered}");
        (recovered["open"] == 0).then_some(())
    })
    .await;
    let report = server.call("auditAccounts", As::Master, &json!({})).await;
    assert_eq!(report["differences"], json!([]), "{report}");
    assert!(server.stop().await.success());
    let store = SqliteStore::open_read_only(home, Environment::system()).unwrap();
    let users = store
        .find(&ClassName::user(), &Query::default().limit(1000))
        .await
        .unwrap();
    let money = |field: &str| users.iter().filter_map(|user| user.integer(field)).sum::<i64>();
    assert_eq!(
        money("account") + money("frozen"),
        MONEY,
        "the money is equal to the last fen"
    );
}

/// Returns the lines of standard error of a running pull.
fn lines_of(child: &mut Child) -> std::sync::mpsc::Receiver<String> {
    use std::io::BufRead;
    let (send, lines) = std::sync::mpsc::channel();
    let errors = std::io::BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in errors.lines() {
            if send.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_pull_continues() {
    let app = SourceApp::build().await;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    import_export(&app, folder.path(), &home).await;
    // Kills the pull after the first class, then after the second, and so on.
    for classes in 1..=3 {
        let mut line = paylog(&app, "pull", "--server", &home, &["--files"]);
        let mut child = line.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = lines_of(&mut child);
        tokio::task::spawn_blocking(move || {
            for _ in 0..classes {
                // A finished pull prints nothing more.
                if lines.recv_timeout(TIMEOUT).is_err() {
                    return;
                }
            }
        })
        .await
        .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (done, said, complaints) = pull(&app, &home, &["--files"]).await;
    assert!(done, "{said}\n{complaints}");
    let (same, proof) = verify(&app, &home).await;
    assert!(same, "{proof}");

    // Objects deleted at the source stay until the last round, which deletes them.
    let path = format!("/1.1/classes/Post/{}", app.private_post);
    app.storage().ask("DELETE", &path, As::Master, &json!({})).await;
    let (same, proof) = verify(&app, &home).await;
    assert!(!same, "{proof}");
    let posts = proof["classes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|class| class["class"] == "Post");
    let difference = &posts.unwrap()["differences"][0];
    assert_eq!(
        (&difference["id"], &difference["what"]),
        (&json!(app.private_post), &json!("onlyHere"))
    );
    let (done, said, complaints) = pull(&app, &home, &["--files", "--final"]).await;
    assert!(done, "{said}\n{complaints}");
    assert!(said.contains("CLEAN: nothing differs"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolled_back_move_leaves_the_source_paying() {
    let app = Arc::new(SourceApp::build().await);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    // Without the export nobody could log in here, so the app must not move.
    let (done, said, complaints) = pull(&app, &home, &["--final", "--json"]).await;
    assert!(!done, "{said}\n{complaints}");
    let proof: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(proof["logins"]["cannot"]["noHash"], app.users.len(), "{proof}");
    assert!(complaints.contains("Rolled back"), "{complaints}");
    assert_source_pays(&app, "after the first").await;

    // The second attempt accepts the difference.
    let (done, said, complaints) = pull(&app, &home, &["--final", "--accept-differences"]).await;
    assert!(done, "{said}\n{complaints}");
    let (_, _, complaints) = pull(&app, &home, &["--roll-back"]).await;
    assert!(
        complaints.contains("final"),
        "what is decided stays decided: {complaints}"
    );
    let key = CallerKey::from_value(&json!("too late")).unwrap();
    let late = app
        .worker()
        .transfer(&app.users[0].id, &app.users[1].id, &json!(1), None, &key)
        .await;
    assert_eq!(late.unwrap_err().code, ErrorCode::ACCOUNT_MOVED);
}

async fn assert_source_pays(app: &SourceApp, key: &str) {
    let key = CallerKey::from_value(&json!(key)).unwrap();
    let (from, to) = (&app.users[0].id, &app.users[1].id);
    let paid = app.worker().transfer(from, to, &json!(1), None, &key).await;
    assert!(paid.is_ok(), "{paid:?}");
}
