//! Protocol scripts: inputs are fed, and the effects asked for must be exactly these.

mod commit;
mod ending;
mod stuck;
mod taking_up;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::model::write::{Action, Write};
use crate::model::{ClassName, Document, ErrorCode, ObjectId, Timestamp};
use crate::payment::protocol::effect::AtomicOutcome;
use crate::payment::protocol::effect::{Effect, Input, Outcome};
use crate::payment::protocol::error::Refusal;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Leg;
use crate::payment::protocol::leg::{Bound, Legs};
use crate::payment::protocol::log::Verdict;
use crate::payment::protocol::log::{Log, LogState};
use crate::payment::protocol::machine::process::ABSENCES_MAX;
use crate::payment::protocol::machine::{CommitMode, NewPayment, Next, PaymentProcess, step};
use crate::payment::protocol::money::{Amount, Delta};
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::recovery::Worker;
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

fn worker() -> Worker {
    Worker {
        name: "w".into(),
        until: Timestamp::EPOCH,
    }
}

fn document(value: Value) -> Document {
    let Value::Object(fields) = value else { panic!() };
    Document(fields)
}

fn take(from: &str, units: i64) -> Leg {
    let amount = Amount::new(units).unwrap();
    Leg::new(user(from))
        .adding("account", amount.debit())
        .requiring("account", Bound::at_least(units))
}

fn give(to: &str, units: i64) -> Leg {
    Leg::new(user(to)).adding("account", Amount::new(units).unwrap().credit())
}

/// A purchase of 100 by `u`, of the order `o`.
fn purchase(legs: Vec<Leg>) -> NewPayment {
    NewPayment::new(Intent {
        key: "order:N:1".into(),
        request_key: Some("u:purchase:k".into()),
        number: None,
        kind: Kind::Purchase,
        user: id("u"),
        order: Some(id("o")),
        amount: Amount::new(100),
        params: Map::from_iter([("order".to_owned(), json!("o"))]),
        legs: Legs::new(legs).unwrap(),
    })
}

/// The log of a purchase, as it is stored.
fn stored(draft: &NewPayment, state: LogState) -> Document {
    let mut document = Document::new();
    draft
        .intent
        .to_update(&names(), state)
        .apply(&mut document)
        .unwrap();
    document.insert("objectId".into(), json!("G"));
    if state >= LogState::Applied {
        document.insert("outcome".into(), json!("succeeded"));
    }
    document
}

/// Feeds inputs and writes down, in short, what the machine asks for.
struct Script {
    payment: Option<PaymentProcess>,
    asked: Next,
}

impl Script {
    fn new(payment: PaymentProcess) -> Self {
        let step = step(payment, Input::Begin).unwrap();
        Self {
            payment: Some(step.payment),
            asked: step.next,
        }
    }

    fn fresh(manner: CommitMode, draft: NewPayment) -> Self {
        Self::new(PaymentProcess::fresh(&names(), worker(), manner, draft))
    }

    fn recovered(draft: &NewPayment, state: LogState) -> Self {
        let log = Log::from_document(&stored(draft, state), &names()).unwrap();
        Self::new(PaymentProcess::recovered(&names(), worker(), log))
    }

    fn asks(self, expected: &str) -> Self {
        assert_eq!(short(&self.asked), expected);
        self
    }

    fn feed(mut self, input: Input) -> Self {
        let step = step(self.payment.take().unwrap(), input).unwrap();
        self.payment = Some(step.payment);
        self.asked = step.next;
        self
    }

    fn documents(self, documents: &[Value]) -> Self {
        let documents = documents.iter().map(|value| match value {
            Value::Null => None,
            value => Some(document(value.clone())),
        });
        self.feed(Input::Documents(documents.collect()))
    }

    fn outcomes(self, outcomes: Vec<Outcome>) -> Self {
        self.feed(Input::Outcomes(outcomes))
    }

    fn applied(self, fields: Value) -> Self {
        self.outcomes(vec![Outcome::Applied(document(fields))])
    }

    fn not_matched(self) -> Self {
        self.outcomes(vec![Outcome::NotMatched])
    }

    fn unknown(self) -> Self {
        self.outcomes(vec![Outcome::Unknown])
    }

    fn log(&self) -> &Log {
        self.payment.as_ref().unwrap().log().unwrap()
    }
}

/// An effect in one line: what is read, or what each write guards and does.
fn short(next: &Next) -> String {
    match next {
        Next::Perform(effect) => short_effect(effect),
        Next::Restart(why, effect) => format!("{why:?}: {}", short_effect(effect)),
        Next::Settled => "settled".into(),
        Next::End(end) => format!("{end:?}"),
    }
}

fn short_effect(effect: &Effect) -> String {
    let all = |writes: &[Write]| writes.iter().map(short_write).collect::<Vec<_>>().join(" | ");
    match effect {
        Effect::Read(purpose, targets) => {
            let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
            format!("read {purpose:?} {}", targets.join(" "))
        }
        Effect::Find(class, filter) => format!("find {class} {}", filter.to_value()),
        Effect::Write(write) => short_write(write),
        Effect::Batch(writes) => format!("batch {}", all(writes)),
        Effect::Commit(writes) => format!("commit {}", all(writes)),
        Effect::Close(write) => format!("close {}", short_write(write)),
    }
}

fn short_write(write: &Write) -> String {
    let class = &write.class;
    match &write.action {
        Action::Create { fields } => {
            let fields = fields.to_value();
            let outcome = fields.get("outcome").cloned().unwrap_or_default();
            format!("create {class} {} {outcome}", fields["state"])
        }
        Action::Update {
            id,
            precondition,
            update,
            fetch: true,
        } => format!(
            "{class}/{id} {} -> {}",
            precondition.to_value(),
            update.to_value()
        ),
        Action::Update { .. } | Action::Delete { .. } => panic!("{write:?}"),
    }
}

/// The fields of the log that is to be created.
fn created(script: &Script) -> Value {
    let created = match &script.asked {
        Next::Perform(Effect::Write(write)) => Some(write),
        Next::Perform(Effect::Commit(writes)) => writes.first(),
        _ => None,
    };
    let Some(Action::Create { fields }) = created.map(|write| &write.action) else {
        panic!("{:?}", script.asked)
    };
    fields.to_value()
}

const EPOCH_0: &str = r#""$or":[{"payEpoch":0},{"payEpoch":{"$exists":false}}]"#;

fn debit_of(from: &str, units: i64) -> String {
    format!(
        r#"_User/{from} {{"paylogs":{{"$ne":"G"}},{EPOCH_0},"account":{{"$gte":{units}}}}} -> {{"account":{{"__op":"Increment","amount":-{units}}},"paylogs":{{"__op":"AddUnique","objects":["G"]}}}}"#
    )
}

fn refusal_of(from: &str) -> String {
    format!(
        r#"_User/{from} {{"paylogs":{{"$ne":"G"}},{EPOCH_0}}} -> {{"paylogs":{{"__op":"AddUnique","objects":["G","void:G"]}}}}"#
    )
}

fn reversal_of(from: &str, units: i64) -> String {
    format!(
        r#"_User/{from} {{"paylogs":{{"$ne":"undo:G"}},{EPOCH_0}}} -> {{"account":{{"__op":"Increment","amount":{units}}},"paylogs":{{"__op":"AddUnique","objects":["undo:G"]}}}}"#
    )
}

fn record() -> String {
    format!(
        r#"Log/G {{"state":1}} -> {{"state":3,"outcome":"succeeded","stuck":{{"__op":"Delete"}}}} | Order/o {{"status":"pending",{EPOCH_0}}} -> {{"status":"paid"}}"#
    )
}

const CLAIM: &str = r#"Log/G {"state":{"$lt":5}} -> {"claims":{"__op":"Increment","amount":1},"state":{"__op":"Increment","amount":0},"claimedBy":"w","claimedUntil":{"__type":"Date","iso":"1970-01-01T00:00:00.000Z"}}"#;
const FAIL: &str = r#"Log/G {"state":1} -> {"state":5,"outcome":"failed","reason":"9002 The balance is too low.","stuck":{"__op":"Delete"}}"#;
const READ: &str = "read Epochs _User/u Order/o";
const ORDER: &str = r#"{"objectId":"o","status":"pending"}"#;

fn order() -> Value {
    serde_json::from_str(ORDER).unwrap()
}

#[test]
fn purchase_without_conflict_settles() {
    let script = Script::fresh(CommitMode::PerDocument, purchase(vec![take("u", 100)]))
        .asks(READ)
        .documents(&[json!({"objectId": "u", "account": 500}), order()])
        .asks("create Log 1 null")
        .applied(json!({"objectId": "G"}))
        .asks(&debit_of("u", 100))
        .applied(json!({}))
        .asks(&format!("batch {}", record()))
        .outcomes(vec![
            Outcome::Applied(Document::new()),
            Outcome::Applied(Document::new()),
        ])
        .asks("settled")
        .feed(Input::Notified)
        .asks(r#"close Log/G {"state":3} -> {"state":5}"#)
        .applied(json!({}))
        .asks("Closed");
    assert_eq!(script.log().verdict, Some(Verdict::Succeeded));
}

#[test]
fn atomic_purchase_is_one_commit() {
    let commit = format!(
        r#"commit create Log 3 "succeeded" | _User/u {{{EPOCH_0},"account":{{"$gte":100}}}} -> {{"account":{{"__op":"Increment","amount":-100}}}} | Order/o {{"status":"pending",{EPOCH_0}}} -> {{"status":"paid"}}"#
    );
    let begin = || {
        Script::fresh(CommitMode::Atomic, purchase(vec![take("u", 100)]))
            .asks(READ)
            .documents(&[json!({"objectId": "u", "account": 500}), order()])
            .asks(&commit)
    };
    let declining = format!(
        r#"commit create Log 5 "failed" | _User/u {{{EPOCH_0}}} -> {{"payEpoch":{{"__op":"Increment","amount":0}}}}"#
    );
    let answers = vec![
        document(json!({"objectId": "G"})),
        Document::new(),
        Document::new(),
    ];
    begin()
        .feed(Input::Committed(AtomicOutcome::Applied(answers)))
        .asks("settled");
    // Too little money: the refusal is recorded before it is told.
    begin()
        .feed(Input::Committed(AtomicOutcome::Refused(1, Outcome::NotMatched)))
        .asks("read Conflict _User/u")
        .documents(&[json!({"objectId": "u", "account": 99})])
        .asks(&declining)
        .feed(Input::Committed(AtomicOutcome::Applied(vec![
            document(json!({"objectId": "G"})),
            Document::new(),
        ])))
        .asks("Closed");
    // That read was stale, and what kept the commit from having an effect was a pruning.
    begin()
        .feed(Input::Committed(AtomicOutcome::Refused(1, Outcome::NotMatched)))
        .documents(&[json!({"objectId": "u", "account": 99})])
        .asks(&declining)
        .feed(Input::Committed(AtomicOutcome::Refused(1, Outcome::NotMatched)))
        .asks(&format!("EpochMoved: {READ}"));
    // Pruned meanwhile: again, with the new epoch.
    begin()
        .feed(Input::Committed(AtomicOutcome::Refused(1, Outcome::NotMatched)))
        .documents(&[json!({"objectId": "u", "account": 500, "payEpoch": 1})])
        .asks(&format!("EpochMoved: {READ}"));
    // Somebody has the key.
    begin()
        .feed(Input::Committed(AtomicOutcome::Refused(
            0,
            Outcome::Rejected(ErrorCode::DUPLICATE_VALUE),
        )))
        .asks(r#"find Log {"$or":[{"key":"order:N:1"},{"requestKey":"u:purchase:k"}]}"#);
    begin()
        .feed(Input::Committed(AtomicOutcome::Unknown))
        .asks(&format!("NoAnswer: {READ}"));
}

#[test]
fn duplicate_key_adopts_the_holding_log() {
    let draft = purchase(vec![take("u", 100)]);
    let begin = || {
        Script::fresh(CommitMode::PerDocument, draft.clone())
            .documents(&[json!({"objectId": "u"}), order()])
            .outcomes(vec![Outcome::Rejected(ErrorCode::DUPLICATE_VALUE)])
    };
    // Not seen yet: read again, never taken for absent.
    let find = r#"find Log {"$or":[{"key":"order:N:1"},{"requestKey":"u:purchase:k"}]}"#;
    begin()
        .asks(find)
        .feed(Input::Found(vec![]))
        .asks(&format!("NotSeenYet: {find}"));
    // Ours, and open: from step 1 of recovery, the epochs first, then the claim.
    begin()
        .feed(Input::Found(vec![stored(&draft, LogState::Ordered)]))
        .asks(READ)
        .documents(&[json!({"objectId": "u"}), order()])
        .asks(&format!(
            r#"{},"stuck":{{"__op":"Delete"}}}}"#,
            CLAIM
                .replacen(r#""amount":1"#, r#""amount":0"#, 1)
                .strip_suffix('}')
                .unwrap()
        ));
    // Somebody else's.
    let mut other = purchase(vec![take("u", 100)]);
    other.intent.request_key = Some("u:purchase:other".into());
    begin()
        .feed(Input::Found(vec![stored(&other, LogState::Ordered)]))
        .asks("KeyTaken");
}

#[test]
fn unanswered_create_is_looked_up_again() {
    Script::fresh(CommitMode::PerDocument, purchase(vec![take("u", 100)]))
        .documents(&[json!({"objectId": "u"}), order()])
        .unknown()
        .asks(&format!("NoAnswer: {READ}"))
        .documents(&[json!({"objectId": "u"}), order()])
        .asks("create Log 1 null");
}

/// A script that stands right after the claim of an ordered log.
fn claimed(legs: Vec<Leg>) -> Script {
    let draft = purchase(legs);
    let script = Script::recovered(&draft, LogState::Ordered);
    let targets = script.payment.as_ref().unwrap().targets().unwrap();
    let documents: Vec<_> = targets
        .iter()
        .map(|target| json!({"objectId": target.id, "status": "pending"}))
        .collect();
    script
        .documents(&documents)
        .asks(CLAIM)
        .applied(json!({"state": 1, "claims": 1}))
}

#[test]
fn unmatched_leg_is_decided_by_its_document() {
    let read = "read Conflict _User/u";
    let again = format!("EpochMoved: {READ}");
    for (found, expected) in [
        // Applied before.
        (
            json!({"objectId": "u", "paylogs": ["G"]}),
            format!("batch {}", record()),
        ),
        // Refused before.
        (
            json!({"objectId": "u", "paylogs": ["G", "void:G"]}),
            FAIL.to_owned(),
        ),
        // Pruned meanwhile; enough money meanwhile.
        (json!({"objectId": "u", "payEpoch": 1}), again.clone()),
        (json!({"objectId": "u", "account": 100}), again.clone()),
        // Only a requirement that is not met refuses.
        (json!({"objectId": "u", "account": 99}), refusal_of("u")),
        (json!({"objectId": "u"}), refusal_of("u")),
    ] {
        claimed(vec![take("u", 100)])
            .asks(&debit_of("u", 100))
            .not_matched()
            .asks(read)
            .documents(&[found])
            .asks(&expected);
    }
    let stuck = |found: Value| {
        let script = claimed(vec![take("u", 100)]).not_matched().documents(&[found]);
        short(&script.asked)
    };
    // Younger than what was read, perhaps.
    assert_eq!(stuck(Value::Null), format!("NotSeenYet: {READ}"));
    assert!(stuck(json!({"objectId": "u", "account": null})).starts_with("Stuck(Malformed"));
    assert!(stuck(json!({"objectId": "u", "account": 0.5})).starts_with("Stuck(Malformed"));
    assert!(stuck(json!({"objectId": "u", "payEpoch": -1})).starts_with("Moved"));
}

#[test]
fn rejected_update_restarts_the_run() {
    for outcome in [
        Outcome::Unknown,
        Outcome::Rejected(ErrorCode::TIMEOUT),
        Outcome::Rejected(ErrorCode::OTHER),
        Outcome::Rejected(ErrorCode::FORBIDDEN),
        Outcome::Rejected(ErrorCode::TOO_MANY_REQUESTS),
    ] {
        claimed(vec![take("u", 100)])
            .outcomes(vec![outcome])
            .asks(&format!("NoAnswer: {READ}"));
    }
}

#[test]
fn refusal_reverses_earlier_legs_last_first() {
    let legs = vec![take("u", 10), take("v", 20), take("w", 30), give("x", 60)];
    let script = claimed(legs)
        .asks(&debit_of("u", 10))
        .applied(json!({}))
        .asks(&debit_of("v", 20))
        .applied(json!({}))
        .asks(&debit_of("w", 30))
        .not_matched()
        .documents(&[json!({"objectId": "w", "account": 29})])
        .asks(&refusal_of("w"))
        .applied(json!({}))
        .asks(&reversal_of("v", 20))
        .applied(json!({}))
        .asks(&reversal_of("u", 10))
        .not_matched()
        .asks("read Conflict _User/u")
        .documents(&[json!({"objectId": "u", "paylogs": ["G", "undo:G"]})])
        .asks(FAIL)
        .applied(json!({}))
        .asks("Closed");
    assert_eq!(
        script.log().refusal.as_ref().unwrap().code,
        ErrorCode::INSUFFICIENT_BALANCE
    );
}

#[test]
fn refusal_of_applied_leg_is_dropped() {
    claimed(vec![take("u", 100)])
        .not_matched()
        .documents(&[json!({"objectId": "u", "account": 0})])
        .asks(&refusal_of("u"))
        .not_matched()
        .asks("read Conflict _User/u")
        .documents(&[json!({"objectId": "u", "account": 0, "paylogs": ["G"]})])
        .asks(&format!("batch {}", record()));
}

#[test]
fn credits_are_sent_last_in_one_batch() {
    let script = claimed(vec![give("x", 7), take("u", 100), give("y", 8)])
        .asks(&debit_of("u", 100))
        .applied(json!({}));
    let Next::Perform(Effect::Batch(writes)) = &script.asked else {
        panic!()
    };
    assert_eq!(writes.len(), 2);
    let once = Outcome::Applied(Document::new());
    script
        .outcomes(vec![once, Outcome::NotMatched])
        .asks("read Conflict _User/y")
        .documents(&[json!({"objectId": "y", "paylogs": ["G"]})])
        .asks(&format!("batch {}", record()));
}

#[test]
fn claim_continues_from_returned_state() {
    let draft = purchase(vec![take("u", 100)]);
    let claim = || {
        Script::recovered(&draft, LogState::Ordered)
            .asks(READ)
            .documents(&[json!({"objectId": "u"}), order()])
            .asks(CLAIM)
    };
    let mark = format!(r#"Order/o {{"status":"pending",{EPOCH_0}}} -> {{"status":"paid"}}"#);
    claim().applied(json!({"state": 3})).asks(&mark);
    claim().applied(json!({"state": 4})).asks("settled");
    let mut closed = stored(&draft, LogState::Closed);
    closed.insert("outcome".into(), json!("succeeded"));
    claim()
        .not_matched()
        .asks("read Conflict Log/G")
        .documents(&[closed.into_value()])
        .asks("Closed");
    // A stale read shows it open still.
    claim()
        .not_matched()
        .documents(&[stored(&draft, LogState::Ordered).into_value()])
        .asks(&format!("NotSeenYet: {READ}"));
    let mut fenced = stored(&draft, LogState::Ordered);
    fenced.insert("state".into(), json!(11));
    claim()
        .not_matched()
        .documents(&[fenced.into_value()])
        .asks(r#"Moved("the log")"#);
}

#[test]
fn restarted_run_counts_as_one_claim() {
    let repeated = CLAIM.replacen(r#""amount":1"#, r#""amount":0"#, 1);
    assert_ne!(repeated, CLAIM);
    claimed(vec![take("u", 100)])
        .unknown()
        .asks(&format!("NoAnswer: {READ}"))
        .documents(&[json!({"objectId": "u"}), order()])
        .asks(&repeated);
}

#[test]
fn order_that_shows_the_result_settles() {
    let settle = |order: Value| {
        let draft = purchase(vec![take("u", 100)]);
        let script = Script::recovered(&draft, LogState::Applied)
            .documents(&[
                json!({"objectId": "u"}),
                json!({"objectId": "o", "status": "pending"}),
            ])
            .applied(json!({"state": 3}))
            .not_matched()
            .asks("read Conflict Order/o")
            .documents(&[order]);
        short(&script.asked)
    };
    assert_eq!(settle(json!({"status": "paid"})), "settled");
    assert_eq!(settle(json!({"status": "refunded"})), "settled");
    assert_eq!(
        settle(json!({"status": "pending", "payEpoch": 1})),
        format!("EpochMoved: {READ}")
    );
    assert!(settle(json!({"status": "cancelled"})).starts_with("Stuck(OrderDisagrees"));
}

/// A refund of 40 of an order of 100 that no read may take for the last one, or for not the last one.
#[test]
fn full_refund_is_decided_by_a_write() {
    let on_order = Leg::new(Target::new(&names().order_class, &id("o")))
        .adding("refunded", Delta::new(40).unwrap())
        .requiring("refunded", Bound::at_most(60));
    let mut draft = purchase(vec![on_order, give("u", 40)]);
    draft.intent.kind = Kind::Refund;
    let mark = format!(
        r#"Order/o {{"status":{{"$in":["pending","paid"]}},"refunded":{{"$gte":100}},{EPOCH_0}}} -> {{"status":"refunded"}}"#
    );
    let more = format!(
        r#"Order/o {{"refunded":{{"$lt":100}},{EPOCH_0}}} -> {{"refunded":{{"__op":"Increment","amount":0}}}}"#
    );
    let read = "read Epochs Order/o _User/u";
    let begin = || {
        Script::recovered(&draft, LogState::Applied)
            .documents(&[json!({"objectId": "o"}), json!({"objectId": "u"})])
            .applied(json!({"state": 3}))
            .asks(&mark)
            .not_matched()
            .asks(&more)
    };
    begin().applied(json!({})).asks("settled");
    begin().unknown().asks(&format!("NoAnswer: {read}"));
    let look = |order: Value| {
        let script = begin()
            .not_matched()
            .asks("read Conflict Order/o")
            .documents(&[order]);
        short(&script.asked)
    };
    assert_eq!(look(json!({"status": "refunded", "refunded": 100})), "settled");
    let again = format!("EpochMoved: {read}");
    assert_eq!(
        look(json!({"status": "paid", "refunded": 100, "payEpoch": 1})),
        again
    );
    // A stale read: it shows less than there is.
    assert_eq!(look(json!({"status": "paid", "refunded": 40})), again);
    assert!(look(json!({"status": "cancelled", "refunded": 0})).starts_with("Stuck(OrderDisagrees"));
}

#[test]
fn confirmation_writes_trade_no_with_state() {
    let mut draft = purchase(vec![give("u", 100)]);
    draft.intent.kind = Kind::Recharge;
    draft.intent.order = None;
    let log = Log::from_document(&stored(&draft, LogState::Ordered), &names()).unwrap();
    let begin = |manner| {
        let payment = PaymentProcess::confirmed(&names(), worker(), manner, log.clone(), "T");
        Script::new(payment)
            .asks("read Epochs _User/u")
            .documents(&[json!({"objectId": "u"})])
    };
    let credit = format!(
        r#"_User/u {{"paylogs":{{"$ne":"G"}},{EPOCH_0}}} -> {{"account":{{"__op":"Increment","amount":100}},"paylogs":{{"__op":"AddUnique","objects":["G"]}}}}"#
    );
    begin(CommitMode::PerDocument)
        .asks(r#"Log/G {"state":1} -> {"state":2,"tradeNo":"T","stuck":{"__op":"Delete"}}"#)
        .applied(json!({}))
        .asks(&credit)
        .applied(json!({}))
        .asks(r#"Log/G {"state":2} -> {"state":3,"outcome":"succeeded","stuck":{"__op":"Delete"}}"#);
    // In one commit the marks stay: lower states of this log exist.
    begin(CommitMode::Atomic).asks(&format!(
        r#"commit Log/G {{"state":1}} -> {{"state":3,"outcome":"succeeded","tradeNo":"T","stuck":{{"__op":"Delete"}}}} | {credit}"#
    ));
    let late = |trade_no: &str, state, outcome: &str| {
        let mut found = stored(&draft, state);
        found.insert("tradeNo".into(), json!(trade_no));
        found.insert("outcome".into(), json!(outcome));
        let script = begin(CommitMode::PerDocument)
            .not_matched()
            .asks("read Conflict Log/G")
            .documents(&[found.into_value()]);
        short(&script.asked)
    };
    assert_eq!(late("T", LogState::Closed, "succeeded"), "Closed");
    assert_eq!(late("T", LogState::Applied, "succeeded"), "read Epochs _User/u");
    assert_eq!(late("T0", LogState::Closed, "succeeded"), "Unconfirmable");
    assert_eq!(late("T0", LogState::Closed, "failed"), "Unconfirmable");
    assert_eq!(late("T", LogState::Closed, "failed"), "Unconfirmable");
    // A stale read, older than the log.
    begin(CommitMode::PerDocument)
        .not_matched()
        .documents(&[Value::Null])
        .asks("NotSeenYet: read Epochs _User/u");
}

/// A recharge of 100 for `u`.
fn recharge() -> NewPayment {
    let mut draft = purchase(vec![give("u", 100)]);
    draft.intent.kind = Kind::Recharge;
    draft.intent.order = None;
    draft
}

#[test]
fn arrived_money_is_recorded_before_any_obstacle() {
    let log = Log::from_document(&stored(&recharge(), LogState::Ordered), &names()).unwrap();
    let apart = NewPayment {
        state: LogState::Funded,
        trade_no: Some("T".into()),
        ..recharge()
    };
    for obstacle in [Value::Null, json!({"objectId": "u", "payEpoch": "x"})] {
        for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
            let payment = PaymentProcess::confirmed(&names(), worker(), manner, log.clone(), "T");
            let script = Script::new(payment)
                .documents(std::slice::from_ref(&obstacle))
                .asks(r#"Log/G {"state":1} -> {"state":2,"tradeNo":"T","stuck":{"__op":"Delete"}}"#)
                .applied(json!({}));
            let script = script.asks("NotSeenYet: read Epochs _User/u");
            assert_eq!(script.log().trade_no.as_deref(), Some("T"));
            let script = Script::fresh(manner, apart.clone())
                .documents(std::slice::from_ref(&obstacle))
                .asks("create Log 2 null")
                .applied(json!({"objectId": "G"}))
                .asks("NotSeenYet: read Epochs _User/u")
                .documents(std::slice::from_ref(&obstacle));
            let looked_again = short(&script.asked);
            let expected = if obstacle.is_null() {
                r#"Log/G {"state":{"$lt":5}} -> "#
            } else {
                "Stuck(Malformed"
            };
            assert!(looked_again.starts_with(expected), "{looked_again}");
        }
    }
    // The account goes after its epoch was read.
    let script = Script::fresh(CommitMode::Atomic, apart).documents(&[json!({"objectId": "u"})]);
    script
        .feed(Input::Committed(AtomicOutcome::Refused(1, Outcome::NotMatched)))
        .asks("EpochMoved: read Epochs _User/u")
        .documents(&[Value::Null])
        .asks("create Log 2 null");
}

#[test]
fn recharge_ends_awaiting_gateway() {
    let mut draft = purchase(vec![give("u", 100)]);
    draft.intent.kind = Kind::Recharge;
    draft.intent.order = None;
    Script::fresh(CommitMode::Atomic, draft.clone())
        .asks("create Log 1 null")
        .applied(json!({"objectId": "G"}))
        .asks("AwaitingGateway");
    Script::recovered(&draft, LogState::Ordered)
        .documents(&[json!({"objectId": "u"})])
        .applied(json!({"state": 1}))
        .asks("AwaitingGateway");
}

#[test]
fn moved_document_ends_the_run() {
    for manner in [CommitMode::PerDocument, CommitMode::Atomic] {
        Script::fresh(manner, purchase(vec![take("u", 100)]))
            .documents(&[json!({"objectId": "u", "payEpoch": -2}), order()])
            .asks(r#"Moved("_User/u")"#);
        Script::fresh(manner, purchase(vec![take("u", 100)]))
            .documents(&[json!({"objectId": "u"}), json!({"objectId": "o", "payEpoch": -1})])
            .asks(r#"Moved("Order/o")"#);
        // A missing account is a refusal while nothing has begun.
        Script::fresh(manner, purchase(vec![take("u", 100)]))
            .documents(&[Value::Null, order()])
            .asks(r#"create Log 5 "failed""#);
    }
}

/// Every input that was not asked for is an error, and no panic.
#[test]
fn unexpected_inputs_are_errors() {
    let payment = PaymentProcess::fresh(
        &names(),
        worker(),
        CommitMode::PerDocument,
        purchase(vec![take("u", 1)]),
    );
    let inputs = [
        Input::Documents(vec![]),
        Input::Found(vec![]),
        Input::Outcomes(vec![]),
        Input::Committed(AtomicOutcome::Unknown),
        Input::Notified,
    ];
    for input in inputs {
        assert!(step(payment.clone(), input).is_err());
    }
    let begun = step(payment, Input::Begin).unwrap().payment;
    assert!(step(begun.clone(), Input::Begin).is_err());
    assert!(step(begun, Input::Documents(vec![None])).is_err());
}
