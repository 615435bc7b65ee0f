//! The guarantees of paylog, tested on the real program over HTTP with clients that race, cheat and make mistakes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use paylog::environment::Environment;
use serde_json::{Value, json};

use crate::support::program::{As, Server, poll, run, stderr, stdout};
use crate::support::skip::skip;

struct Shop {
    server: Server,
    data: PathBuf,
    _folder: tempfile::TempDir,
}

async fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data).await;
    Shop {
        server,
        data,
        _folder: folder,
    }
}

fn audit(data: &Path) -> Value {
    let output = run(&["audit", "--json", "--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

impl Shop {
    async fn function(&self, name: &str, session: &str, parameters: &Value) -> (u16, Value) {
        let path = format!("/1.1/functions/{name}");
        self.server
            .send("POST", &path, As::User(session), parameters)
            .await
    }

    /// Waits until all payments of a user are closed, and returns them.
    async fn closed_payments(&self, session: &str) -> Vec<Value> {
        poll("the closings", async || {
            let payments = self.payments(session).await;
            payments
                .iter()
                .all(|payment| payment["state"] == 5)
                .then_some(payments)
        })
        .await
    }

    async fn payments(&self, session: &str) -> Vec<Value> {
        let answer = self
            .server
            .call("listPayments", As::User(session), &json!({"limit": 100}))
            .await;
        answer["payments"].as_array().unwrap().clone()
    }
}

fn without_replayed(answer: &Value) -> Value {
    let mut answer = answer["result"].clone();
    answer.as_object_mut().unwrap().shift_remove("replayed");
    answer
}

#[tokio::test]
async fn order_called_twenty_times_is_paid_once() {
    let shop = shop().await;
    let session = shop.server.sign_up("ming").await;
    let product = shop.server.product(700).await;
    shop.server.recharge(&session, 10_000, "r").await;
    let order = shop.server.order(&session, &product, "o").await;
    let parameters = json!({ "order": order });
    let answers = join_all((0..20).map(|_| shop.function("payOrder", &session, &parameters))).await;
    let first = without_replayed(&answers[0].1);
    for (status, answer) in &answers {
        assert_eq!((*status, without_replayed(answer)), (200, first.clone()));
    }
    let fresh = answers
        .iter()
        .filter(|(_, answer)| answer["result"]["replayed"] == false)
        .count();
    assert_eq!(fresh, 1);
    assert_eq!(shop.server.balance(&session).await, 9_300);
    assert_eq!(shop.payments(&session).await.len(), 2);
    assert_eq!(audit(&shop.data)["logs"], 2);
}

#[tokio::test]
async fn sixty_four_purchases_with_money_for_forty_succeed_forty_times() {
    let shop = shop().await;
    let session = shop.server.sign_up("ming").await;
    let product = shop.server.product(100).await;
    shop.server.recharge(&session, 4_000, "r").await;
    let mut orders = Vec::new();
    for number in 0..64 {
        orders.push(shop.server.order(&session, &product, &format!("o{number}")).await);
    }
    let pay = async |order: &String| {
        shop.function("payOrder", &session, &json!({ "order": order }))
            .await
    };
    let answers = join_all(orders.iter().map(pay)).await;
    let paid = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(paid, 40);
    for (status, answer) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!((*status, &answer["code"]), (400, &json!(9002)), "{answer}");
    }
    assert_eq!(shop.server.balance(&session).await, 0);

    // A refusal is final, whatever happens to the balance; a new key is a new attempt.
    let declined = answers.iter().position(|(status, _)| *status != 200).unwrap();
    shop.server.recharge(&session, 100, "r2").await;
    assert_eq!(pay(&orders[declined]).await, answers[declined]);
    let again = json!({"order": orders[declined], "key": "again"});
    let (status, answer) = shop.function("payOrder", &session, &again).await;
    assert_eq!(
        (status, &answer["result"]["outcome"]),
        (200, &json!("succeeded")),
        "{answer}"
    );
    // The repeated call is declined again.
    assert_eq!(pay(&orders[declined]).await, answers[declined]);
    assert_eq!(shop.server.balance(&session).await, 0);
    audit(&shop.data);
}

#[tokio::test]
async fn order_paid_and_cancelled_at_once_has_one_outcome() {
    const ORDERS: u64 = 200;
    let shop = shop().await;
    let session = shop.server.sign_up("ming").await;
    let product = shop.server.product(10).await;
    shop.server.recharge(&session, 10 * ORDERS, "r").await;
    let mut paid_orders = 0;
    for number in 0..ORDERS {
        let order = json!({ "order": shop.server.order(&session, &product, &format!("o{number}")).await });
        let (paid, cancelled) = if number % 2 == 0 {
            tokio::join!(
                shop.function("payOrder", &session, &order),
                shop.function("cancelOrder", &session, &order)
            )
        } else {
            let (cancelled, paid) = tokio::join!(
                shop.function("cancelOrder", &session, &order),
                shop.function("payOrder", &session, &order)
            );
            (paid, cancelled)
        };
        match (paid.0, cancelled.0) {
            (200, 400) => {
                assert_eq!(cancelled.1["code"], 9006, "{}", cancelled.1);
                paid_orders += 1;
            }
            (400, 200) => assert_eq!(paid.1["code"], 9006, "{}", paid.1),
            _ => panic!("order {number}: {paid:?} and {cancelled:?}"),
        }
    }
    assert_eq!(shop.server.balance(&session).await, 10 * (ORDERS - paid_orders));
    audit(&shop.data);
}

#[tokio::test]
async fn used_key_with_another_amount_is_refused() {
    let shop = shop().await;
    let session = shop.server.sign_up("ming").await;
    shop.server.recharge(&session, 500, "top-up").await;
    let before = shop.closed_payments(&session).await;
    let other = json!({"amount": 501, "channel": "sandbox", "key": "top-up"});
    let (status, answer) = shop.function("recharge", &session, &other).await;
    assert_eq!((status, &answer["code"]), (422, &json!(9003)));
    assert_eq!(shop.payments(&session).await, before);
    assert_eq!(shop.server.balance(&session).await, 500);
}

/// Deletes a user with the master key; returns status and body.
async fn delete_user(server: &Server, id: &str) -> (u16, Value) {
    let path = format!("/1.1/users/{id}");
    server.send("DELETE", &path, As::Master, &json!({})).await
}

async fn id_of(server: &Server, session: &str) -> String {
    let me = server
        .ask("GET", "/1.1/users/me", As::User(session), &Value::Null)
        .await;
    me["objectId"].as_str().unwrap().to_owned()
}

// compat: user.delete
#[tokio::test]
async fn only_users_without_payments_are_deleted() {
    let shop = shop().await;
    let server = &shop.server;
    let session = server.sign_up("nobody").await;
    let id = id_of(server, &session).await;
    // A user cannot delete themselves, unless the app allows it.
    let path = format!("/1.1/users/{id}");
    let (status, _) = server.send("DELETE", &path, As::User(&session), &json!({})).await;
    assert_eq!(status, 403);
    assert_eq!(delete_user(server, &id).await, (200, json!({})));
    let login = json!({"username": "nobody", "password": "correct horse"});
    let (_, answer) = server.send("POST", "/1.1/login", As::Client, &login).await;
    assert_eq!(answer["code"], 211, "{answer}");
    // Deleting an absent user succeeds.
    assert_eq!(delete_user(server, &id).await, (200, json!({})));

    let rich = server.sign_up("rich").await;
    server.recharge(&rich, 500, "r").await;
    let spent = server.sign_up("spent").await;
    server.recharge(&spent, 10, "r").await;
    let product = server.product(10).await;
    let order = server.order(&spent, &product, "o").await;
    server
        .call("payOrder", As::User(&spent), &json!({ "order": order }))
        .await;
    let waiting = server.sign_up("waiting").await;
    let asked = json!({"amount": 5, "channel": "sandbox", "key": "r"});
    server.call("recharge", As::User(&waiting), &asked).await;
    let refused = server.sign_up("refused").await;
    let order = server.order(&refused, &product, "o").await;
    let (status, _) = shop
        .function("payOrder", &refused, &json!({ "order": order }))
        .await;
    assert!(status >= 400, "{status}");
    for session in [&rich, &spent, &waiting, &refused] {
        let id = id_of(server, session).await;
        let (status, answer) = delete_user(server, &id).await;
        assert_eq!((status, &answer["code"]), (400, &json!(142)), "{answer}");
        let text = answer["error"].as_str().unwrap();
        assert!(text.contains("with payments is never deleted"), "{text}");
        // Without the hook, the condition of the delete itself still refuses.
        if *session != waiting && *session != refused {
            let body = json!({"__ignore_hooks": ["beforeDelete"]});
            let path = format!("/1.1/users/{id}");
            let (status, answer) = server.send("DELETE", &path, As::Master, &body).await;
            assert_eq!((status, &answer["code"]), (403, &json!(119)), "{answer}");
        }
        server.balance(session).await;
    }
    assert_eq!(server.balance(&rich).await, 500);
    audit(&shop.data);
}

#[tokio::test]
async fn transfer_to_a_user_being_deleted_loses_no_money() {
    const ROUNDS: u64 = 12;
    let shop = shop().await;
    let server = &shop.server;
    let payer = server.sign_up("payer").await;
    server.recharge(&payer, 10 * ROUNDS, "r").await;
    let (mut arrived, mut deleted) = (0, 0);
    for round in 0..ROUNDS {
        let payee = server.sign_up(&format!("payee{round}")).await;
        let id = id_of(server, &payee).await;
        let transfer = json!({"to": id, "amount": 10, "key": format!("t{round}")});
        // Varies which of the two is earlier.
        let ahead = std::time::Duration::from_micros(500 * (round / 2));
        let environment = Environment::system();
        let wait = async |is_later: bool| {
            if is_later {
                environment.sleep(ahead).await;
            }
        };
        let pay = async {
            wait(round % 2 == 1).await;
            shop.function("transfer", &payer, &transfer).await
        };
        let delete = async {
            wait(round % 2 == 0).await;
            delete_user(server, &id).await
        };
        let ((paid, answer), (gone, _)) = tokio::join!(pay, delete);
        match (paid, gone) {
            // Refused by the hook, or by the condition of the delete, if the money came in between.
            (200, 400 | 403) => {
                assert_eq!(server.balance(&payee).await, 10);
                arrived += 1;
            }
            (404, 200) => {
                assert_eq!(answer["code"], 9004, "{answer}");
                deleted += 1;
            }
            other => panic!("round {round}: {other:?}: {answer}"),
        }
    }
    println!("{arrived} arrived, {deleted} deleted");
    assert_eq!(server.balance(&payer).await, 10 * (ROUNDS - arrived));
    audit(&shop.data);
}

#[tokio::test]
async fn client_access_to_money_is_refused() {
    let shop = shop().await;
    let server = &shop.server;
    let ming = server.sign_up("ming").await;
    let mallory = server.sign_up("mallory").await;
    server.recharge(&ming, 500, "r").await;
    let me = format!("/1.1/classes/_User/{}", id_of(server, &mallory).await);
    let increment = json!({"__op": "Increment", "amount": 1_000});
    for field in ["account", "frozen", "payEpoch"] {
        for value in [json!(1_000), increment.clone(), json!({"__op": "Delete"})] {
            let (status, answer) = server
                .send("PUT", &me, As::User(&mallory), &json!({ field: value }))
                .await;
            assert!(status >= 400, "{field} = {value}: {answer}");
            let request = json!({"requests": [{"method": "PUT", "path": me, "body": {field: value}}]});
            let (_, answer) = server
                .send("POST", "/1.1/batch", As::User(&mallory), &request)
                .await;
            assert!(answer[0]["error"]["code"].is_number(), "{answer}");
        }
    }
    let marks = json!({"paylogs": {"__op": "Remove", "objects": ["x"]}});
    assert!(server.send("PUT", &me, As::User(&mallory), &marks).await.0 >= 400);
    let rich = json!({"username": "rich", "password": "x", "account": 1_000});
    assert!(server.send("POST", "/1.1/users", As::Client, &rich).await.0 >= 400);
    assert!(server.send("DELETE", &me, As::User(&mallory), &json!({})).await.0 >= 400);
    assert_eq!(server.balance(&mallory).await, 0);

    let log = shop.payments(&ming).await[0]["log"].as_str().unwrap().to_owned();
    let (_, answer) = server
        .send(
            "GET",
            &format!("/1.1/classes/Log/{log}"),
            As::User(&mallory),
            &Value::Null,
        )
        .await;
    assert!(answer.get("amount").is_none(), "{answer}");
    for class in ["Log", "Order"] {
        let class = format!("/1.1/classes/{class}");
        let (status, answer) = server.send("GET", &class, As::User(&mallory), &Value::Null).await;
        assert!(status >= 400, "{answer}");
        let (status, answer) = server
            .send("POST", &class, As::User(&mallory), &json!({"amount": 1}))
            .await;
        assert!(status >= 400, "{answer}");
    }
    let (status, answer) = server
        .send(
            "PUT",
            &format!("/1.1/classes/Log/{log}"),
            As::User(&ming),
            &json!({"state": 1}),
        )
        .await;
    assert!(status >= 400, "{answer}");
    let (status, answer) = shop
        .function("getPayment", &mallory, &json!({ "log": log }))
        .await;
    assert_eq!((status, &answer["code"]), (404, &json!(9004)));
    assert!(shop.payments(&mallory).await.is_empty());
    let product = json!({"name": "free", "price": 1, "onSale": true});
    assert!(
        server
            .send("POST", "/1.1/classes/Product", As::User(&mallory), &product)
            .await
            .0
            >= 400
    );
    for internal in ["confirmRecharge", "recoverPayments", "auditAccounts"] {
        assert_eq!(
            shop.function(internal, &mallory, &json!({})).await.0,
            401,
            "{internal}"
        );
    }
    audit(&shop.data);
}

#[tokio::test]
async fn invalid_input_is_refused_with_a_code() {
    let shop = shop().await;
    let session = shop.server.sign_up("ming").await;
    let product = shop.server.product(100).await;
    shop.server.recharge(&session, 500, "r").await;
    let order = shop.server.order(&session, &product, "o").await;
    let mut bad: Vec<(&str, Value)> = Vec::new();
    for amount in [
        json!(-1),
        json!(0),
        json!(1.5),
        json!("100"),
        json!(9_007_199_254_740_992_u64),
        json!(null),
        json!([1]),
    ] {
        bad.push((
            "recharge",
            json!({"amount": amount, "channel": "sandbox", "key": "k"}),
        ));
    }
    for key in [json!(""), json!("k".repeat(65)), json!(7), json!(null)] {
        bad.push(("recharge", json!({"amount": 1, "channel": "sandbox", "key": key})));
        bad.push(("createOrder", json!({"product": product, "key": key})));
    }
    for quantity in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("2"),
        json!(10_000_000_000_000_u64),
    ] {
        bad.push((
            "createOrder",
            json!({"product": product, "quantity": quantity, "key": "q"}),
        ));
    }
    bad.extend([
        ("recharge", json!({"amount": 1, "channel": "gold", "key": "k"})),
        ("createOrder", json!({"product": "nothing", "key": "p"})),
        ("createOrder", json!({"product": 7, "key": "p"})),
        ("payOrder", json!({"order": "nothing"})),
        ("payOrder", json!({"order": {"$ne": ""}})),
        ("payOrder", json!({"order": "../x"})),
        ("payOrder", json!({})),
        ("cancelOrder", json!({"order": "nothing"})),
        ("getPayment", json!({"log": "nothing"})),
        ("getPayment", json!({})),
        ("listPayments", json!({"limit": -1})),
        ("listPayments", json!({"before": "nothing"})),
    ]);
    for (function, parameters) in &bad {
        let (status, answer) = shop.function(function, &session, parameters).await;
        assert!(
            (400..500).contains(&status),
            "{function} {parameters}: {status} {answer}"
        );
        assert!(
            answer["code"].is_i64() && answer["error"].is_string(),
            "{function} {parameters}: {answer}"
        );
    }
    let http = crate::support::program::http_client();
    let raw = async |body: Vec<u8>| {
        let request = http.post(format!("{}/1.1/functions/payOrder", shop.server.address));
        let request = request
            .header("X-LC-Id", &shop.server.keys.app_id)
            .header("X-LC-Key", &shop.server.keys.app_key);
        let request = request
            .header("X-LC-Session", &session)
            .header("Content-Type", "application/json");
        let response = request.body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    for (body, expected) in [
        (b"{\"order\":".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (vec![b'x'; 21 << 20], 413),
    ] {
        let (status, answer) = raw(body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["code"].is_i64(), "{answer}");
    }
    assert_eq!(shop.server.balance(&session).await, 500);
    assert_eq!(shop.payments(&session).await.len(), 1);
    let pending = format!("/1.1/classes/Order/{order}");
    let order = shop.server.ask("GET", &pending, As::Master, &Value::Null).await;
    assert_eq!(order["status"], "pending");
    let report = audit(&shop.data);
    assert_eq!(report["orders"], 1, "{report}");
}

#[tokio::test]
async fn backup_under_load_is_consistent() {
    let shop = shop().await;
    let session = shop.server.sign_up("ming").await;
    let product = shop.server.product(1).await;
    shop.server.recharge(&session, 1_000_000, "r").await;
    let load = async |worker: usize| {
        for number in 0.. {
            let order = shop
                .server
                .order(&session, &product, &format!("{worker}-{number}"))
                .await;
            shop.server
                .call("payOrder", As::User(&session), &json!({ "order": order }))
                .await;
        }
    };
    let folder = shop.data.parent().unwrap().to_owned();
    let data = shop.data.clone();
    let backups = tokio::task::spawn_blocking(move || {
        for number in 0..5 {
            let file = folder.join(format!("backup-{number}"));
            let copy = folder.join(format!("copy-{number}"));
            let (file, copy, data) = (
                file.to_str().unwrap(),
                copy.to_str().unwrap(),
                data.to_str().unwrap(),
            );
            for arguments in [
                ["backup", file, "--data", data],
                ["restore", file, "--data", copy],
            ] {
                let output = run(&arguments);
                assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
            }
            audit(Path::new(copy));
        }
    });
    tokio::select! {
        _ = join_all((0..8).map(load)) => {}
        done = backups => done.unwrap(),
    }
}

/// A small file system, if the process may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let disk = folder.join("disk");
        std::fs::create_dir(&disk).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(&disk)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(disk))
    }

    fn grow(&self) {
        let grown = Command::new("mount")
            .args(["-o", "remount,size=256m"])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn full_disk_returns_503_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        skip("this user cannot mount a small file system");
        return;
    };
    let data = disk.0.join("data");
    let server = Server::start(&data).await;
    let session = server.sign_up("ming").await;
    let product = server.product(1).await;
    server.recharge(&session, 1_000_000, "r").await;

    let full = AtomicBool::new(false);
    let load = async |worker: usize| {
        let mut paid = BTreeMap::new();
        let mut refused = 0_u32;
        for number in 0.. {
            // Enough refusals to show that the disk is full and the server survives it.
            if refused >= 20 || full.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("{worker}-{number}");
            let padding = "x".repeat(2_000);
            let note = json!({ "text": padding });
            let (note, _) = server.send("POST", "/1.1/classes/Note", As::Client, &note).await;
            let asked = json!({"product": product, "key": key});
            let (status, order) = server
                .send("POST", "/1.1/functions/createOrder", As::User(&session), &asked)
                .await;
            if status == 200 {
                let order = order["result"]["order"].as_str().unwrap().to_owned();
                let asked = json!({ "order": order });
                let (status, answer) = server
                    .send("POST", "/1.1/functions/payOrder", As::User(&session), &asked)
                    .await;
                if status == 200 {
                    paid.insert(order, answer["result"]["log"].clone());
                    continue;
                }
                assert_eq!(status, 503, "{answer}");
            } else {
                assert_eq!(status, 503, "{order}");
            }
            assert!(note == 201 || note == 503, "{note}");
            refused += 1;
        }
        full.store(true, Ordering::Relaxed);
        paid
    };
    let paid: BTreeMap<String, Value> = join_all((0..8).map(load)).await.into_iter().flatten().collect();
    assert!(!paid.is_empty());
    let balance = server.balance(&session).await;
    assert!(balance <= 1_000_000 - paid.len() as u64, "reads go on");

    // With free space again, acknowledged payments exist, and repeated calls decide the others.
    disk.grow();
    let environment = Environment::system();
    while environment.elapsed() < crate::support::program::TIMEOUT {
        let note = json!({"text": "room"});
        if server
            .send("POST", "/1.1/classes/Note", As::Client, &note)
            .await
            .0
            == 201
        {
            break;
        }
        environment.sleep(std::time::Duration::from_millis(50)).await;
    }
    for (order, log) in &paid {
        let again = server
            .call("payOrder", As::User(&session), &json!({ "order": order }))
            .await;
        assert_eq!((&again["log"], &again["replayed"]), (log, &json!(true)));
    }
    assert!(server.stop().await.success());
    // A worker of the server may still hold a lease.
    poll("the end of what was begun", async || {
        let recovered = run(&["recover", "--data", data.to_str().unwrap()]);
        recovered.status.success().then_some(())
    })
    .await;
    let report = audit(&data);
    assert_eq!(report["open"].as_u64().unwrap_or(0), 0, "{report}");
}
