//! Operations of an operator on stuck payments: list, resume, cancel.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use paylog::model::{CloudError, Document, Filter, ObjectId, Update};
use paylog::payment::service::{AdminReport, StuckPayment};
use paylog::store::{Write, WriteOutcome};
use serde_json::json;

use super::fixture::{ALL, Bank, Batches, code, key};
use super::store_errors::Left;

async fn write(bank: &Bank, log: &ObjectId, update: Update) {
    let write = Write::update(&bank.config.log_class, log, Filter::all(), update);
    let outcome = bank.store.write(write).await;
    assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
}

async fn only_stuck(bank: &Bank) -> StuckPayment {
    let mut stuck = bank.payments.stuck_payments().await.unwrap();
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    stuck.remove(0)
}

fn outcome(operated: Result<AdminReport, CloudError>) -> (u8, Option<String>) {
    let operated = operated.unwrap();
    (operated.state, operated.outcome)
}

fn ended(how: &str) -> (u8, Option<String>) {
    (5, Some(how.to_owned()))
}

/// A payment that recovery has marked stuck.
async fn given_up() -> (Left, ObjectId) {
    let left = Left::new().await;
    while left.log().await.get("stuck").is_none() {
        left.bank.environment.sleep(Duration::from_secs(60)).await;
        left.bank.payments.sweep(Duration::ZERO, 100).await.unwrap();
    }
    let log = left.log().await.object_id().unwrap();
    (left, log)
}

#[tokio::test(start_paused = true)]
async fn stuck_payment_is_listed_with_its_error_and_resumed() {
    let (mut left, log) = given_up().await;
    let told = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&told);
    left.bank.payments = left.bank.payments.with_after_payment(move |_| {
        *seen.lock().unwrap() += 1;
        async { Ok(()) }
    });
    let stuck = only_stuck(&left.bank).await;
    assert_eq!(
        (stuck.log.as_str(), stuck.kind.as_deref()),
        (log.as_str(), Some("purchase"))
    );
    assert_eq!(
        (stuck.amount, stuck.user, stuck.order),
        (Some(100), Some(left.user.clone()), Some(left.order.clone()))
    );
    assert_eq!(
        (stuck.state, stuck.attempts),
        (Some(1), left.bank.config.claims_max)
    );
    assert!(stuck.error.ends_with("the last time: lost"), "{}", stuck.error);
    // The trouble is not over.
    let resumed = left.bank.payments.resume_payment(&log, false).await.unwrap();
    assert_eq!((resumed.state, &resumed.outcome), (1, &None));
    assert_eq!(resumed.error.as_deref(), Some("lost"));
    assert!(
        left.bank.payments.stuck_payments().await.unwrap().is_empty(),
        "recovery has it again"
    );
    left.heal();
    for _ in 0..2 {
        let resumed = left.bank.payments.resume_payment(&log, false).await;
        assert_eq!(outcome(resumed), ended("succeeded"));
    }
    assert_eq!(*told.lock().unwrap(), 1, "the app is told");
    left.paid().await;
}

#[tokio::test(start_paused = true)]
async fn payment_before_the_debit_is_cancelled() {
    let (left, log) = given_up().await;
    let payments = left.bank.payments.clone();
    // Nothing can be refused while the account cannot be written; and nothing is said that is not so.
    let cancelled = payments
        .cancel_payment(&log, Some("by telephone"), false)
        .await
        .unwrap();
    assert_eq!((cancelled.state, &cancelled.outcome), (1, &None));
    left.heal();
    for _ in 0..2 {
        let cancelled = payments
            .cancel_payment(&log, Some("by telephone"), false)
            .await
            .unwrap();
        assert!(cancelled.is_closed());
        let reason = "9006 Cancelled by an operator: by telephone";
        assert_eq!(
            (cancelled.outcome.as_deref(), cancelled.reason.as_deref()),
            (Some("failed"), Some(reason))
        );
    }
    assert!(payments.stuck_payments().await.unwrap().is_empty());
    assert_eq!(
        outcome(payments.resume_payment(&log, false).await),
        ended("failed")
    );
    // Whoever asks again with the key is told so, for ever; another key pays.
    assert_eq!(left.pay().await, Err(9006));
    assert_eq!(left.bank.balance(&left.user).await, 1000);
    payments
        .pay_order(&left.user, &left.order, Some(&key("another")))
        .await
        .unwrap();
    left.paid().await;
}

/// Resets the log as if its last writes were lost: the money is debited, and the log does not show it.
async fn half_done(bank: &Bank, log: &ObjectId) {
    write(
        bank,
        log,
        Update::new()
            .set("state", 1)
            .delete("outcome")
            .set("stuck", "lost"),
    )
    .await;
}

#[tokio::test]
async fn payment_with_secured_money_is_not_cancelled() {
    let bank = Bank::new(Batches::Separate).await;
    let (user, other, product) = (bank.user().await, bank.user().await, bank.product(100).await);
    bank.recharge(&user, 1000, "r").await;
    let order = bank.order(&user, &product, "o").await.order;
    let log = bank.payments.pay_order(&user, &order, None).await.unwrap().log;
    half_done(&bank, &log).await;
    let refused = bank.payments.cancel_payment(&log, None, false).await.unwrap_err();
    assert_eq!(refused.code.0, 9006);
    assert!(refused.message.contains("secured"), "{refused}");
    assert_eq!(only_stuck(&bank).await.log, log.as_str(), "it stays as it was");
    assert_eq!(
        outcome(bank.payments.resume_payment(&log, false).await),
        ended("succeeded")
    );
    assert_eq!(bank.get(&bank.config.log_class, &log).await.get("cancel"), None);
    let refused = bank.payments.cancel_payment(&log, None, false).await.unwrap_err();
    assert!(refused.message.contains("refundOrder"), "{refused}");
    // Nothing of it can be refused at all.
    let given = bank
        .payments
        .adjust_account(&other, &json!(5), "a gift", &key("a"))
        .await
        .unwrap()
        .log;
    half_done(&bank, &given).await;
    let refused = bank
        .payments
        .cancel_payment(&given, None, false)
        .await
        .unwrap_err();
    assert!(refused.message.contains("Nothing of a adjust"), "{refused}");
    assert_eq!(
        outcome(bank.payments.resume_payment(&given, false).await),
        ended("succeeded")
    );
    assert_eq!((bank.balance(&user).await, bank.balance(&other).await), (900, 5));
    bank.recover().await;
    bank.audit().await;
}

#[tokio::test]
async fn applied_legs_are_reversed_by_a_cancellation() {
    let bank = Bank::new(Batches::Separate).await;
    let (user, payee) = (bank.user().await, bank.user().await);
    bank.recharge(&user, 100, "r").await;
    let product =
        json!({"name": "x", "price": 100, "onSale": true, "payees": [{"user": payee, "amount": 60}]});
    let product = bank.create(&bank.config.product_class, product).await;
    let order = bank.order(&user, &product, "o").await.order;
    bank.payments.pay_order(&user, &order, None).await.unwrap();
    bank.recover().await;
    let log = bank
        .payments
        .refund_order(&order, Some(&json!(50)), None, &key("f"))
        .await
        .unwrap()
        .log;
    // The payee has given back, and the order does not say so yet.
    half_done(&bank, &log).await;
    let undo = Update::new()
        .set("refunded", 0)
        .remove("paylogs", vec![log.as_str().into()]);
    let order_write = Write::update(&bank.config.order_class, &order, Filter::all(), undo);
    assert!(matches!(
        bank.store.write(order_write).await,
        WriteOutcome::Applied(_)
    ));
    let undo = Update::new()
        .increment("account", -50)
        .remove("paylogs", vec![log.as_str().into()]);
    let user_write = Write::update(&bank.config.user_class, &user, Filter::all(), undo);
    assert!(matches!(
        bank.store.write(user_write).await,
        WriteOutcome::Applied(_)
    ));
    assert_eq!((bank.balance(&user).await, bank.balance(&payee).await), (0, 30));
    let cancelled = bank.payments.cancel_payment(&log, None, false).await;
    assert_eq!(outcome(cancelled), ended("failed"));
    assert_eq!((bank.balance(&user).await, bank.balance(&payee).await), (0, 60));
    bank.recover().await;
    bank.audit().await;
}

/// Money that has arrived for a recharge of 100 with another amount.
async fn other_amount(batches: Batches) -> (Bank, ObjectId, String, ObjectId) {
    let bank = Bank::new(batches).await;
    let user = bank.user().await;
    let number = bank.ask(&user, 100, "r").await.unwrap().number.unwrap();
    assert_eq!(code(bank.confirm(&number, 70, "T").await), 9001);
    let stuck = only_stuck(&bank).await;
    assert_eq!(
        (stuck.trade_no.as_deref(), stuck.amount, stuck.attempts),
        (Some("T"), Some(70), 0)
    );
    let log = ObjectId::parse(&stuck.log).unwrap();
    (bank, user, number, log)
}

#[tokio::test]
async fn other_amount_is_credited_with_consent() {
    for batches in ALL {
        let (bank, user, number, log) = other_amount(batches).await;
        let refused = bank.payments.resume_payment(&log, false).await.unwrap_err();
        assert_eq!(refused.code.0, 9006);
        assert!(
            refused.message.contains("--credit") && refused.message.contains("--returned"),
            "{refused}"
        );
        assert_eq!(bank.balance(&user).await, 0);
        for _ in 0..2 {
            assert_eq!(
                outcome(bank.payments.resume_payment(&log, true).await),
                ended("succeeded")
            );
        }
        assert_eq!(bank.balance(&user).await, 70);
        assert_eq!(code(bank.payments.cancel_payment(&log, None, true).await), 9006);
        // The recharge itself goes on waiting for what was asked.
        bank.confirm(&number, 100, "T2").await.unwrap();
        assert_eq!(bank.balance(&user).await, 170);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn returned_other_amount_is_written_off() {
    for batches in ALL {
        let (bank, user, number, log) = other_amount(batches).await;
        let refused = bank.payments.cancel_payment(&log, None, false).await.unwrap_err();
        assert!(refused.message.contains("--returned"), "{refused}");
        for _ in 0..2 {
            let cancelled = bank.payments.cancel_payment(&log, Some("given back"), true).await;
            assert_eq!(outcome(cancelled), ended("failed"));
        }
        assert_eq!(
            outcome(bank.payments.resume_payment(&log, true).await),
            ended("failed")
        );
        // The gateway says it again.
        assert_eq!(code(bank.confirm(&number, 70, "T").await), 9006);
        assert_eq!(bank.balance(&user).await, 0);
        bank.audit().await;
    }
}

#[tokio::test]
async fn credited_trade_number_is_not_credited_by_operator() {
    let (bank, user, _, log) = other_amount(Batches::Separate).await;
    let number = bank.ask(&user, 30, "r2").await.unwrap().number.unwrap();
    bank.confirm(&number, 30, "U").await.unwrap();
    write(&bank, &log, Update::new().set("tradeNo", "U")).await;
    assert_eq!(code(bank.payments.resume_payment(&log, true).await), 9003);
    assert_eq!(bank.balance(&user).await, 30);
}

#[tokio::test]
async fn cancelled_recharge_is_credited_if_paid_later() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.user().await;
        let asked = bank.ask(&user, 100, "r").await.unwrap();
        let refused = bank.payments.resume_payment(&asked.log, false).await.unwrap_err();
        assert!(refused.message.contains("confirmRecharge"), "{refused}");
        assert_eq!(code(bank.payments.resume_payment(&asked.log, true).await), 9006);
        assert_eq!(
            code(bank.payments.cancel_payment(&asked.log, None, true).await),
            9006
        );
        assert_eq!(
            outcome(bank.payments.cancel_payment(&asked.log, None, false).await),
            ended("failed")
        );
        let told = bank.ask(&user, 100, "r").await.unwrap_err();
        assert_eq!(
            (told.code.0, told.message.as_str()),
            (9006, "Cancelled by an operator.")
        );
        bank.confirm(&asked.number.unwrap(), 100, "T").await.unwrap();
        assert_eq!(bank.balance(&user).await, 100);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn unreadable_stuck_log_is_listed_and_missing_log_is_not_found() {
    let bank = Bank::new(Batches::Separate).await;
    let strange = json!({"key": "strange", "state": 2, "stuck": "look at it"});
    let log = bank.create(&bank.config.log_class, strange).await;
    let stuck = only_stuck(&bank).await;
    assert_eq!(
        (stuck.log.as_str(), stuck.error.as_str()),
        (log.as_str(), "look at it")
    );
    assert_eq!((stuck.kind, stuck.user, stuck.state), (None, None, Some(2)));
    let nobody = ObjectId::parse("5f0000000000000000000000").unwrap();
    assert_eq!(code(bank.payments.resume_payment(&nobody, false).await), 9004);
    assert_eq!(
        code(bank.payments.cancel_payment(&nobody, None, false).await),
        9004
    );
    assert_eq!(
        code(bank.payments.cancel_payment(&log, Some(""), false).await),
        107
    );
}

/// A payment during which the sweeper crashes again and again becomes stuck, too.
#[tokio::test]
async fn payment_that_kills_its_workers_becomes_stuck() {
    let bank = Bank::new(Batches::Separate).await;
    let user = bank.user().await;
    bank.recharge(&user, 100, "r").await;
    let hold = bank
        .payments
        .hold_funds(&user, &json!(10), None, &key("h"))
        .await
        .unwrap()
        .log;
    bank.recover().await;
    let most = bank.config.claims_max;
    let dead = Update::new()
        .set("state", 1)
        .delete("outcome")
        .delete("claimedUntil")
        .set("claims", 2 * most);
    write(&bank, &hold, dead).await;
    bank.payments.sweep(Duration::ZERO, 100).await.unwrap();
    let stuck: Document = bank.get(&bank.config.log_class, &hold).await;
    assert!(
        stuck.text("stuck").unwrap().contains("taken up 40 times"),
        "{stuck:?}"
    );
    assert_eq!(
        outcome(bank.payments.resume_payment(&hold, false).await),
        ended("succeeded")
    );
    bank.audit().await;
}
