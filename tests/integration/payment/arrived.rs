//! Money that has arrived is credited, or stands in a log that waits for an operator. It is never gone.

use std::sync::Arc;
use std::time::Duration;

use paylog::model::{Document, Filter, ObjectId};
use paylog::store::{Action, Write, WriteOutcome};

use super::bank::{ALL, Bank, code};

/// Takes the document of a user away and answers what was in it.
async fn take_away(bank: &Bank, user: &ObjectId) -> Document {
    let class = &bank.config.user_class;
    let document = bank.get(class, user).await;
    let action = Action::Delete {
        id: user.clone(),
        guard: Filter::all(),
    };
    let class = class.clone();
    let outcome = bank.store.write(Write { class, action }).await;
    assert!(matches!(outcome, WriteOutcome::Applied(_)), "{outcome:?}");
    document
}

/// The same store, where recharges are given up at once.
fn impatient(bank: &Bank) -> Bank {
    let mut config = bank.config.clone();
    config.recharge_expires = Duration::ZERO;
    let store = Arc::clone(&bank.store);
    Bank::on(Arc::clone(&store), store, config, bank.environment.clone())
}

#[tokio::test]
async fn money_for_a_missing_account_is_kept() {
    for batches in ALL {
        for given_up in [false, true] {
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
    }
}
