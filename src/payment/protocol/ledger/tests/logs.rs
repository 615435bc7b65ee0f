//! Audits of single logs.

use super::*;

#[test]
fn legs_that_add_up_are_accepted() {
    let on_order = |units: i64| add(order("o"), "refunded", units);
    let account = |user_id: &str, units: i64| add(user(user_id), "account", units);
    let both = |account: i64, frozen: i64| {
        add(user("u"), "account", account).adding("frozen", Delta::new(frozen).unwrap())
    };
    let adds_up = |kind: Kind, legs: Vec<Leg>| {
        let mut log = log("a", kind, 5, legs);
        log.intent.order = Some(id("o"));
        legs_add_up(&log.intent, &names())
    };
    for (kind, legs) in [
        (Kind::Recharge, vec![account("u", 5)]),
        (Kind::Purchase, vec![take("u", 5)]),
        // Payees get a part of it, or all.
        (Kind::Purchase, vec![take("u", 5), account("v", 3)]),
        (Kind::Purchase, vec![take("u", 5), account("v", 5)]),
        (Kind::Cancel, vec![Leg::new(order("o"))]),
        (Kind::Cancel, vec![]),
        (Kind::Transfer, vec![take("u", 5), account("v", 5)]),
        (Kind::Transfer, vec![take("u", 5), account("u", 5)]),
        (Kind::Refund, vec![on_order(5), account("u", 5)]),
        (Kind::Refund, vec![on_order(5), account("u", 5), take("v", 5)]),
        (Kind::Hold, vec![both(-5, 5)]),
        (Kind::Withdraw, vec![both(-5, 5)]),
        (Kind::Settle, vec![both(5, -5)]),
        (Kind::Settle, vec![both(0, -5), account("v", 5)]),
        (Kind::Settle, vec![both(0, -5)]),
        (Kind::Adjust, vec![account("u", 5)]),
        (Kind::Adjust, vec![account("u", -5)]),
    ] {
        assert!(adds_up(kind, legs.clone()), "{kind} {legs:?}");
    }
    for (kind, legs) in [
        // From one account to another is no cancelling, and neither is what was held.
        (Kind::Cancel, vec![account("u", -5), account("v", 5)]),
        (Kind::Cancel, vec![add(user("u"), "frozen", 5)]),
        (
            Kind::Transfer,
            vec![take("u", 5), account("v", 5), add(user("v"), "frozen", 5)],
        ),
        (Kind::Refund, vec![on_order(5), account("u", 6)]),
        (Kind::Refund, vec![on_order(5), take("u", 5)]),
        (Kind::Refund, vec![on_order(5), add(user("u"), "frozen", 5)]),
        (Kind::Refund, vec![account("u", 5)]),
        (Kind::Settle, vec![both(-1, -5)]),
        (Kind::Purchase, vec![take("u", 5), add(user("u"), "frozen", 5)]),
        // A field of the wrong document, or one that is nobody's business.
        (Kind::Refund, vec![add(order("o"), "score", 5), account("u", 5)]),
        (Kind::Refund, vec![add(user("u"), "refunded", 5)]),
        (Kind::Recharge, vec![add(order("o"), "account", 5)]),
        (Kind::Settle, vec![both(5, -5), add(order("o"), "frozen", 0)]),
        (
            Kind::Settle,
            vec![add(user("u"), "frozen", -5).adding("score", Delta::new(-1).unwrap())],
        ),
    ] {
        assert!(!adds_up(kind, legs.clone()), "{kind} {legs:?}");
    }
}

#[test]
fn negative_balance_after_operator_debit_is_accepted() {
    let hold = |units: i64| {
        let leg = add(user("u"), "account", -units).adding("frozen", Delta::new(units).unwrap());
        log("a", Kind::Hold, units, vec![leg])
    };
    let adjust = |units: i64| {
        log(
            "b",
            Kind::Adjust,
            units.abs(),
            vec![add(user("u"), "account", units)],
        )
    };
    let mut opening = log("b", Kind::Adjust, 2, vec![add(user("u"), "frozen", 2)]);
    opening.intent.key = opening_key(&id("u"));
    let found = |logs: [Log; 2], account: i64, frozen: i64| {
        differences(
            &logs,
            &[(user("u"), json!({"account": account, "frozen": frozen}))],
        )
    };
    assert_eq!(found([hold(5), adjust(-1)], -6, 5), Vec::<String>::new());
    let wrong = ["u account: -5, not 0 or more [b a]"];
    assert_eq!(found([hold(6), adjust(1)], -5, 6), wrong);
    assert_eq!(found([hold(5), opening], -5, 7), wrong);
}

#[test]
fn discrepancy_names_each_log_with_effect_once() {
    let leg = add(order("o"), "refunded", 2).requiring("refunded", Bound::at_most(3));
    let mut refund = log("c", Kind::Refund, 2, vec![leg]);
    refund.intent.order = Some(id("o"));
    let logs = [failed(purchase("a", 5)), purchase("b", 5), refund];
    let documents = [
        (user("u"), json!({"account": -5})),
        (order("o"), json!({"status": "paid", "amount": 5})),
    ];
    let mut found = differences(&logs, &documents);
    found.retain(|difference| difference.starts_with("o "));
    assert_eq!(found, ["o refunded: 0, not 2 [c b]"]);
}

/// An audit of a store without a snapshot judges no document that something is still to happen to.
#[test]
fn statement_is_under_way_while_a_log_is_open_and_not_stuck() {
    let names = names();
    let stuck = |mut log: Log| {
        log.stuck = Some("why".to_owned());
        log
    };
    let is_under_way = |target: Target, log: &Log| {
        let document = document(json!({"status": "pending"}));
        let mut statement = DocumentStatement::new(&names, target.clone(), Some(&document));
        for posting in Posting::all(log, &names) {
            if posting.target == target {
                statement.post(&posting);
            }
        }
        statement.finish().is_under_way
    };
    let open = |state| at(state, purchase("a", 5));
    for (log, account, its_order) in [
        (open(LogState::Ordered), true, true),
        (open(LogState::Funded), true, true),
        // Every leg is applied; the order is still to be marked.
        (open(LogState::Applied), false, true),
        (open(LogState::Settled), false, false),
        (purchase("a", 5), false, false),
        (stuck(open(LogState::Ordered)), false, false),
        (stuck(open(LogState::Applied)), false, false),
    ] {
        assert_eq!(is_under_way(user("u"), &log), account, "{log:?}");
        assert_eq!(is_under_way(order("o"), &log), its_order, "{log:?}");
    }
    // Its gateway may never pay it.
    let waits = at(LogState::Ordered, recharge("a", 5));
    assert!(!is_under_way(user("u"), &waits));
    assert!(is_under_way(user("u"), &at(LogState::Funded, recharge("a", 5))));
}
