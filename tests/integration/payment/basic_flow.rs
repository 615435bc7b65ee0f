//! The basic flow: recharge, order, pay, query; and the same again under the same keys.

use std::sync::{Arc, Mutex};

use paylog::model::{Class, ClassName, CloudError, Filter, Schema};
use paylog::payment::service::{Channel, PaymentSelector, Receipt};
use paylog::payment::{Kind, PaymentConfig, schema};
use serde_json::json;

use super::fixture::{ALL, Bank, code, key};

#[tokio::test]
async fn recharge_and_purchase_and_repetitions() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(1000).await);
        bank.recharge(&user, 5000, "top-up").await;
        let order = bank.order(&user, &product, "order").await;
        assert_eq!((order.amount, order.status.as_str()), (1000, "pending"));
        let paid = bank.payments.pay_order(&user, &order.order, None).await.unwrap();
        assert_eq!(bank.balance(&user).await, 4000);
        assert_eq!(bank.status(&order.order).await, "paid");
        let answer = serde_json::to_value(&paid).unwrap();
        let expected = json!({
            "log": paid.log, "kind": "purchase", "state": 4, "outcome": "succeeded", "amount": 1000,
            "order": order.order, "createdAt": paid.created_at, "replayed": false,
        });
        assert_eq!(answer, expected);
        bank.recover().await;
        let again = bank.payments.pay_order(&user, &order.order, None).await.unwrap();
        assert!(again.replayed);
        assert_eq!(
            Receipt {
                replayed: false,
                ..again
            },
            paid
        );
        assert_eq!(bank.balance(&user).await, 4000);
        bank.audit().await;
    }
}

#[tokio::test]
async fn payees_are_credited_by_a_purchase() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, merchant, platform) = (bank.user().await, bank.user().await, bank.user().await);
        let payees = json!([{"user": merchant, "amount": 80}, {"user": platform, "amount": 5}]);
        let product = json!({"name": "A course", "price": 100, "payees": payees});
        let product = bank.create(&bank.config.product_class, product).await;
        bank.recharge(&user, 1000, "r").await;
        let order = bank
            .payments
            .create_order(&user, &product, Some(&json!(3)), &key("o"))
            .await
            .unwrap();
        bank.payments
            .pay_order(&user, &order.order, Some(&key("p")))
            .await
            .unwrap();
        assert_eq!(bank.balance(&user).await, 700);
        assert_eq!(bank.balance(&merchant).await, 240);
        assert_eq!(bank.balance(&platform).await, 15);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn key_of_other_payment_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(100).await);
        let other_product = bank.product(200).await;
        let first = bank.ask(&user, 1000, "r").await.unwrap();
        let again = bank.ask(&user, 1000, "r").await.unwrap();
        assert!(again.replayed);
        assert_eq!((&again.log, &again.pay), (&first.log, &first.pay));
        assert_eq!(code(bank.ask(&user, 999, "r").await), 9003);
        assert_eq!(bank.logs(Filter::all()).await.len(), 1);
        bank.recharge(&user, 1000, "r").await;

        let order = bank.order(&user, &product, "o").await;
        assert_eq!(bank.order(&user, &product, "o").await.order, order.order);
        let other = bank
            .payments
            .create_order(&user, &other_product, None, &key("o"))
            .await;
        assert_eq!(code(other), 9003);

        let second = bank.order(&user, &product, "o2").await;
        bank.payments
            .pay_order(&user, &order.order, Some(&key("p")))
            .await
            .unwrap();
        let reused = bank
            .payments
            .pay_order(&user, &second.order, Some(&key("p")))
            .await;
        assert_eq!(code(reused), 9003);
        let twice = bank
            .payments
            .pay_order(&user, &order.order, Some(&key("p2")))
            .await;
        assert_eq!(code(twice), 9006);
        assert_eq!(bank.balance(&user).await, 900);
        assert_eq!(bank.status(&second.order).await, "pending");
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let bank = Bank::new(ALL[0]).await;
    let (user, stranger) = (bank.user().await, bank.user().await);
    let product = bank.product(100).await;
    for amount in [
        json!(0),
        json!(-5),
        json!(1.5),
        json!("100"),
        json!(null),
        json!(9_007_199_254_740_992_i64),
    ] {
        let refused = bank
            .payments
            .recharge(&user, &amount, Channel::Sandbox, &key("r"))
            .await;
        assert_eq!(code(refused), 9001, "{amount}");
    }
    let wechat = bank
        .payments
        .recharge(&user, &json!(1), Channel::Wechat, &key("r"))
        .await;
    assert_eq!(code(wechat), 9008);
    assert_eq!(bank.logs(Filter::all()).await.len(), 1);
    let order = bank.order(&user, &product, "o").await;
    assert_eq!(
        code(bank.payments.pay_order(&stranger, &order.order, None).await),
        9005
    );
    assert_eq!(code(bank.payments.pay_order(&user, &product, None).await), 9004);
    assert_eq!(
        code(bank.payments.cancel_order(&stranger, &order.order).await),
        9005
    );
    for quantity in [
        json!(0),
        json!(-1),
        json!(0.5),
        json!("1"),
        json!(1_000_000_000_000_i64),
    ] {
        let refused = bank
            .payments
            .create_order(&user, &product, Some(&quantity), &key("q"))
            .await;
        assert_eq!(code(refused), 9001, "{quantity}");
    }
    assert_eq!(code(bank.confirm("nobody", 5, "T").await), 9004);
    assert_eq!(bank.logs(Filter::all()).await.len(), 1);
}

#[tokio::test]
async fn repeated_confirmation_is_credited_once() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.user().await;
        let number = bank.ask(&user, 1000, "r").await.unwrap().number.unwrap();
        assert_eq!(code(bank.confirm(&number, 999, "T0").await), 9001);
        assert_eq!(bank.balance(&user).await, 0);
        let first = bank.confirm(&number, 1000, "T1").await.unwrap();
        let again = bank.confirm(&number, 1000, "T1").await.unwrap();
        assert_eq!((again.log, again.replayed), (first.log.clone(), true));
        // Paid a second time, under another number: a payment of its own.
        let second = bank.confirm(&number, 1000, "T2").await.unwrap();
        assert_ne!(second.log, first.log);
        let repeated = bank.confirm(&number, 1000, "T2").await.unwrap();
        assert_eq!((repeated.log, repeated.replayed), (second.log, true));
        assert_eq!(bank.balance(&user).await, 2000);

        // Given up, and paid after all.
        let number = bank.ask(&user, 500, "late").await.unwrap().number.unwrap();
        let mut impatient = bank.config.clone();
        impatient.recharge_expires = std::time::Duration::ZERO;
        let store = std::sync::Arc::clone(&bank.store);
        let other = Bank::on(
            std::sync::Arc::clone(&store),
            store,
            impatient,
            bank.environment.clone(),
        );
        other.payments.expire_recharges().await;
        let filter = Filter::all().eq("number", number.as_str());
        assert_eq!(bank.logs(filter).await[0].text("outcome"), Some("failed"));
        bank.confirm(&number, 500, "T3").await.unwrap();
        bank.confirm(&number, 500, "T3").await.unwrap();
        assert_eq!(bank.balance(&user).await, 2500);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn user_lists_only_own_payments() {
    let bank = Bank::new(ALL[0]).await;
    let (user, stranger) = (bank.user().await, bank.user().await);
    for n in 0..5 {
        bank.recharge(&user, 100, &format!("r{n}")).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = bank.payments.list(&user, 2, before.as_ref()).await.unwrap();
        seen.extend(page.payments.into_iter().map(|payment| payment.log));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(
        bank.payments
            .list(&stranger, 100, None)
            .await
            .unwrap()
            .payments
            .is_empty()
    );
    let by_key = PaymentSelector::Key(Kind::Recharge, key("r3"));
    let found = bank.payments.payment(&user, &by_key).await.unwrap();
    assert!(seen.contains(&found.log));
    let by_log = PaymentSelector::Log(found.log.clone());
    assert_eq!(bank.payments.payment(&user, &by_log).await.unwrap(), found);
    assert_eq!(code(bank.payments.payment(&stranger, &by_log).await), 9004);
    assert_eq!(
        code(bank.payments.list(&stranger, 2, Some(&found.log)).await),
        9004
    );
}

#[tokio::test]
async fn unreadable_log_hides_no_others_from_the_list() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.user().await;
        let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": user});
        for n in 0..3 {
            bank.recharge(&user, 100, &format!("r{n}")).await;
            let strange =
                json!({"key": format!("strange{n}"), "kind": "nonsense", "user": pointer, "state": 5});
            bank.create(&bank.config.log_class, strange).await;
        }
        for limit in [1, 2, 6] {
            let mut seen = 0;
            let mut before = None;
            loop {
                let page = bank.payments.list(&user, limit, before.as_ref()).await.unwrap();
                seen += page.payments.len();
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(seen, 3, "{limit} at a time");
        }
    }
}

#[tokio::test]
async fn marks_beyond_the_threshold_are_pruned() {
    let bank = Bank::new(ALL[1]).await;
    let (user, product) = (bank.user().await, bank.product(1).await);
    bank.recharge(&user, 1000, "r").await;
    for n in 0..80 {
        let order = bank.order(&user, &product, &format!("o{n}")).await;
        bank.payments.pay_order(&user, &order.order, None).await.unwrap();
    }
    bank.recover().await;
    bank.payments.prune_queued().await;
    let document = bank.get(&bank.config.user_class, &user).await;
    assert_eq!(document["paylogs"], json!([]));
    assert_eq!(document.integer("payEpoch"), Some(1));
    let order = bank.order(&user, &product, "after").await;
    bank.payments.pay_order(&user, &order.order, None).await.unwrap();
    assert_eq!(bank.balance(&user).await, 919);
    bank.recover().await;
    bank.audit().await;
}

#[tokio::test]
async fn after_payment_runs_until_it_succeeds() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(100).await);
        bank.recharge(&user, 1000, "r").await;
        bank.recover().await;
        let store = Arc::clone(&bank.store);
        let other = Bank::on(
            Arc::clone(&store),
            store,
            bank.config.clone(),
            bank.environment.clone(),
        );
        let told = Arc::new(Mutex::new(Vec::new()));
        let hook = {
            let told = Arc::clone(&told);
            move |receipt: Receipt| {
                let mut told = told.lock().unwrap();
                told.push(receipt.log);
                let ok = told.len() >= 3;
                async move {
                    if ok {
                        Ok(())
                    } else {
                        Err(CloudError::other("not now"))
                    }
                }
            }
        };
        let payments = other.payments.clone().with_after_payment(hook);
        let order = bank.order(&user, &product, "o").await;
        let paid = payments.pay_order(&user, &order.order, None).await.unwrap();
        other.recover().await;
        assert_eq!(*told.lock().unwrap(), vec![paid.log; 3]);
        bank.audit().await;
    }
}

#[test]
fn foreign_class_is_not_locked() {
    let config = PaymentConfig::new();
    let foreign = Class::new(config.order_class.clone());
    let schema = Schema {
        classes: [(foreign.name.clone(), Arc::new(foreign))].into(),
    };
    let refused = schema::changes(&schema, &config).unwrap_err();
    assert_eq!(refused.variable, "PAYLOG_ORDER_CLASS");
    let renamed = PaymentConfig {
        order_class: ClassName::parse("PayOrder").unwrap(),
        ..config
    };
    assert!(schema::changes(&schema, &renamed).is_ok());
}
