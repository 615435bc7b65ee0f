//! Refunds: taken from the payees of the sale, exact to the last fen, never more than the price.

use std::sync::Arc;

use futures_util::future::join_all;
use paylog::model::Filter;
use serde_json::json;

use super::fixture::{ALL, Bank, code, key, plain};

#[tokio::test]
async fn refund_takes_the_shares_of_all_payees() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (merchant, platform) = (bank.user().await, bank.user().await);
        let (buyer, order) = bank.sold(100, &[(&merchant, 80), (&platform, 5)]).await;
        assert_eq!(bank.balance(&buyer).await, 0);
        let reason = Some("not as described");
        let refund = bank.payments.refund_order(&order, None, reason, &key("f")).await;
        let refund = refund.unwrap();
        let expected = json!({
            "log": refund.log, "kind": "refund", "state": 4, "outcome": "succeeded", "amount": 100,
            "order": order, "reason": "not as described", "createdAt": refund.created_at, "replayed": false,
        });
        assert_eq!(serde_json::to_value(&refund).unwrap(), expected);
        for (user, balance) in [(&buyer, 100), (&merchant, 0), (&platform, 0)] {
            assert_eq!(bank.balance(user).await, balance);
        }
        assert_eq!(bank.status(&order).await, "refunded");
        bank.recover().await;
        let again = bank.payments.refund_order(&order, None, reason, &key("f")).await;
        let again = again.unwrap();
        assert_eq!((plain(&again), again.replayed), (refund, true));
        assert_eq!(code(bank.refund(&order, None, "f").await), 9003);
        assert_eq!(code(bank.refund(&order, None, "f2").await), 9009);
        assert_eq!(
            code(bank.payments.pay_order(&buyer, &order, Some(&key("p"))).await),
            9006
        );
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn partial_refunds_add_up_to_the_last_fen() {
    for batches in ALL {
        for cuts in [
            vec![1; 101],
            vec![33, 33, 33, 2],
            vec![100, 1],
            vec![50, 7, 44],
            vec![101],
        ] {
            let bank = Bank::new(batches).await;
            let (merchant, platform) = (bank.user().await, bank.user().await);
            let (buyer, order) = bank.sold(101, &[(&merchant, 67), (&platform, 3)]).await;
            let mut left = 101;
            let last = cuts.len() - 1;
            for (n, cut) in cuts.iter().enumerate() {
                assert_eq!(bank.status(&order).await, "paid");
                let amount = (n < last).then_some(*cut);
                let refund = bank.refund(&order, amount, &format!("f{n}")).await.unwrap();
                assert_eq!(refund.amount, Some(*cut), "what is left, where no amount is said");
                left -= cut;
                assert_eq!(bank.balance(&buyer).await, 101 - left);
                let parts = [&merchant, &platform].map(|payee| bank.balance(payee));
                let parts: i64 = join_all(parts).await.iter().sum();
                // Each payee has given its proportion, in whole fen, and never more than what went back.
                assert!(
                    (parts * 101 - 70 * left).abs() < 2 * 101,
                    "{cuts:?}: {parts} of {left}"
                );
                assert!(70 - parts <= 101 - left, "{cuts:?}: {parts} of {left}");
            }
            assert_eq!(left, 0);
            for payee in [&merchant, &platform] {
                assert_eq!(bank.balance(payee).await, 0, "{cuts:?}");
            }
            assert_eq!(bank.status(&order).await, "refunded");
            let shown = bank.get(&bank.config.order_class, &order).await;
            assert_eq!(shown.integer("refunded"), Some(101));
            bank.recover().await;
            bank.audit().await;
        }
    }
}

#[tokio::test]
async fn refund_beyond_the_rest_is_refused_for_good() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (buyer, order) = bank.sold(100, &[]).await;
        assert_eq!(code(bank.refund(&order, Some(101), "f1").await), 9009);
        bank.refund(&order, Some(60), "f2").await.unwrap();
        let refused = bank.refund(&order, Some(41), "f3").await.unwrap_err();
        assert_eq!(refused.code.0, 9009);
        assert!(refused.message.contains("40"), "{refused}");
        assert_eq!(bank.refund(&order, Some(41), "f3").await.unwrap_err(), refused);
        assert_eq!(code(bank.refund(&order, Some(40), "f3").await), 9003);
        for amount in [json!(0), json!(null), json!("1"), json!(0.5), json!(-1)] {
            let refused = bank
                .payments
                .refund_order(&order, Some(&amount), None, &key("f4"))
                .await;
            assert_eq!(code(refused), 9001, "{amount}");
        }
        assert_eq!(bank.refund(&order, None, "f4").await.unwrap().amount, Some(40));
        assert_eq!(bank.balance(&buyer).await, 100);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn refund_of_unpaid_order_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.rich(1000).await, bank.product(100).await);
        let pending = bank.order(&user, &product, "pending").await.order;
        let cancelled = bank.order(&user, &product, "cancelled").await.order;
        bank.payments.cancel_order(&user, &cancelled).await.unwrap();
        for (order, status) in [(&pending, "pending"), (&cancelled, "cancelled")] {
            let refused = bank.refund(order, Some(1), status).await.unwrap_err();
            assert_eq!(refused.code.0, 9006);
            assert!(refused.message.contains(status), "{refused}");
        }
        assert_eq!(code(bank.refund(&product, None, "none").await), 9004);
        // Paid later: the refusal stands, and a new key is a new refund.
        bank.payments.pay_order(&user, &pending, None).await.unwrap();
        assert_eq!(code(bank.refund(&pending, Some(1), "pending").await), 9006);
        bank.refund(&pending, Some(1), "again").await.unwrap();
        assert_eq!(bank.balance(&user).await, 901);
        bank.recover().await;
        bank.audit().await;
    }
}

/// The log of the sale decides, not the status of the order, which may have been edited by hand.
#[tokio::test]
async fn refund_of_order_marked_paid_by_hand_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(100).await);
        let order = bank.order(&user, &product, "o").await.order;
        let write = paylog::store::Write::update(
            &bank.config.order_class,
            &order,
            Filter::all(),
            paylog::model::Update::new().set("status", "paid"),
        );
        let outcome = bank.store.write(write).await;
        assert!(
            matches!(outcome, paylog::store::WriteOutcome::Applied(_)),
            "{outcome:?}"
        );
        assert_eq!(code(bank.refund(&order, None, "f").await), 9006);
        assert_eq!(bank.balance(&user).await, 0);
    }
}

#[tokio::test]
async fn refund_after_payee_spent_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (merchant, platform) = (bank.user().await, bank.user().await);
        let (buyer, order) = bank.sold(100, &[(&merchant, 80), (&platform, 20)]).await;
        let drain = bank.user().await;
        bank.transfer(&platform, &drain, 15, "spent").await.unwrap();
        for _ in 0..2 {
            assert_eq!(code(bank.refund(&order, None, "f").await), 9002);
        }
        let as_before = [(&buyer, 0), (&merchant, 80), (&platform, 5)];
        for (user, balance) in as_before {
            assert_eq!(bank.balance(user).await, balance);
        }
        assert_eq!(bank.status(&order).await, "paid");
        bank.recharge(&platform, 100, "r").await;
        assert_eq!(code(bank.refund(&order, None, "f").await), 9002);
        // What went back before is counted right after a refusal, too.
        bank.refund(&order, Some(50), "f2").await.unwrap();
        bank.refund(&order, None, "f3").await.unwrap();
        for (user, balance) in [(&buyer, 100), (&merchant, 0), (&platform, 85)] {
            assert_eq!(bank.balance(user).await, balance);
        }
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn refund_to_buyer_who_is_payee_adds_up() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (buyer, merchant) = (bank.rich(200).await, bank.user().await);
        let payees = json!([{"user": buyer, "amount": 30}, {"user": merchant, "amount": 50}]);
        let product = json!({"name": "x", "price": 100, "payees": payees});
        let product = bank.create(&bank.config.product_class, product).await;
        let order = bank.order(&buyer, &product, "o").await.order;
        bank.payments.pay_order(&buyer, &order, None).await.unwrap();
        assert_eq!(
            (bank.balance(&buyer).await, bank.balance(&merchant).await),
            (130, 50)
        );
        bank.refund(&order, Some(10), "f1").await.unwrap();
        assert_eq!(
            (bank.balance(&buyer).await, bank.balance(&merchant).await),
            (137, 45)
        );
        bank.refund(&order, None, "f2").await.unwrap();
        assert_eq!(
            (bank.balance(&buyer).await, bank.balance(&merchant).await),
            (200, 0)
        );
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn order_with_the_most_payees_can_be_refunded() {
    let bank = Bank::new(ALL[0]).await;
    let mut payees = Vec::new();
    for _ in 0..63 {
        payees.push(bank.user().await);
    }
    let user = bank.rich(100).await;
    let parts: Vec<_> = payees
        .iter()
        .map(|user| json!({"user": user, "amount": 1}))
        .collect();
    let product = json!({"name": "x", "price": 100, "payees": parts});
    let product = bank.create(&bank.config.product_class, product).await;
    let made = bank.payments.create_order(&user, &product, None, &key("o")).await;
    assert_eq!(code(made), 9001);
    let payees: Vec<_> = payees.iter().take(62).map(|user| (user, 1)).collect();
    let (buyer, order) = bank.sold(100, &payees).await;
    bank.refund(&order, None, "f").await.unwrap();
    assert_eq!(bank.balance(&buyer).await, 100);
    bank.recover().await;
    bank.audit().await;
}

/// Refunds of 7 of 100, twenty at once by two processes: fourteen fit, and every payee gives exactly its part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_refunds_give_back_the_price() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (merchant, platform) = (bank.user().await, bank.user().await);
        let (buyer, order) = bank.sold(100, &[(&merchant, 67), (&platform, 11)]).await;
        let workers = [Arc::new(bank.again()), Arc::new(bank.again())];
        let calls = (0..20).map(|n| {
            let (worker, order) = (Arc::clone(&workers[n % 2]), order.clone());
            tokio::spawn(async move { worker.refund(&order, Some(7), &format!("f{n}")).await })
        });
        let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            answers.iter().filter(|answer| answer.is_ok()).count(),
            14,
            "{batches:?}"
        );
        for answer in answers.into_iter().filter(Result::is_err) {
            assert_eq!(code(answer), 9009);
        }
        assert_eq!(bank.balance(&buyer).await, 98);
        // 98 of 100: 65 of 67, rounded down; the other 33 were the rest of all, 11 of them the platform's.
        assert_eq!(
            (bank.balance(&merchant).await, bank.balance(&platform).await),
            (2, 0)
        );
        // All that is left, ten times at once.
        let calls = (0..10).map(|n| {
            let (worker, order) = (Arc::clone(&workers[n % 2]), order.clone());
            tokio::spawn(async move { worker.refund(&order, None, &format!("rest{n}")).await })
        });
        let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(bank.balance(&buyer).await, 100);
        assert_eq!(
            (bank.balance(&merchant).await, bank.balance(&platform).await),
            (0, 0)
        );
        assert_eq!(bank.status(&order).await, "refunded");
        bank.recover().await;
        bank.audit().await;
    }
}
