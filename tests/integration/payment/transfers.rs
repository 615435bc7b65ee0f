//! Transfers; and what all payments of users share: the policy, `afterPayment`, and queries.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paylog::model::{Filter, ObjectId};
use paylog::payment::policy::Proposal;
use paylog::payment::service::{PaymentSelector, Receipt};
use paylog::payment::{Kind, PaymentPolicy};
use serde_json::json;

use super::fixture::{ALL, Bank, code, key, plain};

#[tokio::test]
async fn transfer_moves_money_once() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (ming, hong) = (bank.rich(1000).await, bank.user().await);
        let transfer = async |amount: i64, note: Option<&str>| {
            let amount = json!(amount);
            bank.payments
                .transfer(&ming, &hong, &amount, note, &key("t"))
                .await
        };
        let made = transfer(300, Some("for lunch")).await.unwrap();
        let expected = json!({
            "log": made.log, "kind": "transfer", "state": 4, "outcome": "succeeded", "amount": 300,
            "to": hong, "note": "for lunch", "createdAt": made.created_at, "replayed": false,
        });
        assert_eq!(serde_json::to_value(&made).unwrap(), expected);
        bank.recover().await;
        let again = transfer(300, Some("for lunch")).await.unwrap();
        assert!(again.replayed);
        assert_eq!(plain(&again), made);
        assert_eq!(code(transfer(301, Some("for lunch")).await), 9003);
        assert_eq!(code(transfer(300, None).await), 9003);
        assert_eq!(code(bank.transfer(&ming, &ming, 300, "t").await), 9003);
        // 300.0 is 300, also in a key's parameters.
        let float = json!(300.0);
        let float = bank
            .payments
            .transfer(&ming, &hong, &float, Some("for lunch"), &key("t"))
            .await;
        assert_eq!(plain(&float.unwrap()), made);
        assert_eq!((bank.balance(&ming).await, bank.balance(&hong).await), (700, 300));
        // The key is the payer's: another user may call theirs the same.
        bank.transfer(&hong, &ming, 50, "t").await.unwrap();
        assert_eq!((bank.balance(&ming).await, bank.balance(&hong).await), (750, 250));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn invalid_transfer_is_refused() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (ming, hong) = (bank.rich(100).await, bank.user().await);
        for amount in [
            json!(0),
            json!(-1),
            json!(100.5),
            json!("100"),
            json!(null),
            json!(1_000_000_000_001_i64),
        ] {
            let refused = bank
                .payments
                .transfer(&ming, &hong, &amount, None, &key("t"))
                .await;
            assert_eq!(code(refused), 9001, "{amount}");
        }
        for note in ["", &"x".repeat(257)] {
            let refused = bank
                .payments
                .transfer(&ming, &hong, &json!(1), Some(note), &key("t"))
                .await;
            assert_eq!(code(refused), 107);
        }
        assert_eq!(bank.logs(Filter::all().eq("kind", "transfer")).await.len(), 0);
        // The key of what was wrong in itself can be used.
        assert_eq!(code(bank.transfer(&ming, &hong, 101, "t").await), 9002);
        assert_eq!(code(bank.transfer(&ming, &hong, 101, "t").await), 9002);
        assert_eq!(code(bank.transfer(&ming, &hong, 100, "t").await), 9003);
        let nobody = ObjectId::parse("nobody").unwrap();
        for _ in 0..2 {
            assert_eq!(code(bank.transfer(&ming, &nobody, 1, "n").await), 9004);
        }
        let failed = bank.logs(Filter::all().eq("outcome", "failed")).await;
        assert_eq!(failed.len(), 2);
        assert_eq!((bank.balance(&ming).await, bank.balance(&hong).await), (100, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn transfer_to_oneself_moves_nothing() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let ming = bank.rich(100).await;
        bank.transfer(&ming, &ming, 100, "all").await.unwrap();
        assert_eq!(code(bank.transfer(&ming, &ming, 101, "more").await), 9002);
        assert_eq!(bank.balance(&ming).await, 100);
        bank.recover().await;
        bank.audit().await;
    }
}

/// A policy that allows nothing but recharges, and records its calls.
#[derive(Default)]
struct Strict(Mutex<Vec<Kind>>);

#[async_trait]
impl PaymentPolicy for Strict {
    async fn allow(&self, proposal: Proposal<'_>) -> Result<(), String> {
        self.0.lock().unwrap().push(proposal.kind);
        Err("Closed for today.".into())
    }
}

#[tokio::test]
async fn policy_is_asked_about_payments_of_users() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let (hong, (ming, order)) = (bank.user().await, bank.sold(100, &[]).await);
        bank.recharge(&ming, 1000, "r").await;
        let held = bank.hold(&ming, 100, "held").await.unwrap().log;
        let withdrawn = bank.withdraw(&ming, 100, "withdrawn").await.unwrap().log;
        let policy = Arc::new(Strict::default());
        let mut strict = bank.again();
        strict.payments = strict.payments.with_policy(Arc::clone(&policy) as _);
        // A repetition is not asked about.
        assert!(strict.hold(&ming, 100, "held").await.unwrap().replayed);
        for _ in 0..2 {
            assert_eq!(code(strict.transfer(&ming, &hong, 1, "t").await), 9007);
            assert_eq!(code(strict.withdraw(&ming, 1, "w").await), 9007);
            assert_eq!(code(strict.hold(&ming, 1, "h").await), 9007);
        }
        assert_eq!(
            *policy.0.lock().unwrap(),
            [Kind::Transfer, Kind::Withdraw, Kind::Hold]
        );
        // What was begun is ended, and what was wrong is corrected, whatever the policy says.
        strict.capture(&held, 100, None, "c").await.unwrap();
        strict.payments.settle_withdraw(&withdrawn, true).await.unwrap();
        strict.refund(&order, None, "f").await.unwrap();
        strict.adjust(&ming, -1, "a").await.unwrap();
        assert_eq!(policy.0.lock().unwrap().len(), 3);
        // The refusals stand, with or without the policy.
        assert_eq!(code(bank.transfer(&ming, &hong, 1, "t").await), 9007);
        assert_eq!(bank.both(&ming).await, (899, 0));
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn after_payment_runs_for_every_kind() {
    for batches in ALL {
        let mut bank = Bank::new(batches).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&told);
        bank.payments = bank.payments.with_after_payment(move |receipt: Receipt| {
            seen.lock().unwrap().push(receipt);
            std::future::ready(Ok(()))
        });
        let (hong, (ming, order)) = (bank.user().await, bank.sold(100, &[]).await);
        bank.refund(&order, Some(40), "f").await.unwrap();
        bank.transfer(&ming, &hong, 5, "t").await.unwrap();
        let withdrawn = bank.withdraw(&ming, 5, "w").await.unwrap();
        bank.payments.settle_withdraw(&withdrawn.log, true).await.unwrap();
        let held = bank.hold(&ming, 10, "h").await.unwrap();
        bank.capture(&held.log, 4, Some(&hong), "c").await.unwrap();
        bank.adjust(&ming, -3, "a").await.unwrap();
        assert_eq!(code(bank.hold(&ming, 1000, "more than there is").await), 9002);
        bank.recover().await;

        let mut told = told.lock().unwrap().clone();
        told.sort_by_key(|receipt| (receipt.kind.clone(), receipt.amount));
        let kinds: Vec<_> = told
            .iter()
            .map(|receipt| (receipt.kind.as_str(), receipt.amount.unwrap()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("adjust", -3),
                ("hold", 10),
                ("purchase", 100),
                ("recharge", 100),
                ("refund", 40),
                ("settle", 4),
                ("settle", 5),
                ("transfer", 5),
                ("withdraw", 5),
            ]
        );
        let page = bank.payments.list(&ming, 100, None).await.unwrap();
        assert_eq!(page.payments.len(), told.len() + 1, "the refused one too");
        for receipt in &told {
            let listed = page.payments.iter().find(|listed| listed.log == receipt.log);
            let listed = Receipt {
                state: 4,
                ..listed.unwrap().clone()
            };
            assert_eq!(listed, *receipt);
        }
        let by_key = async |kind, name: &str| {
            let which = PaymentSelector::Key(kind, key(name));
            bank.payments.payment(&ming, &which).await.unwrap()
        };
        let capture = by_key(Kind::Settle, "c").await;
        assert_eq!(
            (capture.settles.as_ref(), capture.how.as_deref()),
            (Some(&held.log), Some("captured"))
        );
        assert_eq!(capture.payee.as_deref(), Some(hong.as_str()));
        let refund = by_key(Kind::Refund, "f").await;
        assert_eq!((refund.order, refund.amount), (Some(order), Some(40)));
        let withdrawal = by_key(Kind::Withdraw, "w").await;
        assert_eq!(withdrawal.payee.as_deref(), Some("a bank card"));
        assert_eq!(withdrawal.channel.as_deref(), Some("sandbox"));
        let adjustment = by_key(Kind::Adjust, "a").await;
        assert_eq!(adjustment.reason.as_deref(), Some("counted again"));
        bank.audit().await;
    }
}
