//! Adjustments: an operator's corrections.

use paylog::model::ObjectId;
use serde_json::json;

use super::fixture::{ALL, Bank, code, key, plain};

#[tokio::test]
async fn adjustment_adds_and_takes_money() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.user().await;
        let up = bank.adjust(&user, 100, "up").await.unwrap();
        let expected = json!({
            "log": up.log, "kind": "adjust", "state": 4, "outcome": "succeeded", "amount": 100,
            "reason": "counted again", "createdAt": up.created_at, "replayed": false,
        });
        assert_eq!(serde_json::to_value(&up).unwrap(), expected);
        let down = bank.adjust(&user, -60, "down").await.unwrap();
        assert_eq!(down.amount, Some(-60));
        assert_eq!(plain(&bank.adjust(&user, -60, "down").await.unwrap()), down);
        // A key is for one amount, sign and all.
        assert_eq!(code(bank.adjust(&user, 60, "down").await), 9003);
        assert_eq!(code(bank.adjust(&user, -41, "too much").await), 9002);
        assert_eq!(bank.balance(&user).await, 40);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn adjustment_with_floor_stops_at_the_floor() {
    for batches in ALL {
        let bank = Bank::new(batches).await;
        let user = bank.rich(10).await;
        let adjust = async |amount: i64, floor: i64, name: &str| {
            let (amount, floor) = (json!(amount), json!(floor));
            bank.payments
                .adjust_account_down_to(&user, &amount, Some(&floor), "owed", &key(name))
                .await
        };
        assert_eq!(code(adjust(-61, -50, "one too many").await), 9002);
        adjust(-60, -50, "all").await.unwrap();
        assert_eq!(code(adjust(-60, -49, "all").await), 9003);
        assert_eq!(bank.balance(&user).await, -50);
        assert_eq!(code(adjust(-1, -50, "more").await), 9002);
        assert_eq!(code(adjust(1, -50, "up").await), 9001);
        // A floor may be above 0, too: something is to be left.
        bank.recharge(&user, 150, "r").await;
        assert_eq!(code(adjust(-51, 50, "too much").await), 9002);
        adjust(-50, 50, "rest").await.unwrap();
        assert_eq!(bank.balance(&user).await, 50);
        // Nobody else's payment may take what is not there.
        adjust(-60, -50, "owed").await.unwrap();
        let other = bank.user().await;
        assert_eq!(code(bank.transfer(&user, &other, 1, "t").await), 9002);
        bank.recover().await;
        bank.audit().await;
    }
}

#[tokio::test]
async fn invalid_adjustment_is_refused() {
    let bank = Bank::new(ALL[0]).await;
    let user = bank.rich(10).await;
    for amount in [
        json!(0),
        json!(0.5),
        json!("1"),
        json!(null),
        json!(1_000_000_000_001_i64),
        json!(-1_000_000_000_001_i64),
        json!(i64::MIN),
    ] {
        let refused = bank
            .payments
            .adjust_account(&user, &amount, "why", &key("a"))
            .await;
        assert_eq!(code(refused), 9001, "{amount}");
    }
    for floor in [json!(null), json!(0.5), json!("0"), json!(-1_000_000_000_001_i64)] {
        let refused = bank
            .payments
            .adjust_account_down_to(&user, &json!(-1), Some(&floor), "why", &key("a"))
            .await;
        assert_eq!(code(refused), 9001, "{floor}");
    }
    let refused = bank
        .payments
        .adjust_account(&user, &json!(1), "", &key("a"))
        .await;
    assert_eq!(code(refused), 107);
    let nobody = ObjectId::parse("nobody").unwrap();
    assert_eq!(code(bank.adjust(&nobody, 1, "a").await), 9004);
    assert_eq!(code(bank.adjust(&nobody, -1, "b").await), 9004);
    assert_eq!(bank.balance(&user).await, 10);
    bank.audit().await;
}
