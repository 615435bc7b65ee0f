//! Concurrent calls.

use std::sync::Arc;

use futures_util::future::join_all;
use paylog::model::Filter;
use paylog::payment::service::Receipt;

use super::fixture::{ALL, Bank, code, key};

/// Two processes on one store that share no memory.
async fn two(batches: super::fixture::Batches) -> (Bank, Bank) {
    let one = Bank::new(batches).await;
    let store = Arc::clone(&one.store);
    let two = Bank::on(
        Arc::clone(&store),
        store,
        one.config.clone(),
        one.environment.clone(),
    );
    (one, two)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_equal_calls_pay_once() {
    for batches in ALL {
        let (one, two) = two(batches).await;
        let (user, product) = (one.user().await, one.product(100).await);
        one.recharge(&user, 1000, "r").await;
        let order = one.order(&user, &product, "o").await.order;
        let calls = (0..20).map(|n| {
            let payments = if n % 2 == 0 {
                one.payments.clone()
            } else {
                two.payments.clone()
            };
            let (user, order) = (user.clone(), order.clone());
            tokio::spawn(async move { payments.pay_order(&user, &order, Some(&key("p"))).await.unwrap() })
        });
        let answers: Vec<Receipt> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        let firsts = answers.iter().filter(|answer| !answer.replayed).count();
        assert_eq!(firsts, 1, "one call made the payment, the others repeat it");
        for answer in &answers {
            let plain = |answer: &Receipt| Receipt {
                replayed: false,
                ..answer.clone()
            };
            assert_eq!(plain(answer), plain(&answers[0]));
        }
        assert_eq!(one.balance(&user).await, 900);
        assert_eq!(one.logs(Filter::all().eq("kind", "purchase")).await.len(), 1);
        one.recover().await;
        one.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_payments_stop_at_the_balance() {
    for batches in ALL {
        let (one, two) = two(batches).await;
        let (user, product) = (one.user().await, one.product(100).await);
        one.recharge(&user, 4000, "r").await;
        let mut orders = Vec::new();
        for n in 0..64 {
            orders.push(one.order(&user, &product, &format!("o{n}")).await.order);
        }
        let calls = orders.iter().enumerate().map(|(n, order)| {
            let payments = if n % 2 == 0 {
                one.payments.clone()
            } else {
                two.payments.clone()
            };
            let (user, order) = (user.clone(), order.clone());
            tokio::spawn(async move { payments.pay_order(&user, &order, None).await })
        });
        let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 40);
        for answer in answers.into_iter().filter(Result::is_err) {
            assert_eq!(code(answer), 9002);
        }
        assert_eq!(one.balance(&user).await, 0);
        one.recover().await;
        one.audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payment_and_cancellation_exclude_each_other() {
    for batches in ALL {
        let (one, two) = two(batches).await;
        let (user, product) = (one.user().await, one.product(1).await);
        one.recharge(&user, 1000, "r").await;
        let mut paid = 0;
        for n in 0..200 {
            let order = one.order(&user, &product, &format!("o{n}")).await.order;
            let pay = tokio::spawn({
                let (payments, user, order) = (one.payments.clone(), user.clone(), order.clone());
                async move { payments.pay_order(&user, &order, None).await }
            });
            let cancel = tokio::spawn({
                let (payments, user, order) = (two.payments.clone(), user.clone(), order.clone());
                async move { payments.cancel_order(&user, &order).await }
            });
            let (pay, cancel) = (pay.await.unwrap(), cancel.await.unwrap());
            let status = one.status(&order).await;
            match (pay, cancel) {
                (Ok(_), cancel) => {
                    assert_eq!((code(cancel), status.as_str()), (9006, "paid"));
                    paid += 1;
                }
                (pay, Ok(_)) => assert_eq!((code(pay), status.as_str()), (9006, "cancelled")),
                (pay, cancel) => panic!("nobody won: {pay:?}, {cancel:?}"),
            }
        }
        assert_eq!(one.balance(&user).await, 1000 - paid);
        one.recover().await;
        one.audit().await;
    }
}
