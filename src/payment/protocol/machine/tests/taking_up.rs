//! Taken keys: the log that a payment finds under its keys, and the certain part of it.

use super::*;

fn named(key: &str, request_key: Option<&str>, number: Option<&str>) -> NewPayment {
    let mut draft = recharge();
    draft.intent.key = key.into();
    draft.intent.request_key = request_key.map(ToOwned::to_owned);
    draft.intent.number = number.map(ToOwned::to_owned);
    draft
}

fn found(draft: NewPayment, logs: &[&NewPayment]) -> Script {
    let logs = logs.iter().map(|log| stored(log, LogState::Ordered)).collect();
    Script::fresh(CommitMode::PerDocument, draft)
        .outcomes(vec![Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)])
        .feed(Input::Found(logs))
}

#[test]
fn own_request_key_wins_over_own_key() {
    let ours = named("u:recharge:1", Some("r"), Some("N"));
    let same_key = named("u:recharge:1", Some("s"), Some("M"));
    let same_number = named("u:recharge:2", Some("t"), Some("N"));
    let key_of = |script: Script| script.log().intent.key.clone();
    let attempt = named("u:recharge:0", Some("r"), None);
    let script = found(ours.clone(), &[&same_number, &same_key, &attempt]).asks("AwaitingGateway");
    assert_eq!(key_of(script), "u:recharge:0");
    let script = found(ours.clone(), &[&same_number, &same_key]).asks("KeyTaken");
    assert_eq!(key_of(script), "u:recharge:1");
    let script = found(ours, &[&same_number]).asks("KeyTaken");
    assert_eq!(key_of(script), "u:recharge:2");
}

#[test]
fn duplicate_refusal_adopts_by_key_or_number() {
    let refusal = Refusal::new(ErrorCode::NOT_PAYABLE, "No.");
    let refused = |number| {
        let intent = named("k", Some("r"), number).intent;
        NewPayment::refused(intent, refusal.clone())
    };
    let find =
        |keys: &str| format!(r#"NotSeenYet: find Log {{"$or":[{{"key":"k"}},{{"requestKey":"r"}}{keys}]}}"#);
    let same_key = named("k", Some("s"), None);
    found(refused(None), &[&same_key]).asks("KeyTaken");
    let same_number = named("l", Some("s"), Some("N"));
    found(refused(Some("N")), &[&same_number]).asks("KeyTaken");
    // A read that is older than what kept it out.
    let other = named("l", Some("s"), Some("M"));
    found(refused(None), &[&other]).asks(&find(""));
    found(refused(Some("N")), &[&other]).asks(&find(r#",{"number":"N"}"#));
}

#[test]
fn adopted_log_counts_as_replayed() {
    let replayed = |script: &Script| script.payment.as_ref().unwrap().is_replayed();
    let fresh = Script::fresh(CommitMode::PerDocument, recharge());
    assert!(!replayed(&fresh));
    assert!(!replayed(&fresh.applied(json!({"objectId": "G"}))));
    assert!(replayed(
        &found(recharge(), &[&recharge()]).asks("AwaitingGateway")
    ));
    assert!(replayed(&Script::recovered(&recharge(), LogState::Ordered)));
}

#[test]
fn log_ahead_of_the_claim_is_read_again() {
    let draft = purchase(vec![take("u", 100)]);
    for state in [LogState::Funded, LogState::Applied, LogState::Settled] {
        Script::recovered(&draft, LogState::Ordered)
            .documents(&[json!({"objectId": "u"}), order()])
            .not_matched()
            .documents(&[stored(&draft, state).into_value()])
            .asks(&format!("NotSeenYet: {READ}"));
    }
}

#[test]
fn malformed_epoch_does_not_refuse_arrived_money() {
    for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
        let script = Script::fresh(manner, purchase(vec![take("u", 100)]))
            .documents(&[json!({"objectId": "u", "payEpoch": "x"}), order()]);
        assert!(
            short(&script.asked).starts_with("Stuck(Malformed"),
            "{}",
            short(&script.asked)
        );
    }
}

#[test]
fn restart_forgets_epochs() {
    // The account has gone meanwhile: nothing has begun yet, so that is a refusal.
    for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
        let script = Script::fresh(manner, purchase(vec![take("u", 100)]))
            .documents(&[json!({"objectId": "u"}), order()]);
        let script = match manner {
            CommitMode::PerDocument => script.unknown(),
            CommitMode::Atomic => script.feed(Input::Committed(AtomicOutcome::Unknown)),
        };
        script
            .asks(&format!("NoAnswer: {READ}"))
            .documents(&[Value::Null, order()])
            .asks(r#"create Log 5 "failed""#);
    }
}

#[test]
fn created_log_holds_all_known_fields() {
    let draft = NewPayment {
        state: LogState::Funded,
        trade_no: Some("T".into()),
        stuck: Some("why".into()),
        ..recharge()
    };
    let script = Script::fresh(CommitMode::PerDocument, draft.clone()).documents(&[json!({"objectId": "u"})]);
    let fields = created(&script);
    assert_eq!(
        (&fields["tradeNo"], &fields["stuck"]),
        (&json!("T"), &json!("why"))
    );
    let script = script.applied(json!({"objectId": "G"}));
    assert_eq!(script.log().trade_no.as_deref(), Some("T"));
    assert_eq!(script.log().stuck.as_deref(), Some("why"));
    let at_once = NewPayment { stuck: None, ..draft };
    let script = Script::fresh(CommitMode::Atomic, at_once).documents(&[json!({"objectId": "u"})]);
    let fields = created(&script);
    assert_eq!((&fields["tradeNo"], &fields["state"]), (&json!("T"), &json!(3)));
    let answers = vec![document(json!({"objectId": "G"})), Document::new()];
    let script = script
        .feed(Input::Committed(AtomicOutcome::Applied(answers)))
        .asks("settled");
    assert_eq!(script.log().trade_no.as_deref(), Some("T"));
}

#[test]
fn declined_payment_stores_its_reason() {
    let refusal = Refusal::new(ErrorCode::NOT_PAYABLE, "No.");
    let refused = NewPayment::refused(purchase(vec![take("u", 100)]).intent, refusal.clone());
    let script = Script::fresh(CommitMode::PerDocument, refused);
    assert_eq!(created(&script)["reason"], "9006 No.");
    let script = script.applied(json!({"objectId": "G"})).asks("Closed");
    let log = script.log();
    assert_eq!(
        (log.state, log.verdict),
        (LogState::Closed, Some(Verdict::Failed))
    );
    assert_eq!(log.refusal.as_ref(), Some(&refusal));
}

#[test]
fn process_log_holds_what_is_certain() {
    let stuck_log = |draft: &NewPayment, state| {
        let mut found = stored(draft, state);
        found.insert("stuck".into(), json!("why"));
        Log::from_document(&found, &names()).unwrap()
    };
    let seen = |script: &Script| {
        let log = script.log();
        (log.state, log.verdict, log.stuck.clone())
    };
    // The gateway's number, and what comes of it.
    for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
        let log = stuck_log(&recharge(), LogState::Ordered);
        let script = Script::new(PaymentProcess::confirmed(&names(), worker(), manner, log, "T"))
            .documents(&[json!({"objectId": "u"})]);
        let (script, expected) = match manner {
            CommitMode::PerDocument => (script.applied(json!({})), (LogState::Funded, None, None)),
            CommitMode::Atomic => (
                script.feed(Input::Committed(AtomicOutcome::Applied(vec![Document::new(); 2]))),
                (LogState::Applied, Some(Verdict::Succeeded), None),
            ),
        };
        assert_eq!(seen(&script), expected);
        assert_eq!(script.log().trade_no.as_deref(), Some("T"));
    }
    // A claim, success, the closing.
    let draft = purchase(vec![take("u", 100)]);
    let claimed = || {
        let log = stuck_log(&draft, LogState::Ordered);
        Script::new(PaymentProcess::recovered(&names(), worker(), log))
            .documents(&[json!({"objectId": "u"}), order()])
            .applied(json!({"state": 1, "claims": 7}))
    };
    assert_eq!(claimed().log().claims, 7);
    let recorded = claimed().applied(json!({})).outcomes(vec![
        Outcome::Applied(Document::new()),
        Outcome::Applied(Document::new()),
    ]);
    let succeeded = Some(Verdict::Succeeded);
    assert_eq!(seen(&recorded), (LogState::Applied, succeeded, None));
    let closed = recorded.feed(Input::Notified).applied(json!({}));
    assert_eq!(seen(&closed), (LogState::Closed, succeeded, None));
    // A refusal.
    let failed = claimed()
        .not_matched()
        .documents(&[json!({"objectId": "u", "paylogs": ["G", "void:G"]})])
        .applied(json!({}))
        .asks("Closed");
    assert_eq!(seen(&failed), (LogState::Closed, Some(Verdict::Failed), None));
    assert_eq!(failed.log().refusal, Some(Refusal::insufficient_balance()));
}

#[test]
fn unanswered_closing_is_sent_again() {
    let script = Script::recovered(&purchase(vec![take("u", 100)]), LogState::Settled)
        .documents(&[json!({"objectId": "u"}), order()])
        .applied(json!({"state": 4}))
        .asks("settled")
        .feed(Input::Notified)
        .unknown()
        .asks(r#"NoAnswer: close Log/G {"state":4} -> {"state":5}"#)
        .not_matched()
        .asks("read Conflict Log/G");
    let closed = stored(&purchase(vec![take("u", 100)]), LogState::Closed);
    script.documents(&[closed.into_value()]).asks("Closed");
}

#[test]
fn process_shows_the_log_last_read() {
    let draft = purchase(vec![take("u", 100)]);
    let mut closed = stored(&draft, LogState::Closed);
    closed.insert("claims".into(), json!(3));
    let script = Script::recovered(&draft, LogState::Ordered)
        .documents(&[json!({"objectId": "u"}), order()])
        .not_matched()
        .documents(&[closed.into_value()])
        .asks("Closed");
    assert_eq!((script.log().state, script.log().claims), (LogState::Closed, 3));
    let log = Log::from_document(&stored(&recharge(), LogState::Ordered), &names()).unwrap();
    let mut paid = stored(&recharge(), LogState::Funded);
    paid.insert("tradeNo".into(), json!("other"));
    let payment = PaymentProcess::confirmed(&names(), worker(), CommitMode::PerDocument, log, "T");
    let script = Script::new(payment)
        .documents(&[json!({"objectId": "u"})])
        .not_matched()
        .documents(&[paid.into_value()])
        .asks("Unconfirmable");
    assert_eq!(script.log().trade_no.as_deref(), Some("other"));
    assert_eq!(script.log().state, LogState::Funded);
}
