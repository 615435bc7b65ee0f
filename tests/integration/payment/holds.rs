//! Holds: deducted at once, and settled exactly once, by the first settlement.

use std::time::Duration;

use futures_util::future::join_all;
use paylog::model::{CloudError, Filter, ObjectId};
use paylog::payment::service::Receipt;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixture::{ALL, Bank, code, key, plain};

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn hold_reduces_the_balance_and_is_captured_or_released() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, merchant) = (bank.rich(1000).await, bank.user().await);
        let held = bank.hold(&user, 600, "h").await.unwrap();
        let expires_at = held.created_at.unwrap().plus_millis(7 * DAY * 1000);
        let expected = json!({
            "log": held.log, "kind": "hold", "state": 4, "outcome": "succeeded", "amount": 600,
            "expiresAt": expires_at, "createdAt": held.created_at, "replayed": false,
        });
        assert_eq!(serde_json::to_value(&held).unwrap(), expected);
        assert_eq!(bank.both(&user).await, (400, 600));
        assert_eq!(code(bank.transfer(&user, &merchant, 401, "t").await), 9002);
        assert_eq!(code(bank.hold(&user, 401, "h2").await), 9002);
        // Seven days are the same as none said.
        let week = json!(7 * DAY);
        let again = bank
            .payments
            .hold_funds(&user, &json!(600), Some(&week), &key("h"))
            .await;
        assert_eq!(plain(&again.unwrap()), held);

        let captured = bank.capture(&held.log, 250, Some(&merchant), "c").await.unwrap();
        let expected = json!({
            "log": captured.log, "kind": "settle", "state": 4, "outcome": "succeeded", "amount": 250,
            "settles": held.log, "how": "captured", "payee": merchant,
            "createdAt": captured.created_at, "replayed": false,
        });
        assert_eq!(serde_json::to_value(&captured).unwrap(), expected);
        assert_eq!(bank.both(&user).await, (750, 0));
        assert_eq!(bank.balance(&merchant).await, 250);

        let whole = bank.hold(&user, 100, "whole").await.unwrap().log;
        let captured = bank.payments.capture_hold(&whole, None, None, &key("c2")).await;
        assert_eq!(captured.unwrap().amount, Some(100));
        // All that is held, said or not, is the same.
        assert!(bank.capture(&whole, 100, None, "c2").await.unwrap().replayed);
        assert_eq!(bank.both(&user).await, (650, 0));

        let given_up = bank.hold(&user, 650, "given up").await.unwrap().log;
        let released = bank.release(&given_up, "r").await.unwrap();
        assert_eq!(
            (released.amount, released.how.as_deref()),
            (Some(650), Some("released"))
        );
        assert_eq!(bank.both(&user).await, (650, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn capture_may_credit_the_owner() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        let held = bank.hold(&user, 60, "h").await.unwrap().log;
        bank.capture(&held, 50, Some(&user), "c").await.unwrap();
        assert_eq!(bank.both(&user).await, (100, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn hold_is_settled_once_and_key_has_one_meaning() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, merchant) = (bank.rich(1000).await, bank.user().await);
        let hold = async |name: &str| bank.hold(&user, 100, name).await.unwrap().log;
        let (first, second) = (hold("1").await, hold("2").await);
        let captured = bank.capture(&first, 40, Some(&merchant), "c").await.unwrap();
        bank.recover().await;
        let again = bank
            .again()
            .capture(&first, 40, Some(&merchant), "c")
            .await
            .unwrap();
        assert_eq!((plain(&again), again.replayed), (captured, true));
        // The same key, for something else.
        assert_eq!(code(bank.capture(&first, 41, Some(&merchant), "c").await), 9003);
        assert_eq!(code(bank.capture(&first, 40, None, "c").await), 9003);
        assert_eq!(code(bank.capture(&second, 40, Some(&merchant), "c").await), 9003);
        assert_eq!(code(bank.release(&first, "c").await), 9003);
        assert_eq!(code(bank.release(&second, "c").await), 9003);
        // Another key, for what has ended: even for the same, it is another request.
        assert_eq!(code(bank.capture(&first, 40, Some(&merchant), "c2").await), 9006);
        let refused = bank.release(&first, "r").await.unwrap_err();
        assert!(refused.message.contains("captured"), "{refused}");
        assert_eq!(code(bank.release(&first, "r").await), 9006);
        bank.release(&second, "r2").await.unwrap();
        assert_eq!(code(bank.capture(&second, 1, None, "c3").await), 9006);
        assert_eq!(bank.both(&user).await, (960, 0));
        assert_eq!(bank.logs(Filter::all().eq("kind", "settle")).await.len(), 2);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn refused_capture_leaves_the_hold_unchanged() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, nobody) = (bank.rich(100).await, ObjectId::parse("nobody").unwrap());
        let held = bank.hold(&user, 60, "h").await.unwrap().log;
        for _ in 0..2 {
            assert_eq!(code(bank.capture(&held, 61, None, "much").await), 9009);
            assert_eq!(code(bank.capture(&held, 10, Some(&nobody), "nobody").await), 9004);
        }
        assert_eq!(code(bank.capture(&held, 60, None, "much").await), 9003);
        assert_eq!(code(bank.capture(&held, 10, None, "nobody").await), 9003);
        for amount in [json!(0), json!(null), json!("1"), json!(1.5)] {
            let refused = bank
                .payments
                .capture_hold(&held, Some(&amount), None, &key("bad"))
                .await;
            assert_eq!(code(refused), 9001, "{amount}");
        }
        assert_eq!(bank.both(&user).await, (40, 60));
        bank.capture(&held, 60, None, "c").await.unwrap();
        assert_eq!(bank.both(&user).await, (40, 0));
        // What was told stays so.
        assert_eq!(code(bank.capture(&held, 61, None, "much").await), 9009);
        assert_eq!(code(bank.capture(&held, 10, Some(&nobody), "nobody").await), 9004);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn invalid_hold_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        for seconds in [
            json!(0),
            json!(30 * DAY + 1),
            json!(0.5),
            json!("60"),
            json!(null),
        ] {
            let refused = bank
                .payments
                .hold_funds(&user, &json!(1), Some(&seconds), &key("h"))
                .await;
            assert_eq!(code(refused), 107, "{seconds}");
        }
        let nothing = ObjectId::parse("nothing").unwrap();
        assert_eq!(code(bank.hold(&nothing, 1, "n").await), 9004);
        assert_eq!(code(bank.release(&nothing, "n").await), 9004);
        let recharge = bank.logs(Filter::all().eq("kind", "recharge")).await[0].object_id();
        assert_eq!(code(bank.release(&recharge.unwrap(), "n").await), 9004);
        assert_eq!(code(bank.hold(&user, 101, "h").await), 9002);
        let refused = Filter::all().eq("kind", "hold").eq("user", pointer(&user));
        let refused = bank.logs(refused).await[0].object_id().unwrap();
        assert_eq!(code(bank.capture(&refused, 1, None, "c").await), 9006);
        assert_eq!(code(bank.release(&refused, "r").await), 9006);
        assert_eq!(bank.both(&user).await, (100, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

fn pointer(user: &ObjectId) -> serde_json::Value {
    json!({"__type": "Pointer", "className": "_User", "objectId": user})
}

#[tokio::test]
async fn hold_expires_at_its_time_and_not_before() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        let held = bank.hold(&user, 60, "h").await.unwrap();
        let longest = json!(30 * DAY);
        let longest = bank
            .payments
            .hold_funds(&user, &json!(5), Some(&longest), &key("longest"))
            .await;
        let longest = longest.unwrap().log;
        assert_eq!(code(bank.hold(&user, 1000, "refused").await), 9002);
        bank.ahead(7 * DAY - 60).payments.expire_holds().await;
        assert_eq!(bank.both(&user).await, (35, 65));
        let late = bank.ahead(7 * DAY + 60);
        late.payments.expire_holds().await;
        assert_eq!(bank.both(&user).await, (95, 5));
        let refused = bank.capture(&held.log, 60, None, "c").await.unwrap_err();
        assert_eq!(refused.code.0, 9006);
        assert!(refused.message.contains("expired"), "{refused}");
        bank.capture(&longest, 5, None, "in time").await.unwrap();

        // Once the holds are closed, nobody comes by again.
        bank.recover().await;
        let waiting = async || bank.logs(Filter::all().exists("expiresAt", true)).await.len();
        late.payments.expire_holds().await;
        assert_eq!(waiting().await, 1, "the longest one");
        bank.ahead(31 * DAY).payments.expire_holds().await;
        assert_eq!(waiting().await, 0);
        let settled = bank.logs(Filter::all().eq("kind", "settle")).await;
        assert_eq!(settled.len(), 2);
        assert_eq!(plain(&bank.hold(&user, 60, "h").await.unwrap()), held);
        assert_eq!(bank.both(&user).await, (95, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn sweeper_expires_holds() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        bank.hold(&user, 60, "h").await.unwrap();
        let late = bank.ahead(8 * DAY);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { late.payments.run_sweeper(stop).await }
        });
        let deadline = bank.environment.elapsed() + Duration::from_secs(20);
        while bank.both(&user).await != (100, 0) {
            assert!(bank.environment.elapsed() < deadline, "nobody gives it back");
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap();
        bank.recover().await;
        bank.audit().await;
    }
}

/// Captures, releases and expiries at the same time, by two processes: one settles the hold, and every other caller is
/// refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundred_racing_settlements_settle_a_hold_once() {
    for batches in ALL {
        let mut ways = std::collections::BTreeSet::new();
        for round in 0..4 {
            let one = Bank::new(batches).await;
            let two = one.ahead(8 * DAY);
            let (user, merchant) = (one.rich(1000).await, one.user().await);
            let held = one.hold(&user, 600, "h").await.unwrap().log;
            let calls = (0..100).map(|n| {
                let (bank, other) = if n % 2 == 0 { (&one, &two) } else { (&two, &one) };
                let (bank, other) = (bank.payments.clone(), other.payments.clone());
                let (held, merchant) = (held.clone(), merchant.clone());
                tokio::spawn(async move {
                    let name = key(&format!("k{n}"));
                    match (n + round) % 3 {
                        0 => {
                            let amount = json!(100 + n);
                            Some(
                                bank.capture_hold(&held, Some(&amount), Some(&merchant), &name)
                                    .await,
                            )
                        }
                        1 => Some(bank.release_hold(&held, &name).await),
                        _ => {
                            tokio::join!(bank.expire_holds(), other.expire_holds());
                            None
                        }
                    }
                })
            });
            let answers: Vec<Option<Result<Receipt, CloudError>>> =
                join_all(calls).await.into_iter().map(Result::unwrap).collect();
            let ends = one.logs(Filter::all().eq("kind", "settle")).await;
            let [end] = ends.as_slice() else {
                panic!("{ends:?}")
            };
            let how = end["params"]["how"].as_str().unwrap().to_owned();
            let mut won = Vec::new();
            for answer in answers.into_iter().flatten() {
                match answer {
                    Ok(receipt) => won.push(receipt),
                    Err(error) => assert_eq!(error.code.0, 9006, "{error}"),
                }
            }
            assert_eq!(won.len(), usize::from(how != "expired"), "{how}: {won:?}");
            let captured = if how == "captured" {
                assert!(!won[0].replayed);
                won[0].amount.unwrap()
            } else {
                0
            };
            assert_eq!(one.both(&user).await, (1000 - captured, 0), "{how}");
            assert_eq!(one.balance(&merchant).await, captured);
            one.recover().await;
            one.audit().await;
            ways.insert(how);
        }
        println!("{batches:?}: {ways:?}");
    }
}
