//! Withdrawals and their settlements.

use paylog::model::{Filter, ObjectId};
use paylog::payment::service::Channel;
use paylog::store::{Action, Write, WriteOutcome};
use serde_json::json;

use super::fixture::{ALL, Bank, code, key, plain};

#[tokio::test]
async fn paid_out_withdrawal_takes_the_money_and_failed_one_returns_it() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(1000).await;
        let asked = bank.withdraw(&user, 300, "w").await.unwrap();
        let expected = json!({
            "log": asked.log, "kind": "withdraw", "state": 4, "outcome": "succeeded", "amount": 300,
            "channel": "sandbox", "payee": "a bank card", "createdAt": asked.created_at, "replayed": false,
        });
        assert_eq!(serde_json::to_value(&asked).unwrap(), expected);
        assert_eq!(bank.both(&user).await, (700, 300));
        assert_eq!(plain(&bank.withdraw(&user, 300, "w").await.unwrap()), asked);
        assert_eq!(code(bank.withdraw(&user, 301, "w").await), 9003);

        let paid = bank.payments.settle_withdraw(&asked.log, true).await.unwrap();
        assert_eq!(
            (paid.kind.as_str(), paid.amount, paid.how.as_deref()),
            ("settle", Some(300), Some("paidOut"))
        );
        assert_eq!(paid.settles, Some(asked.log.clone()));
        bank.recover().await;
        let again = bank.payments.settle_withdraw(&asked.log, true).await.unwrap();
        assert_eq!((plain(&again), again.replayed), (paid, true));
        // One word, for ever.
        assert_eq!(code(bank.payments.settle_withdraw(&asked.log, false).await), 9006);
        assert_eq!(bank.both(&user).await, (700, 0));

        let other = bank.withdraw(&user, 700, "w2").await.unwrap().log;
        assert_eq!(bank.both(&user).await, (0, 700));
        let back = bank.payments.settle_withdraw(&other, false).await.unwrap();
        assert_eq!(back.how.as_deref(), Some("notPaidOut"));
        assert_eq!(code(bank.payments.settle_withdraw(&other, true).await), 9006);
        assert_eq!(bank.both(&user).await, (700, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn invalid_withdrawal_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        let via = async |bank: &Bank, channel, name: &str| {
            bank.payments
                .withdraw(&user, &json!(10), channel, "a bank card", &key(name))
                .await
        };
        for (channel, what) in [(Channel::Wechat, "wechat"), (Channel::Alipay, "alipay")] {
            let refused = via(&bank, channel, what).await.unwrap_err();
            assert_eq!(refused.code.0, 9008);
            assert!(refused.message.contains(what), "{refused}");
        }
        let mut off = bank.again();
        off.config.sandbox = false;
        let off = off.again();
        assert_eq!(code(via(&off, Channel::Sandbox, "off").await), 9008);
        // The key has its answer, whatever is set up by then.
        assert_eq!(code(via(&bank, Channel::Sandbox, "off").await), 9008);
        let kept = via(&bank, Channel::Sandbox, "on").await.unwrap();
        assert_eq!(
            plain(&via(&off, Channel::Sandbox, "on").await.unwrap()),
            kept,
            "it stands, whether or not its channel is still there"
        );
        let refused = bank.withdraw(&user, 91, "much").await;
        assert_eq!(code(refused), 9002);
        for payee in ["", &"x".repeat(257)] {
            let refused = bank
                .payments
                .withdraw(&user, &json!(1), Channel::Sandbox, payee, &key("p"))
                .await;
            assert_eq!(code(refused), 107);
        }
        assert_eq!(bank.both(&user).await, (90, 10));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn only_successful_withdrawal_is_settled() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        let nothing = ObjectId::parse("nothing").unwrap();
        assert_eq!(code(bank.payments.settle_withdraw(&nothing, true).await), 9004);
        let hold = bank.hold(&user, 10, "h").await.unwrap().log;
        assert_eq!(code(bank.payments.settle_withdraw(&hold, true).await), 9004);
        assert_eq!(code(bank.withdraw(&user, 1000, "much").await), 9002);
        let refused = bank.logs(Filter::all().eq("outcome", "failed")).await;
        let refused = refused[0].object_id().unwrap();
        assert_eq!(code(bank.payments.settle_withdraw(&refused, false).await), 9006);
        let withdrawal = bank.withdraw(&user, 5, "w").await.unwrap().log;
        assert_eq!(code(bank.release(&withdrawal, "r").await), 9004);
        // It does not expire, however long its gateway takes.
        bank.ahead(400 * 24 * 60 * 60).payments.expire_holds().await;
        assert_eq!(bank.both(&user).await, (95, 5));
        bank.recover().await;
        bank.audit().await;
    }
}

/// A settlement without a caller's key cannot be refused: it waits until it can be made.
#[tokio::test]
async fn settlement_of_missing_account_waits() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(100).await;
        let withdrawal = bank.withdraw(&user, 60, "w").await.unwrap().log;
        bank.recover().await;
        let class = bank.config.user_class.clone();
        let action = Action::Delete {
            id: user.clone(),
            precondition: Filter::all(),
        };
        let gone = bank.store.write(Write { class, action }).await;
        assert!(matches!(gone, WriteOutcome::Applied(_)), "{gone:?}");
        for succeeded in [true, false] {
            let told = bank.payments.settle_withdraw(&withdrawal, succeeded).await;
            let told = told.unwrap_err();
            assert_eq!(told.code.0, 9010);
            assert!(told.message.contains("restore it"), "{told}");
        }
        assert_eq!(bank.logs(Filter::all().eq("kind", "settle")).await.len(), 0);
    }
}
