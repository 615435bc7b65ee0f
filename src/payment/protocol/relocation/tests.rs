//! The writes of a move, on documents that the real filters and operations change.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::{ClassName, ObjectId};
use crate::payment::protocol::mark::Epoch;

fn rules() -> Arc<Rules> {
    Arc::new(Rules::default())
}

fn user() -> Target {
    Target::new(&ClassName::user(), &ObjectId::parse("u").unwrap())
}

fn log() -> Target {
    Target::new(&rules().log_class, &ObjectId::parse("G").unwrap())
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

/// Whether the write takes effect, and its effect.
fn lands(write: &Write, document: &mut Document) -> bool {
    let Write::Update { guard, update, .. } = write else {
        panic!()
    };
    let matches = guard.matches(document).unwrap();
    if matches {
        update.apply(document).unwrap();
    }
    matches
}

fn written(todo: Todo) -> Write {
    match todo {
        Todo::Write(write) => write,
        other => panic!("{other:?}"),
    }
}

fn fenced_write(target: &Target, document: &Document, attempt: Attempt) -> Write {
    written(fence(&rules(), target, document, attempt).unwrap())
}

fn fenced(target: &Target, document: &Document, attempt: Attempt) -> Document {
    let mut after = document.clone();
    assert!(lands(&fenced_write(target, document, attempt), &mut after));
    after
}

fn rolled_back(target: &Target, document: &Document, attempt: Attempt) -> Document {
    let decision = decided(attempt, Resolution::RolledBack);
    let mut after = document.clone();
    let write = written(roll_back(&rules(), target, document, decision).unwrap());
    assert!(lands(&write, &mut after));
    after
}

fn opened(target: &Target, document: &Document, attempt: Attempt) -> Document {
    let mut after = document.clone();
    let write = written(open(&rules(), target, document, decided(attempt, Resolution::Final)).unwrap());
    assert!(lands(&write, &mut after));
    after
}

fn copy(target: &Target, document: &Document, attempt: Attempt) -> Copy {
    Copy::of(&rules(), target, document, attempt).unwrap().unwrap()
}

fn placing(copy: &Copy, there: &Document) -> Placing {
    copy.place(&rules(), Some(there)).unwrap()
}

fn replaced(copy: &Copy, there: &Document) -> Document {
    let Placing::Replace(write) = placing(copy, there) else {
        panic!()
    };
    let mut after = there.clone();
    assert!(lands(&write, &mut after));
    after
}

#[test]
fn an_account_goes_from_home_to_home() {
    for (before, fenced_epoch) in [
        (json!({"objectId": "u"}), -1),
        (json!({"payEpoch": 7, "account": 5}), -8),
    ] {
        let before = document(before);
        let there = fenced(&user(), &before, first());
        assert_eq!(there["payEpoch"], fenced_epoch);
        assert_eq!(there["paylogs"], json!(["move:1"]));
        assert!(Epoch::of(&there, &user()).is_err());
        let again = fence(&rules(), &user(), &there, first()).unwrap();
        assert_eq!(again, Todo::Nothing);

        let copied = copy(&user(), &there, first());
        assert_eq!(
            copied.place(&rules(), None).unwrap(),
            Placing::Create(there.clone())
        );
        assert_eq!(placing(&copied, &there), Placing::Stands);
        let open = opened(&user(), &there, first());
        assert_eq!(open["payEpoch"], -fenced_epoch);
        assert_eq!(open["paylogs"], json!([]));
        assert_eq!(open.get("account"), before.get("account"));
        assert_eq!(placing(&copied, &open), Placing::Keep);
    }
}

#[test]
fn nothing_under_way_changes_what_is_fenced() {
    let before = document(json!({"account": 5}));
    let there = fenced(&user(), &before, first());
    assert!(
        !Epoch::of(&before, &user())
            .unwrap()
            .guard()
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
fn a_pruning_is_faster_than_the_fence() {
    let before = document(json!({"payEpoch": 3, "paylogs": ["L"]}));
    let mut pruned = document(json!({"payEpoch": 4, "paylogs": []}));
    assert!(!lands(&fenced_write(&user(), &before, first()), &mut pruned));
    assert_eq!(fenced(&user(), &pruned, first())["payEpoch"], -5);
}

#[test]
fn only_what_is_seen_fenced_is_copied() {
    let before = document(json!({"account": 5, "payEpoch": 2}));
    let open = document(json!({"state": 1}));
    for (target, before) in [(user(), before), (log(), open)] {
        assert_eq!(Copy::of(&rules(), &target, &before, first()).unwrap(), None);
        let by_first = fenced(&target, &before, first());
        assert_eq!(Copy::of(&rules(), &target, &by_first, second()).unwrap(), None);
        let copied = copy(&target, &by_first, first());
        assert_eq!((copied.target(), copied.document()), (&target, &by_first));
    }
}

#[test]
fn the_old_home_goes_on_with_the_epoch_after() {
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
            &rules(),
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
fn copies_of_an_earlier_attempt_do_not_stay() {
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
    assert_eq!(placing(&late, &new), Placing::Keep);
    // An earlier copy that was left is never opened.
    let left = open(&rules(), &user(), &old, decided(second(), Resolution::Final)).unwrap();
    assert_eq!(left, Todo::NotAllowed);
    // The one that replaces it meets the earlier one only.
    let Placing::Replace(write) = placing(&current, &old) else {
        panic!()
    };
    assert!(!lands(&write, &mut opened(&user(), &new, second())));
}

#[test]
fn what_an_earlier_attempt_has_fenced_is_fenced_anew() {
    let before = document(json!({"account": 5}));
    let by_first = fenced(&user(), &before, first());
    let late = written(roll_back(&rules(), &user(), &by_first, decided(second(), Resolution::Open)).unwrap());
    let by_second = fenced(&user(), &by_first, second());
    assert_eq!(by_second["payEpoch"], -2);
    assert!(!lands(&late, &mut by_second.clone()));
    let over = decided(first(), Resolution::RolledBack);
    assert_eq!(
        roll_back(&rules(), &user(), &by_second, over).unwrap(),
        Todo::NotAllowed
    );
    assert_eq!(
        fence(&rules(), &user(), &by_second, first()).unwrap(),
        Todo::NotAllowed
    );
    let back = rolled_back(&user(), &by_second, second());
    assert_eq!(back["paylogs"], json!([]));

    let open = document(json!({"state": 2}));
    let by_first = fenced(&log(), &open, first());
    let late = written(roll_back(&rules(), &log(), &by_first, decided(second(), Resolution::Open)).unwrap());
    let by_second = fenced(&log(), &by_first, second());
    assert_eq!(by_second, document(json!({"state": 12, "move": 2})));
    assert!(!lands(&late, &mut by_second.clone()));
    assert_eq!(
        roll_back(&rules(), &log(), &by_second, over).unwrap(),
        Todo::NotAllowed
    );
    assert_eq!(rolled_back(&log(), &by_second, second()), open);
}

#[test]
fn open_logs_in_every_state_go_on_in_it() {
    for state in 0..5 {
        let before = document(json!({"state": state, "stuck": "why", "claims": 3}));
        let there = fenced(&log(), &before, first());
        assert_eq!(there["state"], state + 10);
        assert_eq!(there["stuck"], "why");
        let claim = Filter::all().lt("state", 5);
        assert!(!claim.matches(&there).unwrap());
        let again = fence(&rules(), &log(), &there, first()).unwrap();
        assert_eq!(again, Todo::Nothing);
        assert_eq!(placing(&copy(&log(), &there, first()), &there), Placing::Stands);
        let open = opened(&log(), &there, first());
        assert_eq!(open, before);
        assert_eq!(placing(&copy(&log(), &there, first()), &open), Placing::Keep);
        assert_eq!(rolled_back(&log(), &there, first()), before);
    }
}

#[test]
fn a_step_is_faster_than_the_fence_of_a_log() {
    let write = fenced_write(&log(), &document(json!({"state": 1})), first());
    assert!(!lands(&write, &mut document(json!({"state": 3}))));
}

#[test]
fn closed_logs_are_copied_as_they_are() {
    let closed = document(json!({"state": 5, "outcome": "failed"}));
    assert_eq!(fence(&rules(), &log(), &closed, first()).unwrap(), Todo::Nothing);
    let current = copy(&log(), &closed, second());
    // It was open when the first attempt copied it.
    let early = document(json!({"state": 11, "move": 1, "stuck": "why"}));
    assert_eq!(replaced(&current, &early), closed);
    assert_eq!(placing(&copy(&log(), &early, first()), &closed), Placing::Keep);
    assert_eq!(placing(&current, &closed), Placing::Stands);
    // Once opened, the new home's word holds.
    assert_eq!(placing(&current, &document(json!({"state": 1}))), Placing::Keep);
}

#[test]
fn later_fences_of_a_log_replace_earlier_ones() {
    let early = document(json!({"state": 11, "move": 1}));
    let later = document(json!({"state": 11, "move": 2}));
    assert_eq!(replaced(&copy(&log(), &later, second()), &early), later);
    assert_eq!(placing(&copy(&log(), &early, first()), &later), Placing::Keep);
    let left = open(&rules(), &log(), &early, decided(second(), Resolution::Final)).unwrap();
    assert_eq!(left, Todo::NotAllowed);
}

#[test]
fn the_decision_falls_once() {
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
fn nothing_opens_before_the_decision() {
    let account = fenced(&user(), &document(json!({})), first());
    let record = fenced(&log(), &document(json!({"state": 1})), first());
    for (target, document) in [(user(), account), (log(), record)] {
        let undecided = decided(first(), Resolution::Open);
        assert_eq!(
            open(&rules(), &target, &document, undecided).unwrap(),
            Todo::NotAllowed
        );
        assert_eq!(
            roll_back(&rules(), &target, &document, undecided).unwrap(),
            Todo::NotAllowed
        );
        let back = decided(first(), Resolution::RolledBack);
        assert_eq!(
            open(&rules(), &target, &document, back).unwrap(),
            Todo::NotAllowed
        );
        let forth = decided(first(), Resolution::Final);
        assert_eq!(
            roll_back(&rules(), &target, &document, forth).unwrap(),
            Todo::NotAllowed
        );
    }
}

#[test]
fn what_nobody_wrote_is_not_moved() {
    let money = [
        json!({"payEpoch": null}),
        json!({"payEpoch": 0.5}),
        json!({"payEpoch": -1}),
        json!({"payEpoch": -1, "paylogs": ["move:x", "move:0", "L"]}),
    ];
    for bad in money {
        assert!(
            fence(&rules(), &user(), &document(bad.clone()), first()).is_err(),
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
            fence(&rules(), &log(), &document(bad.clone()), first()).is_err(),
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
fn numbers_end_somewhere() {
    let last = document(json!({ "payEpoch": INTEGER_MAX }));
    assert_eq!(
        fence(&rules(), &user(), &last, first()),
        Err(ProtocolError::Overflow)
    );
    assert!(Attempt(INTEGER_MAX).next().is_err());
}

#[test]
fn what_is_prepared_is_so_for_one_attempt() {
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
fn a_probe_decides_nothing() {
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
