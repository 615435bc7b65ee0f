//! A worker crashes before, during or after each of its writes, for every kind of payment. Another worker recovers; the
//! same call, repeated, gets a final result, and the money is where that result says. Time is paused, so waiting costs
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentConfig;
use paylog::payment::service::Receipt;
use paylog::store::Store;
use serde_json::json;

use super::fixture::{self, BOTH, Bank, Batches, key, plain};
use super::store_faults::{Death, Mortal, environment};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Transfer,
    Hold,
    Capture,
    Release,
    Expiry,
    Withdraw,
    PaidOut,
    NotPaidOut,
    Refund,
    PartialRefund,
    RefundOfSpent,
    AdjustUp,
    AdjustDown,
    TransferDeclined,
    CaptureDeclined,
}

const STORIES: [Story; 15] = [
    Story::Transfer,
    Story::Hold,
    Story::Capture,
    Story::Release,
    Story::Expiry,
    Story::Withdraw,
    Story::PaidOut,
    Story::NotPaidOut,
    Story::Refund,
    Story::PartialRefund,
    Story::RefundOfSpent,
    Story::AdjustUp,
    Story::AdjustDown,
    Story::TransferDeclined,
    Story::CaptureDeclined,
];

/// A user with 50 to spend, 20 held and 30 on the way out; a merchant with 67 of a sale of 100, a platform with 20 of it.
struct Scene {
    bank: Bank,
    user: ObjectId,
    merchant: ObjectId,
    platform: ObjectId,
    buyer: ObjectId,
    held: ObjectId,
    withdrawn: ObjectId,
    sold: ObjectId,
}

impl Scene {
    async fn new(batches: Batches, seed: u64) -> Self {
        let environment = environment(seed);
        let config = PaymentConfig {
            prune_threshold: Some(0),
            ..fixture::config()
        };
        let store = fixture::store(batches, &config, &environment).await;
        let bank = Bank::on(Arc::clone(&store), store, config, environment);
        let user = bank.rich(100).await;
        let held = bank.hold(&user, 20, "held").await.unwrap().log;
        let withdrawn = bank.withdraw(&user, 30, "withdrawn").await.unwrap().log;
        let (merchant, platform) = (bank.user().await, bank.user().await);
        let (buyer, sold) = bank.sold(100, &[(&merchant, 67), (&platform, 20)]).await;
        bank.recover().await;
        Self {
            bank,
            user,
            merchant,
            platform,
            buyer,
            held,
            withdrawn,
            sold,
        }
    }

    async fn ask(&self, bank: &Bank, story: Story) -> Result<Receipt, CloudError> {
        let (user, merchant) = (&self.user, &self.merchant);
        match story {
            Story::Transfer => bank.transfer(user, merchant, 50, "k").await,
            Story::TransferDeclined => bank.transfer(user, merchant, 51, "k").await,
            Story::Hold => bank.hold(user, 50, "k").await,
            Story::Capture => bank.capture(&self.held, 15, Some(merchant), "k").await,
            Story::CaptureDeclined => bank.capture(&self.held, 21, Some(merchant), "k").await,
            Story::Release => bank.release(&self.held, "k").await,
            Story::Expiry => {
                bank.payments.expire_holds().await;
                // What is told of it is that nobody else can end the hold.
                bank.release(&self.held, "k").await
            }
            Story::Withdraw => bank.withdraw(user, 50, "k").await,
            Story::PaidOut => bank.payments.settle_withdraw(&self.withdrawn, true).await,
            Story::NotPaidOut => bank.payments.settle_withdraw(&self.withdrawn, false).await,
            Story::Refund | Story::RefundOfSpent => bank.refund(&self.sold, None, "k").await,
            Story::PartialRefund => bank.refund(&self.sold, Some(50), "k").await,
            Story::AdjustUp => bank.adjust(user, 7, "k").await,
            Story::AdjustDown => bank.adjust(user, -50, "k").await,
        }
    }

    /// The expected end: the code of the result, and the balances of user, merchant, platform and buyer.
    fn end(story: Story) -> (i32, [(i64, i64); 4]) {
        let users = |user, merchant, platform, buyer| [user, (merchant, 0), (platform, 0), (buyer, 0)];
        match story {
            Story::Transfer => (0, users((0, 50), 117, 20, 0)),
            Story::Hold | Story::Withdraw => (0, users((0, 100), 67, 20, 0)),
            Story::Capture => (0, users((55, 30), 82, 20, 0)),
            Story::Release => (0, users((70, 30), 67, 20, 0)),
            Story::Expiry => (9006, users((70, 30), 67, 20, 0)),
            Story::PaidOut => (0, users((50, 20), 67, 20, 0)),
            Story::NotPaidOut => (0, users((80, 20), 67, 20, 0)),
            Story::Refund => (0, users((50, 50), 0, 0, 100)),
            Story::PartialRefund => (0, users((50, 50), 34, 10, 50)),
            Story::RefundOfSpent => (9002, users((51, 50), 67, 19, 0)),
            Story::AdjustUp => (0, users((57, 50), 67, 20, 0)),
            Story::AdjustDown => (0, users((0, 50), 67, 20, 0)),
            Story::TransferDeclined => (9002, users((50, 50), 67, 20, 0)),
            Story::CaptureDeclined => (9009, users((50, 50), 67, 20, 0)),
        }
    }

    async fn all(&self) -> [(i64, i64); 4] {
        [
            self.bank.both(&self.user).await,
            self.bank.both(&self.merchant).await,
            self.bank.both(&self.platform).await,
            self.bank.both(&self.buyer).await,
        ]
    }
}

/// True if the worker has crashed.
async fn die_at(batches: Batches, story: Story, writes: u32, death: Death) -> bool {
    let scene = Scene::new(batches, u64::from(writes)).await;
    if story == Story::RefundOfSpent {
        let (from, to) = (&scene.platform, &scene.user);
        scene.bank.transfer(from, to, 1, "spent").await.unwrap();
        scene.bank.recover().await;
    }
    if story == Story::Expiry {
        tokio::time::advance(Duration::from_secs(8 * 24 * 60 * 60)).await;
    }
    let mortal = Arc::new(Mortal::new(Arc::clone(&scene.bank.store), writes, death));
    let bank = &scene.bank;
    let worker = Bank::on(
        Arc::clone(&mortal) as Arc<dyn Store>,
        Arc::clone(&bank.store),
        bank.config.clone(),
        bank.environment.clone(),
    );
    let first = scene.ask(&worker, story).await;
    let died = !mortal.alive();
    bank.recover().await;
    bank.audit().await;
    bank.payments.prune_queued().await;
    let (expected, balances) = Scene::end(story);
    let mut told: Option<Result<Receipt, CloudError>> = None;
    for answer in [first, scene.ask(bank, story).await, scene.ask(bank, story).await] {
        let code = answer.as_ref().map_or_else(|error| error.code.0, |_| 0);
        if code == 9010 {
            assert!(died && told.is_none(), "{story:?}: {answer:?}");
            continue;
        }
        assert_eq!(code, expected, "{story:?} {writes} {death:?}: {answer:?}");
        let answer = answer.map(|receipt| plain(&receipt));
        if let Some(told) = &told {
            assert_eq!(&answer, told, "{story:?}");
        }
        told = Some(answer);
    }
    bank.recover().await;
    assert_eq!(
        scene.all().await,
        balances,
        "{batches:?} {story:?} {writes} {death:?}"
    );
    bank.audit().await;
    died
}

#[tokio::test(start_paused = true)]
async fn crash_at_any_write_of_any_kind_is_recovered() {
    for batches in BOTH {
        for story in STORIES {
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

/// Two workers settle one withdrawal at the same moment, on a store that loses requests.
#[tokio::test(start_paused = true)]
async fn crash_while_another_worker_settles_is_recovered() {
    for batches in BOTH {
        for death in [Death::Before, Death::First, Death::Last, Death::After] {
            for writes in 1..6 {
                let scene = Scene::new(batches, u64::from(writes)).await;
                let bank = &scene.bank;
                let mortal = Arc::new(Mortal::new(Arc::clone(&bank.store), writes, death));
                let worker = Bank::on(
                    mortal,
                    Arc::clone(&bank.store),
                    bank.config.clone(),
                    bank.environment.clone(),
                );
                let amount = json!(15);
                let name = key("dying");
                let (captured, released) = tokio::join!(
                    worker
                        .payments
                        .capture_hold(&scene.held, Some(&amount), Some(&scene.merchant), &name),
                    bank.release(&scene.held, "living"),
                );
                bank.recover().await;
                bank.audit().await;
                let again = bank
                    .capture(&scene.held, 15, Some(&scene.merchant), "dying")
                    .await;
                let expected = match (&again, &released) {
                    (Ok(_), Err(error)) if error.code.0 == 9006 => [(55, 30), (82, 0)],
                    (Err(error), Ok(_)) if error.code.0 == 9006 => [(70, 30), (67, 0)],
                    both => panic!("{both:?}"),
                };
                if let Ok(captured) = captured {
                    assert_eq!(plain(&captured), plain(&again.unwrap()));
                }
                let [user, merchant, ..] = scene.all().await;
                assert_eq!([user, merchant], expected);
            }
        }
    }
}
