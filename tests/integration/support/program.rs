//! The real program as a child process: start, requests over HTTP, stop and kill.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use paylog::environment::Environment;
use paylog::storage::SqliteStore;
use paylog::store::load::{LoadBatch, Loader, Note};
use serde_json::{Value, json};

/// The longest wait of a test for anything.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A command of the program, in an environment without variables of LeanCloud or paylog.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paylog"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("LEANCLOUD_") || text.starts_with("PAYLOG_") {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Starts a program. What it writes on standard error becomes output of the test, which is shown only if the test fails.
pub(crate) fn launch(command: &mut Command) -> Child {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    // The test harness captures the output of a test's threads too.
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            eprint!("{}", String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    child
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The error of a run that must have failed with exit code 1, and without a panic or a backtrace.
pub(crate) fn refusal(output: &Output) -> String {
    refusal_with(output, 1)
}

/// As [`refusal`], with exit code 3: `audit`, `doctor`, `stuck` and `verify` exit with 1 for a finding.
pub(crate) fn inspection_error(output: &Output) -> String {
    refusal_with(output, 3)
}

fn refusal_with(output: &Output, code: i32) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{}\n{text}", stdout(output));
    assert!(
        !text.contains("panicked") && !text.contains("stack backtrace"),
        "{text}"
    );
    let error: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("error: "))
        .collect();
    assert!(!error.is_empty(), "no error was printed:\n{text}");
    error.join("\n")
}

/// Sends SIGTERM to the process, as an operator does.
pub(crate) fn terminate(child: &Child) {
    let told = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", child.id())])
        .status()
        .unwrap();
    assert!(told.success());
}

/// Waits until the process has ended.
pub(crate) async fn ended(child: &mut Child) -> ExitStatus {
    poll("the process to end", async || child.try_wait().unwrap()).await
}

/// Repeats the attempt until it returns a value.
pub(crate) async fn poll<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let environment = Environment::system();
    while environment.elapsed() < TIMEOUT {
        if let Some(result) = attempt().await {
            return result;
        }
        environment.sleep(Duration::from_millis(5)).await;
    }
    panic!("waited {TIMEOUT:?} for {what}, which did not come");
}

/// Removes the note with the class names of the payments from a store, which then is like LeanCloud's.
pub(crate) async fn forget_names(data: &Path) {
    let store = SqliteStore::open(data, Environment::system()).unwrap();
    let forgotten = LoadBatch {
        steps: Vec::new(),
        make_notes: Box::new(|_| {
            Ok(vec![Note {
                name: "payments".to_owned(),
                text: None,
            }])
        }),
    };
    store.load(forgotten).await.unwrap();
    store.close().await;
}

/// A running server on a data folder. It is killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) keys: Keys,
    http: reqwest::Client,
}

/// The content of `credentials.json`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Keys {
    pub(crate) app_id: String,
    pub(crate) app_key: String,
    pub(crate) master_key: String,
    pub(crate) hook_key: String,
}

/// The caller of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum As<'a> {
    Client,
    User(&'a str),
    Master,
}

/// Starts `paylog serve` on a free port. Its standard output is discarded.
pub(crate) fn spawn(data: &Path, arguments: &[&str]) -> Child {
    launch(serve(data).args(arguments))
}

/// A command of `paylog serve` on a free port. Its standard output is discarded.
pub(crate) fn serve(data: &Path) -> Command {
    let mut command = program();
    command
        .args(["serve", "--port", "0", "--log", "warn", "--data"])
        .arg(data)
        .stdout(Stdio::null());
    command
}

/// The keys of a data folder.
pub(crate) fn keys(data: &Path) -> Keys {
    serde_json::from_slice(&std::fs::read(data.join("credentials.json")).unwrap()).unwrap()
}

/// The address that this process, and not one before it, has written into the folder.
pub(crate) async fn address_of(child: &mut Child, data: &Path) -> String {
    let file: PathBuf = data.join("server.json");
    let pid = u64::from(child.id());
    poll("the server to listen", async || {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the server ended: {status}");
        }
        let note: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        (note.get("pid")?.as_u64() == Some(pid)).then(|| note["address"].as_str().unwrap().to_owned())
    })
    .await
}

pub(crate) fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .unwrap()
}

impl Server {
    /// Starts a server with `--sandbox` and waits until it listens.
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, &["--sandbox=true"]).await
    }

    pub(crate) async fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::started(spawn(data, arguments), data).await
    }

    /// Waits until a server that was started on a folder listens.
    pub(crate) async fn started(mut child: Child, data: &Path) -> Self {
        let address = address_of(&mut child, data).await;
        Self {
            child,
            address,
            keys: keys(data),
            http: http_client(),
        }
    }

    /// Kills the server, as a power cut does, and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A server that was started by other means.
    pub(crate) fn beside(child: Child, address: String, keys: Keys) -> Self {
        Self {
            child,
            address,
            keys,
            http: http_client(),
        }
    }

    /// Sends a request. Returns the status and the body.
    pub(crate) async fn send(&self, method: &str, path: &str, from: As<'_>, body: &Value) -> (u16, Value) {
        send(&self.http, &self.address, &self.keys, method, path, from, body)
            .await
            .unwrap()
    }

    /// Sends a request that must succeed.
    pub(crate) async fn ask(&self, method: &str, path: &str, from: As<'_>, body: &Value) -> Value {
        let (status, answer) = self.send(method, path, from, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path} answered {status}: {answer}"
        );
        answer
    }

    /// Calls a cloud function that must succeed.
    pub(crate) async fn call(&self, function: &str, from: As<'_>, parameters: &Value) -> Value {
        let path = format!("/1.1/functions/{function}");
        self.ask("POST", &path, from, parameters).await["result"].clone()
    }

    /// Signs a user up. Returns the session token.
    pub(crate) async fn sign_up(&self, name: &str) -> String {
        let user = json!({"username": name, "password": "correct horse"});
        let answer = self.ask("POST", "/1.1/users", As::Client, &user).await;
        answer["sessionToken"].as_str().unwrap().to_owned()
    }

    /// Recharges an account through the sandbox gateway.
    pub(crate) async fn recharge(&self, session: &str, amount: u64, key: &str) {
        let asked = json!({"amount": amount, "channel": "sandbox", "key": key});
        let recharge = self.call("recharge", As::User(session), &asked).await;
        let number = recharge["number"].as_str().unwrap();
        // The trade number: another one for each recharge.
        let notice = json!({
            "number": number, "amount": amount, "channel": "sandbox", "tradeNo": format!("trade-{number}"),
        });
        self.call("confirmRecharge", As::Master, &notice).await;
    }

    /// Creates a product. Returns its id.
    pub(crate) async fn product(&self, price: u64) -> String {
        let product = json!({"name": "a course", "price": price, "onSale": true});
        let made = self
            .ask("POST", "/1.1/classes/Product", As::Master, &product)
            .await;
        made["objectId"].as_str().unwrap().to_owned()
    }

    /// Creates an order. Returns its id.
    pub(crate) async fn order(&self, session: &str, product: &str, key: &str) -> String {
        let asked = json!({"product": product, "key": key});
        let order = self.call("createOrder", As::User(session), &asked).await;
        order["order"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn balance(&self, session: &str) -> u64 {
        let answer = self.call("getBalance", As::User(session), &json!({})).await;
        answer["account"].as_u64().unwrap()
    }

    /// Stops the server with SIGTERM. Returns its exit status.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        terminate(&self.child);
        ended(&mut self.child).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request.
///
/// # Errors
/// If no complete response came.
pub(crate) async fn send(
    http: &reqwest::Client,
    address: &str,
    keys: &Keys,
    method: &str,
    path: &str,
    from: As<'_>,
    body: &Value,
) -> reqwest::Result<(u16, Value)> {
    let mut request = http
        .request(method.parse().unwrap(), format!("{address}{path}"))
        .header("X-LC-Id", &keys.app_id);
    request = match from {
        As::Client | As::User(_) => request.header("X-LC-Key", &keys.app_key),
        As::Master => request.header("X-LC-Key", format!("{},master", keys.master_key)),
    };
    if let As::User(session) = from {
        request = request.header("X-LC-Session", session);
    }
    if method != "GET" {
        request = request.json(body);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.bytes().await?;
    let body = serde_json::from_slice(&text)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&text).into_owned()));
    Ok((status, body))
}
