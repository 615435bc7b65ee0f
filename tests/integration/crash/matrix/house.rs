//! The program under test and its data, on one of the two ways that a payment can go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use paylog::client::Client;
use paylog::environment::Environment;
use paylog::model::{ClassName, Document, Filter, ObjectId, Query, Update};
use paylog::payment::{PaymentConfig, Payments};
use paylog::store::{Action, Store, Write, WriteOutcome};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{self, As, Keys, Server, poll};

/// The ways that a payment can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// The data in a folder: all of a payment in one commit.
    Atomic,
    /// The data behind LeanCloud's API, where another paylog stands in for LeanCloud: one document at a time.
    Stepwise,
}

/// How much of a call takes effect before the program dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    Before,
    /// Of a batch, the first write alone.
    First,
    /// Of a batch, the last write alone.
    Last,
    After,
}

/// Where the program dies: at the `call`-th call that writes, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) call: usize,
    pub(super) moment: Moment,
}

/// The program and its data. Gone when the test ends.
pub(super) struct House {
    pub(super) way: Way,
    pub(super) config: PaymentConfig,
    /// The documents, past the program under test.
    pub(super) store: Client,
    pub(super) http: reqwest::Client,
    /// What is being tried, for whoever reads that it has failed.
    pub(super) trying: String,
    folder: TempDir,
    /// What stands in for LeanCloud.
    storage: Option<Server>,
    program: Server,
}

impl House {
    pub(super) async fn start(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("halt")).unwrap();
        let data = folder.path().join("data");
        let (storage, program) = match way {
            Way::Atomic => (None, atomic(&folder).await),
            Way::Stepwise => {
                // Made with the classes of the payments; then nobody but the engine takes them for payments.
                assert!(Server::start(&data).await.stop().await.success());
                let storage = storage(&folder).await;
                let engine = engine(&folder, &storage).await;
                (Some(storage), engine)
            }
        };
        Self {
            way,
            config: PaymentConfig {
                sandbox: true,
                ..PaymentConfig::new()
            },
            store: client(storage.as_ref().unwrap_or(&program)),
            http: program::http_client(),
            trying: String::new(),
            folder,
            storage,
            program,
        }
    }

    /// Who speaks LeanCloud's storage API.
    pub(super) fn data(&self) -> &Server {
        self.storage.as_ref().unwrap_or(&self.program)
    }

    pub(super) fn program(&self) -> &Server {
        &self.program
    }

    /// Where the program listens and what it asks callers for, also once it is dead.
    pub(super) fn door(&self) -> (String, Keys) {
        (self.program.address.clone(), self.program.keys.clone())
    }

    /// A worker in the test itself, for what the program does not do on its way.
    pub(super) fn worker(&self, config: PaymentConfig) -> Payments {
        let environment = Environment::system();
        Payments::new(std::sync::Arc::new(self.store.clone()), environment, config)
    }

    fn halt(&self, name: &str) -> PathBuf {
        self.folder.path().join("halt").join(name)
    }

    /// Has the program stop at a call that it is still to make.
    pub(super) fn stop_at(&self, cut: Cut) {
        let moment = format!("{:?}", cut.moment).to_lowercase();
        fs::write(self.halt("draft"), format!("{} {moment}", cut.call)).unwrap();
        fs::rename(self.halt("draft"), self.halt("halt")).unwrap();
    }

    /// Waits until the program has stopped, or there is nothing left to stop at for as long as `grace`. Workers of the
    /// program share the work, each in its own order, and one of them may have had a call to make the last time that is
    /// none this time. `is_over` says whether what was asked for is done. Answers whether it has stopped.
    pub(super) async fn stopped_or(&self, is_over: impl AsyncFn() -> bool, grace: Duration) -> bool {
        let halted = self.halt("halted");
        let environment = Environment::system();
        let mut over_since = None;
        poll("the program to stop", async || {
            if halted.exists() {
                return Some(true);
            }
            if !is_over().await || !self.unfinished().await.is_empty() {
                return None;
            }
            let now = environment.elapsed();
            let since = *over_since.get_or_insert(now);
            (now.saturating_sub(since) >= grace).then(|| halted.exists())
        })
        .await
    }

    /// Forgets where the program was to stop.
    pub(super) fn go_on(&self) {
        let _ = fs::remove_file(self.halt("halt"));
    }

    /// The calls that the program has made since the last time: what they were and which classes they wrote to.
    pub(super) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.halt("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.halt("calls"));
        text.lines().map(str::to_owned).collect()
    }

    /// Kills the program where it has stopped, and with it what stands in for LeanCloud where that is asked for.
    pub(super) fn kill(&mut self, everything: bool) {
        self.program.kill();
        let _ = fs::remove_file(self.halt("halted"));
        self.calls();
        if let (Some(storage), true) = (&mut self.storage, everything) {
            storage.kill();
        }
    }

    /// Kills the program where it does nothing, and starts it again. Whether it is still to stop, or has: it may have
    /// been on its way there when it was killed.
    pub(super) async fn restart(&mut self) -> bool {
        self.program.kill();
        let is_to_stop = self.halt("halt").exists() || self.halt("halted").exists();
        self.start_again().await;
        is_to_stop
    }

    /// Starts what was killed.
    pub(super) async fn start_again(&mut self) {
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

    /// Calls a cloud function and answers its status and body.
    pub(super) async fn call(&self, function: &str, from: As<'_>, parameters: &Value) -> (u16, Value) {
        let path = format!("/1.1/functions/{function}");
        self.program.send("POST", &path, from, parameters).await
    }

    pub(super) async fn get(&self, class: &ClassName, id: &ObjectId) -> Document {
        Store::get(&self.store, class, id).await.unwrap().unwrap()
    }

    /// Changes a document past every rule.
    pub(super) async fn change(&self, class: &ClassName, id: &ObjectId, update: Update) {
        let action = Action::Update {
            id: id.clone(),
            guard: Filter::all(),
            update,
            fetch: false,
        };
        let class = class.clone();
        let outcome = self.store.write(Write { class, action }).await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    }

    /// The logs that somebody is still to finish: neither closed nor waiting for a gateway.
    async fn unfinished(&self) -> Vec<Document> {
        let filter = Filter::all().lt("state", 5).and_any(vec![
            Filter::all().ne("kind", "recharge"),
            Filter::all().ne("state", 1),
        ]);
        let query = Query::new(filter).limit(100);
        self.store.find(&self.config.log_class, &query).await.unwrap()
    }

    /// Waits until nothing goes on behind the answers.
    pub(super) async fn quiet(&self) {
        poll("the closings", async || {
            self.unfinished().await.is_empty().then_some(())
        })
        .await;
    }

    /// The program recovers what it finds open.
    pub(super) async fn recovered(&self) {
        poll("recovery", async || {
            let recovered = self.program.call("recoverPayments", As::Master, &json!({})).await;
            assert_eq!(recovered["stuck"], 0, "{recovered}");
            if recovered["open"] == 0 && self.unfinished().await.is_empty() {
                return Some(());
            }
            self.unclaim().await;
            None
        })
        .await;
    }

    /// Leases only save work: taking them away changes nothing but how soon the next worker comes.
    pub(super) async fn unclaim(&self) {
        for log in self.unfinished().await {
            let id = log.object_id().unwrap();
            let update = Update::new().delete("claimedUntil");
            self.change(&self.config.log_class, &id, update).await;
        }
    }

    /// Every balance is what the logs say, also while a payment hangs in the middle.
    pub(super) async fn audited(&self) {
        let report = self.program.call("auditAccounts", As::Master, &json!({})).await;
        assert_eq!(report["differences"], json!([]), "{report}");
    }

    /// The last word: the command line finds nothing open and nothing different.
    pub(super) async fn end(mut self) {
        let storage = self.storage.take();
        self.quiet().await;
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

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{}; the last words of the programs:\n{}",
                self.trying,
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

/// What the programs complain of goes to one file, which is shown where a test fails.
fn said(folder: &TempDir) -> File {
    let path = folder.path().join("said");
    File::options().create(true).append(true).open(path).unwrap()
}

async fn atomic(folder: &TempDir) -> Server {
    let data = folder.path().join("data");
    let mut command = program::serve(&data);
    command
        .arg("--sandbox=true")
        .env("PAYLOG_HALT", folder.path().join("halt"))
        .stderr(said(folder));
    Server::started(command.spawn().unwrap(), &data).await
}

/// LeanCloud's storage: its own payment flow looks at other classes.
async fn storage(folder: &TempDir) -> Server {
    let data = folder.path().join("data");
    program::forget_names(&data).await;
    let mut command = program::serve(&data);
    command
        .env("PAYLOG_LOG_CLASS", "NobodysLog")
        .env("PAYLOG_ORDER_CLASS", "NobodysOrder")
        .stderr(said(folder));
    Server::started(command.spawn().unwrap(), &data).await
}

/// The program as a LeanEngine app whose data are behind the API of `storage`.
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
        .stderr(said(folder));
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
