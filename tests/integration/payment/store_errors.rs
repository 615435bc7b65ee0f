//! Errors of the store: logs can be written, accounts cannot. Time is paused, so waiting costs nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paylog::environment::Environment;
use paylog::model::{ClassName, Document, Filter, ObjectId, Timestamp, Update};
use paylog::payment::service::RecoveryReport;
use paylog::store::{Action, Store, StoreWrapper, Write, WriteOutcome};

use super::fixture::{self, Bank, Batches, key};
use super::store_faults::environment;

/// A store that loses every write of an account while it fails. Its batches are not all-or-nothing.
#[derive(Debug)]
pub(super) struct Troubled {
    inner: Arc<dyn Store>,
    trouble: AtomicBool,
}

impl StoreWrapper for Troubled {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        if write.class == ClassName::user() && self.trouble.load(Ordering::Relaxed) {
            return WriteOutcome::Unknown("lost".into());
        }
        self.inner.write(write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::new();
        for write in writes {
            outcomes.push(StoreWrapper::write(self, write).await);
        }
        outcomes
    }

    fn is_atomic(&self) -> bool {
        false
    }
}

/// A customer with money, an order, and a call to pay it that stayed undecided.
pub(super) struct Left {
    pub(super) bank: Bank,
    troubled: Arc<Troubled>,
    pub(super) user: ObjectId,
    pub(super) order: ObjectId,
}

impl Left {
    pub(super) async fn new() -> Self {
        let environment: Environment = environment(1);
        let config = fixture::config();
        let store = fixture::store(Batches::Separate, &config, &environment).await;
        let troubled = Arc::new(Troubled {
            inner: Arc::clone(&store),
            trouble: AtomicBool::new(false),
        });
        let seen: Arc<dyn Store> = Arc::clone(&troubled) as _;
        let bank = Bank::on(seen, store, config, environment);
        let (user, product) = (bank.user().await, bank.product(100).await);
        bank.recharge(&user, 1000, "r").await;
        bank.recover().await;
        let order = bank.order(&user, &product, "o").await.order;
        troubled.trouble.store(true, Ordering::Relaxed);
        let left = Self {
            bank,
            troubled,
            user,
            order,
        };
        assert_eq!(left.pay().await, Err(9010));
        left
    }

    pub(super) async fn pay(&self) -> Result<(), i32> {
        let key = key("p");
        let paid = self.bank.payments.pay_order(&self.user, &self.order, Some(&key));
        paid.await.map(|_| ()).map_err(|error| error.code.0)
    }

    pub(super) fn heal(&self) {
        self.troubled.trouble.store(false, Ordering::Relaxed);
    }

    pub(super) async fn log(&self) -> Document {
        let mut logs = self.bank.logs(Filter::all().eq("kind", "purchase")).await;
        assert_eq!(logs.len(), 1);
        logs.remove(0)
    }

    async fn write(&self, update: Update) {
        let action = Action::Update {
            id: self.log().await.object_id().unwrap(),
            precondition: Filter::all(),
            update,
            fetch: false,
        };
        let class = self.bank.config.log_class.clone();
        let outcome = self.bank.store.write(Write { class, action }).await;
        assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    }

    pub(super) async fn paid(&self) {
        self.bank.recover().await;
        assert_eq!(self.bank.status(&self.order).await, "paid");
        assert_eq!(self.bank.balance(&self.user).await, 900);
        self.bank.audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn thirty_seconds_of_store_errors_leave_nothing_stuck() {
    let left = Left::new().await;
    assert_eq!(
        left.log().await.integer("claims"),
        Some(0),
        "a caller's run is none of recovery's"
    );
    left.bank.environment.sleep(left.bank.config.lease).await;
    left.bank.payments.sweep(Duration::ZERO, 100).await.unwrap();
    assert_eq!(left.log().await.integer("claims"), Some(1), "one run claims once");
    let end = left.bank.environment.elapsed() + Duration::from_secs(30);
    while left.bank.environment.elapsed() < end {
        let swept = left.bank.payments.sweep(Duration::ZERO, 100).await.unwrap();
        assert_eq!(swept.stuck, 0);
        left.bank.environment.sleep(left.bank.config.sweep_every).await;
    }
    assert_eq!(left.log().await.get("stuck"), None);
    left.heal();
    left.paid().await;
}

#[tokio::test(start_paused = true)]
async fn failing_log_is_tried_every_minute_then_stuck() {
    let left = Left::new().await;
    let mut sweeps = 0;
    while left.log().await.get("stuck").is_none() {
        let iso = left.log().await["claimedUntil"]["iso"]
            .as_str()
            .unwrap()
            .to_owned();
        let now = left.bank.environment.now();
        let latest = now.plus_millis(60_000);
        assert!(Timestamp::parse(&iso).unwrap() <= latest, "{iso}, now is {now}");
        left.bank.environment.sleep(Duration::from_secs(60)).await;
        let swept = left.bank.payments.sweep(Duration::ZERO, 100).await.unwrap();
        assert_eq!(swept.taken, 1);
        sweeps += 1;
    }
    assert_eq!(sweeps, left.bank.config.claims_max);
    let why = left.log().await.text("stuck").unwrap().to_owned();
    assert!(why.contains("the last time: lost"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn stuck_payment_finished_by_its_caller_is_closed() {
    let mut left = Left::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    left.bank.payments = left.bank.payments.with_after_payment(move |receipt| {
        seen.lock().unwrap().push(receipt);
        async { Ok(()) }
    });
    left.write(Update::new().set("stuck", "no answer")).await;
    left.heal();
    left.pay().await.unwrap();
    // Nobody closes it: no sweeper runs here, as where the process ends right after the answer.
    left.paid().await;
    let states: Vec<_> = told.lock().unwrap().iter().map(|receipt| receipt.state).collect();
    assert!(
        !states.is_empty() && states.iter().all(|state| *state == 4),
        "{states:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn repeated_call_restarts_recovery() {
    let left = Left::new().await;
    left.write(Update::new().set("stuck", "no answer")).await;
    let skipped = left.bank.payments.sweep(Duration::ZERO, 100).await.unwrap();
    assert_eq!(skipped, RecoveryReport::default());
    assert_eq!(left.pay().await, Err(9010));
    left.heal();
    left.paid().await;
}
