//! Money that has arrived is credited, or recorded in a log that waits for an operator. It is never lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use paylog::model::{Document, Filter, ObjectId};
use paylog::store::{Action, Write, WriteOutcome};

use super::fixture::{ALL, Bank, Batches, code};

/// Deletes the document of a user and returns it.
async fn take_away(bank: &Bank, user: &ObjectId) -> Document {
    let class = &bank.config.user_class;
    let document = bank.get(class, user).await;
    let action = Action::Delete {
        id: user.clone(),
        precondition: Filter::all(),
    };
    let class = class.clone();
    let outcome = bank.store.write(Write { class, action }).await;
    assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    document
}

/// A service on the same store that expires recharges at once.
fn impatient(bank: &Bank) -> Bank {
    let mut config = bank.config.clone();
    config.recharge_expires = Duration::ZERO;
    let store = Arc::clone(&bank.store);
    Bank::on(Arc::clone(&store), store, config, bank.environment.clone())
}

#[tokio::test]
async fn confirmed_recharge_of_missing_account_is_kept() {
    // At once: an account is looked for again and again before it is believed to be missing.
    let cases = ALL
        .iter()
        .flat_map(|batches| [(*batches, false), (*batches, true)]);
    join_all(cases.map(|(batches, given_up)| money_is_kept(batches, given_up))).await;
}

async fn money_is_kept(batches: Batches, given_up: bool) {
    let bank = Bank::new(batches).await;
    let user = bank.user().await;
    let number = bank.ask(&user, 100, "r").await.unwrap().number.unwrap();
    if given_up {
        impatient(&bank).payments.expire_recharges().await;
    }
    take_away(&bank, &user).await;
    for _ in 0..2 {
        assert_eq!(code(bank.confirm(&number, 100, "T").await), 9010);
    }
    let logs = bank.logs(Filter::all().eq("tradeNo", "T")).await;
    let [log] = logs.as_slice() else {
        panic!("{logs:?}")
    };
    assert_eq!(log.integer("state"), Some(2));
    assert_eq!(log.text("outcome"), None);
    assert!(log.text("stuck").unwrap().contains("there is no document"));
}

#[tokio::test]
async fn confirmation_of_other_amount_waits_for_operator() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.user().await;
        let number = bank.ask(&user, 100, "r").await.unwrap().number.unwrap();
        for (trade_no, amount) in [("T2", 50), ("T3", 30), ("T2", 50)] {
            assert_eq!(code(bank.confirm(&number, amount, trade_no).await), 9001);
        }
        bank.confirm(&number, 100, "T1").await.unwrap();
        assert_eq!(code(bank.confirm(&number, 70, "T4").await), 9001);
        bank.recover().await;
        impatient(&bank).payments.expire_recharges().await;
        for (trade_no, amount) in [("T2", 50), ("T3", 30), ("T4", 70)] {
            let logs = bank.logs(Filter::all().eq("tradeNo", trade_no)).await;
            let [log] = logs.as_slice() else {
                panic!("{trade_no}: {logs:?}")
            };
            assert_eq!(
                (log.integer("state"), log.integer("amount")),
                (Some(1), Some(amount))
            );
            assert!(log.text("stuck").unwrap().contains(trade_no));
        }
        let asked = bank.logs(Filter::all().eq("number", number.as_str())).await;
        assert_eq!(
            (asked[0].integer("state"), asked[0].get("stuck")),
            (Some(5), None)
        );
        assert_eq!(bank.balance(&user).await, 100);
        bank.audit().await;
    }
}

#[tokio::test]
async fn trade_number_is_credited_once() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (user, other) = (bank.user().await, bank.user().await);
        let first = bank.ask(&user, 100, "r").await.unwrap().number.unwrap();
        let second = bank.ask(&other, 100, "r").await.unwrap().number.unwrap();
        bank.confirm(&first, 100, "T").await.unwrap();
        assert_eq!(code(bank.confirm(&second, 100, "T").await), 9003);
        assert_eq!(code(bank.confirm(&first, 50, "T").await), 9001);
        assert_eq!((bank.balance(&user).await, bank.balance(&other).await), (100, 0));
        // Said to be another amount first: that is for an operator to decide.
        assert_eq!(code(bank.confirm(&second, 50, "T2").await), 9001);
        assert_eq!(code(bank.confirm(&second, 100, "T2").await), 9001);
        assert_eq!(bank.balance(&other).await, 0);
        bank.confirm(&second, 100, "T3").await.unwrap();
        // Credited by a log of its own.
        bank.confirm(&second, 100, "T4").await.unwrap();
        assert_eq!(code(bank.confirm(&first, 100, "T4").await), 9003);
        assert!(bank.confirm(&second, 100, "T4").await.unwrap().replayed);
        assert_eq!(
            (bank.balance(&user).await, bank.balance(&other).await),
            (100, 200)
        );
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn recharge_of_disabled_channel_is_answered_from_its_log() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.user().await;
        let asked = bank.ask(&user, 100, "r").await.unwrap();
        let mut config = bank.config.clone();
        config.sandbox = false;
        let store = Arc::clone(&bank.store);
        let off = Bank::on(Arc::clone(&store), store, config, bank.environment.clone());
        let again = off.ask(&user, 100, "r").await.unwrap();
        assert_eq!((&again.log, again.replayed), (&asked.log, true));
        assert_eq!((&again.number, again.pay), (&asked.number, None));
        assert_eq!(code(off.ask(&user, 100, "r2").await), 9008);
        // The key has its answer.
        assert_eq!(code(bank.ask(&user, 100, "r2").await), 9008);
        let failed = bank.logs(Filter::all().eq("outcome", "failed")).await;
        assert_eq!(failed.len(), 1);
        bank.audit().await;
    }
}
