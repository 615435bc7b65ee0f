//! Faults of the store: lost requests, lost answers, late and repeated deliveries, and a worker that crashes before or
//! after each of its writes. Time is paused, so waiting costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use paylog::environment::{Clock, Entropy, Environment};
use paylog::model::{ClassName, Document, Filter, ObjectId, Query, Timestamp};
use paylog::payment::PaymentConfig;
use paylog::store::fault::{FaultRates, FaultStore};
use paylog::store::{CommitOutcome, ReadError, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;

use super::fixture::{self, BOTH, Bank, Batches, key};

/// Tokio's clock, which these tests pause.
struct PausedClock(tokio::time::Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_795_000_000_000 + millis)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A small generator (SplitMix64): the same seed, the same run.
struct Seeded(AtomicU64);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            [*byte, ..] = (z ^ (z >> 31)).to_le_bytes();
        }
    }
}

pub(super) fn environment(seed: u64) -> Environment {
    let clock = PausedClock(tokio::time::Instant::now());
    Environment::new(Arc::new(clock), Arc::new(Seeded(AtomicU64::new(seed))))
}

async fn bare(batches: Batches, seed: u64) -> Bank {
    let environment = environment(seed);
    let config = PaymentConfig {
        prune_threshold: Some(0),
        ..fixture::config()
    };
    let store = fixture::store(batches, &config, &environment).await;
    Bank::on(Arc::clone(&store), store, config, environment)
}

fn through(bank: &Bank, seen: Arc<dyn Store>) -> Bank {
    let store = Arc::clone(&bank.store);
    Bank::on(seen, store, bank.config.clone(), bank.environment.clone())
}

/// Two workers behind bad networks, one customer, a merchant, and money for a part of the orders only. Whatever is lost,
/// recovery closes every log, the audit is clean, and the results that the customer got are true.
async fn run_seed(batches: Batches, seed: u64) {
    let bank = bare(batches, seed).await;
    let (user, merchant, product) = (bank.user().await, bank.user().await, {
        let product = json!({"name": "x", "price": 100, "payees": []});
        bank.create(&bank.config.product_class, product).await
    });
    let with_payee = json!({"name": "y", "price": 70, "payees": [{"user": merchant, "amount": 30}]});
    let with_payee = bank.create(&bank.config.product_class, with_payee).await;
    let rates = FaultRates {
        request_lost: 80,
        response_lost: 80,
        duplicate: 100,
        delayed: 60,
        read_lost: 40,
    };
    let networks: Vec<_> = (0..2)
        .map(|_| {
            let environment = bank.environment.clone();
            Arc::new(FaultStore::new(Arc::clone(&bank.store), environment, rates))
        })
        .collect();
    let workers: Vec<_> = networks
        .iter()
        .map(|network| through(&bank, Arc::clone(network) as Arc<dyn Store>))
        .collect();
    let mut orders = Vec::new();
    for n in 0..6 {
        let product = if n % 2 == 0 { &product } else { &with_payee };
        orders.push(bank.order(&user, product, &format!("o{n}")).await.order);
    }
    let number = bank.ask(&user, 300, "r").await.unwrap().number.unwrap();
    let confirm = async {
        for worker in &workers {
            let _ = worker.confirm(&number, 300, "T").await;
        }
    };
    let attempts = orders.iter().enumerate().map(|(n, order)| {
        let (workers, user) = (&workers, &user);
        async move {
            let key = key(&format!("p{n}"));
            let (first, second) = (&workers[n % 2], &workers[(n + 1) % 2]);
            let told = tokio::join!(
                first.payments.pay_order(user, order, Some(&key)),
                second.payments.pay_order(user, order, Some(&key)),
                async {
                    if n == 5 {
                        Some(second.payments.cancel_order(user, order).await)
                    } else {
                        None
                    }
                },
            );
            // Recovery and pruning go on beside the payments, so that late requests meet forgotten marks.
            first.payments.sweep(Duration::ZERO, 50).await;
            first.payments.prune_queued().await;
            (n, told)
        }
    });
    let (told, ()) = tokio::join!(futures_util::future::join_all(attempts), confirm);
    // Everything is closed and pruned before the last late requests arrive.
    bank.recover().await;
    bank.audit().await;
    bank.payments.prune_queued().await;
    for worker in &workers {
        worker.payments.prune_queued().await;
    }
    for network in &networks {
        network.heal().await;
    }
    bank.recover().await;
    bank.audit().await;
    bank.confirm(&number, 300, "T").await.unwrap();
    bank.recover().await;
    bank.audit().await;

    let mut spent = 0;
    let mut statuses = BTreeMap::new();
    for (n, (one, two, cancel)) in told {
        let status = bank.status(&orders[n]).await;
        for answer in [one, two] {
            match answer {
                Ok(_) => assert_eq!(status, "paid", "told paid"),
                Err(error) if error.code.0 == 9010 => {}
                Err(error) if error.code.0 == 9002 => {
                    assert_eq!(paid_by(&bank, &orders[n]).await, 0, "told declined");
                }
                Err(error) => assert_eq!((error.code.0, status.as_str()), (9006, "cancelled")),
            }
        }
        match cancel {
            Some(Ok(_)) => assert_eq!(status, "cancelled", "told cancelled"),
            Some(Err(error)) if error.code.0 == 9006 => assert_eq!(status, "paid"),
            Some(Err(error)) => assert_eq!(error.code.0, 9010),
            None => {}
        }
        spent += if status == "paid" { [100, 70][n % 2] } else { 0 };
        statuses.insert(n, status);
    }
    assert_eq!(bank.balance(&user).await, 300 - spent, "{statuses:?}");
}

async fn paid_by(bank: &Bank, order: &ObjectId) -> usize {
    let pointer = json!({"__type": "Pointer", "className": "Order", "objectId": order});
    let filter = Filter::all()
        .eq("order", pointer)
        .eq("kind", "purchase")
        .eq("outcome", "succeeded");
    bank.logs(filter).await.len()
}

#[tokio::test(start_paused = true)]
async fn bad_network_loses_no_money() {
    let seeds = match std::env::var_os("PAYLOG_SEED") {
        Some(seed) => vec![seed.to_str().unwrap().parse().unwrap()],
        None => (0..200).collect(),
    };
    for seed in seeds {
        println!("PAYLOG_SEED={seed}");
        for batches in BOTH {
            run_seed(batches, seed).await;
        }
    }
}

/// The part of the fatal request that still takes effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    Before,
    /// Of a batch, only the first write; everything of a single write.
    First,
    /// Of a batch, only the last write.
    Last,
    After,
}

/// A store that fails for good at the worker's `n`-th write.
#[derive(Debug)]
pub(super) struct Mortal {
    inner: Arc<dyn Store>,
    left: AtomicU32,
    death: Death,
}

impl Mortal {
    pub(super) fn new(inner: Arc<dyn Store>, writes: u32, death: Death) -> Self {
        Self {
            inner,
            left: AtomicU32::new(writes),
            death,
        }
    }

    pub(super) fn alive(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// True while alive after this write; `None` for the fatal one.
    fn spend(&self) -> Option<bool> {
        if !self.alive() {
            return Some(false);
        }
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        (left > 1).then_some(true)
    }
}

fn gone() -> ReadError {
    ReadError::Unavailable("this worker is dead".into())
}

impl StoreWrapper for Mortal {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        if !self.alive() {
            return Err(gone());
        }
        self.inner.get(class, id).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        if !self.alive() {
            return Err(gone());
        }
        self.inner.find(class, query).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        StoreWrapper::batch(self, vec![write]).await.remove(0)
    }

    async fn batch(&self, mut writes: Vec<Write>) -> Vec<WriteOutcome> {
        let count = writes.len();
        match self.spend() {
            Some(true) => return self.inner.batch(writes).await,
            Some(false) => {}
            None => {
                let landing = match self.death {
                    Death::Before => Vec::new(),
                    Death::First => writes.drain(..1).collect(),
                    Death::Last => writes.drain(count - 1..).collect(),
                    Death::After => writes,
                };
                drop(self.inner.batch(landing).await);
            }
        }
        vec![WriteOutcome::Unknown("this worker is dead".into()); count]
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let atomic = self.inner.atomic().unwrap();
        match self.spend() {
            Some(true) => return atomic.commit(writes).await,
            Some(false) => {}
            None => match self.death {
                Death::Before => {}
                Death::First | Death::Last | Death::After => drop(atomic.commit(writes).await),
            },
        }
        CommitOutcome::Unknown("this worker is dead".into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Purchase,
    Declined,
    Cancel,
    Confirm,
    /// Another worker recovers, and crashes too.
    Recovery,
}

/// A worker crashes before, during or after each of its writes; another recovers. The same call, repeated, then gets a
/// final result.
async fn die_at(batches: Batches, story: Story, writes: u32, death: Death) -> bool {
    let bank = bare(batches, u64::from(writes)).await;
    let (user, merchant) = (bank.user().await, bank.user().await);
    let payees = json!([{"user": merchant, "amount": 10}, {"user": bank.user().await, "amount": 5}]);
    let product = json!({"name": "x", "price": 100, "payees": payees});
    let product = bank.create(&bank.config.product_class, product).await;
    let order = bank.order(&user, &product, "o").await.order;
    let funds = if story == Story::Declined { 99 } else { 1000 };
    bank.recharge(&user, funds, "r").await;
    bank.recover().await;
    let number = bank.ask(&user, 50, "r2").await.unwrap().number.unwrap();
    let mortal = Arc::new(Mortal::new(Arc::clone(&bank.store), writes, death));
    let worker = through(&bank, Arc::clone(&mortal) as Arc<dyn Store>);
    match story {
        Story::Purchase | Story::Declined => {
            let _ = worker.payments.pay_order(&user, &order, Some(&key("p"))).await;
        }
        Story::Cancel => {
            let _ = worker.payments.cancel_order(&user, &order).await;
        }
        Story::Confirm => {
            let _ = worker.confirm(&number, 50, "T").await;
        }
        Story::Recovery => {
            let first = Mortal::new(Arc::clone(&bank.store), 2, Death::Before);
            let first = through(&bank, Arc::new(first));
            let _ = first.payments.pay_order(&user, &order, Some(&key("p"))).await;
            let _ = worker.payments.sweep(Duration::ZERO, 100).await;
        }
    }
    let died = !mortal.alive();
    bank.recover().await;
    bank.audit().await;
    let answers = [bank.payments.pay_order(&user, &order, Some(&key("p"))).await, {
        bank.payments.pay_order(&user, &order, Some(&key("p"))).await
    }];
    let codes = answers.map(|answer| answer.map_or_else(|error| error.code.0, |_| 0));
    let (expected, spent) = match (story, bank.status(&order).await.as_str()) {
        (Story::Declined, "pending") => (9002, 0),
        (Story::Cancel, "cancelled") => (9006, 0),
        (_, "paid") => (0, 100),
        (story, status) => panic!("{story:?}: {status}"),
    };
    assert_eq!(codes, [expected; 2]);
    bank.confirm(&number, 50, "T").await.unwrap();
    bank.recover().await;
    bank.audit().await;
    assert_eq!(bank.balance(&user).await, funds + 50 - spent);
    died
}

#[tokio::test(start_paused = true)]
async fn crash_at_any_write_is_recovered() {
    let stories = [
        Story::Purchase,
        Story::Declined,
        Story::Cancel,
        Story::Confirm,
        Story::Recovery,
    ];
    for batches in BOTH {
        for story in stories {
            for death in [Death::Before, Death::First, Death::Last, Death::After] {
                let mut writes = 1;
                while die_at(batches, story, writes, death).await {
                    writes += 1;
                    assert!(writes < 50, "{story:?} never ends");
                }
            }
        }
    }
}
