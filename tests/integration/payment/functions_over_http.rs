//! The cloud functions of every kind, called over HTTP on the real program.

use std::path::PathBuf;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::program::{As, Server, run, stderr, stdout};

struct Shop {
    server: Server,
    data: PathBuf,
    _folder: tempfile::TempDir,
}

impl Shop {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = Server::start(&data).await;
        Self {
            server,
            data,
            _folder: folder,
        }
    }

    /// A user's session and id.
    async fn user(&self, name: &str) -> (String, String) {
        let session = self.server.sign_up(name).await;
        let me = self
            .server
            .ask("GET", "/1.1/users/me", As::User(&session), &Value::Null)
            .await;
        (session, me["objectId"].as_str().unwrap().to_owned())
    }

    /// The result, or status and code of the refusal.
    async fn ask(&self, function: &str, from: As<'_>, parameters: Value) -> Result<Value, (u16, i64)> {
        let path = format!("/1.1/functions/{function}");
        let (status, answer) = self.server.send("POST", &path, from, &parameters).await;
        if status == 200 {
            return Ok(answer["result"].clone());
        }
        assert!(answer["error"].is_string(), "{answer}");
        Err((status, answer["code"].as_i64().unwrap()))
    }

    async fn has(&self, session: &str) -> (i64, i64) {
        let answer = self
            .server
            .call("getBalance", As::User(session), &json!({}))
            .await;
        (
            answer["account"].as_i64().unwrap(),
            answer["frozen"].as_i64().unwrap(),
        )
    }

    fn audit(&self) {
        let output = run(&["audit", "--json", "--data", self.data.to_str().unwrap()]);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    }
}

#[tokio::test]
async fn every_kind_has_its_function() {
    let shop = Shop::new().await;
    let ((ming, ming_id), (hong, hong_id)) = (shop.user("ming").await, shop.user("hong").await);
    shop.server.recharge(&ming, 1000, "r").await;
    let asked = json!({"to": hong_id, "amount": 300, "note": "lunch", "key": "t"});
    let made = shop
        .ask("transfer", As::User(&ming), asked.clone())
        .await
        .unwrap();
    assert_eq!(
        (&made["kind"], &made["state"], &made["outcome"], &made["amount"]),
        (&json!("transfer"), &json!(4), &json!("succeeded"), &json!(300))
    );
    let again = shop.ask("transfer", As::User(&ming), asked).await.unwrap();
    assert_eq!((&again["log"], &again["replayed"]), (&made["log"], &json!(true)));
    assert_eq!(
        (shop.has(&ming).await, shop.has(&hong).await),
        ((700, 0), (300, 0))
    );

    let asked = json!({"amount": 100, "channel": "sandbox", "payee": "a bank card", "key": "w"});
    let withdrawal = shop.ask("withdraw", As::User(&ming), asked).await.unwrap();
    assert_eq!(shop.has(&ming).await, (600, 100));
    let word = json!({"log": withdrawal["log"], "succeeded": true});
    let settled = shop
        .ask("settleWithdraw", As::Master, word.clone())
        .await
        .unwrap();
    assert_eq!(settled["how"], "paidOut");
    let again = shop.ask("settleWithdraw", As::Master, word).await.unwrap();
    assert_eq!(again["replayed"], true);
    let word = json!({"log": withdrawal["log"], "succeeded": false});
    assert_eq!(
        shop.ask("settleWithdraw", As::Master, word).await,
        Err((400, 9006))
    );

    let asked = json!({"user": ming_id, "amount": 500, "expiresIn": 3600, "key": "h"});
    let hold = shop.ask("holdFunds", As::Master, asked).await.unwrap();
    assert_eq!(shop.has(&ming).await, (100, 500));
    let asked = json!({"hold": hold["log"], "amount": 200, "payee": hong_id, "key": "c"});
    let captured = shop.ask("captureHold", As::Master, asked).await.unwrap();
    assert_eq!(captured["settles"], hold["log"]);
    assert_eq!(
        (shop.has(&ming).await, shop.has(&hong).await),
        ((400, 0), (500, 0))
    );
    let asked = json!({"hold": hold["log"], "key": "release"});
    assert_eq!(shop.ask("releaseHold", As::Master, asked).await, Err((400, 9006)));

    let asked = json!({"user": ming_id, "amount": -100, "reason": "counted again", "key": "a"});
    let adjusted = shop.ask("adjustAccount", As::Master, asked).await.unwrap();
    assert_eq!(adjusted["amount"], -100);
    let asked = json!({"user": ming_id, "amount": -301, "floor": -1, "reason": "owed", "key": "b"});
    shop.ask("adjustAccount", As::Master, asked).await.unwrap();
    assert_eq!(shop.has(&ming).await, (-1, 0));

    let product = json!({"name": "x", "price": 101, "payees": [{"user": ming_id, "amount": 50}]});
    let product = shop
        .server
        .ask("POST", "/1.1/classes/Product", As::Master, &product)
        .await;
    let product = product["objectId"].as_str().unwrap();
    let order = shop.server.order(&hong, product, "o").await;
    let unpaid = json!({"order": order, "key": "too soon"});
    assert_eq!(
        shop.ask("refundOrder", As::Master, unpaid).await,
        Err((400, 9006))
    );
    shop.server
        .call("payOrder", As::User(&hong), &json!({ "order": order }))
        .await;
    let asked = json!({"order": order, "amount": 51, "reason": "late", "key": "f"});
    let refund = shop.ask("refundOrder", As::Master, asked).await.unwrap();
    assert_eq!(
        (&refund["order"], &refund["reason"]),
        (&json!(order), &json!("late"))
    );
    let asked = json!({"order": order, "amount": 51, "key": "f2"});
    assert_eq!(shop.ask("refundOrder", As::Master, asked).await, Err((400, 9009)));
    assert_eq!(
        (shop.has(&ming).await, shop.has(&hong).await),
        ((24, 0), (450, 0))
    );

    let listed = shop
        .server
        .call("listPayments", As::User(&ming), &json!({"limit": 100}))
        .await;
    let kinds: Vec<&str> = listed["payments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|payment| payment["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "adjust", "adjust", "settle", "hold", "settle", "withdraw", "transfer", "recharge"
        ]
    );
    let found = shop
        .ask(
            "getPayment",
            As::User(&ming),
            json!({"kind": "settle", "key": "c"}),
        )
        .await
        .unwrap();
    assert_eq!(found["log"], captured["log"]);
    shop.audit();
}

#[tokio::test]
async fn internal_functions_refuse_users_and_errors_have_codes() {
    let shop = Shop::new().await;
    let ((ming, ming_id), (_, hong_id)) = (shop.user("ming").await, shop.user("hong").await);
    shop.server.recharge(&ming, 1000, "r").await;
    let order = {
        let product = shop.server.product(100).await;
        let order = shop.server.order(&ming, &product, "o").await;
        shop.server
            .call("payOrder", As::User(&ming), &json!({ "order": order }))
            .await;
        order
    };
    let asked = json!({"user": ming_id, "amount": 10, "key": "h"});
    let hold = shop.ask("holdFunds", As::Master, asked).await.unwrap()["log"].clone();
    let internal = [
        ("settleWithdraw", json!({"log": hold, "succeeded": false})),
        ("refundOrder", json!({"order": order, "key": "k"})),
        ("holdFunds", json!({"user": ming_id, "amount": 1, "key": "k"})),
        ("captureHold", json!({"hold": hold, "key": "k"})),
        ("releaseHold", json!({"hold": hold, "key": "k"})),
        (
            "adjustAccount",
            json!({"user": ming_id, "amount": 1, "reason": "x", "key": "k"}),
        ),
    ];
    for (function, parameters) in internal {
        for from in [As::User(&ming), As::Client] {
            let refused = shop.ask(function, from, parameters.clone()).await;
            assert_eq!(refused.unwrap_err().0, 401, "{function}");
        }
    }
    let transfer = json!({"to": hong_id, "amount": 1, "key": "t"});
    let refused = shop.ask("transfer", As::Client, transfer).await;
    assert!(refused.is_err(), "nobody is logged in");
    let (user, master) = (As::User(&ming), As::Master);
    // A number that is none travels as null: no default may take its place.
    let wrong: Vec<(&str, As<'_>, Value, (u16, i64))> = vec![
        (
            "refundOrder",
            master,
            json!({"order": order, "amount": null, "key": "k"}),
            (400, 9001),
        ),
        (
            "captureHold",
            master,
            json!({"hold": hold, "amount": null, "key": "k"}),
            (400, 9001),
        ),
        (
            "captureHold",
            master,
            json!({"hold": hold, "amount": 11, "key": "k9"}),
            (400, 9009),
        ),
        (
            "captureHold",
            master,
            json!({"hold": "nothing", "key": "k"}),
            (404, 9004),
        ),
        (
            "holdFunds",
            master,
            json!({"user": ming_id, "amount": 1, "expiresIn": null, "key": "k"}),
            (400, 107),
        ),
        (
            "holdFunds",
            master,
            json!({"user": ming_id, "key": "k"}),
            (400, 9001),
        ),
        (
            "adjustAccount",
            master,
            json!({"user": ming_id, "amount": -1, "floor": null, "reason": "x", "key": "k"}),
            (400, 9001),
        ),
        (
            "adjustAccount",
            master,
            json!({"user": ming_id, "amount": 0, "reason": "x", "key": "k"}),
            (400, 9001),
        ),
        (
            "transfer",
            user,
            json!({"to": hong_id, "amount": "1", "key": "k"}),
            (400, 9001),
        ),
        (
            "transfer",
            user,
            json!({"to": hong_id, "amount": 10_000, "key": "k2"}),
            (400, 9002),
        ),
        (
            "transfer",
            user,
            json!({"to": "nobody", "amount": 1, "key": "k3"}),
            (404, 9004),
        ),
        (
            "transfer",
            user,
            json!({"to": hong_id, "amount": 1, "key": "k3"}),
            (422, 9003),
        ),
        (
            "withdraw",
            user,
            json!({"amount": 1, "channel": "wechat", "payee": "x", "key": "k"}),
            (400, 9008),
        ),
    ];
    for (function, from, parameters, expected) in wrong {
        let refused = shop.ask(function, from, parameters.clone()).await;
        assert_eq!(refused, Err(expected), "{function} {parameters}");
    }
    for (function, from, parameters) in [
        (
            "captureHold",
            master,
            json!({"hold": hold, "payee": null, "key": "k"}),
        ),
        (
            "transfer",
            user,
            json!({"to": {"$ne": ""}, "amount": 1, "key": "k"}),
        ),
        ("transfer", user, json!({"to": hong_id, "amount": 1})),
        (
            "withdraw",
            user,
            json!({"amount": 1, "channel": "gold", "payee": "x", "key": "k"}),
        ),
        (
            "withdraw",
            user,
            json!({"amount": 1, "channel": "sandbox", "key": "k"}),
        ),
        ("settleWithdraw", master, json!({"log": hold, "succeeded": "yes"})),
        (
            "adjustAccount",
            master,
            json!({"user": ming_id, "amount": 1, "key": "k"}),
        ),
    ] {
        let refused = shop.ask(function, from, parameters.clone()).await.unwrap_err();
        assert!(
            (400..500).contains(&refused.0),
            "{function} {parameters}: {refused:?}"
        );
    }
    assert_eq!(shop.has(&ming).await, (890, 10));
    shop.audit();
}

#[tokio::test]
async fn hundred_clients_settle_a_hold_once() {
    let shop = Shop::new().await;
    let (ming, ming_id) = shop.user("ming").await;
    shop.server.recharge(&ming, 1000, "r").await;
    let asked = json!({"user": ming_id, "amount": 500, "key": "h"});
    let hold = shop.ask("holdFunds", As::Master, asked).await.unwrap()["log"].clone();
    let calls = (0..100).map(|n| {
        let (shop, hold) = (&shop, &hold);
        async move {
            let name = format!("k{n}");
            if n % 2 == 0 {
                let asked = json!({"hold": hold, "amount": 100 + n, "key": name});
                shop.ask("captureHold", As::Master, asked).await
            } else {
                let asked = json!({"hold": hold, "key": name});
                shop.ask("releaseHold", As::Master, asked).await
            }
        }
    });
    let answers = join_all(calls).await;
    let mut won = answers.iter().filter_map(|answer| answer.as_ref().ok());
    let end = won.next().unwrap();
    assert_eq!(won.next(), None);
    for answer in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(*answer, (400, 9006));
    }
    let captured = if end["how"] == "captured" {
        end["amount"].as_i64().unwrap()
    } else {
        0
    };
    assert_eq!(shop.has(&ming).await, (1000 - captured, 0));
    shop.audit();
}
