//! Audits, each on the smallest ledger that shows the discrepancy.

mod logs;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::model::{ClassName, ObjectId, Timestamp};
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::{Bound, Leg, Legs};
use crate::payment::protocol::log::{LogState, Verdict};
use crate::payment::protocol::money::{Amount, Delta};
use crate::payment::protocol::target::Target;

fn names() -> Arc<SchemaNames> {
    Arc::new(SchemaNames::default())
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

fn user(text: &str) -> Target {
    Target::new(&ClassName::user(), &id(text))
}

fn order(text: &str) -> Target {
    Target::new(&names().order_class, &id(text))
}

fn document(value: Value) -> Document {
    let Value::Object(fields) = value else { panic!() };
    Document(fields)
}

fn add(target: Target, field: &str, units: i64) -> Leg {
    Leg::new(target).adding(field, Delta::new(units).unwrap())
}

fn take(from: &str, units: i64) -> Leg {
    add(user(from), "account", -units).requiring("account", Bound::at_least(units))
}

fn log(name: &str, kind: Kind, amount: i64, legs: Vec<Leg>) -> Log {
    Log {
        id: id(name),
        state: LogState::Closed,
        intent: Intent {
            key: format!("u:{kind}:{name}"),
            request_key: None,
            number: None,
            kind,
            user: id("u"),
            order: None,
            amount: Amount::new(amount),
            params: Map::new(),
            legs: Legs::new(legs).unwrap(),
        },
        verdict: Some(Verdict::Succeeded),
        refusal: None,
        trade_no: None,
        claims: 0,
        claimed_until: None,
        stuck: None,
        created_at: Some(Timestamp::from_millis(i64::from(name.as_bytes()[0]))),
    }
}

fn recharge(name: &str, units: i64) -> Log {
    log(
        name,
        Kind::Recharge,
        units,
        vec![add(user("u"), "account", units)],
    )
}

fn purchase(name: &str, units: i64) -> Log {
    let mut log = log(name, Kind::Purchase, units, vec![take("u", units)]);
    log.intent.order = Some(id("o"));
    log
}

fn at(state: LogState, mut log: Log) -> Log {
    log.state = state;
    log.verdict = (state >= LogState::Applied).then_some(Verdict::Succeeded);
    log
}

fn failed(mut log: Log) -> Log {
    log.verdict = Some(Verdict::Failed);
    log
}

/// The discrepancies in short: `field: found, not expected [logs]`.
fn audited(logs: &[Log], documents: &[(Target, Value)]) -> (Vec<String>, i128) {
    let mut ledger = Ledger::new(&names());
    for log in logs {
        ledger.add_log(log);
    }
    for (target, value) in documents {
        ledger.check_document(target, &document(value.clone()));
    }
    let in_flight = ledger.in_flight();
    (short(ledger.finish()), in_flight)
}

fn short(differences: Vec<Discrepancy>) -> Vec<String> {
    let short = |difference: Discrepancy| {
        let logs: Vec<_> = difference.logs.iter().map(ToString::to_string).collect();
        let Discrepancy {
            id,
            field,
            expected,
            found,
            ..
        } = difference;
        format!("{id} {field}: {found}, not {expected} [{}]", logs.join(" "))
    };
    differences.into_iter().map(short).collect()
}

fn differences(logs: &[Log], documents: &[(Target, Value)]) -> Vec<String> {
    audited(logs, documents).0
}

#[test]
fn correct_ledger_has_no_discrepancies() {
    let transfer = vec![take("u", 30), add(user("v"), "account", 30)];
    let hold = vec![take("u", 20).adding("frozen", Delta::new(20).unwrap())];
    let mut settle = log(
        "e",
        Kind::Settle,
        20,
        vec![
            add(user("u"), "frozen", -20).adding("account", Delta::new(15).unwrap()),
            add(user("v"), "account", 5),
        ],
    );
    settle.intent.key = "settle:d".into();
    let mut refund = log(
        "f",
        Kind::Refund,
        40,
        vec![
            add(order("o"), "refunded", 40).requiring("refunded", Bound::at_most(0)),
            add(user("u"), "account", 40),
        ],
    );
    refund.intent.order = Some(id("o"));
    let given = log("g", Kind::Adjust, 7, vec![add(user("v"), "account", 7)]);
    let taken = log("h", Kind::Adjust, 50, vec![add(user("v"), "account", -50)]);
    let logs = [
        recharge("a", 100),
        purchase("b", 40),
        log("c", Kind::Transfer, 30, transfer),
        log("d", Kind::Hold, 20, hold),
        settle,
        refund,
        given,
        taken,
        failed(purchase("i", 40)),
    ];
    let documents = [
        (
            user("u"),
            json!({"account": 65, "frozen": 0, "paylogs": ["a", "i", "void:i"]}),
        ),
        // An operator has taken more than there was.
        (user("v"), json!({"account": -8})),
        (user("w"), json!({})),
        (
            order("o"),
            json!({"status": "refunded", "amount": 40, "refunded": 40, "paylogs": ["f"]}),
        ),
    ];
    assert_eq!(audited(&logs, &documents), (vec![], 0));
}

#[test]
fn edited_balance_is_reported() {
    let logs = [recharge("a", 100), recharge("b", 50)];
    for (stored, found) in [
        (json!({"account": 151}), "151"),
        (json!({"account": "150"}), "\"150\""),
        (json!({"account": 150.5}), "150.5"),
        (json!({"account": null}), "null"),
        (json!({}), "0"),
    ] {
        assert_eq!(
            differences(&logs, &[(user("u"), stored)]),
            [format!("u account: {found}, not 150 [b a]")]
        );
    }
    assert_eq!(
        differences(&logs, &[(user("u"), json!({"account": 150, "frozen": 1}))]),
        ["u frozen: 1, not 0 [b a]"]
    );
}

#[test]
fn negative_balance_is_reported_even_if_logs_say_so() {
    let two = [log(
        "a",
        Kind::Hold,
        5,
        vec![add(user("u"), "account", -5).adding("frozen", Delta::new(5).unwrap())],
    )];
    assert_eq!(
        differences(&two, &[(user("u"), json!({"account": -5, "frozen": 5}))]),
        ["u account: -5, not 0 or more [a]"]
    );
}

#[test]
fn discrepancy_names_newest_logs_and_counts_all() {
    let logs: Vec<_> = (0..100_u8)
        .map(|n| {
            let mut log = recharge("x", 1);
            log.id = id(&format!("log{n:02}"));
            log.created_at = Some(Timestamp::from_millis(i64::from(n)));
            log
        })
        .collect();
    let mut ledger = Ledger::new(&names());
    // In no order.
    for n in 0..100_usize {
        ledger.add_log(&logs[n * 37 % 100]);
    }
    ledger.check_document(&user("u"), &document(json!({"account": 0})));
    let differences = ledger.finish();
    let [difference] = differences.as_slice() else {
        panic!("{differences:?}")
    };
    let newest: Vec<_> = (90..100).rev().map(|n| id(&format!("log{n}"))).collect();
    assert_eq!((&difference.logs, difference.logs_total), (&newest, 100));
}

#[test]
fn marks_without_log_are_reported() {
    let fine = json!({"account": 100, "paylogs": ["a"]});
    assert_eq!(
        differences(&[recharge("a", 100)], &[(user("u"), fine)]),
        Vec::<String>::new()
    );
    for (logs, paylogs, found) in [
        // No such log; a log without a leg here; no mark at all.
        (vec![], json!(["x"]), "a mark of x, which has no leg here"),
        (
            vec![log("b", Kind::Transfer, 1, vec![])],
            json!(["b"]),
            "a mark of b, which has no leg here",
        ),
        (vec![], json!(["?:b"]), "\"?:b\""),
        (vec![], json!([7]), "7"),
        // A payment cannot be both.
        (
            vec![],
            json!(["a", "void:a"]),
            "the marks of a, which has succeeded",
        ),
        (
            vec![failed(purchase("b", 1))],
            json!(["b"]),
            "the marks of b, which has failed",
        ),
        (
            vec![failed(recharge("b", 1))],
            json!(["b", "void:b"]),
            "the marks of b, which has failed",
        ),
        (
            vec![at(LogState::Ordered, purchase("b", 1))],
            json!(["undo:b"]),
            "the marks of b, which is not decided",
        ),
    ] {
        let logs: Vec<_> = logs.into_iter().chain([recharge("a", 100)]).collect();
        let stored = json!({"account": 100, "paylogs": paylogs});
        let mut found_here = differences(
            &logs,
            &[(user("u"), stored), (order("o"), json!({"status": "pending"}))],
        );
        // The transfer of nothing does not add up either; that is another test.
        found_here.retain(|difference| difference.contains("paylogs"));
        let [only] = found_here.as_slice() else {
            panic!("{found_here:?}")
        };
        let expected = format!("u paylogs: {found}, not marks of logs with a leg here");
        assert!(only.starts_with(&expected), "{only}");
    }
    // The first ones are named.
    for (marks, more) in [(10, ""), (12, "; and 2 more")] {
        let marks: Vec<_> = (0..marks).map(|n| format!("log{n:02}")).collect();
        let found = differences(&[], &[(user("u"), json!({"paylogs": marks}))]);
        let last =
            format!("a mark of log09, which has no leg here{more}, not marks of logs with a leg here []");
        assert!(found[0].ends_with(&last), "{found:?}");
    }
    assert_eq!(
        differences(&[], &[(user("u"), json!({"paylogs": "x"}))]),
        ["u paylogs: something else, not an array of marks []"]
    );
}

#[test]
fn closed_log_without_its_effect_is_reported() {
    let closed = [recharge("a", 100), purchase("b", 30)];
    let documents = |account: i64| {
        [
            (user("u"), json!({"account": account})),
            (order("o"), json!({"status": "paid"})),
        ]
    };
    assert_eq!(differences(&closed, &documents(70)), Vec::<String>::new());
    assert_eq!(
        differences(&closed, &documents(100)),
        ["u account: 100, not 70 [b a]"]
    );
    // Said to have failed, and the money is gone.
    let closed = [recharge("a", 100), failed(purchase("b", 30))];
    let documents = [
        (user("u"), json!({"account": 70})),
        (order("o"), json!({"status": "pending"})),
    ];
    assert_eq!(differences(&closed, &documents), ["u account: 70, not 100 [a]"]);
}

#[test]
fn legs_that_do_not_add_up_are_reported() {
    let wrong = |log: Log| {
        let found = check_log(&log, &names());
        found.is_some_and(|difference| difference.field == "legs" && difference.logs == [log.id])
    };
    let on_order = |leg: Leg, kind: Kind| {
        let mut log = log("a", kind, 5, vec![leg]);
        log.intent.order = Some(id("o"));
        log
    };
    for (kind, legs) in [
        (Kind::Recharge, vec![add(user("u"), "account", 6)]),
        (Kind::Recharge, vec![add(user("u"), "frozen", 5)]),
        (Kind::Recharge, vec![]),
        (Kind::Purchase, vec![take("u", 6)]),
        (Kind::Purchase, vec![add(user("u"), "account", 5)]),
        (Kind::Purchase, vec![take("u", 5), add(user("v"), "account", 6)]),
        (Kind::Cancel, vec![add(user("u"), "account", 5)]),
        (Kind::Transfer, vec![take("u", 5), add(user("v"), "account", 6)]),
        (Kind::Transfer, vec![take("u", 4), add(user("v"), "account", 4)]),
        (Kind::Hold, vec![take("u", 5)]),
        (
            Kind::Withdraw,
            vec![take("u", 5).adding("frozen", Delta::new(4).unwrap())],
        ),
        (
            Kind::Settle,
            vec![add(user("u"), "frozen", -5).adding("account", Delta::new(6).unwrap())],
        ),
        (Kind::Settle, vec![add(user("u"), "frozen", 5)]),
        (Kind::Adjust, vec![add(user("u"), "account", 4)]),
        (
            Kind::Adjust,
            vec![add(user("u"), "account", 5), add(user("v"), "frozen", 5)],
        ),
        // What no payment touches.
        (
            Kind::Recharge,
            vec![add(user("u"), "account", 5).adding("score", Delta::new(1).unwrap())],
        ),
        (
            Kind::Cancel,
            vec![Leg::new(Target::new(&names().log_class, &id("x")))],
        ),
    ] {
        assert!(wrong(log("a", kind, 5, legs.clone())), "{kind} {legs:?}");
    }
    assert!(wrong(on_order(add(order("o"), "refunded", 4), Kind::Refund)));
    assert!(wrong(on_order(add(order("other"), "refunded", 5), Kind::Refund)));
    assert!(wrong(on_order(add(order("o"), "refunded", 5), Kind::Purchase)));
    assert!(!wrong(on_order(add(order("o"), "refunded", 5), Kind::Refund)));
    assert!(!wrong(log(
        "a",
        Kind::Adjust,
        5,
        vec![add(user("u"), "account", -5)]
    )));
}

#[test]
fn only_an_opening_may_fill_the_held_amount() {
    let legs = vec![add(user("u"), "account", -3).adding("frozen", Delta::new(2).unwrap())];
    let mut opening = log("a", Kind::Adjust, 5, legs);
    assert!(check_log(&opening, &names()).is_some());
    opening.intent.key = opening_key(&id("v"));
    assert!(check_log(&opening, &names()).is_some(), "somebody else's");
    opening.intent.key = opening_key(&id("u"));
    assert_eq!(check_log(&opening, &names()), None);
}

#[test]
fn field_that_is_no_amount_is_reported() {
    let mut stored = document(json!({}));
    let intent = recharge("a", 5).intent;
    intent
        .to_update(&names(), LogState::Ordered)
        .apply(&mut stored)
        .unwrap();
    stored.insert("objectId".into(), json!("a"));
    assert!(read_log(&stored, &names()).is_ok());
    for amount in [json!(-5), json!(0), json!(5.5), json!("5"), json!(null)] {
        stored.insert("amount".into(), amount.clone());
        let difference = read_log(&stored, &names()).unwrap_err().unwrap();
        assert_eq!(
            (difference.field.as_str(), &difference.found),
            ("amount", &amount.to_string())
        );
        let order_of = json!({"status": "pending", "amount": amount});
        assert_eq!(
            differences(&[], &[(order("o"), order_of)]),
            [format!("o amount: {amount}, not an integer from 1 to 10^12 []")]
        );
    }
}

#[test]
fn fenced_log_is_read_as_before_the_fence() {
    let mut stored = document(json!({}));
    let intent = recharge("a", 5).intent;
    intent
        .to_update(&names(), LogState::Ordered)
        .apply(&mut stored)
        .unwrap();
    stored.insert("objectId".into(), json!("a"));
    stored.insert("state".into(), json!(11));
    assert_eq!(read_log(&stored, &names()).unwrap().state, LogState::Ordered);
    stored.insert("state".into(), json!(9));
    assert_eq!(read_log(&stored, &names()).unwrap_err().unwrap().field, "state");
}

#[test]
fn order_status_follows_its_attempts() {
    let cancel = |name: &str, state| {
        let mut log = at(state, log(name, Kind::Cancel, 5, vec![Leg::new(order("o"))]));
        log.intent.order = Some(id("o"));
        log
    };
    let refund = |name: &str, state, units| {
        let leg = add(order("o"), "refunded", units).requiring("refunded", Bound::at_most(5 - units));
        let mut log = at(state, log(name, Kind::Refund, units, vec![leg]));
        log.intent.order = Some(id("o"));
        log
    };
    use LogState::{Applied, Closed, Ordered};
    for (logs, shown, refunded, right) in [
        (vec![], "pending", 0, true),
        (vec![], "paid", 0, false),
        (vec![failed(purchase("a", 5))], "paid", 0, false),
        (vec![purchase("a", 5)], "paid", 0, true),
        (vec![purchase("a", 5)], "pending", 0, false),
        (vec![at(Applied, purchase("a", 5))], "pending", 0, true),
        // The order may be marked before its log says so.
        (vec![at(Ordered, purchase("a", 5))], "paid", 0, true),
        (vec![at(Ordered, purchase("a", 5))], "pending", 0, true),
        (vec![at(Ordered, purchase("a", 5))], "cancelled", 0, false),
        (vec![cancel("a", Closed)], "cancelled", 0, true),
        (vec![cancel("a", Closed)], "expired", 0, false),
        (vec![cancel("a", Applied)], "pending", 0, true),
        (
            vec![failed(purchase("a", 5)), cancel("b", Closed)],
            "cancelled",
            0,
            true,
        ),
        (vec![purchase("a", 5)], "refunded", 0, false),
        (vec![purchase("a", 5), refund("b", Closed, 2)], "paid", 2, true),
        (
            vec![purchase("a", 5), refund("b", Closed, 2)],
            "refunded",
            2,
            false,
        ),
        (vec![purchase("a", 5), refund("b", Closed, 2)], "paid", 0, false),
        (
            vec![purchase("a", 5), refund("b", Closed, 5)],
            "refunded",
            5,
            true,
        ),
        (vec![purchase("a", 5), refund("b", Closed, 5)], "paid", 5, false),
        (vec![purchase("a", 5), refund("b", Applied, 5)], "paid", 5, true),
        (
            vec![purchase("a", 5), refund("b", Applied, 5)],
            "refunded",
            5,
            true,
        ),
        (
            vec![purchase("a", 5), refund("b", Closed, 3), refund("c", Closed, 3)],
            "refunded",
            6,
            false,
        ),
        (vec![refund("b", Closed, 2)], "pending", 2, false),
    ] {
        let order_of = json!({"status": shown, "amount": 5, "refunded": refunded});
        let mut found = differences(&logs, &[(order("o"), order_of), (user("u"), json!({}))]);
        found.retain(|difference| difference.starts_with("o "));
        assert_eq!(found.is_empty(), right, "{shown} {refunded}: {found:?}");
    }
}

#[test]
fn two_succeeded_attempts_are_reported() {
    let documents = [
        (user("u"), json!({"account": 90})),
        (order("o"), json!({"status": "paid"})),
    ];
    assert_eq!(
        differences(
            &[recharge("a", 100), purchase("b", 5), purchase("c", 5)],
            &documents
        ),
        ["o status: paid by one and paid by another, not one attempt that succeeded [c b]"]
    );
}

#[test]
fn missing_document_is_reported() {
    let gone = |logs: &[Log]| differences(logs, &[]);
    let missing = "objectId: no such document, not the document that these payments touch";
    assert_eq!(gone(&[recharge("a", 5)]), [format!("u {missing} [a]")]);
    // The sum is nothing, and yet it is missed.
    let back = [
        recharge("a", 5),
        log("b", Kind::Adjust, 5, vec![add(user("u"), "account", -5)]),
    ];
    assert_eq!(gone(&back), [format!("u {missing} [b a]")]);
    let paid = [purchase("a", 5)];
    assert_eq!(
        gone(&paid),
        [format!("o {missing} [a]"), format!("u {missing} [a]")]
    );
    let funded = [at(LogState::Funded, recharge("a", 5))];
    assert_eq!(gone(&funded), [format!("u {missing} []")]);
    // Nothing has come yet, or nothing ever will.
    assert_eq!(
        gone(&[at(LogState::Ordered, recharge("a", 5))]),
        Vec::<String>::new()
    );
    assert_eq!(gone(&[failed(purchase("a", 5))]), Vec::<String>::new());
}

#[test]
fn hold_ended_twice_or_for_another_amount_is_reported() {
    let hold = |name: &str| {
        log(
            name,
            Kind::Hold,
            20,
            vec![take("u", 20).adding("frozen", Delta::new(20).unwrap())],
        )
    };
    let end = |name: &str, of: &str, units: i64| {
        let mut log = log(name, Kind::Settle, 20, vec![add(user("u"), "frozen", -units)]);
        log.intent.key = format!("settle:{of}");
        log
    };
    let found = |logs: &[Log], frozen: i64| {
        let account = logs.iter().filter(|log| log.intent.kind == Kind::Hold).count();
        let account = json!({"account": 100 - 20 * account, "frozen": frozen});
        let logs: Vec<_> = logs.iter().cloned().chain([recharge("z", 100)]).collect();
        let mut found = differences(&logs, &[(user("u"), account)]);
        found.retain(|difference| difference.contains("settle"));
        found
    };
    let none = Vec::<String>::new();
    assert_eq!(found(&[hold("a")], 20), none);
    assert_eq!(found(&[hold("a"), end("b", "a", 20)], 0), none);
    assert_eq!(
        found(&[hold("a"), failed(end("b", "a", 20)), end("c", "a", 20)], 0),
        none
    );
    let right = "not a hold that is ended once, in full";
    assert_eq!(
        found(&[hold("a"), hold("d"), end("b", "a", 20), end("c", "a", 20)], 0),
        [format!("a settle: ended 2 times, {right} [c b a]")]
    );
    assert_eq!(
        found(&[hold("a"), end("b", "a", 15)], 5),
        [format!("a settle: 20 held, and its end takes 15, {right} [b a]")]
    );
    assert_eq!(
        found(&[end("b", "a", 20)], -20),
        [format!("a settle: ended, and no hold or withdrawal, {right} [b]")]
    );
    let mut elsewhere = end("b", "a", 20);
    elsewhere.intent.key = "u:settle:k".into();
    assert_eq!(check_log(&elsewhere, &names()).unwrap().field, "key");
    // What was refused ends nothing, whatever its key.
    assert_eq!(check_log(&failed(elsewhere), &names()), None);
}

#[test]
fn in_flight_money_is_summed() {
    let transfer = |state| {
        let legs = vec![take("u", 30), add(user("v"), "account", 30)];
        at(state, log("b", Kind::Transfer, 30, legs))
    };
    let books =
        |log: Log, u: Value, v: Value| audited(&[recharge("a", 100), log], &[(user("u"), u), (user("v"), v)]);
    let marks = |account: i64, marks: Value| json!({"account": account, "paylogs": marks});
    let ordered = LogState::Ordered;
    for (u, v, in_flight) in [
        (marks(100, json!([])), json!({}), 0),
        (marks(70, json!(["b"])), json!({}), 30),
        (marks(70, json!(["b"])), marks(30, json!(["b"])), 0),
        // Refused, and taken back.
        (marks(100, json!(["b", "void:b"])), json!({}), 0),
        (marks(100, json!(["b", "undo:b"])), json!({}), 0),
    ] {
        assert_eq!(books(transfer(ordered), u, v), (vec![], in_flight));
    }
    // State 2 says that the money has been taken.
    let (found, in_flight) = books(transfer(LogState::Funded), marks(100, json!([])), json!({}));
    assert_eq!(
        (found, in_flight),
        (vec!["u account: 100, not 70 [b a]".to_owned()], 30)
    );
    // A gateway has paid, and nobody has been credited.
    let funded = at(LogState::Funded, recharge("b", 30));
    assert_eq!(
        books(funded.clone(), marks(100, json!([])), json!({})),
        (vec![], 30)
    );
    assert_eq!(books(funded, marks(130, json!(["b"])), json!({})), (vec![], 0));
    // A hold moves within the account; what an operator gives comes from outside.
    let hold = vec![take("u", 20).adding("frozen", Delta::new(20).unwrap())];
    let hold = at(ordered, log("b", Kind::Hold, 20, hold));
    let held = json!({"account": 80, "frozen": 20, "paylogs": ["b"]});
    assert_eq!(books(hold, held, json!({})), (vec![], 0));
    let given = at(
        ordered,
        log("b", Kind::Adjust, 5, vec![add(user("v"), "account", 5)]),
    );
    assert_eq!(
        books(given, marks(100, json!([])), marks(5, json!(["b"]))),
        (vec![], 0)
    );
}

#[test]
fn untouched_account_with_money_is_unopened() {
    let names = names();
    let unopened = |posted: bool, value: Value| {
        let document = document(value);
        let mut statement = DocumentStatement::new(&names, user("u"), Some(&document));
        if posted {
            statement.post(&Posting::all(&failed(recharge("a", 5)), &names)[0]);
        }
        statement.finish().unopened
    };
    let before = json!({"account": 5, "frozen": 2});
    assert_eq!(unopened(false, before.clone()), Some((5, 2)));
    assert_eq!(
        unopened(false, json!({"account": -5, "paylogs": [], "payEpoch": 0})),
        Some((-5, 0))
    );
    assert_eq!(unopened(true, before), None, "even a payment that has failed");
    for touched in [
        json!({}),
        json!({"account": 0}),
        json!({"account": 5, "paylogs": ["a"]}),
        json!({"account": 5, "payEpoch": 1}),
        json!({"account": 5, "payEpoch": -1}),
        json!({"account": 5, "paylogs": "x"}),
        json!({"account": 5, "paylogs": [7]}),
        json!({"account": 5.5}),
        json!({"account": 5, "frozen": null}),
    ] {
        assert_eq!(unopened(false, touched.clone()), None, "{touched}");
    }
}

#[test]
fn log_totals_count_open_stuck_and_arrived() {
    let mut stuck = at(LogState::Ordered, purchase("d", 5));
    stuck.stuck = Some("why".to_owned());
    let mut closed = purchase("e", 5);
    closed.stuck = Some("why, before".to_owned());
    let mut ledger = Ledger::new(&names());
    for log in [
        recharge("a", 100),
        at(LogState::Ordered, recharge("b", 7)),
        at(LogState::Funded, recharge("c", 30)),
        at(LogState::Funded, log("f", Kind::Transfer, 9, vec![])),
        stuck,
        closed,
    ] {
        ledger.add_log(&log);
    }
    let expected = LogTotals {
        logs: 6,
        open: 4,
        stuck: 1,
        arrived: 30,
    };
    assert_eq!(ledger.totals(), &expected);
}
