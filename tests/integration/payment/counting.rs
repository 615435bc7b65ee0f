//! What a payment costs in store calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paylog::environment::Environment;
use paylog::model::{ClassName, Document, Filter, ObjectId, Query};
use paylog::store::{AtomicStore, CommitOutcome, ReadError, Store, Write, WriteOutcome};
use tokio_util::sync::CancellationToken;

use super::bank::{self, Bank, Batches};

/// Writes down every call that writes.
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

#[async_trait]
impl Store for Counting {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.note("read".into());
        self.inner.get(class, id).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        self.note("read".into());
        self.inner.find(class, query).await
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        self.inner.count(class, filter).await
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

    fn atomic(&self) -> Option<&dyn AtomicStore> {
        self.inner.atomic().map(|_| self as &dyn AtomicStore)
    }
}

#[async_trait]
impl AtomicStore for Counting {
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let classes: Vec<_> = writes.iter().map(|write| write.class.to_string()).collect();
        self.note(format!("commit {}", classes.join(" ")));
        self.inner.atomic().unwrap().commit(writes).await
    }
}

async fn counted(batches: Batches) -> (Bank, Arc<Counting>) {
    let environment = Environment::system();
    let config = bank::config();
    let store = bank::store(batches, &config, &environment).await;
    let counting = Arc::new(Counting {
        inner: Arc::clone(&store),
        calls: Mutex::default(),
    });
    let seen: Arc<dyn Store> = Arc::clone(&counting) as _;
    (Bank::on(seen, store, config, environment), counting)
}

/// The reads go out together, then exactly these calls; the closing comes behind the answer.
#[tokio::test]
async fn a_purchase_is_three_calls_or_one_commit() {
    for (batches, expected) in [
        (
            Batches::Separate,
            vec!["read", "read", "write Log", "write _User", "batch Log Order"],
        ),
        (
            Batches::AllOrNothing,
            vec!["read", "read", "commit Log _User Order"],
        ),
    ] {
        let (bank, counting) = counted(batches).await;
        let (user, product) = (bank.user().await, bank.product(100).await);
        bank.recharge(&user, 1000, "r").await;
        let order = bank.order(&user, &product, "o").await;
        counting.take();
        bank.payments.pay_order(&user, &order.order, None).await.unwrap();
        assert_eq!(counting.take(), expected);
    }
}

#[tokio::test]
async fn a_confirmed_recharge_is_three_calls_or_one_commit() {
    for (batches, expected) in [
        (
            Batches::Separate,
            vec!["read", "read", "read", "write Log", "write _User", "write Log"],
        ),
        (
            Batches::AllOrNothing,
            vec!["read", "read", "read", "commit Log _User"],
        ),
    ] {
        let (bank, counting) = counted(batches).await;
        let user = bank.user().await;
        let number = bank.ask(&user, 1000, "r").await.unwrap().number.unwrap();
        counting.take();
        bank.confirm(&number, 1000, "T").await.unwrap();
        assert_eq!(counting.take(), expected);
    }
}

#[tokio::test]
async fn closings_share_a_batch_behind_the_answers() {
    for batches in bank::ALL {
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
        // The first sweep looks for open logs, orders and recharges, before there are any.
        while counting.calls.lock().unwrap().len() < 3 {
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
