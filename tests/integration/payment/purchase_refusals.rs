//! Refusals of purchases: a declined payment stays declined; a cancelled or expired order is never paid.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paylog::model::Filter;
use paylog::payment::PaymentPolicy;
use paylog::payment::policy::Proposal;

use super::fixture::{ALL, Bank, code, key};

#[tokio::test]
async fn declined_order_can_be_paid_with_new_key() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(1000).await);
        let order = bank.order(&user, &product, "o").await.order;
        let pay = async |name: Option<&str>| {
            let key = name.map(key);
            bank.payments.pay_order(&user, &order, key.as_ref()).await
        };
        assert_eq!(code(pay(Some("first")).await), 9002);
        assert_eq!(code(pay(None).await), 9002);
        bank.recharge(&user, 5000, "r").await;
        assert_eq!(code(pay(Some("first")).await), 9002);
        assert_eq!(code(pay(None).await), 9002);
        let paid = pay(Some("second")).await.unwrap();
        assert!(!paid.replayed);
        assert_eq!(code(pay(Some("first")).await), 9002);
        assert_eq!(code(pay(Some("third")).await), 9006);
        assert!(pay(Some("second")).await.unwrap().replayed);
        assert_eq!(bank.balance(&user).await, 4000);
        assert_eq!(bank.status(&order).await, "paid");
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn cancelled_order_stays_cancelled() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(1000).await);
        let order = bank.order(&user, &product, "o").await.order;
        assert_eq!(
            code(bank.payments.pay_order(&user, &order, Some(&key("early"))).await),
            9002
        );
        let cancelled = bank.payments.cancel_order(&user, &order).await.unwrap();
        assert_eq!((cancelled.kind.as_str(), cancelled.state), ("cancel", 4));
        let again = bank.payments.cancel_order(&user, &order).await.unwrap();
        assert_eq!((&again.log, again.replayed), (&cancelled.log, true));
        bank.recharge(&user, 5000, "r").await;
        assert_eq!(
            code(bank.payments.pay_order(&user, &order, Some(&key("late"))).await),
            9006
        );
        assert_eq!(
            code(bank.payments.pay_order(&user, &order, Some(&key("early"))).await),
            9002
        );
        assert_eq!(bank.status(&order).await, "cancelled");
        assert_eq!(bank.balance(&user).await, 5000);

        let paid = bank.order(&user, &product, "o2").await.order;
        bank.payments.pay_order(&user, &paid, None).await.unwrap();
        assert_eq!(code(bank.payments.cancel_order(&user, &paid).await), 9006);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn unpaid_order_expires() {
    for batches in ALL {
        let mut bank = Bank::new(batches).await;
        bank.config.order_expires = Duration::ZERO;
        let store = Arc::clone(&bank.store);
        let bank = Bank::on(Arc::clone(&store), store, bank.config, bank.environment);
        let (user, product) = (bank.user().await, bank.product(10).await);
        bank.recharge(&user, 100, "r").await;
        let late = bank.order(&user, &product, "o").await.order;
        assert_eq!(code(bank.payments.pay_order(&user, &late, None).await), 9006);
        assert_eq!(bank.status(&late).await, "expired");
        let forgotten = bank.order(&user, &product, "o2").await.order;
        bank.payments.expire_orders().await;
        assert_eq!(bank.status(&forgotten).await, "expired");
        assert_eq!(code(bank.payments.cancel_order(&user, &forgotten).await), 9006);
        assert_eq!(bank.balance(&user).await, 100);
        bank.recover().await;
        bank.audit().await;
    }
}

/// A policy that refuses everything but recharges.
struct Closed;

#[async_trait]
impl PaymentPolicy for Closed {
    async fn allow(&self, proposal: Proposal<'_>) -> Result<(), String> {
        if proposal.kind == paylog::payment::Kind::Recharge {
            Ok(())
        } else {
            Err("Closed for today.".into())
        }
    }
}

#[tokio::test]
async fn policy_refusal_is_recorded() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(10).await);
        let order = bank.order(&user, &product, "o").await.order;
        bank.recharge(&user, 100, "r").await;
        let store = Arc::clone(&bank.store);
        let strict = Bank::on(
            Arc::clone(&store),
            store,
            bank.config.clone(),
            bank.environment.clone(),
        );
        let strict = strict.payments.with_policy(Arc::new(Closed));
        assert_eq!(code(strict.pay_order(&user, &order, Some(&key("p"))).await), 9007);
        // The key has its answer, whoever is asked and whatever the policy says by then.
        assert_eq!(
            code(bank.payments.pay_order(&user, &order, Some(&key("p"))).await),
            9007
        );
        let failed = bank.logs(Filter::all().eq("outcome", "failed")).await;
        assert_eq!(failed.len(), 1);
        assert_eq!(bank.balance(&user).await, 100);
        bank.payments
            .pay_order(&user, &order, Some(&key("p2")))
            .await
            .unwrap();
        bank.recover().await;
        bank.audit().await;
    }
}

/// A policy that allows everything, or never answers; counts the calls.
struct Asked {
    count: AtomicU32,
    answers: bool,
}

impl Asked {
    fn new(answers: bool) -> Arc<Self> {
        let count = AtomicU32::new(0);
        Arc::new(Self { count, answers })
    }
}

#[async_trait]
impl PaymentPolicy for Asked {
    async fn allow(&self, _: Proposal<'_>) -> Result<(), String> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn policy_is_asked_once_per_key() {
    for batches in ALL {
        let mut bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(10).await);
        let policy = Asked::new(true);
        bank.payments = bank.payments.with_policy(Arc::clone(&policy) as _);
        let order = bank.order(&user, &product, "o").await.order;
        // Each key declined twice; the third key's attempt comes after two others.
        for (n, name) in [(1, "p1"), (2, "p2"), (3, "p3")] {
            for _ in 0..2 {
                let paid = bank.payments.pay_order(&user, &order, Some(&key(name))).await;
                assert_eq!(code(paid), 9002);
                assert_eq!(policy.count.load(Ordering::Relaxed), n);
            }
        }
        bank.recharge(&user, 100, "r").await;
        assert_eq!(policy.count.load(Ordering::Relaxed), 4);
        bank.payments
            .pay_order(&user, &order, Some(&key("p4")))
            .await
            .unwrap();
        let again = bank.payments.pay_order(&user, &order, Some(&key("p4"))).await;
        assert!(again.unwrap().replayed);
        assert_eq!(policy.count.load(Ordering::Relaxed), 5);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn silent_policy_leaves_the_payment_undecided() {
    let mut bank = Bank::new(ALL[0]).await;
    let (user, product) = (bank.user().await, bank.product(10).await);
    bank.recharge(&user, 100, "r").await;
    let order = bank.order(&user, &product, "o").await.order;
    bank.payments = bank.payments.with_policy(Asked::new(false));
    let key = key("p");
    let pay = bank.payments.pay_order(&user, &order, Some(&key));
    let paid = tokio::time::timeout(bank.config.deadline, pay).await.unwrap();
    assert_eq!(code(paid), 9010);
    // Nothing was decided: the same key may be paid later.
    assert_eq!(bank.logs(Filter::all().eq("kind", "purchase")).await.len(), 0);
}
