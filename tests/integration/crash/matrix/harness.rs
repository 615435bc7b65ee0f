//! The program under test and its data, in one of the two commit modes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use paylog::client::Client;
use paylog::environment::Environment;
use paylog::model::{ClassName, Document, Filter, ObjectId, Query, Update};
use paylog::payment::{PaymentConfig, PaymentService};
use paylog::store::{Action, Store, Write, WriteOutcome};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{self, As, Keys, Server, poll};

/// Commit mode of the payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CommitMode {
    /// Data in a folder: one commit per payment.
    Atomic,
    /// Data behind LeanCloud's API, served by another paylog: one document per write.
    PerDocument,
}

/// The part of a call that takes effect before the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    Before,
    /// The first write of a batch.
    First,
    /// The last write of a batch.
    Last,
    After,
}

/// The failpoint at the `call`-th writing call, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failpoint {
    pub(super) call: usize,
    pub(super) moment: Moment,
}

/// The program and its data; the processes end with this value.
pub(super) struct Harness {
    pub(super) mode: CommitMode,
    pub(super) config: PaymentConfig,
    /// Direct access to the documents.
    pub(super) store: Client,
    pub(super) http: reqwest::Client,
    /// Description of the current run, printed if it fails.
    pub(super) current_case: String,
    folder: TempDir,
    /// The paylog in the role of LeanCloud.
    storage: Option<Server>,
    program: Server,
}

impl Harness {
    pub(super) async fn start(mode: CommitMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("halt")).unwrap();
        let data = folder.path().join("data");
        let (storage, program) = match mode {
            CommitMode::Atomic => (None, atomic(&folder).await),
            CommitMode::PerDocument => {
                // Creates the classes of the payments; afterwards only the engine works on them.
                assert!(Server::start(&data).await.stop().await.success());
                let storage = storage(&folder).await;
                let engine = engine(&folder, &storage).await;
                (Some(storage), engine)
            }
        };
        Self {
            mode,
            config: PaymentConfig {
                sandbox: true,
                ..PaymentConfig::new()
            },
            store: client(storage.as_ref().unwrap_or(&program)),
            http: program::http_client(),
            current_case: String::new(),
            folder,
            storage,
            program,
        }
    }

    /// The server of LeanCloud's storage API.
    pub(super) fn data(&self) -> &Server {
        self.storage.as_ref().unwrap_or(&self.program)
    }

    pub(super) fn program(&self) -> &Server {
        &self.program
    }

    /// Address and keys of the program, even after a kill.
    pub(super) fn endpoint(&self) -> (String, Keys) {
        (self.program.address.clone(), self.program.keys.clone())
    }

    /// A worker in the test itself.
    pub(super) fn worker(&self, config: PaymentConfig) -> PaymentService {
        let environment = Environment::system();
        PaymentService::new(std::sync::Arc::new(self.store.clone()), environment, config)
    }

    fn halt(&self, name: &str) -> PathBuf {
        self.folder.path().join("halt").join(name)
    }

    /// Sets the failpoint of the program.
    pub(super) fn set_failpoint(&self, failpoint: Failpoint) {
        let moment = format!("{:?}", failpoint.moment).to_lowercase();
        fs::write(self.halt("draft"), format!("{} {moment}", failpoint.call)).unwrap();
        fs::rename(self.halt("draft"), self.halt("halt")).unwrap();
    }

    /// Waits until the program has stopped at the failpoint, or has had nothing to do for `grace`; returns true if it has
    /// stopped. The number of calls may vary, since the program's workers share the work. `is_done` returns true once the
    /// requested work is done.
    pub(super) async fn wait_for_stop(&self, is_done: impl AsyncFn() -> bool, grace: Duration) -> bool {
        let halted = self.halt("halted");
        let environment = Environment::system();
        let mut done_since = None;
        poll("the program to stop", async || {
            if halted.exists() {
                return Some(true);
            }
            if !is_done().await || !self.unfinished().await.is_empty() {
                return None;
            }
            let now = environment.elapsed();
            let since = *done_since.get_or_insert(now);
            (now.saturating_sub(since) >= grace).then(|| halted.exists())
        })
        .await
    }

    /// Clears the failpoint.
    pub(super) fn clear_failpoint(&self) {
        let _ = fs::remove_file(self.halt("halt"));
    }

    /// Takes the writing calls since the last time, each with its classes.
    pub(super) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.halt("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.halt("calls"));
        text.lines().map(str::to_owned).collect()
    }

    /// Kills the stopped program; and the paylog in the role of LeanCloud, if `everything` is true.
    pub(super) fn kill(&mut self, everything: bool) {
        self.program.kill();
        let _ = fs::remove_file(self.halt("halted"));
        self.calls();
        if let (Some(storage), true) = (&mut self.storage, everything) {
            storage.kill();
        }
    }

    /// Kills the idle program and starts it again. Returns true if the failpoint is still set or reached: the program may
    /// have been at it when it was killed.
    pub(super) async fn restart(&mut self) -> bool {
        self.program.kill();
        let is_to_stop = self.halt("halt").exists() || self.halt("halted").exists();
        self.start_killed().await;
        is_to_stop
    }

    /// Starts the killed processes.
    pub(super) async fn start_killed(&mut self) {
        self.program.kill();
        if let Some(server) = &mut self.storage
            && server.child.try_wait().unwrap().is_some()
        {
            *server = storage(&self.folder).await;
        }
        self.program = match &self.storage {
            None => atomic(&self.folder).await,
            Some(storage) => engine(&self.folder, storage).await,
        };
        self.store = client(self.data());
    }

    /// Calls a cloud function; returns status and body.
    pub(super) async fn call(&self, function: &str, from: As<'_>, parameters: &Value) -> (u16, Value) {
        let path = format!("/1.1/functions/{function}");
        self.program.send("POST", &path, from, parameters).await
    }

    pub(super) async fn get(&self, class: &ClassName, id: &ObjectId) -> Document {
        Store::get(&self.store, class, id).await.unwrap().unwrap()
    }

    /// Changes a document unconditionally.
    pub(super) async fn change(&self, class: &ClassName, id: &ObjectId, update: Update) {
        let action = Action::Update {
            id: id.clone(),
            precondition: Filter::all(),
            update,
            fetch: false,
        };
        let class = class.clone();
        let outcome = self.store.write(Write { class, action }).await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    }

    /// Unfinished logs: neither closed nor waiting for a gateway.
    async fn unfinished(&self) -> Vec<Document> {
        let filter = Filter::all().lt("state", 5).and_any(vec![
            Filter::all().ne("kind", "recharge"),
            Filter::all().ne("state", 1),
        ]);
        let query = Query::new(filter).limit(100);
        self.store.find(&self.config.log_class, &query).await.unwrap()
    }

    /// Waits until all logs are closed.
    pub(super) async fn wait_until_closed(&self) {
        poll("the closings", async || {
            self.unfinished().await.is_empty().then_some(())
        })
        .await;
    }

    /// Has the program recover until no log is open.
    pub(super) async fn recover_all(&self) {
        poll("recovery", async || {
            let recover_all = self.program.call("recoverPayments", As::Master, &json!({})).await;
            assert_eq!(recover_all["stuck"], 0, "{recover_all}");
            if recover_all["open"] == 0 && self.unfinished().await.is_empty() {
                return Some(());
            }
            self.remove_leases().await;
            None
        })
        .await;
    }

    /// Removes the leases of open logs, so that the next worker need not wait. Leases only save work.
    pub(super) async fn remove_leases(&self) {
        for log in self.unfinished().await {
            let id = log.object_id().unwrap();
            let update = Update::new().delete("claimedUntil");
            self.change(&self.config.log_class, &id, update).await;
        }
    }

    /// Asserts that all balances agree with the logs, even in the middle of a payment.
    pub(super) async fn assert_audit_clean(&self) {
        let report = self.program.call("auditAccounts", As::Master, &json!({})).await;
        assert_eq!(report["differences"], json!([]), "{report}");
    }

    /// Asserts that `recover` and `audit` find nothing open and no difference.
    pub(super) async fn finish(mut self) {
        let storage = self.storage.take();
        self.wait_until_closed().await;
        for command in ["recover", "audit"] {
            let mut command_line = match &storage {
                None => {
                    let mut line = program::program();
                    line.arg(command)
                        .arg("--data")
                        .arg(self.folder.path().join("data"));
                    line
                }
                Some(storage) => {
                    let mut line = on_leancloud(storage);
                    line.arg(command);
                    line
                }
            };
            let output = command_line.output().unwrap();
            let text = program::stdout(&output) + &program::stderr(&output);
            assert!(output.status.success(), "{command}: {text}");
        }
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("WARNING")).collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{}; the last log lines of the programs:\n{}",
                self.current_case,
                self.tail()
            );
        }
    }
}

fn client(server: &Server) -> Client {
    let keys = &server.keys;
    Client::builder(&server.address, &keys.app_id, keys.app_key.as_str())
        .master_key(keys.master_key.as_str())
        .build()
        .unwrap()
}

/// The file of standard error of the programs, printed if a test fails.
fn stderr_log(folder: &TempDir) -> File {
    let path = folder.path().join("said");
    File::options().create(true).append(true).open(path).unwrap()
}

async fn atomic(folder: &TempDir) -> Server {
    let data = folder.path().join("data");
    let mut command = program::serve(&data);
    command
        .arg("--sandbox=true")
        .env("PAYLOG_HALT", folder.path().join("halt"))
        .stderr(stderr_log(folder));
    Server::started(command.spawn().unwrap(), &data).await
}

/// The paylog in the role of LeanCloud; its own payment flow works on other classes.
async fn storage(folder: &TempDir) -> Server {
    let data = folder.path().join("data");
    program::forget_names(&data).await;
    let mut command = program::serve(&data);
    command
        .env("PAYLOG_LOG_CLASS", "NobodysLog")
        .env("PAYLOG_ORDER_CLASS", "NobodysOrder")
        .stderr(stderr_log(folder));
    Server::started(command.spawn().unwrap(), &data).await
}

/// The program as a LeanEngine app, with its data behind the API of `storage`.
fn on_leancloud(storage: &Server) -> Command {
    let keys = &storage.keys;
    let mut command = program::program();
    command
        .env("LEANCLOUD_API_SERVER", &storage.address)
        .env("LEANCLOUD_APP_ID", &keys.app_id)
        .env("LEANCLOUD_APP_KEY", &keys.app_key)
        .env("LEANCLOUD_APP_MASTER_KEY", &keys.master_key)
        .env("LEANCLOUD_APP_HOOK_KEY", &keys.hook_key);
    command
}

async fn engine(folder: &TempDir, storage: &Server) -> Server {
    let printed = folder.path().join("printed");
    let mut command = on_leancloud(storage);
    command
        .args(["--host", "127.0.0.1", "--port", "0", "--log", "warn"])
        .env("PAYLOG_HALT", folder.path().join("halt"))
        .stdout(File::create(&printed).unwrap())
        .stderr(stderr_log(folder));
    let mut child = command.spawn().unwrap();
    let address = poll("the engine to listen", async || {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the engine ended: {status}");
        }
        printed_address(&printed)
    })
    .await;
    Server::beside(child, address, storage.keys.clone())
}

/// The address in the line that is printed once the engine listens.
fn printed_address(printed: &Path) -> Option<String> {
    let text = fs::read_to_string(printed).ok()?;
    let (_, rest) = text.split_once(" on 127.0.0.1:")?;
    let (port, _) = rest.split_once(',')?;
    Some(format!("http://127.0.0.1:{port}"))
}
