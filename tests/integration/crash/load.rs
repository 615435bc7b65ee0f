//! The real program under load, killed at random moments: no acknowledged payment is lost, and none happens twice.
//!
//! Each worker repeats its request, with the same key, until it gets a response, however often the server is killed
//! meanwhile. So the final balances are known to the fen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paylog::environment::Environment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::program::{self, As, Keys, Server, address_of, run, spawn, stdout};

/// Number of kills.
const KILLS: u32 = 20;
/// Users; each has a session, an account and [`WORKERS_PER_USER`] workers.
const USERS: usize = 3;
/// More than one, so that concurrent requests change one account.
const WORKERS_PER_USER: usize = 3;
const PRICE: u64 = 300;
/// Enough for the whole test.
const FIRST_RECHARGE: u64 = 100_000_000;
/// Payments of a worker between two recharges.
const RECHARGE_EVERY: u64 = 5;
const RECHARGE: u64 = 700;

/// Acknowledged payments and recharges of a user.
#[derive(Default)]
struct Acknowledged {
    /// Ids of order and log.
    payments: Vec<(String, String)>,
    recharges: u64,
}

struct Worker {
    user: usize,
    name: String,
    session: String,
    product: String,
    keys: Keys,
    address: watch::Receiver<String>,
    http: reqwest::Client,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Vec<Mutex<Acknowledged>>>,
}

impl Worker {
    /// Calls a function until it returns 200, over any number of servers. Before that, only responses that leave the
    /// outcome open are allowed.
    async fn call(&mut self, function: &str, master: bool, parameters: &Value) -> Value {
        let path = format!("/1.1/functions/{function}");
        loop {
            let from = if master {
                As::Master
            } else {
                As::User(&self.session)
            };
            let address = self.address.borrow_and_update().clone();
            match program::send(&self.http, &address, &self.keys, "POST", &path, from, parameters).await {
                Ok((200, mut answer)) => return answer["result"].take(),
                Ok((status, answer)) => assert!(
                    status == 503 || status == 500,
                    "{function} {parameters} answered {status}: {answer}"
                ),
                // The server is down, or not started again yet.
                Err(_) => {
                    let _ = tokio::time::timeout(Duration::from_millis(50), self.address.changed()).await;
                }
            }
        }
    }

    async fn work(mut self) {
        for round in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let key = format!("{}-{round}", self.name);
            let order = json!({"product": self.product, "key": key});
            let order = self.call("createOrder", false, &order).await["order"].clone();
            let paid = self.call("payOrder", false, &json!({"order": order})).await;
            assert_eq!(paid["outcome"], "succeeded", "{paid}");
            assert_eq!(paid["amount"], PRICE, "{paid}");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            self.acknowledged[self.user]
                .lock()
                .unwrap()
                .payments
                .push((text(&order), text(&paid["log"])));
            if round % RECHARGE_EVERY == 0 {
                let asked = json!({"amount": RECHARGE, "channel": "sandbox", "key": key});
                let number = self.call("recharge", false, &asked).await["number"].clone();
                let notice = json!({
                    "number": number, "amount": RECHARGE, "channel": "sandbox", "tradeNo": format!("trade-{}", text(&number)),
                });
                self.call("confirmRecharge", true, &notice).await;
                self.acknowledged[self.user].lock().unwrap().recharges += 1;
            }
        }
    }
}

/// The seed of `PAYLOG_SEED`, or a new one.
fn seed() -> u64 {
    let seed = std::env::var_os("PAYLOG_SEED")
        .map(|text| text.to_str().unwrap().parse().unwrap())
        .unwrap_or_else(|| u64::from_be_bytes(Environment::system().random()));
    println!("seed {seed}; to use it again: PAYLOG_SEED={seed} cargo test --test integration crash");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_payments_survive_kills() {
    let mut rng = StdRng::seed_from_u64(seed());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let environment = Environment::system();

    let mut server = Server::start(&data).await;
    let product = server.product(PRICE).await;
    let mut sessions = Vec::new();
    for user in 0..USERS {
        let session = server.sign_up(&format!("user{user}")).await;
        server.recharge(&session, FIRST_RECHARGE, "first").await;
        sessions.push(session);
    }

    let (publish, address) = watch::channel(server.address.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Vec<Mutex<Acknowledged>>> =
        Arc::new((0..USERS).map(|_| Mutex::default()).collect());
    let mut workers = tokio::task::JoinSet::new();
    for (user, session) in sessions.iter().enumerate() {
        for number in 0..WORKERS_PER_USER {
            workers.spawn(
                Worker {
                    user,
                    name: format!("worker{number}"),
                    session: session.clone(),
                    product: product.clone(),
                    keys: server.keys.clone(),
                    address: address.clone(),
                    http: program::http_client(),
                    stop: Arc::clone(&stop),
                    acknowledged: Arc::clone(&acknowledged),
                }
                .work(),
            );
        }
    }

    for _ in 0..KILLS {
        environment
            .sleep(Duration::from_millis(rng.random_range(20..400)))
            .await;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        server.child = spawn(&data, &["--sandbox=true"]);
        server.address = address_of(&mut server.child, &data).await;
        publish.send(server.address.clone()).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }

    // Completes what the server's own recovery has not done yet.
    let recovered = run(&["recover", "--data", data.to_str().unwrap()]);
    assert!(recovered.status.success(), "{}", program::stderr(&recovered));
    check(&server, &sessions, &acknowledged).await;
    assert!(server.stop().await.success());

    let audit = run(&["audit", "--json", "--data", data.to_str().unwrap()]);
    assert!(audit.status.success(), "{}", stdout(&audit));
    let found: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(found["open"], 0, "{found}");
    assert_eq!(found["differences"], json!([]), "{found}");
}

/// Asserts that each acknowledged payment exists once, and that the balances agree with the acknowledgements.
async fn check(server: &Server, sessions: &[String], acknowledged: &[Mutex<Acknowledged>]) {
    let mut payments = 0;
    let mut logs_expected = 0;
    for (session, acknowledged) in sessions.iter().zip(acknowledged) {
        let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
        let paid = acknowledged.payments.len() as u64;
        payments += paid;
        logs_expected += 1 + acknowledged.recharges + paid;
        assert_eq!(
            server.balance(session).await,
            FIRST_RECHARGE + acknowledged.recharges * RECHARGE - paid * PRICE
        );
        for (order, log) in &acknowledged.payments {
            let path = "/1.1/classes/Order/".to_owned() + order;
            let order = server.ask("GET", &path, As::Master, &Value::Null).await;
            assert_eq!(order["status"], "paid", "{order}");
            let payment = server
                .call("getPayment", As::User(session), &json!({"log": log}))
                .await;
            assert_eq!(
                (&payment["state"], &payment["outcome"]),
                (&json!(5), &json!("succeeded")),
                "{payment}"
            );
        }
    }
    println!("{payments} payments were acknowledged");
    assert!(
        payments >= u64::from(KILLS),
        "hardly any load: {payments} payments"
    );
    let count = |filter: &str| format!("/1.1/classes/Log?count=1&limit=0&where={filter}");
    let all = server
        .ask("GET", &count("%7B%7D"), As::Master, &Value::Null)
        .await;
    assert_eq!(all["count"], logs_expected, "a payment has more than one log");
    let open = count("%7B%22state%22%3A%7B%22%24lt%22%3A5%7D%7D");
    let open = server.ask("GET", &open, As::Master, &Value::Null).await;
    assert_eq!(open["count"], 0, "a log is below state 5");
}
