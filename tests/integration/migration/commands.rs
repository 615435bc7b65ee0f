//! The commands `paylog import` and `paylog export`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use paylog::environment::Environment;
use paylog::storage::SqliteStore;
use paylog::store::load::Loader;
use serde_json::{Value, json};

use crate::support::program::{As, Server, launch, poll, program, refusal, run, stderr, stdout};

/// LeanCloud's hash of "password", the example of its guide.
const SALT: &str = "h60d8x797d3oa0naxybxxv9bn7xpt2yiowz68mpiwou7gwr2";
const HASH: &str = "tA7BLW+NK0UeARng0693gCaVnljkglCB9snqlpCSUKjx2RgYp8VZZOQt0S5iUtlDrkJXfT3gknS4rRqjYsd/Ug==";

/// bcrypt of "U*U", from OpenBSD's tests.
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Number of objects for the test of interruptions; `PAYLOG_IMPORT_OBJECTS` overrides it, up to a million.
fn objects() -> u64 {
    let set = std::env::var_os("PAYLOG_IMPORT_OBJECTS");
    set.map_or(20_000, |count| count.to_str().unwrap().parse().unwrap())
}

/// Writes an export of users, their posts, likes between them, and some broken lines.
fn write_export(folder: &Path, objects: u64) {
    std::fs::create_dir(folder).unwrap();
    let file = |name: &str| std::io::BufWriter::new(std::fs::File::create(folder.join(name)).unwrap());
    let mut users = file("_User.0.jsonl");
    let mut posts = file("Post.0.jsonl");
    let mut likes = file("_Join:likes:Post.0.jsonl");
    writeln!(
        posts,
        "#filetype:JSON-streaming {{\"type\":\"Class\",\"class\":\"Post\"}}"
    )
    .unwrap();
    for number in 0..objects {
        let time = format!(
            "2020-01-01T{:02}:{:02}:{:02}.000Z",
            number / 3600 % 24,
            number / 60 % 60,
            number % 60
        );
        let times = format!("\"createdAt\":\"{time}\",\"updatedAt\":\"{time}\"");
        if number % 10 == 0 {
            writeln!(
                users,
                r#"{{"username":"user{number}","objectId":"{number:024x}","password":"{HASH}","salt":"{SALT}",{times}}}"#
            )
            .unwrap();
        } else {
            let user = number / 10 * 10;
            writeln!(
                posts,
                r#"{{"title":"post {number}","n":{number},"author":{{"__type":"Pointer","className":"_User","objectId":"{user:024x}"}},"likes":{{"__type":"Relation","className":"_User"}},"ACL":{{"{user:024x}":{{"read":true,"write":true}}}},"objectId":"{number:024x}",{times}}}"#
            )
            .unwrap();
            if number % 1000 == 7 {
                writeln!(posts, "{{\"objectId\":").unwrap();
            }
            if number % 5 == 1 {
                writeln!(
                    likes,
                    r#"{{"owningId":"{number:024x}","relatedId":"{user:024x}"}}"#
                )
                .unwrap();
            }
        }
    }
}

/// The import state in the store, while another process imports.
async fn progress_of(data: &Path) -> Option<(String, u64)> {
    let store = SqliteStore::open_read_only(data, Environment::system()).ok()?;
    let state: Value = serde_json::from_str(&store.note("import").await.ok()??).ok()?;
    Some((
        state["stage"].as_str()?.to_owned(),
        state["file"][1]["offset"].as_u64()?,
    ))
}

/// An import that is killed and repeated again and again ends with the same data, report and counts as an undisturbed
/// one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_import_continues_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let source = root.join("export");
    write_export(&source, objects());
    let arguments = |name: &str| -> Vec<String> {
        let words = ["import", text(&source), "--json", "--log", "warn"];
        let mut words: Vec<String> = words.map(str::to_owned).into();
        words.extend(["--data".to_owned(), text(&root.join(name)).to_owned()]);
        words.extend([
            "--report".to_owned(),
            text(&root.join(format!("{name}.report"))).to_owned(),
        ]);
        words
    };
    let words = arguments("whole");
    let whole = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        whole.status.code(),
        Some(1),
        "broken lines make it 1: {}",
        stderr(&whole)
    );

    let data = root.join("killed");
    let mut kills = 0;
    let mut seen = None;
    // Killed after its end and before it has said so, an import leaves nothing to go on with: the next begins anew.
    let mut came_late = false;
    let killed = loop {
        let mut child = program()
            .args(arguments("killed"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // As soon as it has come further than the one before.
        let outcome = poll("the import to go on", async || {
            if child.try_wait().unwrap().is_some() {
                return Some(None);
            }
            let now = progress_of(&data).await?;
            (Some(&now) != seen.as_ref()).then_some(Some(now))
        })
        .await;
        match outcome {
            Some(now) => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                let store = SqliteStore::open_read_only(&data, Environment::system()).unwrap();
                came_late |= store.note("import").await.unwrap().is_none();
                seen = Some(now);
            }
            None => break child.wait_with_output().unwrap(),
        }
    };
    assert!(kills >= 3, "{kills}");
    println!("killed {kills} times");
    let summary = |output: &std::process::Output| -> Value {
        let mut summary: Value = serde_json::from_str(&stdout(output)).unwrap();
        for key in ["resumed", "report"] {
            summary.as_object_mut().unwrap().remove(key);
        }
        if came_late {
            for class in summary["classes"].as_object_mut().unwrap().values_mut() {
                for (new, old) in [("created", "unchanged"), ("linksCreated", "linksUnchanged")] {
                    let sum = class[new].as_u64().unwrap() + class[old].as_u64().unwrap();
                    (class[new], class[old]) = (json!(0), json!(sum));
                }
            }
        }
        summary
    };
    assert_eq!(summary(&killed), summary(&whole));
    let report = |name: &str| std::fs::read_to_string(root.join(format!("{name}.report"))).unwrap();
    assert_eq!(report("killed"), report("whole"));
    for name in ["whole", "killed"] {
        let target = root.join(format!("{name}.tar.gz"));
        let out = run(&[
            "export",
            text(&target),
            "--data",
            text(&root.join(name)),
            "--log",
            "warn",
        ]);
        assert!(out.status.success(), "{}", stderr(&out));
    }
    let bytes = |name: &str| std::fs::read(root.join(format!("{name}.tar.gz"))).unwrap();
    assert!(bytes("whole") == bytes("killed"), "the data differ");
}

/// Users with hashes of LeanCloud or bcrypt log in with their old passwords and session tokens; their hashes are replaced;
/// third-party logins work; nobody sees a hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_users_log_in_with_old_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let (source, data) = (folder.path().join("_User.0.jsonl"), folder.path().join("data"));
    let users = [
        json!({"objectId": "5c710c95c05a807a4d9d7179", "username": "ann", "password": HASH, "salt": SALT,
            "sessionToken": "qmdj8pdidnmyzp0c7yqil91oc", "email": "ann@example.com", "emailVerified": true,
            "authData": {"weixin": {"openid": "o-ann", "access_token": "x"}},
            "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-01-01T00:00:00.000Z", "ACL": {"*": {"read": true}}}),
        json!({"objectId": "5c710c95c05a807a4d9d7180", "username": "bob", "bcryptPassword": BCRYPT,
            "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-01-01T00:00:00.000Z"}),
    ];
    let lines: Vec<String> = users.iter().map(Value::to_string).collect();
    std::fs::write(&source, lines.join("\n")).unwrap();
    let out = run(&["import", text(&source), "--data", text(&data), "--log", "warn"]);
    assert!(out.status.success(), "{}{}", stdout(&out), stderr(&out));
    assert!(stdout(&out).contains("_User"), "{}", stdout(&out));

    let server = Server::start(&data).await;
    let me = server
        .ask(
            "GET",
            "/1.1/users/me",
            As::User("qmdj8pdidnmyzp0c7yqil91oc"),
            &json!({}),
        )
        .await;
    assert_eq!(
        (&me["username"], me.get("password"), me.get("salt")),
        (&json!("ann"), None, None)
    );
    let login = async |name: &str, password: &str| {
        server
            .send(
                "POST",
                "/1.1/login",
                As::Client,
                &json!({"username": name, "password": password}),
            )
            .await
    };
    assert_eq!(login("ann", "wrong").await.0, 400);
    for (name, password) in [("ann", "password"), ("bob", "U*U")] {
        for _ in 0..2 {
            let (status, answer) = login(name, password).await;
            assert_eq!(status, 200, "{answer}");
        }
    }
    let third = json!({"authData": {"weixin": {"openid": "o-ann", "access_token": "y"}}});
    let (status, answer) = server.send("POST", "/1.1/users", As::Client, &third).await;
    assert_eq!(
        (status, &answer["objectId"]),
        (200, &json!("5c710c95c05a807a4d9d7179"))
    );
    assert!(server.stop().await.success());

    // The hashes are Argon2id's now, and an export shows it.
    let target = folder.path().join("out");
    let out = run(&[
        "export",
        text(&target),
        "--data",
        text(&data),
        "--class",
        "_User",
        "--log",
        "warn",
    ]);
    assert!(out.status.success(), "{}", stderr(&out));
    let exported = std::fs::read_to_string(target.join("_User.0.jsonl")).unwrap();
    assert_eq!(exported.matches("$argon2id$").count(), 2, "{exported}");
    assert!(
        !exported.contains(SALT) && !exported.contains("$2a$"),
        "{exported}"
    );

    // Brought in again, the old file does not undo it.
    let out = run(&[
        "import",
        text(&source),
        "--data",
        text(&data),
        "--log",
        "warn",
        "--json",
    ]);
    assert!(out.status.success(), "{}", stderr(&out));
    let server = Server::start(&data).await;
    let again = json!({"username": "ann", "password": "password"});
    server.ask("POST", "/1.1/login", As::Client, &again).await;
}

/// Shipped clients continue with the app's id and keys from LeanCloud.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn app_keeps_its_old_id_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (source, data) = (folder.path().join("Post.jsonl"), folder.path().join("data"));
    std::fs::write(&source, "{\"objectId\":\"p1\",\"n\":1}\n").unwrap();
    assert!(
        run(&["import", text(&source), "--data", text(&data), "--log", "warn"])
            .status
            .success()
    );
    let mut command = crate::support::program::serve(&data);
    command
        .env("LEANCLOUD_APP_ID", "oldAppId-gzGzoHsz")
        .env("LEANCLOUD_APP_KEY", "oldAppKey")
        .env("LEANCLOUD_APP_MASTER_KEY", "oldMasterKey")
        .env("LEANCLOUD_APP_HOOK_KEY", "oldHookKey");
    let mut child = launch(&mut command);
    let address = crate::support::program::address_of(&mut child, &data).await;
    let http = crate::support::program::http_client();
    let answer = http
        .get(format!("{address}/1.1/classes/Post/p1"))
        .header("X-LC-Id", "oldAppId-gzGzoHsz")
        .header("X-LC-Key", "oldAppKey")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer["n"], 1, "{answer}");
}

/// A running server, nothing to import, a dry run, the summary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_reports_errors_and_summary() {
    let folder = tempfile::tempdir().unwrap();
    let (source, data) = (folder.path().join("files"), folder.path().join("data"));
    std::fs::create_dir(&source).unwrap();
    let report = folder.path().join("report.jsonl");
    let words = |more: &'static [&'static str]| {
        let mut words = vec![
            "import",
            text(&source),
            "--data",
            text(&data),
            "--report",
            text(&report),
            "--log",
            "warn",
        ];
        words.extend(more);
        run(&words)
    };
    std::fs::write(source.join("Post.jsonl"), "{\"objectId\":\"p1\"}\n{\n").unwrap();

    let trial = words(&["--dry-run"]);
    assert_eq!(trial.status.code(), Some(1));
    assert!(
        stdout(&trial).contains("This was a dry run"),
        "{}",
        stdout(&trial)
    );
    assert!(report.exists());
    let out = run(&[
        "export",
        text(&folder.path().join("out")),
        "--data",
        text(&data),
        "--log",
        "warn",
    ]);
    assert!(refusal(&out).contains("there is no paylog database"));

    let absent = run(&["import", "no-such-folder", "--data", text(&data), "--log", "warn"]);
    assert!(refusal(&absent).contains("no-such-folder"));
    assert!(!data.exists());

    let server = Server::start(&data).await;
    assert!(refusal(&words(&[])).contains("cannot run beside a server"));
    drop(server);
    let out = words(&[]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stdout(&out).contains("1 record was left out"), "{}", stdout(&out));
    std::fs::write(source.join("Post.jsonl"), "{\"objectId\":\"p1\"}\n").unwrap();
    let out = words(&["--json"]);
    assert!(out.status.success(), "{}", stderr(&out));
    let summary: Value = serde_json::from_str(&stdout(&out)).unwrap();
    assert_eq!(
        (&summary["leftOut"], &summary["report"]),
        (&json!(0), &Value::Null)
    );
    assert!(!report.exists());
    std::fs::remove_file(source.join("Post.jsonl")).unwrap();
    assert!(refusal(&words(&[])).contains("nothing to import"));
}
