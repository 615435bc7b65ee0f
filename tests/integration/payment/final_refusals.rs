//! Refusals are final, for every kind: once a refusal is returned, no late or repeated request of it succeeds, and its key
//! returns the same refusal for ever, even if its cause is gone.

use std::sync::{Arc, Mutex};

use paylog::model::{CloudError, Filter, ObjectId};
use paylog::payment::PaymentConfig;
use paylog::payment::service::{Channel, Receipt};
use paylog::store::{CommitOutcome, Store, StoreWrapper, Write, WriteOutcome};
use serde_json::json;

use super::fixture::{self, Bank, Batches, code, key};

/// A store that keeps every request, to deliver it again.
#[derive(Debug)]
struct Repeating {
    inner: Arc<dyn Store>,
    sent: Mutex<Vec<(bool, Vec<Write>)>>,
}

impl Repeating {
    fn keep(&self, is_commit: bool, writes: &[Write]) {
        self.sent.lock().unwrap().push((is_commit, writes.to_vec()));
    }

    /// Delivers every request a second time, as a bad network does.
    async fn deliver_again(&self) {
        let sent = self.sent.lock().unwrap().clone();
        for (is_commit, writes) in sent {
            match self.inner.atomic() {
                Some(atomic) if is_commit => drop(atomic.commit(writes).await),
                _ => drop(self.inner.batch(writes).await),
            }
        }
    }
}

impl StoreWrapper for Repeating {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.keep(false, std::slice::from_ref(&write));
        self.inner.write(write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.keep(false, &writes);
        self.inner.batch(writes).await
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        self.keep(true, &writes);
        self.inner.atomic().unwrap().commit(writes).await
    }
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Purchase,
    Recharge,
    Transfer,
    ToNobody,
    Withdraw,
    ThroughNobody,
    Hold,
    CaptureTooMuch,
    CaptureForNobody,
    RefundUnpaid,
    RefundTooMuch,
    RefundSpent,
    Adjust,
}

const REFUSALS: [(Asked, i32); 13] = [
    (Asked::Purchase, 9002),
    (Asked::Recharge, 9008),
    (Asked::Transfer, 9002),
    (Asked::ToNobody, 9004),
    (Asked::Withdraw, 9002),
    (Asked::ThroughNobody, 9008),
    (Asked::Hold, 9002),
    (Asked::CaptureTooMuch, 9009),
    (Asked::CaptureForNobody, 9004),
    (Asked::RefundUnpaid, 9006),
    (Asked::RefundTooMuch, 9009),
    (Asked::RefundSpent, 9002),
    (Asked::Adjust, 9002),
];

/// A user with 10, who holds 10 more; an order of theirs for 100; another order that somebody paid, whose payee has
/// spent a part.
struct Scene {
    bank: Bank,
    user: ObjectId,
    merchant: ObjectId,
    held: ObjectId,
    order: ObjectId,
    sold: ObjectId,
}

impl Scene {
    async fn new(batches: Batches) -> Self {
        let mut bank = Bank::new(batches).await;
        // Every mark is forgotten as soon as it may be: then the epoch alone keeps late requests out.
        bank.config = PaymentConfig {
            prune_threshold: Some(0),
            ..bank.config
        };
        let bank = bank.again();
        let user = bank.rich(20).await;
        let held = bank.hold(&user, 10, "held").await.unwrap().log;
        let product = bank.product(100).await;
        let order = bank.order(&user, &product, "o").await.order;
        let merchant = bank.user().await;
        let (_, sold) = bank.sold(50, &[(&merchant, 50)]).await;
        bank.transfer(&merchant, &user, 1, "spent").await.unwrap();
        bank.adjust(&user, -1, "as before").await.unwrap();
        bank.recover().await;
        Self {
            bank,
            user,
            merchant,
            held,
            order,
            sold,
        }
    }

    async fn ask(&self, bank: &Bank, asked: Asked) -> Result<Receipt, CloudError> {
        let (payments, user, name) = (&bank.payments, &self.user, key("k"));
        let nobody = ObjectId::parse("nobody").unwrap();
        match asked {
            Asked::Purchase => payments.pay_order(user, &self.order, Some(&name)).await,
            Asked::Recharge => {
                let amount = json!(100);
                payments.recharge(user, &amount, Channel::Wechat, &name).await
            }
            Asked::Transfer => bank.transfer(user, &self.merchant, 100, "k").await,
            Asked::ToNobody => bank.transfer(user, &nobody, 5, "k").await,
            Asked::Withdraw => bank.withdraw(user, 100, "k").await,
            Asked::ThroughNobody => {
                let amount = json!(5);
                payments
                    .withdraw(user, &amount, Channel::Alipay, "a bank card", &name)
                    .await
            }
            Asked::Hold => bank.hold(user, 100, "k").await,
            Asked::CaptureTooMuch => bank.capture(&self.held, 100, None, "k").await,
            Asked::CaptureForNobody => bank.capture(&self.held, 5, Some(&nobody), "k").await,
            Asked::RefundUnpaid => bank.refund(&self.order, None, "k").await,
            Asked::RefundTooMuch => bank.refund(&self.sold, Some(51), "k").await,
            Asked::RefundSpent => bank.refund(&self.sold, None, "k").await,
            Asked::Adjust => bank.adjust(user, -100, "k").await,
        }
    }

    /// Removes every cause of a refusal that can be removed.
    async fn relieve(&self) {
        self.bank.recharge(&self.user, 1000, "relief").await;
        self.bank.recharge(&self.merchant, 1000, "relief").await;
    }

    async fn balances(&self) -> Vec<(i64, i64)> {
        vec![
            self.bank.both(&self.user).await,
            self.bank.both(&self.merchant).await,
        ]
    }
}

#[tokio::test]
async fn refusal_is_final_for_every_kind() {
    for batches in fixture::ALL {
        for (asked, refusal) in REFUSALS {
            let scene = Scene::new(batches).await;
            let repeating = Arc::new(Repeating {
                inner: Arc::clone(&scene.bank.store),
                sent: Mutex::default(),
            });
            let seen: Arc<dyn Store> = Arc::clone(&repeating) as _;
            let store = Arc::clone(&scene.bank.store);
            let network = Bank::on(
                seen,
                store,
                scene.bank.config.clone(),
                scene.bank.environment.clone(),
            );
            let told = scene.ask(&network, asked).await;
            let told = told.expect_err(&format!("{asked:?}"));
            assert_eq!(told.code.0, refusal, "{asked:?}: {told}");
            let failed = scene.bank.logs(Filter::all().eq("outcome", "failed")).await;
            assert_eq!(failed.len(), 1, "{asked:?}: it stands before it is told");
            assert_eq!(failed[0].integer("state"), Some(5), "{asked:?}");

            scene.relieve().await;
            let before = scene.balances().await;
            repeating.deliver_again().await;
            scene.bank.recover().await;
            network.payments.prune_queued().await;
            scene.bank.payments.prune_queued().await;
            repeating.deliver_again().await;
            scene.bank.recover().await;
            assert_eq!(scene.balances().await, before, "{batches:?} {asked:?}");
            for bank in [&network, &scene.bank, &scene.bank.again()] {
                let again = scene.ask(bank, asked).await;
                assert_eq!(again.expect_err(&format!("{asked:?}")), told);
            }
            let failed = scene.bank.logs(Filter::all().eq("outcome", "failed")).await;
            assert_eq!(failed.len(), 1, "{asked:?}");
            scene.bank.audit().await;
        }
    }
}

/// The key of a refusal is taken for its user and kind, whatever is requested under it.
#[tokio::test]
async fn refused_key_stays_taken() {
    for batches in fixture::ALL {
        let scene = Scene::new(batches).await;
        let (bank, user) = (&scene.bank, &scene.user);
        for (asked, _) in REFUSALS {
            if matches!(
                asked,
                Asked::Purchase | Asked::Hold | Asked::Transfer | Asked::Withdraw
            ) {
                scene.ask(bank, asked).await.unwrap_err();
            }
        }
        scene.ask(bank, Asked::CaptureTooMuch).await.unwrap_err();
        scene.ask(bank, Asked::RefundSpent).await.unwrap_err();
        scene.ask(bank, Asked::Adjust).await.unwrap_err();
        assert_eq!(code(bank.transfer(user, &scene.merchant, 1, "k").await), 9003);
        assert_eq!(code(bank.withdraw(user, 1, "k").await), 9003);
        assert_eq!(code(bank.hold(user, 1, "k").await), 9003);
        assert_eq!(code(bank.release(&scene.held, "k").await), 9003);
        assert_eq!(code(bank.refund(&scene.sold, Some(1), "k").await), 9003);
        assert_eq!(code(bank.adjust(user, -1, "k").await), 9003);
        assert_eq!(bank.both(user).await, (10, 10));
        bank.recover().await;
        bank.audit().await;
    }
}
