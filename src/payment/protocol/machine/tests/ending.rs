//! Holds, and the log that may end one.

use super::*;

/// The one log that may end the hold `H`.
fn capture(request_key: Option<&str>) -> NewPayment {
    let taken = Leg::new(user("u")).adding("frozen", Amount::new(1).unwrap().debit());
    NewPayment::new(Intent {
        key: "settle:H".into(),
        request_key: request_key.map(ToOwned::to_owned),
        kind: Kind::Settle,
        order: None,
        amount: Amount::new(1),
        legs: Legs::new(vec![taken, give("p", 1)]).unwrap(),
        ..purchase(vec![]).intent
    })
}

#[test]
fn refused_settlement_leaves_the_fixed_key_free() {
    let there = [json!({"objectId": "u"}), json!({"objectId": "p"})];
    for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
        let begin = |key| Script::fresh(manner, capture(key));
        let refused = begin(Some("u:settle:k")).documents(&[json!({"objectId": "u"}), Value::Null]);
        let log = created(&refused);
        assert_eq!(
            (&log["key"], &log["outcome"]),
            (&json!("u:settle:k"), &json!("failed"))
        );
        let kept = refused.applied(json!({"objectId": "G"})).asks("Closed");
        assert_eq!(kept.log().intent.key, "u:settle:k");
        // Nobody knows whether the refusal stands: from the beginning, and this time the payee is there.
        let again = begin(Some("u:settle:k"))
            .documents(&[json!({"objectId": "u"}), Value::Null])
            .unknown()
            .documents(&there);
        assert_eq!(created(&again)["key"], "settle:H");
        // Nobody's key stands beside it: there is nothing that a refusal could stand under.
        let keyless = begin(None).documents(&[json!({"objectId": "u"}), Value::Null]);
        assert!(
            short(&keyless.asked).starts_with("Stuck(NoDocument("),
            "{}",
            short(&keyless.asked)
        );
    }
    // The payee went after it was read.
    for (key, expected) in [
        (Some("u:settle:k"), r#"create Log 5 "failed""#),
        (None, "Stuck(NoDocument("),
    ] {
        let refused = Script::fresh(CommitMode::Atomic, capture(key))
            .documents(&there)
            .feed(Input::Committed(AtomicOutcome::Refused(2, Outcome::NotMatched)))
            .documents(&[Value::Null]);
        assert!(
            short(&refused.asked).starts_with(expected),
            "{}",
            short(&refused.asked)
        );
    }
}

#[test]
fn standing_refusal_is_returned_before_the_settlement() {
    let refused = NewPayment::refused(
        capture(Some("u:settle:k")).intent,
        Refusal::new(ErrorCode::AMOUNT_EXCEEDS_REST, "More than what is held: 1."),
    );
    let begin = || {
        Script::fresh(CommitMode::PerDocument, refused.clone())
            .asks(r#"create Log 5 "failed""#)
            .outcomes(vec![Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)])
    };
    // The hold has ended under another key. That is not what kept our refusal out: the read is older than it.
    let ended = stored(&capture(Some("u:settle:other")), LogState::Closed);
    begin()
        .feed(Input::Found(vec![ended.clone()]))
        .asks(r#"NotSeenYet: find Log {"$or":[{"key":"settle:H"},{"requestKey":"u:settle:k"}]}"#);
    let stands = stored(&capture(Some("u:settle:k")), LogState::Closed);
    begin().feed(Input::Found(vec![ended, stands])).asks("Closed");
}

#[test]
fn hold_log_stores_its_expiry() {
    for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
        let hold = NewPayment {
            expires_at: Some(Timestamp::EPOCH),
            ..capture(None)
        };
        let script =
            Script::fresh(manner, hold).documents(&[json!({"objectId": "u"}), json!({"objectId": "p"})]);
        let date = json!({"__type": "Date", "iso": "1970-01-01T00:00:00.000Z"});
        assert_eq!(created(&script)["expiresAt"], date);
    }
}
