//! The examples, as a newcomer runs them. `cargo test` builds them; a run of this binary alone may lack them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::remote_app::forwarder;
use crate::support::program::{As, Server, address_of, keys, launch, poll, program, terminate};
use crate::support::skip::skip;

/// Returns the command of an example, without LeanCloud's environment variables; `None`, with a report of the skip, if it
/// is not built.
fn example(name: &str) -> Option<Command> {
    let folder = Path::new(env!("CARGO_BIN_EXE_paylog")).parent().unwrap();
    let path = folder.join("examples").join(name);
    if !path.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the examples must be built: {}",
            path.display()
        );
        skip(&format!(
            "the example {name} is not built: cargo build --examples"
        ));
        return None;
    }
    let mut command = Command::new(path);
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("LEANCLOUD_") || text.starts_with("PAYLOG_") {
            command.env_remove(&variable);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Some(command)
}

#[test]
fn example_is_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 60, "{} has {lines} lines", path.display());
        count += 1;
    }
    assert_eq!(count, 3);
}

/// A running example; it is killed when this value is dropped.
struct Example {
    child: Child,
    /// First lines of its output.
    said: Vec<String>,
}

impl Example {
    /// Starts the example and reads its first `lines` lines.
    fn start(mut command: Command, lines: usize) -> Self {
        let mut child = launch(&mut command);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let said = (0..lines)
            .map(|_| {
                let mut line = String::new();
                output.read_line(&mut line).unwrap();
                line.trim_end().to_owned()
            })
            .collect();
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { child, said }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn hello_prints_a_working_request() {
    let Some(mut command) = example("hello") else {
        return;
    };
    command.env("LEANCLOUD_APP_PORT", "0");
    let mut hello = Example::start(command, 3);
    let curl = hello.said[2].clone();
    assert!(curl.starts_with("curl "), "{:?}", hello.said);
    // The printed line is a shell command.
    let output = Command::new("sh")
        .args([
            "-c",
            &format!(
                "{} -s --noproxy '*'",
                curl.replace("'{}'", "'{\"name\": \"Ming\"}'")
            ),
        ])
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(answer, json!({"result": "Hello, Ming!"}));
    terminate(&hello.child);
    let ended = poll("the example to end", async || hello.child.try_wait().unwrap()).await;
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn review_guards_a_class_of_a_paylog_server() {
    let Some(mut command) = example("review") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (url, target) = forwarder().await;
    let server = Server::start_with(folder.path(), &["--engine", &url]).await;
    command
        .env("LEANCLOUD_APP_PORT", "0")
        .env("LEANCLOUD_API_SERVER", &server.address)
        .env("LEANCLOUD_APP_ID", &server.keys.app_id)
        .env("LEANCLOUD_APP_KEY", &server.keys.app_key)
        .env("LEANCLOUD_APP_MASTER_KEY", &server.keys.master_key)
        .env("LEANCLOUD_APP_HOOK_KEY", &server.keys.hook_key);
    let review = Example::start(command, 1);
    let address = review.said[0].rsplit("http://").next().unwrap();
    *target.lock().unwrap() = Some(address.parse().unwrap());
    poll("the hooks to be known", async || {
        let path = "/1.1/functions/_ops/metadatas";
        let names = server.ask("GET", path, As::Master, &Value::Null).await;
        names
            .to_string()
            .contains("__before_save_for_Review")
            .then_some(())
    })
    .await;
    let course = server
        .ask("POST", "/1.1/classes/Course", As::Master, &json!({"reviews": 0}))
        .await;
    let course = course["objectId"].as_str().unwrap();
    let session = server.sign_up("ming").await;
    let sent = |stars: u8| {
        json!({
            "stars": stars, "text": "  fine ",
            "course": {"__type": "Pointer", "className": "Course", "objectId": course},
        })
    };
    let (status, body) = server
        .send("POST", "/1.1/classes/Review", As::User(&session), &sent(6))
        .await;
    assert_eq!((status, &body["code"]), (400, &json!(142)), "{body}");
    let made = server
        .ask("POST", "/1.1/classes/Review", As::User(&session), &sent(5))
        .await;
    let path = format!("/1.1/classes/Review/{}", made["objectId"].as_str().unwrap());
    let stored = server.ask("GET", &path, As::Client, &Value::Null).await;
    assert_eq!(stored["text"], "fine");
    let course = format!("/1.1/classes/Course/{course}");
    poll("the course to be counted", async || {
        let course = server.ask("GET", &course, As::Client, &Value::Null).await;
        (course["reviews"] == 1).then_some(())
    })
    .await;
    let (status, body) = server
        .send("PUT", &path, As::User(&session), &json!({"stars": 1}))
        .await;
    assert_eq!((status, &body["code"]), (400, &json!(142)), "{body}");
}

#[tokio::test]
async fn reminders_survive_a_kill() {
    let Some(command) = example("reminders") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let start = |mut command: Command| {
        command
            .args(["--port", "0", "--log", "warn", "--data"])
            .arg(folder.path())
            .current_dir(folder.path());
        Example::start(command, 1)
    };
    let mut first = start(command);
    let address = address_of(&mut first.child, folder.path()).await;
    let server = Server::beside(no_child(), address, keys(folder.path()));
    let session = server.sign_up("ming").await;
    let asked = json!({"what": "the call", "seconds": 1});
    let task = server.call("remindMe", As::User(&session), &asked).await;
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut second = start(example("reminders").unwrap());
    let address = address_of(&mut second.child, folder.path()).await;
    let server = Server::beside(no_child(), address, keys(folder.path()));
    let info = poll("the reminder", async || {
        let info = server.call("lookUp", As::Client, &json!({ "task": task })).await;
        (info["status"] == "success").then_some(info)
    })
    .await;
    assert_eq!(info["result"], "Do not forget: the call");
    assert_eq!(server.call("countReminders", As::Master, &json!({})).await, 1);
}

/// A child that has ended, for a server that has no process of its own.
fn no_child() -> Child {
    program().arg("--version").stdout(Stdio::null()).spawn().unwrap()
}
