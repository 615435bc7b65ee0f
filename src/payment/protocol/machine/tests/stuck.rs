//! Payments that wait for an operator, and what operators do with them.

use super::*;

#[test]
fn resumption_clears_stuck_and_resets_claims() {
    let mut found = stored(&purchase(vec![take("u", 100)]), LogState::Ordered);
    found.insert("stuck".into(), json!("no answer"));
    let log = Log::from_document(&found, &names()).unwrap();
    let claims = |payment: PaymentProcess| {
        let script = Script::new(payment).documents(&[json!({"objectId": "u"}), order()]);
        short(&script.asked)
    };
    let counted = CLAIM.replacen(r#"{"__op":"Increment","amount":1}"#, "0", 1);
    let begun = format!(
        r#"{},"stuck":{{"__op":"Delete"}}}}"#,
        counted.strip_suffix('}').unwrap()
    );
    assert_eq!(
        claims(PaymentProcess::resumed(&names(), worker(), log.clone())),
        begun
    );
    assert_eq!(claims(PaymentProcess::recovered(&names(), worker(), log)), CLAIM);
}

#[test]
fn closed_log_is_never_marked_stuck() {
    let log = |state| Log::from_document(&stored(&purchase(vec![take("u", 100)]), state), &names()).unwrap();
    let stuck = |state| crate::payment::protocol::recovery::mark_stuck(&names(), &log(state), "why");
    assert!(stuck(LogState::Settled).is_some());
    assert_eq!(stuck(LogState::Closed), None);
}

#[test]
fn claimed_log_missing_in_stale_read_is_read_again() {
    Script::recovered(&purchase(vec![take("u", 100)]), LogState::Ordered)
        .documents(&[json!({"objectId": "u"}), order()])
        .asks(CLAIM)
        .not_matched()
        .asks("read Conflict Log/G")
        .documents(&[Value::Null])
        .asks("NotSeenYet: read Epochs _User/u Order/o");
}

/// A purchase whose money is taken; a worker reads the order next, which is not shown.
fn paid_for_an_order_that_is_not_shown() -> Script {
    Script::recovered(&purchase(vec![take("u", 100)]), LogState::Applied)
        .documents(&[json!({"objectId": "u"}), Value::Null])
        .asks(CLAIM)
        .applied(json!({"state": 3, "claims": 1}))
}

#[test]
fn document_missing_in_stale_read_is_read_again() {
    paid_for_an_order_that_is_not_shown()
        .asks(&format!("NotSeenYet: {READ}"))
        .documents(&[json!({"objectId": "u"}), order()])
        .applied(json!({"state": 3, "claims": 1}))
        .asks(&format!(
            r#"Order/o {{"status":"pending",{EPOCH_0}}} -> {{"status":"paid"}}"#
        ));
}

#[test]
fn document_missing_in_every_read_leaves_log_stuck() {
    let mut script = paid_for_an_order_that_is_not_shown();
    for _ in 0..ABSENCES_MAX {
        script = script
            .asks(&format!("NotSeenYet: {READ}"))
            .documents(&[json!({"objectId": "u"}), Value::Null])
            .applied(json!({"state": 3, "claims": 1}));
    }
    assert!(
        short(&script.asked).starts_with("Stuck(NoDocument("),
        "{}",
        short(&script.asked)
    );
}

/// A script that stands right after the claim of somebody who wants a log cancelled.
fn cancelled(legs: Vec<Leg>) -> Script {
    let log = Log::from_document(&stored(&purchase(legs), LogState::Ordered), &names()).unwrap();
    let reason = Refusal::new(ErrorCode::NOT_PAYABLE, "Cancelled.");
    let script = Script::new(PaymentProcess::cancelled(&names(), worker(), log, reason));
    let targets = script.payment.as_ref().unwrap().targets().unwrap();
    let documents: Vec<_> = targets
        .iter()
        .map(|target| json!({"objectId": target.id, "status": "pending"}))
        .collect();
    let claim =
        CLAIM
            .replacen(r#"{"$lt":5}"#, r#"{"$lt":2}"#, 1)
            .replacen(r#""amount":1"#, r#""amount":0"#, 1);
    let claim = format!(
        r#"{},"cancel":"9006 Cancelled."}}"#,
        claim.strip_suffix('}').unwrap()
    );
    script.documents(&documents).asks(&claim)
}

const FAIL_CANCELLED: &str = r#"Log/G {"state":1} -> {"state":5,"outcome":"failed","reason":"9006 Cancelled.","stuck":{"__op":"Delete"}}"#;

#[test]
fn cancellation_refuses_the_first_unapplied_leg() {
    let script = cancelled(vec![take("u", 100)])
        .applied(json!({"state": 1, "claims": 1}))
        .asks(&refusal_of("u"))
        .applied(json!({}))
        .asks(FAIL_CANCELLED)
        .applied(json!({}))
        .asks("Closed");
    assert_eq!(script.log().refusal.as_ref().unwrap().text, "Cancelled.");
    // Pruned meanwhile: from step 1, and claimed again.
    cancelled(vec![take("u", 100)])
        .applied(json!({"state": 1}))
        .not_matched()
        .asks("read Conflict _User/u")
        .documents(&[json!({"objectId": "u", "payEpoch": 1})])
        .asks(&format!("EpochMoved: {READ}"));
    // Refused before, by anyone.
    cancelled(vec![take("u", 100)])
        .applied(json!({"state": 1}))
        .not_matched()
        .documents(&[json!({"objectId": "u", "paylogs": ["G", "void:G"]})])
        .asks(FAIL_CANCELLED);
}

#[test]
fn cancellation_reverses_applied_legs() {
    cancelled(vec![take("u", 10), take("v", 20), give("x", 30)])
        .applied(json!({"state": 1}))
        .asks(&refusal_of("u"))
        .not_matched()
        .documents(&[json!({"objectId": "u", "paylogs": ["G"]})])
        .asks(&refusal_of("v"))
        .applied(json!({}))
        .asks(&reversal_of("u", 10))
        .applied(json!({}))
        .asks(FAIL_CANCELLED);
}

#[test]
fn cancellation_of_secured_money_ends_secured() {
    // Every conditional leg is applied.
    cancelled(vec![take("u", 100), give("x", 100)])
        .applied(json!({"state": 1}))
        .not_matched()
        .documents(&[json!({"objectId": "u", "paylogs": ["G"]})])
        .asks("Secured");
    // Nothing of it can be refused.
    cancelled(vec![give("x", 100)])
        .applied(json!({"state": 1}))
        .asks("Secured");
    // The log says so.
    let draft = purchase(vec![take("u", 100)]);
    for state in [LogState::Funded, LogState::Applied, LogState::Settled] {
        cancelled(vec![take("u", 100)])
            .not_matched()
            .asks("read Conflict Log/G")
            .documents(&[stored(&draft, state).into_value()])
            .asks("Secured");
    }
    let mut closed = stored(&draft, LogState::Closed);
    closed.insert("outcome".into(), json!("failed"));
    cancelled(vec![take("u", 100)])
        .not_matched()
        .documents(&[closed.into_value()])
        .asks("Closed");
    // It goes on to its end, and nothing is left of the cancellation.
    let mut found = stored(&draft, LogState::Ordered);
    found.insert("cancel".into(), json!("9006 Cancelled."));
    let log = Log::from_document(&found, &names()).unwrap();
    let script = Script::new(PaymentProcess::recovered(&names(), worker(), log))
        .documents(&[json!({"objectId": "u"}), order()])
        .applied(json!({"state": 1}))
        .asks(&debit_of("u", 100))
        .not_matched()
        .documents(&[json!({"objectId": "u", "paylogs": ["G"]})])
        .asks(&format!(
            "batch {}",
            record().replacen(
                r#""stuck":{"__op":"Delete"}"#,
                r#""stuck":{"__op":"Delete"},"cancel":{"__op":"Delete"}"#,
                1
            )
        ))
        .outcomes(vec![
            Outcome::Applied(Document::new()),
            Outcome::Applied(Document::new()),
        ])
        .asks("settled");
    assert_eq!(script.log().refusal, None);
}

#[test]
fn cancelled_log_closes_with_the_operators_reason() {
    let mut found = stored(&purchase(vec![take("u", 100)]), LogState::Ordered);
    found.insert("cancel".into(), json!("9006 Cancelled."));
    let log = Log::from_document(&found, &names()).unwrap();
    Script::new(PaymentProcess::recovered(&names(), worker(), log))
        .documents(&[json!({"objectId": "u"}), order()])
        .applied(json!({"state": 1}))
        .not_matched()
        .documents(&[json!({"objectId": "u", "paylogs": ["G", "void:G"]})])
        .asks(FAIL_CANCELLED);
}
