//! The writes of a move, on documents that the real filters and operations change.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::write::Action;
use crate::model::{ClassName, ObjectId};
use crate::payment::protocol::mark::Epoch;

fn names() -> Arc<SchemaNames> {
    Arc::new(SchemaNames::default())
}

fn user() -> Target {
    Target::new(&ClassName::user(), &ObjectId::parse("u").unwrap())
}

fn log() -> Target {
    Target::new(&names().log_class, &ObjectId::parse("G").unwrap())
}

fn document(value: Value) -> Document {
    let Value::Object(fields) = value else { panic!() };
    Document(fields)
}

fn first() -> Attempt {
    Attempt::FIRST
}

fn second() -> Attempt {
    first().next().unwrap()
}

fn decided(attempt: Attempt, resolution: Resolution) -> Decision {
    Decision { attempt, resolution }
}

/// Applies a write to a document if its condition holds; returns true if it did.
fn lands(write: &Write, document: &mut Document) -> bool {
    let Action::Update {
        precondition, update, ..
    } = &write.action
    else {
        panic!()
    };
    let matches = precondition.matches(document).unwrap();
    if matches {
        update.apply(document).unwrap();
    }
    matches
}

fn written(todo: RelocationStep) -> Write {
    match todo {
        RelocationStep::Write(write) => write,
        other => panic!("{other:?}"),
    }
}

fn fenced_write(target: &Target, document: &Document, attempt: Attempt) -> Write {
    written(fence(&names(), target, document, attempt).unwrap())
}

fn fenced(target: &Target, document: &Document, attempt: Attempt) -> Document {
    let mut after = document.clone();
    assert!(lands(&fenced_write(target, document, attempt), &mut after));
    after
}

fn rolled_back(target: &Target, document: &Document, attempt: Attempt) -> Document {
    let decision = decided(attempt, Resolution::RolledBack);
    let mut after = document.clone();
    let write = written(roll_back(&names(), target, document, decision).unwrap());
    assert!(lands(&write, &mut after));
    after
}

fn opened(target: &Target, document: &Document, attempt: Attempt) -> Document {
    let mut after = document.clone();
    let write = written(open(&names(), target, document, decided(attempt, Resolution::Final)).unwrap());
    assert!(lands(&write, &mut after));
    after
}

fn copy(target: &Target, document: &Document, attempt: Attempt) -> FencedCopy {
    FencedCopy::of(&names(), target, document, attempt)
        .unwrap()
        .unwrap()
}

fn placing(copy: &FencedCopy, there: &Document) -> CopyAction {
    copy.place(&names(), Some(there)).unwrap()
}

fn replaced(copy: &FencedCopy, there: &Document) -> Document {
    let CopyAction::Replace { precondition, update } = placing(copy, there) else {
        panic!()
    };
    let write = copy.target().update(precondition, update);
    let mut after = there.clone();
    assert!(lands(&write, &mut after));
    after
}

#[test]
fn account_moves_from_source_to_destination() {
    for (before, fenced_epoch) in [
        (json!({"objectId": "u"}), -1),
        (json!({"payEpoch": 7, "account": 5}), -8),
    ] {
        let before = document(before);
        let there = fenced(&user(), &before, first());
        assert_eq!(there["payEpoch"], fenced_epoch);
        assert_eq!(there["paylogs"], json!(["move:1"]));
        assert!(Epoch::of(&there, &user()).is_err());
        let again = fence(&names(), &user(), &there, first()).unwrap();
        assert_eq!(again, RelocationStep::Done);

        let copied = copy(&user(), &there, first());
        assert_eq!(
            copied.place(&names(), None).unwrap(),
            CopyAction::Create(there.clone())
        );
        assert_eq!(placing(&copied, &there), CopyAction::Done);
        let open = opened(&user(), &there, first());
        assert_eq!(open["payEpoch"], -fenced_epoch);
        assert_eq!(open["paylogs"], json!([]));
        assert_eq!(open.get("account"), before.get("account"));
        assert_eq!(placing(&copied, &open), CopyAction::Keep);
    }
}

#[test]
fn request_under_way_does_not_match_fenced_document() {
    let before = document(json!({"account": 5}));
    let there = fenced(&user(), &before, first());
    assert!(
        !Epoch::of(&before, &user())
            .unwrap()
            .precondition()
            .matches(&there)
            .unwrap()
    );
    // Nor does a late repetition of the fence itself.
    assert!(!lands(
        &fenced_write(&user(), &before, first()),
        &mut there.clone()
    ));
}

#[test]
fn fence_after_pruning_does_not_match() {
    let before = document(json!({"payEpoch": 3, "paylogs": ["L"]}));
    let mut pruned = document(json!({"payEpoch": 4, "paylogs": []}));
    assert!(!lands(&fenced_write(&user(), &before, first()), &mut pruned));
    assert_eq!(fenced(&user(), &pruned, first())["payEpoch"], -5);
}

#[test]
fn unfenced_read_makes_no_copy() {
    let before = document(json!({"account": 5, "payEpoch": 2}));
    let open = document(json!({"state": 1}));
    for (target, before) in [(user(), before), (log(), open)] {
        assert_eq!(FencedCopy::of(&names(), &target, &before, first()).unwrap(), None);
        let by_first = fenced(&target, &before, first());
        assert_eq!(
            FencedCopy::of(&names(), &target, &by_first, second()).unwrap(),
            None
        );
        let copied = copy(&target, &by_first, first());
        assert_eq!((copied.target(), copied.document()), (&target, &by_first));
    }
}

#[test]
fn rolled_back_document_has_the_next_epoch() {
    let before = document(json!({"account": 5, "payEpoch": 2}));
    let there = fenced(&user(), &before, first());
    let back = rolled_back(&user(), &there, first());
    assert_eq!(
        back,
        document(json!({"account": 5, "payEpoch": 3, "paylogs": []}))
    );
    // The next fence has a value of its own, so a late roll-back of the first attempt does not undo it.
    let late = written(
        roll_back(
            &names(),
            &user(),
            &there,
            decided(first(), Resolution::RolledBack),
        )
        .unwrap(),
    );
    let mut anew = fenced(&user(), &back, second());
    assert!(!lands(&late, &mut anew));
    // Nor does a late fence.
    assert!(!lands(
        &fenced_write(&user(), &before, first()),
        &mut back.clone()
    ));
}

#[test]
fn copy_of_an_earlier_attempt_is_replaced() {
    let before = document(json!({"account": 5, "nickname": "a"}));
    let old = fenced(&user(), &before, first());
    let mut between = rolled_back(&user(), &old, first());
    between.insert("account".into(), json!(3));
    between.shift_remove("nickname");
    let new = fenced(&user(), &between, second());
    assert_eq!(new["payEpoch"], -2);

    let late = copy(&user(), &old, first());
    let current = copy(&user(), &new, second());
    assert_eq!(replaced(&current, &old), new);
    assert_eq!(placing(&late, &new), CopyAction::Keep);
    // An earlier copy that was left is never opened.
    let left = open(&names(), &user(), &old, decided(second(), Resolution::Final)).unwrap();
    assert_eq!(left, RelocationStep::NotAllowed);
    // The one that replaces it meets the earlier one only.
    let CopyAction::Replace { precondition, .. } = placing(&current, &old) else {
        panic!()
    };
    let reopened = opened(&user(), &new, second());
    assert_eq!(precondition.matches(&reopened), Ok(false));
}

#[test]
fn document_fenced_by_earlier_attempt_is_fenced_again() {
    let before = document(json!({"account": 5}));
    let by_first = fenced(&user(), &before, first());
    let late = written(roll_back(&names(), &user(), &by_first, decided(second(), Resolution::Open)).unwrap());
    let by_second = fenced(&user(), &by_first, second());
    assert_eq!(by_second["payEpoch"], -2);
    assert!(!lands(&late, &mut by_second.clone()));
    let over = decided(first(), Resolution::RolledBack);
    assert_eq!(
        roll_back(&names(), &user(), &by_second, over).unwrap(),
        RelocationStep::NotAllowed
    );
    assert_eq!(
        fence(&names(), &user(), &by_second, first()).unwrap(),
        RelocationStep::NotAllowed
    );
    let back = rolled_back(&user(), &by_second, second());
    assert_eq!(back["paylogs"], json!([]));

    let open = document(json!({"state": 2}));
    let by_first = fenced(&log(), &open, first());
    let late = written(roll_back(&names(), &log(), &by_first, decided(second(), Resolution::Open)).unwrap());
    let by_second = fenced(&log(), &by_first, second());
    assert_eq!(by_second, document(json!({"state": 12, "move": 2})));
    assert!(!lands(&late, &mut by_second.clone()));
    assert_eq!(
        roll_back(&names(), &log(), &by_second, over).unwrap(),
        RelocationStep::NotAllowed
    );
    assert_eq!(rolled_back(&log(), &by_second, second()), open);
}

#[test]
fn open_log_keeps_its_state_across_the_move() {
    for state in 0..5 {
        let before = document(json!({"state": state, "stuck": "why", "claims": 3}));
        let there = fenced(&log(), &before, first());
        assert_eq!(there["state"], state + 10);
        assert_eq!(there["stuck"], "why");
        let claim = Filter::all().lt("state", 5);
        assert!(!claim.matches(&there).unwrap());
        let again = fence(&names(), &log(), &there, first()).unwrap();
        assert_eq!(again, RelocationStep::Done);
        assert_eq!(placing(&copy(&log(), &there, first()), &there), CopyAction::Done);
        let open = opened(&log(), &there, first());
        assert_eq!(open, before);
        assert_eq!(placing(&copy(&log(), &there, first()), &open), CopyAction::Keep);
        assert_eq!(rolled_back(&log(), &there, first()), before);
    }
}

#[test]
fn fence_after_a_log_step_does_not_match() {
    let write = fenced_write(&log(), &document(json!({"state": 1})), first());
    assert!(!lands(&write, &mut document(json!({"state": 3}))));
}

#[test]
fn closed_log_is_copied_unchanged() {
    let closed = document(json!({"state": 5, "outcome": "failed"}));
    assert_eq!(
        fence(&names(), &log(), &closed, first()).unwrap(),
        RelocationStep::Done
    );
    let current = copy(&log(), &closed, second());
    // It was open when the first attempt copied it.
    let early = document(json!({"state": 11, "move": 1, "stuck": "why"}));
    assert_eq!(replaced(&current, &early), closed);
    assert_eq!(placing(&copy(&log(), &early, first()), &closed), CopyAction::Keep);
    assert_eq!(placing(&current, &closed), CopyAction::Done);
    // Once opened, the new home's word holds.
    assert_eq!(
        placing(&current, &document(json!({"state": 1}))),
        CopyAction::Keep
    );
}

#[test]
fn copy_of_a_later_log_fence_replaces_earlier_one() {
    let early = document(json!({"state": 11, "move": 1}));
    let later = document(json!({"state": 11, "move": 2}));
    assert_eq!(replaced(&copy(&log(), &later, second()), &early), later);
    assert_eq!(placing(&copy(&log(), &early, first()), &later), CopyAction::Keep);
    let left = open(&names(), &log(), &early, decided(second(), Resolution::Final)).unwrap();
    assert_eq!(left, RelocationStep::NotAllowed);
}

#[test]
fn decision_is_made_once() {
    let target = user();
    let mut stored = Document::new();
    Decision::begin().apply(&mut stored).unwrap();
    let open = Decision::of(&stored).unwrap();
    assert_eq!(open, decided(first(), Resolution::Open));
    assert_eq!(open.try_again(&target).unwrap(), None);
    let back = open.decide(&target, Resolution::RolledBack).unwrap();
    let forth = open.decide(&target, Resolution::Final).unwrap();
    assert!(lands(&back, &mut stored));
    assert!(!lands(&forth, &mut stored));
    let over = Decision::of(&stored).unwrap();
    assert_eq!(over.decide(&target, Resolution::Final), None);

    let again = over.try_again(&target).unwrap().unwrap();
    assert!(lands(&again, &mut stored));
    assert!(!lands(&again, &mut stored));
    assert_eq!(
        Decision::of(&stored).unwrap(),
        decided(second(), Resolution::Open)
    );
    // What was sent in the first attempt does not decide the second.
    for late in [&back, &forth] {
        assert!(!lands(late, &mut stored));
    }
    let forth = Decision::of(&stored)
        .unwrap()
        .decide(&target, Resolution::Final)
        .unwrap();
    assert!(lands(&forth, &mut stored));
    let decision = Decision::of(&stored).unwrap();
    assert_eq!(decision.try_again(&target).unwrap(), None);
}

#[test]
fn open_before_final_decision_is_not_allowed() {
    let account = fenced(&user(), &document(json!({})), first());
    let record = fenced(&log(), &document(json!({"state": 1})), first());
    for (target, document) in [(user(), account), (log(), record)] {
        let undecided = decided(first(), Resolution::Open);
        assert_eq!(
            open(&names(), &target, &document, undecided).unwrap(),
            RelocationStep::NotAllowed
        );
        assert_eq!(
            roll_back(&names(), &target, &document, undecided).unwrap(),
            RelocationStep::NotAllowed
        );
        let back = decided(first(), Resolution::RolledBack);
        assert_eq!(
            open(&names(), &target, &document, back).unwrap(),
            RelocationStep::NotAllowed
        );
        let forth = decided(first(), Resolution::Final);
        assert_eq!(
            roll_back(&names(), &target, &document, forth).unwrap(),
            RelocationStep::NotAllowed
        );
    }
}

#[test]
fn malformed_document_is_not_moved() {
    let money = [
        json!({"payEpoch": null}),
        json!({"payEpoch": 0.5}),
        json!({"payEpoch": -1}),
        json!({"payEpoch": -1, "paylogs": ["move:x", "move:0", "L"]}),
    ];
    for bad in money {
        assert!(
            fence(&names(), &user(), &document(bad.clone()), first()).is_err(),
            "{bad}"
        );
    }
    let logs = [
        json!({}),
        json!({"state": 6}),
        json!({"state": 15}),
        json!({"state": 11}),
        json!({"state": "1"}),
    ];
    for bad in logs {
        assert!(
            fence(&names(), &log(), &document(bad.clone()), first()).is_err(),
            "{bad}"
        );
    }
    for bad in [
        json!({}),
        json!({"attempt": 0, "decision": "open"}),
        json!({"attempt": 1, "decision": "yes"}),
    ] {
        assert!(Decision::of(&document(bad.clone())).is_err(), "{bad}");
    }
}

#[test]
fn epoch_or_attempt_beyond_range_overflows() {
    let last = document(json!({ "payEpoch": INTEGER_MAX }));
    assert_eq!(
        fence(&names(), &user(), &last, first()),
        Err(ProtocolError::Overflow)
    );
    assert!(Attempt(INTEGER_MAX).next().is_err());
}

#[test]
fn prepared_note_holds_for_one_attempt() {
    let target = user();
    let mut stored = Document::new();
    Decision::begin().apply(&mut stored).unwrap();
    let open = Decision::of(&stored).unwrap();
    assert!(!open.is_prepared(&stored));
    let prepared = open.prepared(&target).unwrap();
    assert!(lands(&prepared, &mut stored));
    assert!(Decision::of(&stored).unwrap().is_prepared(&stored));
    let back = open.decide(&target, Resolution::RolledBack).unwrap();
    assert!(lands(&back, &mut stored));
    let over = Decision::of(&stored).unwrap();
    assert_eq!(over.prepared(&target), None);
    assert!(lands(&over.try_again(&target).unwrap().unwrap(), &mut stored));
    let second = Decision::of(&stored).unwrap();
    assert!(!second.is_prepared(&stored), "the next one begins anew");
    assert!(
        !lands(&prepared, &mut stored),
        "what was sent in the first attempt"
    );
}

#[test]
fn probe_document_is_no_decision() {
    let fields = |update: Update| {
        let mut made = Document::new();
        update.apply(&mut made).unwrap();
        made
    };
    let probe = fields(Decision::probe("a"));
    assert_eq!(Decision::find().matches(&probe), Ok(false));
    assert_eq!(Decision::find().matches(&fields(Decision::begin())), Ok(true));
    // Made twice it has the same key, and nothing else has it.
    assert_eq!(probe, fields(Decision::probe("a")));
    assert_ne!(probe.get("key"), fields(Decision::probe("b")).get("key"));
    assert!(probe.get("key").is_some());
}
