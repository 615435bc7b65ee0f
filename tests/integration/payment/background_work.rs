//! Background work (notification, closing, recovery, expiry, pruning), and the waiting times of callers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paylog::environment::Environment;
use paylog::model::{ClassName, CloudError, Filter, ObjectId, Principal, Query, Test, Update, Value};
use paylog::payment::protocol::ledger::Discrepancy;
use paylog::payment::protocol::recovery;
use paylog::payment::service::Receipt;
use paylog::payment::{audit, schema};
use paylog::storage::SqliteStore;
use paylog::store::{Database, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixture::{self, ALL, Bank, Batches, code, key};

/// Waits for a result of the background work.
async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let environment = Environment::system();
    while !there().await {
        assert!(
            environment.elapsed() < Duration::from_secs(20),
            "waited in vain for {what}"
        );
        environment.sleep(Duration::from_millis(2)).await;
    }
}

/// Another process on the same documents.
fn again(bank: &Bank) -> Bank {
    let store = Arc::clone(&bank.store);
    Bank::on(
        Arc::clone(&store),
        store,
        bank.config.clone(),
        bank.environment.clone(),
    )
}

/// Records the kind of every payment for which `afterPayment` runs.
fn announcing(bank: Bank) -> (Bank, Arc<Mutex<Vec<String>>>) {
    let announced = Arc::new(Mutex::new(Vec::new()));
    let payments = bank.payments.clone().with_after_payment({
        let announced = Arc::clone(&announced);
        move |receipt: Receipt| {
            announced.lock().unwrap().push(receipt.kind);
            std::future::ready(Ok(()))
        }
    });
    (Bank { payments, ..bank }, announced)
}

async fn is_closed(bank: &Bank, log: &ObjectId) -> bool {
    bank.get(&bank.config.log_class, log).await.integer("state") == Some(5)
}

#[tokio::test]
async fn cancelled_and_expired_orders_run_no_after_payment() {
    for batches in ALL {
        let mut bank = Bank::new(batches).await;
        let (user, product) = (bank.user().await, bank.product(10).await);
        let cancelled = bank.order(&user, &product, "cancelled").await.order;
        bank.payments.cancel_order(&user, &cancelled).await.unwrap();
        bank.config.order_expires = Duration::ZERO;
        let (bank, announced) = announcing(again(&bank));
        let expired = bank.order(&user, &product, "expired").await.order;
        bank.recharge(&user, 100, "r").await;
        bank.payments.expire_orders().await;
        bank.recover().await;
        assert_eq!(bank.status(&expired).await, "expired");
        assert_eq!(*announced.lock().unwrap(), ["recharge"]);
    }
}

#[tokio::test]
async fn failed_after_payment_keeps_the_log_open() {
    let bank = Bank::new(Batches::Separate).await;
    let payments = bank
        .payments
        .clone()
        .with_after_payment(|_| std::future::ready(Err(CloudError::other("no course today"))));
    let bank = Bank { payments, ..bank };
    let user = bank.user().await;
    bank.recharge(&user, 100, "r").await;
    let recovered = bank.payments.recover_payments(10).await.unwrap();
    assert_eq!((recovered.taken, recovered.succeeded), (1, 0));
    assert_eq!((recovered.undecided, recovered.open, recovered.stuck), (1, 1, 0));
    assert_eq!(bank.logs(Filter::all().eq("state", 5)).await.len(), 0);

    // It was told that the money is there, and so it is.
    assert_eq!(bank.balance(&user).await, 100);
    let bank = again(&bank);
    bank.recover().await;
    let recovered = bank.payments.recover_payments(10).await.unwrap();
    assert_eq!((recovered.taken, recovered.open), (0, 0));
}

#[tokio::test]
async fn slow_after_payment_delays_no_other_payment() {
    let bank = Bank::new(Batches::Separate).await;
    let slow = Arc::new(Mutex::new(None::<ObjectId>));
    let payments = bank.payments.clone().with_after_payment({
        let slow = Arc::clone(&slow);
        move |receipt: Receipt| {
            let is_slow = slow.lock().unwrap().get_or_insert(receipt.log.clone()) == &receipt.log;
            async move {
                if is_slow {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        }
    });
    let bank = Bank { payments, ..bank };
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (payments, stop) = (bank.payments.clone(), stop.clone());
        async move { payments.run_sweeper(stop).await }
    });
    let user = bank.user().await;
    bank.recharge(&user, 100, "slow").await;
    until("the first announcement", async || slow.lock().unwrap().is_some()).await;
    bank.recharge(&user, 100, "quick").await;
    until("the other payment to be closed", async || {
        !bank.logs(Filter::all().eq("state", 5)).await.is_empty()
    })
    .await;
    let slow = slow.lock().unwrap().clone().unwrap();
    assert!(!is_closed(&bank, &slow).await);
    running.abort();
}

#[tokio::test]
async fn unreadable_logs_hide_no_others_from_recovery() {
    let bank = Bank::new(Batches::Separate).await;
    for n in 0..600 {
        let strange = json!({"key": format!("strange:{n}"), "kind": "strange", "state": 1});
        bank.create(&bank.config.log_class, strange).await;
    }
    // The ids, which are read in this order, tell creations of another second apart for certain.
    bank.environment.sleep(Duration::from_millis(1100)).await;
    let user = bank.user().await;
    bank.recharge(&user, 100, "r").await;
    let recovered = bank.payments.recover_payments(100).await.unwrap();
    assert_eq!((recovered.taken, recovered.succeeded), (1, 1));
    assert_eq!(
        recovered.open, 600,
        "what nobody can finish is not passed over in silence"
    );
}

/// Closing alone makes marks prunable, without a further payment.
#[tokio::test]
async fn marks_are_pruned_after_closing() {
    let mut bank = Bank::new(Batches::Separate).await;
    bank.config.sweep_every = Duration::from_secs(3600);
    bank.config.prune_threshold = Some(5);
    let bank = again(&bank);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (payments, stop) = (bank.payments.clone(), stop.clone());
        async move { payments.run_sweeper(stop).await }
    });
    let user = bank.user().await;
    for n in 0..40 {
        bank.recharge(&user, 1, &format!("r{n}")).await;
    }
    until("the marks to be few", async || {
        let document = bank.get(&ClassName::user(), &user).await;
        let marks = document.get("paylogs").and_then(Value::as_array).map(Vec::len);
        let open = bank.logs(Filter::all().lt("state", 5)).await;
        open.is_empty() && marks.is_some_and(|marks| marks <= 5)
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    bank.audit().await;
}

#[tokio::test]
async fn order_with_too_many_attempts_can_be_cancelled() {
    let bank = Bank::new(Batches::AllOrNothing).await;
    let (user, product) = (bank.user().await, bank.product(10).await);
    let order = bank.order(&user, &product, "o").await.order;
    let mut codes = BTreeSet::new();
    for n in 0..51 {
        let paid = bank
            .payments
            .pay_order(&user, &order, Some(&key(&format!("p{n}"))))
            .await;
        codes.insert((n >= 50, code(paid)));
    }
    assert_eq!(codes, BTreeSet::from([(false, 9002), (true, 9006)]));
    // What a key was told stays true, with money too.
    bank.recharge(&user, 100, "r").await;
    for (last, told) in [("p50", 9006), ("p49", 9002)] {
        assert_eq!(
            code(bank.payments.pay_order(&user, &order, Some(&key(last))).await),
            told
        );
    }
    bank.payments.cancel_order(&user, &order).await.unwrap();
    assert_eq!(bank.status(&order).await, "cancelled");
    bank.recover().await;
    bank.audit().await;
}

#[tokio::test]
async fn two_successful_attempts_fail_the_audit() {
    let bank = Bank::new(Batches::Separate).await;
    let (user, product) = (bank.user().await, bank.product(10).await);
    bank.recharge(&user, 100, "r").await;
    let order = bank.order(&user, &product, "o").await.order;
    let paid = bank.payments.pay_order(&user, &order, None).await.unwrap();
    bank.recover().await;
    bank.audit().await;
    let mut second = bank.get(&bank.config.log_class, &paid.log).await;
    for key in ["objectId", "createdAt", "updatedAt"] {
        second.shift_remove(key);
    }
    second.insert("key".into(), json!("a second attempt"));
    // As if nothing had been taken for it, so that every balance is right.
    second.insert("legs".into(), json!([]));
    bank.create(&bank.config.log_class, second.into_value()).await;
    let report = audit::audit(&*bank.store, &bank.config).await.unwrap();
    let differing = |difference: &&Discrepancy| difference.id == order && difference.field == "status";
    assert_eq!(
        report.differences.iter().filter(differing).count(),
        1,
        "{report:?}"
    );
}

/// A store that answers reads at once and writes never.
#[derive(Debug)]
struct Silent(Arc<dyn Store>);

impl StoreWrapper for Silent {
    fn inner(&self) -> &dyn Store {
        &*self.0
    }

    async fn write(&self, _: Write) -> WriteOutcome {
        std::future::pending().await
    }

    async fn batch(&self, _: Vec<Write>) -> Vec<WriteOutcome> {
        std::future::pending().await
    }

    fn is_atomic(&self) -> bool {
        false
    }
}

/// The caller must be answered before the engine's own time-out, and learn that the same key can be asked again.
#[tokio::test]
async fn caller_is_answered_by_the_deadline() {
    let mut bank = Bank::new(Batches::Separate).await;
    let (user, product) = (bank.user().await, bank.product(10).await);
    let order = bank.order(&user, &product, "o").await.order;
    bank.config.deadline = Duration::from_millis(300);
    let silent = Arc::new(Silent(Arc::clone(&bank.store)));
    let bank = Bank::on(silent, bank.store, bank.config, bank.environment);
    let began = bank.environment.elapsed();
    assert_eq!(code(bank.payments.pay_order(&user, &order, None).await), 9010);
    assert!(bank.environment.elapsed() - began < bank.config.store_timeout / 2);
}

/// A worker whose clock is far ahead claims a log for years. The others wait for the longest lease at most.
#[tokio::test]
async fn claim_from_the_future_expires_after_the_longest_lease() {
    let bank = Bank::new(Batches::Separate).await;
    let user = bank.user().await;
    bank.recharge(&user, 100, "r").await;
    let log = bank.logs(Filter::all()).await[0].object_id().unwrap();
    let future = json!({"__type": "Date", "iso": "2999-01-01T00:00:00.000Z"});
    let claim = Write::update(
        &bank.config.log_class,
        &log,
        Filter::all(),
        Update::new().set("claimedUntil", future),
    );
    assert!(matches!(bank.store.write(claim).await, WriteOutcome::Applied(_)));
    bank.payments.sweep(fixture::config().lease, 10).await.unwrap();
    assert!(is_closed(&bank, &log).await);
}

/// The sweeper asks every few seconds, and nearly all logs are closed: none of its queries may read them all.
#[tokio::test]
async fn sweeper_queries_use_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::system();
    let store = SqliteStore::open(folder.path(), environment.clone()).unwrap();
    let config = fixture::config();
    for change in schema::changes(&store.schema(), &config).unwrap() {
        store.define(change).await.unwrap();
    }
    let now = environment.now();
    let (logs, orders) = (&config.log_class, &config.order_class);
    let due = recovery::due_logs(now, now, now);
    for (class, filter) in [
        (logs, due.clone()),
        (logs, due.and_key("objectId", Test::Gt("5f".into()))),
        (logs, recovery::open_logs(now)),
        (logs, recovery::stuck_logs()),
        (orders, recovery::unpaid_orders(now)),
        (logs, recovery::unpaid_recharges(now)),
        (logs, recovery::expired_holds(now)),
    ] {
        let query = Query::new(filter).order_by("objectId").limit(500);
        let plan = store
            .explain(class, &query, &Principal::Master)
            .unwrap()
            .join("; ");
        // By the ids of all documents, one after the other.
        assert!(
            !plan.contains("SCAN") && !plan.contains("autoindex"),
            "{query:?}: {plan}"
        );
    }
}
