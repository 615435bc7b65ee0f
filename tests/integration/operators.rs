//! The operator's commands `paylog audit`, `stuck`, `resume`, `cancel` and `show` of the real program, beside a running
//! server and without one.

use std::path::{Path, PathBuf};
use std::process::Output;

use paylog::environment::Environment;
use paylog::model::{ClassName, Filter, ObjectId, Query, Update};
use paylog::storage::SqliteStore;
use paylog::store::{Store, Write, WriteOutcome};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{As, Server, inspection_error, program, refusal, run, stderr, stdout};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn log_class() -> ClassName {
    ClassName::parse("Log").unwrap()
}

/// A data folder with a customer who has recharged 10000 and paid 1500.
struct Shop {
    _folder: TempDir,
    data: PathBuf,
    session: String,
    user: String,
    /// Log of the purchase.
    paid: String,
    /// Log of an unpaid recharge of 300.
    waiting: String,
}

impl Shop {
    /// Creates the folder; returns also its running server.
    async fn new() -> (Self, Server) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = Server::start(&data).await;
        let session = server.sign_up("tester").await;
        server.recharge(&session, 10_000, "first").await;
        let product = server.product(1_500).await;
        let order = server.order(&session, &product, "order").await;
        let paid = server
            .call("payOrder", As::User(&session), &json!({"order": order}))
            .await;
        let asked = json!({"amount": 300, "channel": "sandbox", "key": "waiting"});
        let waiting = server.call("recharge", As::User(&session), &asked).await;
        let word = json!({
            "number": waiting["number"], "amount": 299, "channel": "sandbox", "tradeNo": "T299",
        });
        let (status, refused) = server
            .send("POST", "/1.1/functions/confirmRecharge", As::Master, &word)
            .await;
        assert_eq!((status, &refused["code"]), (400, &json!(9001)), "{refused}");
        let me = server
            .ask("GET", "/1.1/users/me", As::User(&session), &Value::Null)
            .await;
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        let shop = Self {
            data,
            session,
            user: id(&me["objectId"]),
            paid: id(&paid["log"]),
            waiting: id(&waiting["log"]),
            _folder: folder,
        };
        (shop, server)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let data = ["--data", text(&self.data)];
        run(&arguments.iter().copied().chain(data).collect::<Vec<_>>())
    }

    /// Runs a command that must exit with `code`; returns its JSON.
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let (out, error) = (stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{error}");
        serde_json::from_str(&out).unwrap()
    }

    /// Writes directly into the folder, which no server may have open.
    async fn write(&self, class: &ClassName, id: &str, update: Update) {
        let store = SqliteStore::open(&self.data, Environment::system()).unwrap();
        let id = ObjectId::parse(id).unwrap();
        let outcome = store
            .write(Write::update(class, &id, Filter::all(), update))
            .await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
        store.close().await;
    }
}

#[tokio::test]
async fn stuck_payments_are_resumed_and_cancelled_through_a_server() {
    let (shop, server) = Shop::new().await;
    let stuck = shop.json(&["stuck"], 1);
    let [one] = stuck["stuck"].as_array().unwrap().as_slice() else {
        panic!("{stuck}")
    };
    let fields = ["kind", "amount", "state", "attempts", "tradeNo", "order"].map(|field| &one[field]);
    assert_eq!(json!(fields), json!(["recharge", 299, 1, 0, "T299", null]));
    assert_eq!(one["user"], json!(shop.user));
    assert!(one["ageSeconds"].as_i64().unwrap() < 60);
    let log = one["log"].as_str().unwrap();
    let listed = stdout(&shop.run(&["stuck"]));
    assert!(listed.contains(log) && listed.contains("299"), "{listed}");

    // The server does the work, or returns the reason of its refusal.
    let error = refusal(&shop.run(&["resume", log]));
    assert!(error.contains("--credit") && error.contains("T299"), "{error}");
    let error = refusal(&shop.run(&["cancel", log]));
    assert!(error.contains("--returned"), "{error}");
    let error = refusal(&shop.run(&["cancel", &shop.paid]));
    assert!(error.contains("refundOrder"), "{error}");
    let resumed = shop.json(&["resume", log, "--credit"], 0);
    assert_eq!(
        (&resumed["state"], &resumed["outcome"]),
        (&json!(5), &json!("succeeded"))
    );
    assert_eq!(server.balance(&shop.session).await, 8_799);
    let cancelled = shop.run(&["cancel", &shop.waiting, "--reason", "not wanted"]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    assert!(stdout(&cancelled).contains("failed: 9006 Cancelled by an operator: not wanted"));
    assert_eq!(shop.json(&["stuck"], 0), json!({"stuck": []}));
    let error = refusal(&shop.run(&["resume", "5f0000000000000000000000"]));
    assert!(error.contains("no such payment"), "{error}");
    assert!(refusal(&shop.run(&["resume", "not an id"])).contains("paylog stuck"));
    assert!(shop.run(&["audit"]).status.success());
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn stuck_payments_are_resumed_and_cancelled_without_a_server() {
    let (shop, server) = Shop::new().await;
    assert!(server.stop().await.success());
    let one = shop.json(&["stuck"], 1)["stuck"][0]["log"]
        .as_str()
        .unwrap()
        .to_owned();
    let cancelled = shop.json(&["cancel", &one, "--returned"], 0);
    assert_eq!(cancelled["outcome"], json!("failed"));
    // The state in which recovery leaves a stuck payment.
    let reopened = Update::new().set("state", 4).set("stuck", "the shop was closed");
    shop.write(&log_class(), &shop.paid, reopened).await;
    assert!(stdout(&shop.run(&["stuck"])).contains("the shop was closed"));
    let recovered = shop.run(&["recover"]);
    assert_eq!(recovered.status.code(), Some(1), "{}", stdout(&recovered));
    let resumed = shop.run(&["resume", &shop.paid, "--log", "debug"]);
    let said = stdout(&resumed) + &stderr(&resumed);
    assert!(resumed.status.success(), "{said}");
    assert!(stdout(&resumed).contains(": succeeded"), "{said}");
    let told = said
        .lines()
        .filter(|line| line.contains("paid") && line.contains(&shop.paid));
    assert_eq!(told.count(), 1, "the app is told: {said}");
    assert!(shop.run(&["stuck"]).status.success());
    assert!(shop.run(&["audit"]).status.success());
}

#[tokio::test]
async fn client_call_of_resume_or_cancel_is_refused() {
    let (shop, server) = Shop::new().await;
    for function in ["resumePayment", "cancelPayment"] {
        let path = format!("/1.1/functions/{function}");
        for from in [As::Client, As::User(&shop.session)] {
            let (status, answer) = server
                .send("POST", &path, from, &json!({"log": shop.waiting}))
                .await;
            assert!(
                (400..500).contains(&status),
                "{function} as {from:?}: {status} {answer}"
            );
        }
    }
    assert_eq!(shop.json(&["stuck"], 1)["stuck"].as_array().unwrap().len(), 1);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn audit_names_differences_and_their_logs() {
    let (shop, server) = Shop::new().await;
    assert!(server.stop().await.success());
    shop.write(
        &ClassName::user(),
        &shop.user,
        Update::new().set("account", 8_501),
    )
    .await;
    let found = shop.json(&["audit"], 1);
    let mut keys: Vec<_> = found.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "accounts",
            "differences",
            "differing",
            "inFlight",
            "logs",
            "open",
            "orders",
            "stuck",
            "unjudged",
            "unopened",
        ]
    );
    assert_eq!(
        json!([found["accounts"], found["orders"], found["logs"]]),
        json!([1, 1, 4])
    );
    assert_eq!(
        json!([found["open"], found["stuck"], found["differing"]]),
        json!([2, 1, 1])
    );
    let [difference] = found["differences"].as_array().unwrap().as_slice() else {
        panic!("{found}")
    };
    assert_eq!(
        (&difference["class"], &difference["id"]),
        (&json!("_User"), &json!(shop.user))
    );
    assert_eq!(
        json!([
            difference["field"],
            difference["expected"],
            difference["found"],
            difference["logsTotal"]
        ]),
        json!(["account", "8500", "8501", 2])
    );
    assert!(difference["logs"].as_array().unwrap().contains(&json!(shop.paid)));
    let said = stdout(&shop.run(&["audit"]));
    assert!(said.contains(&shop.user) && said.contains(&shop.paid), "{said}");
    assert!(said.contains("the logs say 8500, stored is 8501"), "{said}");
}

#[tokio::test]
async fn audit_opens_accounts_once() {
    let (shop, server) = Shop::new().await;
    assert!(server.stop().await.success());
    let store = SqliteStore::open(&shop.data, Environment::system()).unwrap();
    for (name, money) in [("old", 700), ("older", 50)] {
        let user = Update::new().set("username", name).set("account", money);
        let outcome = store.write(Write::create(&ClassName::user(), user)).await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    }
    store.close().await;
    drop(store);
    let found = shop.json(&["audit"], 1);
    assert_eq!(json!([found["differing"], found["unopened"]]), json!([2, 2]));
    assert!(stdout(&shop.run(&["audit"])).contains("paylog audit --open"));

    let server = Server::start(&shop.data).await;
    let opened = shop.json(&["audit", "--open"], 0);
    assert_eq!(
        opened["opened"],
        json!({"accounts": 2, "amount": 750, "before": 0, "beyond": []})
    );
    assert_eq!(
        json!([opened["differing"], opened["unopened"], opened["logs"]]),
        json!([0, 0, 6])
    );
    assert!(server.stop().await.success());
    // An account is opened once, and no money has moved.
    let again = shop.run(&["audit", "--open"]);
    assert!(again.status.success(), "{}{}", stdout(&again), stderr(&again));
    assert!(
        stdout(&again).contains("opened       0 accounts"),
        "{}",
        stdout(&again)
    );
    let store = SqliteStore::open(&shop.data, Environment::system()).unwrap();
    let opening = Query::new(Filter::all().eq("kind", "adjust"));
    let logs = store.find(&log_class(), &opening).await.unwrap();
    let mut amounts: Vec<_> = logs.iter().filter_map(|log| log.integer("amount")).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [50, 700]);
    assert!(logs.iter().all(|log| log.integer("state") == Some(5)));
    store.close().await;
}

#[tokio::test]
async fn payment_is_shown_by_each_of_its_ids() {
    let (shop, server) = Shop::new().await;
    let paid = shop.json(&["show", &shop.paid], 0);
    let record = &paid["payments"][0];
    assert_eq!(
        (&record["kind"], &record["outcome"], &record["amount"]),
        (&json!("purchase"), &json!("succeeded"), &json!(1_500))
    );
    let key = record["key"].as_str().unwrap();
    let number = key.split(':').nth(1).unwrap();
    let order = record["order"]["objectId"].as_str().unwrap();
    for name in [key, number, order] {
        let shown = shop.json(&["show", name], 0);
        assert_eq!(shown["payments"].as_array().unwrap().len(), 1, "{name}: {shown}");
        assert_eq!(shown["payments"][0]["objectId"], shop.paid.as_str(), "{name}");
    }
    // A mismatched confirmation is recorded beside the recharge.
    let waiting = shop.json(&["show", &shop.waiting], 0);
    assert_eq!(waiting["payments"][0]["state"], 1);
    let arrived = shop.json(&["show", "T299"], 0);
    assert!(arrived["payments"][0]["stuck"].is_string(), "{arrived}");
    let printed = stdout(&shop.run(&["show", "T299"]));
    for part in [
        "recharge of 299",
        "state 1 (ordered)",
        "STUCK: ",
        "_User/",
        "gateway's number: T299",
    ] {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    let nothing = shop.run(&["show", "nothing"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stdout(&nothing).contains("no payment is known as nothing"));
    let health = server.ask("GET", "/health", As::Master, &Value::Null).await;
    assert_eq!(health["payments"], json!({"open": 0, "stuck": 1}));
    assert!(server.stop().await.success());
    assert_eq!(shop.json(&["show", &shop.paid], 0)["payments"][0]["state"], 5);
}

#[tokio::test]
async fn second_class_name_for_payments_is_refused() {
    let (shop, server) = Shop::new().await;
    assert!(server.stop().await.success());
    let data = text(&shop.data);
    for (variable, kept) in [("PAYLOG_LOG_CLASS", "Log"), ("PAYLOG_ORDER_CLASS", "Order")] {
        for command in [
            &["serve", "--port", "0"][..],
            &["audit"],
            &["stuck"],
            &["show", "T299"],
            &["recover"],
            &["resume", &shop.paid],
        ] {
            let mut other = program();
            other.args(command).args(["--data", data]).env(variable, "Other");
            let refused = other.output().unwrap();
            let error = match command {
                ["audit" | "stuck" | "show", ..] => inspection_error(&refused),
                _ => refusal(&refused),
            };
            let expected = format!("are in class {kept}, not in Other");
            assert!(
                error.contains(&expected) && error.contains(&format!("unset {variable}")),
                "{command:?}: {error}"
            );
        }
        // The locked name itself may be set.
        let mut same = program();
        same.args(["stuck", "--data", data]).env(variable, kept);
        assert!(stdout(&same.output().unwrap()).contains("T299"));
    }
}
