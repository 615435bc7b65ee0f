//! Atomic commits: their writes, and the reasons of their refusal.

use super::*;

#[test]
fn commit_omits_legs_without_change_or_requirement() {
    let legs = vec![
        give("x", 60),
        take("u", 100),
        Leg::new(user("w")).requiring("account", Bound::at_least(5)),
        Leg::new(user("z")),
    ];
    let there: Vec<_> = ["u", "w", "x", "z"].map(|name| json!({"objectId": name})).into();
    let there = [there, vec![order()]].concat();
    let commit = format!(
        r#"commit create Log 3 "succeeded" | _User/u {{{EPOCH_0},"account":{{"$gte":100}}}} -> {{"account":{{"__op":"Increment","amount":-100}}}} | _User/w {{{EPOCH_0},"account":{{"$gte":5}}}} -> {{}} | _User/x {{{EPOCH_0}}} -> {{"account":{{"__op":"Increment","amount":60}}}} | Order/o {{"status":"pending",{EPOCH_0}}} -> {{"status":"paid"}}"#
    );
    Script::fresh(CommitMode::Atomic, purchase(legs))
        .documents(&there)
        .asks(&commit);
    // Where lower states of the log exist, every leg leaves its mark.
    let confirmed = NewPayment {
        intent: Intent {
            legs: Legs::new(vec![give("u", 100), Leg::new(user("z"))]).unwrap(),
            ..recharge().intent
        },
        ..recharge()
    };
    let log = Log::from_document(&stored(&confirmed, LogState::Ordered), &names()).unwrap();
    let payment = PaymentProcess::confirmed(&names(), worker(), CommitMode::Atomic, log, "T");
    let script = Script::new(payment).documents(&[json!({"objectId": "u"}), json!({"objectId": "z"})]);
    let bare = format!(
        r#" | _User/z {{"paylogs":{{"$ne":"G"}},{EPOCH_0}}} -> {{"paylogs":{{"__op":"AddUnique","objects":["G"]}}}}"#
    );
    assert!(short(&script.asked).ends_with(&bare), "{}", short(&script.asked));
}

#[test]
fn refused_commit_is_explained_by_its_document() {
    // A create has no condition: an answer that says so says nothing.
    Script::fresh(CommitMode::Atomic, purchase(vec![take("u", 100)]))
        .documents(&[json!({"objectId": "u"}), order()])
        .feed(Input::Committed(AtomicOutcome::Refused(0, Outcome::NotMatched)))
        .asks(&format!("NoAnswer: {READ}"));
    // A log that was to be confirmed has moved on: it says where to.
    let log = Log::from_document(&stored(&recharge(), LogState::Ordered), &names()).unwrap();
    let payment = PaymentProcess::confirmed(&names(), worker(), CommitMode::Atomic, log, "T");
    let refused = |index| {
        Script::new(payment.clone())
            .documents(&[json!({"objectId": "u"})])
            .feed(Input::Committed(AtomicOutcome::Refused(
                index,
                Outcome::NotMatched,
            )))
    };
    refused(0).asks("read Conflict Log/G");
    // Money that has arrived is recorded step by step from then on, whatever stands in the way of its credit.
    refused(1)
        .asks("EpochMoved: read Epochs _User/u")
        .documents(&[json!({"objectId": "u", "payEpoch": 1})])
        .asks(r#"Log/G {"state":1} -> {"state":2,"tradeNo":"T","stuck":{"__op":"Delete"}}"#);
}
