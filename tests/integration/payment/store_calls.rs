//! Cost of each kind of payment, in store calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use paylog::environment::Environment;
use paylog::model::{ClassName, Document, Filter, ObjectId, Query};
use paylog::store::{CommitOutcome, ReadError, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixture::{self, Bank, Batches};
use super::store_faults::{Death, Mortal};

/// A store that records every call that writes.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<String>>,
}

impl Counting {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl StoreWrapper for Counting {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.note("read".into());
        self.inner.get(class, id).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        self.note("read".into());
        self.inner.find(class, query).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.note(format!("write {}", write.class));
        self.inner.write(write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let classes: Vec<_> = writes.iter().map(|write| write.class.to_string()).collect();
        self.note(format!("batch {}", classes.join(" ")));
        self.inner.batch(writes).await
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let classes: Vec<_> = writes.iter().map(|write| write.class.to_string()).collect();
        self.note(format!("commit {}", classes.join(" ")));
        self.inner.atomic().unwrap().commit(writes).await
    }
}

async fn counted(batches: Batches) -> (Bank, Arc<Counting>) {
    let environment = Environment::system();
    let config = fixture::config();
    let store = fixture::store(batches, &config, &environment).await;
    let counting = Arc::new(Counting {
        inner: Arc::clone(&store),
        calls: Mutex::default(),
    });
    let seen: Arc<dyn Store> = Arc::clone(&counting) as _;
    (Bank::on(seen, store, config, environment), counting)
}

/// The cost of one call: its reads, together as far as they do not depend on one another, then these writes, one after
/// the other, then the answer. The closing follows behind it.
#[derive(Clone, Copy, Debug)]
enum Call {
    Purchase,
    PurchaseWithPayees,
    Confirmation,
    Transfer,
    Hold,
    Release,
    Capture,
    CaptureForPayee,
    Withdraw,
    PaidOut,
    Refund,
    PartialRefund,
    RefundFromPayees,
    AdjustUp,
    AdjustDown,
}

/// The table in src/ARCHITECTURE.md: the writes on a store of single documents, and on one with atomic commits.
const PATHS: [(Call, &[&str], &[&str]); 15] = [
    (
        Call::Purchase,
        &["write Log", "write _User", "batch Log Order"],
        &["commit Log _User Order"],
    ),
    (
        Call::PurchaseWithPayees,
        &["write Log", "write _User", "batch _User _User", "batch Log Order"],
        &["commit Log _User _User _User Order"],
    ),
    (
        Call::Confirmation,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::Transfer,
        &["write Log", "write _User", "write _User", "write Log"],
        &["commit Log _User _User"],
    ),
    (
        Call::Hold,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::Release,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::Capture,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::CaptureForPayee,
        &["write Log", "batch _User _User", "write Log"],
        &["commit Log _User _User"],
    ),
    (
        Call::Withdraw,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::PaidOut,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::Refund,
        &["write Log", "write Order", "write _User", "batch Log Order"],
        &["commit Log Order _User", "write Order"],
    ),
    // Whether a refund was the last is asked of the order, by a write that changes nothing: it says no.
    (
        Call::PartialRefund,
        &[
            "write Log",
            "write Order",
            "write _User",
            "batch Log Order",
            "write Order",
        ],
        &["commit Log Order _User", "write Order", "write Order"],
    ),
    (
        Call::RefundFromPayees,
        &[
            "write Log",
            "write _User",
            "write _User",
            "write Order",
            "write _User",
            "batch Log Order",
        ],
        &["commit Log _User _User Order _User", "write Order"],
    ),
    (
        Call::AdjustUp,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
    (
        Call::AdjustDown,
        &["write Log", "write _User", "write Log"],
        &["commit Log _User"],
    ),
];

/// The calls of the store, after the reads with which it began.
async fn calls_of(batches: Batches, call: Call) -> (usize, Vec<String>) {
    let (bank, counting) = counted(batches).await;
    let (user, other) = (bank.rich(1000).await, bank.user().await);
    let payees = [(&other, 40), (&bank.user().await, 10)];
    match call {
        Call::Purchase => {
            let product = bank.product(100).await;
            let order = bank.order(&user, &product, "o").await.order;
            counting.take();
            bank.payments.pay_order(&user, &order, None).await.unwrap();
        }
        Call::PurchaseWithPayees => {
            let payees = payees.map(|(user, amount)| json!({"user": user, "amount": amount}));
            let product = json!({"name": "x", "price": 100, "payees": payees});
            let product = bank.create(&bank.config.product_class, product).await;
            let order = bank.order(&user, &product, "o").await.order;
            counting.take();
            bank.payments.pay_order(&user, &order, None).await.unwrap();
        }
        Call::Confirmation => {
            let number = bank.ask(&user, 1000, "r").await.unwrap().number.unwrap();
            counting.take();
            bank.confirm(&number, 1000, "T").await.unwrap();
        }
        Call::Transfer => {
            counting.take();
            bank.transfer(&user, &other, 10, "t").await.unwrap();
        }
        Call::Hold => {
            counting.take();
            bank.hold(&user, 10, "h").await.unwrap();
        }
        Call::Withdraw => {
            counting.take();
            bank.withdraw(&user, 10, "w").await.unwrap();
        }
        Call::Release | Call::Capture | Call::CaptureForPayee => {
            let held = bank.hold(&user, 10, "h").await.unwrap().log;
            counting.take();
            match call {
                Call::Release => bank.release(&held, "e").await,
                Call::Capture => bank.capture(&held, 10, None, "e").await,
                _ => bank.capture(&held, 9, Some(&other), "e").await,
            }
            .unwrap();
        }
        Call::PaidOut => {
            let withdrawn = bank.withdraw(&user, 10, "w").await.unwrap().log;
            counting.take();
            bank.payments.settle_withdraw(&withdrawn, true).await.unwrap();
        }
        Call::Refund | Call::PartialRefund => {
            let (_, order) = bank.sold(100, &[]).await;
            let amount = if matches!(call, Call::Refund) { 100 } else { 99 };
            counting.take();
            bank.refund(&order, Some(amount), "f").await.unwrap();
        }
        Call::RefundFromPayees => {
            let (_, order) = bank.sold(100, &payees).await;
            counting.take();
            bank.refund(&order, None, "f").await.unwrap();
        }
        Call::AdjustUp | Call::AdjustDown => {
            let amount = if matches!(call, Call::AdjustUp) { 1 } else { -1 };
            counting.take();
            bank.adjust(&user, amount, "a").await.unwrap();
        }
    }
    let mut calls = counting.take();
    let reads = calls.iter().take_while(|call| *call == "read").count();
    calls.drain(..reads);
    (reads, calls)
}

#[tokio::test]
async fn every_kind_costs_the_documented_store_calls() {
    for (call, separate, at_once) in PATHS {
        for (batches, expected) in [(Batches::Separate, separate), (Batches::AllOrNothing, at_once)] {
            let (reads, calls) = calls_of(batches, call).await;
            assert_eq!(calls, expected, "{call:?}");
            assert!(reads <= 7, "{call:?}: {reads} reads");
        }
    }
}

/// A confirmation is recorded by the first write: whatever happens to the others, the gateway can be acknowledged and the
/// money is credited.
#[tokio::test(start_paused = true)]
async fn confirmation_is_recorded_by_the_first_write() {
    for (batches, state) in [(Batches::Separate, 2), (Batches::AllOrNothing, 4)] {
        let environment = super::store_faults::environment(1);
        let config = fixture::config();
        let store = fixture::store(batches, &config, &environment).await;
        let bank = Bank::on(Arc::clone(&store), store, config, environment);
        let user = bank.user().await;
        let number = bank.ask(&user, 100, "r").await.unwrap().number.unwrap();
        // The second write finds nobody.
        let mortal = Mortal::new(Arc::clone(&bank.store), 2, Death::Before);
        let dying = Bank::on(
            Arc::new(mortal),
            Arc::clone(&bank.store),
            bank.config.clone(),
            bank.environment.clone(),
        );
        let told = dying.confirm(&number, 100, "T").await.unwrap();
        assert_eq!((told.state, told.replayed), (state, false));
        bank.recover().await;
        assert_eq!(bank.balance(&user).await, 100);
        let again = bank.confirm(&number, 100, "T").await.unwrap();
        assert_eq!((again.log, again.state, again.replayed), (told.log, 4, true));
        bank.audit().await;
    }
}

#[tokio::test]
async fn closings_share_a_batch() {
    for batches in fixture::ALL {
        let (mut bank, counting) = counted(batches).await;
        // Long enough for all payments to be made meanwhile, on a busy machine too.
        bank.config.closing_delay = Duration::from_millis(500);
        let seen: Arc<dyn Store> = Arc::clone(&counting) as _;
        let bank = Bank::on(seen, bank.store, bank.config, bank.environment);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (payments, stop) = (bank.payments.clone(), stop.clone());
            async move { payments.run_sweeper(stop).await }
        });
        let deadline = bank.environment.elapsed() + Duration::from_secs(10);
        // The first sweep looks for open logs, orders, recharges and holds, before there are any.
        while counting.calls.lock().unwrap().len() < 4 {
            assert!(bank.environment.elapsed() < deadline);
            tokio::task::yield_now().await;
        }
        let (user, product) = (bank.user().await, bank.product(100).await);
        bank.recharge(&user, 1000, "r").await;
        for n in 0..5 {
            let order = bank.order(&user, &product, &format!("o{n}")).await;
            bank.payments.pay_order(&user, &order.order, None).await.unwrap();
        }
        counting.take();
        while !bank.logs(Filter::all().lt("state", 5)).await.is_empty() {
            assert!(bank.environment.elapsed() < deadline);
            tokio::task::yield_now().await;
        }
        assert_eq!(counting.take(), ["batch Log Log Log Log Log Log"]);
        stop.cancel();
        running.await.unwrap();
        bank.audit().await;
    }
}
