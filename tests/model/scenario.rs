//! Scenarios: a few documents, a few callers, and a bound on what may go wrong.

use std::sync::Arc;

use paylog::model::{ClassName, Document, ObjectId, Value};
use paylog::payment::protocol::intent::Intent;
use paylog::payment::protocol::leg::{Bound, Leg, Legs};
use paylog::payment::protocol::log::LogState;
use paylog::payment::protocol::machine::{CommitMode, NewPayment};
use paylog::payment::protocol::target::Target;
use paylog::payment::{Amount, Delta, Kind, SchemaNames};
use serde_json::{Map, json};

use crate::control::Control;
use crate::properties::Seen;

/// One configuration.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) names: Arc<SchemaNames>,
    pub(crate) documents: Vec<(Target, Document)>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) workers: usize,
    /// The number of older versions of each document that a read may return.
    pub(crate) stale: usize,
    /// The number of times that each document may be pruned.
    pub(crate) epochs: i64,
    /// A document whose account grows by 1 from outside, and how often.
    pub(crate) top_up: Option<(usize, u8)>,
    /// True if a recharge may be given up unpaid.
    pub(crate) unpaid: bool,
    /// The number of attempts to move the store.
    pub(crate) attempts: i64,
    /// Logs that are there from the beginning, and how often each of their legs was applied by then.
    pub(crate) logs: Vec<(Document, Vec<u8>)>,
    /// True if everyone always has enough money for everything.
    pub(crate) ample: bool,
    /// The lowest balance that an operator may leave in an account.
    pub(crate) floor: i64,
    /// True if a call may be repeated once its log stands.
    pub(crate) repeats: bool,
    pub(crate) control: Control,
    /// The events that must be seen at least once.
    pub(crate) seen: Vec<Seen>,
}

/// A draft that rests on another log.
pub(crate) type DraftOf = fn(&ObjectId) -> NewPayment;

/// A caller.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A payment, once the log of the caller before it (an index) is closed as failed.
    Wants {
        draft: Box<NewPayment>,
        manner: CommitMode,
        after: Option<usize>,
    },
    /// A payment that rests on the log of another caller that has succeeded: the draft is made from that log's id.
    Follows {
        of: usize,
        draft: DraftOf,
        manner: CommitMode,
    },
    /// The gateway's word that the recharge of another caller was paid.
    Notice {
        of: usize,
        trade_no: &'static str,
        manner: CommitMode,
    },
}

pub(crate) fn names() -> Arc<SchemaNames> {
    Arc::new(SchemaNames::default())
}

pub(crate) fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

pub(crate) fn user(name: &str) -> Target {
    Target::new(&ClassName::user(), &id(name))
}

pub(crate) fn order(name: &str) -> Target {
    Target::new(&names().order_class, &id(name))
}

pub(crate) fn document(target: &Target, fields: Value) -> (Target, Document) {
    let Value::Object(fields) = fields else { panic!() };
    let mut document = Document(fields);
    document.insert("objectId".into(), target.id.as_str().into());
    (target.clone(), document)
}

fn account(name: &str, units: i64) -> (Target, Document) {
    let fields = if units == 0 {
        json!({})
    } else {
        json!({ "account": units })
    };
    document(&user(name), fields)
}

fn pending(name: &str) -> (Target, Document) {
    document(
        &order(name),
        json!({"number": "N", "status": "pending", "refunded": 0}),
    )
}

fn take(from: &str, units: i64) -> Leg {
    Leg::new(user(from))
        .adding("account", Delta::new(-units).unwrap())
        .requiring("account", Bound::at_least(units))
}

fn give(to: &str, units: i64) -> Leg {
    Leg::new(user(to)).adding("account", Delta::new(units).unwrap())
}

fn intent(kind: Kind, key: &str, amount: i64, params: Value, legs: Vec<Leg>) -> Intent {
    let Value::Object(params) = params else { panic!() };
    Intent {
        key: key.into(),
        request_key: None,
        number: None,
        kind,
        user: id("a"),
        order: None,
        amount: Amount::new(amount),
        params,
        legs: Legs::new(legs).unwrap(),
    }
}

/// Attempt `n` to pay 1 or 2 for the order `o`; one of it is for `m` where there is enough.
pub(crate) fn purchase(n: u32, request: &str, amount: i64) -> NewPayment {
    let mut legs = vec![take("a", amount)];
    if amount > 1 {
        legs.push(give("m", 1));
    }
    NewPayment::new(Intent {
        order: Some(id("o")),
        request_key: Some(format!("a:purchase:{request}")),
        ..intent(
            Kind::Purchase,
            &format!("order:N:{n}"),
            amount,
            json!({"order": "o"}),
            legs,
        )
    })
}

fn cancellation(key: &str, to: &str) -> NewPayment {
    NewPayment::new(Intent {
        order: Some(id("o")),
        ..intent(
            Kind::Cancel,
            key,
            1,
            json!({ "order": "o", "to": to }),
            vec![Leg::new(order("o"))],
        )
    })
}

pub(crate) fn recharge() -> NewPayment {
    NewPayment::new(Intent {
        number: Some("R".into()),
        ..intent(
            Kind::Recharge,
            "a:recharge:r",
            1,
            json!({"amount": 1, "channel": "sandbox"}),
            vec![give("a", 1)],
        )
    })
}

/// Money that no recharge waits for.
pub(crate) fn credit_apart(trade_no: &str) -> NewPayment {
    let key = format!("trade:sandbox:{trade_no}");
    let params = json!({"number": "R", "amount": 1, "channel": "sandbox", "tradeNo": trade_no});
    NewPayment {
        state: LogState::Funded,
        trade_no: Some(trade_no.into()),
        ..NewPayment::new(intent(Kind::Recharge, &key, 1, params, vec![give("a", 1)]))
    }
}

/// From two accounts, one after the other, to `c`.
fn transfer(key: &str, [first, second]: [&str; 2]) -> NewPayment {
    NewPayment::new(intent(
        Kind::Transfer,
        key,
        2,
        json!({}),
        vec![take(first, 1), take(second, 1), give("c", 2)],
    ))
}

/// From `a` to `b`.
fn plain_transfer() -> NewPayment {
    let legs = vec![take("a", 1), give("b", 1)];
    NewPayment::new(intent(Kind::Transfer, "a:transfer:k", 1, json!({}), legs))
}

/// Money of `a` is set aside, to be spent or to be paid out.
fn set_aside(kind: Kind, units: i64) -> NewPayment {
    let leg = take("a", units).adding("frozen", Delta::new(units).unwrap());
    NewPayment::new(intent(kind, &format!("a:{kind}:h"), units, json!({}), vec![leg]))
}

/// The legs that end a hold of `units` by `a`: `captured` go to `m`, `paid_out` leave the app, the rest comes back.
fn settle(key: &str, to: &str, units: i64, captured: i64, paid_out: i64) -> NewPayment {
    let mut leg = Leg::new(user("a")).adding("frozen", Delta::new(-units).unwrap());
    let back = units - captured - paid_out;
    if back > 0 {
        leg = leg.adding("account", Delta::new(back).unwrap());
    }
    let mut legs = vec![leg];
    if captured > 0 {
        legs.push(give("m", captured));
    }
    NewPayment::new(intent(Kind::Settle, key, units, json!({ "to": to }), legs))
}

/// The leg of a refund of `units` on the order `o`, which cost 2.
fn on_order(units: i64) -> Leg {
    Leg::new(order("o"))
        .adding("refunded", Delta::new(units).unwrap())
        .requiring("refunded", Bound::at_most(2 - units))
}

/// A part of what the order `o` cost goes back to `a`.
fn refund(key: &str, units: i64, conditional: Vec<Leg>) -> NewPayment {
    let legs = conditional.into_iter().chain([give("a", units)]).collect();
    NewPayment::new(Intent {
        order: Some(id("o")),
        request_key: Some(format!("a:refund:{key}")),
        ..intent(
            Kind::Refund,
            &format!("refund:N:{key}"),
            units,
            Value::Object(Map::new()),
            legs,
        )
    })
}

/// An operator's correction of `a`, down to `floor`.
fn adjust(key: &str, units: i64, floor: i64) -> NewPayment {
    let leg = Leg::new(user("a")).adding("account", Delta::new(units).unwrap());
    let leg = if units < 0 {
        leg.requiring("account", Bound::at_least(floor - units))
    } else {
        leg
    };
    NewPayment::new(intent(
        Kind::Adjust,
        key,
        units.abs(),
        json!({ "reason": key }),
        vec![leg],
    ))
}

fn wants(draft: NewPayment, manner: CommitMode) -> Caller {
    Caller::Wants {
        draft: Box::new(draft),
        manner,
        after: None,
    }
}

fn wants_after(draft: NewPayment, manner: CommitMode, after: usize) -> Caller {
    Caller::Wants {
        draft: Box::new(draft),
        manner,
        after: Some(after),
    }
}

use CommitMode::{Atomic, PerDocument};

impl Scenario {
    fn new(name: &'static str, documents: Vec<(Target, Document)>, callers: Vec<Caller>) -> Self {
        Self {
            name,
            names: names(),
            documents,
            callers,
            workers: 2,
            stale: 0,
            epochs: 1,
            top_up: None,
            unpaid: false,
            attempts: 0,
            logs: Vec::new(),
            ample: false,
            floor: 0,
            repeats: false,
            control: Control::None,
            seen: Vec::new(),
        }
    }

    pub(crate) fn without(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    pub(crate) fn seeing(mut self, seen: &[Seen]) -> Self {
        self.seen = seen.to_vec();
        self
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(crate) fn with_stale(mut self, stale: usize) -> Self {
        self.stale = stale;
        self
    }

    pub(crate) fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub(crate) fn with_repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    pub(crate) fn moving(mut self, attempts: i64) -> Self {
        self.attempts = attempts;
        self
    }

    pub(crate) fn with_epochs(mut self, epochs: i64) -> Self {
        self.epochs = epochs;
        self
    }

    /// The first account has nothing at first.
    pub(crate) fn poor(mut self) -> Self {
        self.documents[0] = account("a", 0);
        self
    }

    pub(crate) fn with_ample_money(mut self) -> Self {
        self.ample = true;
        self
    }

    pub(crate) fn with_top_up(mut self, document: usize, times: u8) -> Self {
        self.top_up = Some((document, times));
        self
    }

    /// One order, paid once, with a payee.
    pub(crate) fn purchase(manner: CommitMode) -> Self {
        Self::new(
            "purchase",
            vec![account("a", 3), account("m", 0), pending("o")],
            vec![wants(purchase(1, "k", 2), manner)],
        )
    }

    /// One order that cannot be paid at first.
    pub(crate) fn poor_purchase(manner: CommitMode) -> Self {
        Self::new(
            "purchase without enough money",
            vec![account("a", 0), pending("o")],
            vec![wants(purchase(1, "k", 1), manner)],
        )
        .with_top_up(0, 1)
    }

    /// The same call reaches a store that commits at once and one that does not.
    pub(crate) fn mixed_purchase() -> Self {
        Self::new(
            "purchase in both manners",
            vec![account("a", 0), pending("o")],
            vec![
                wants(purchase(1, "k", 1), Atomic),
                wants(purchase(1, "k", 1), PerDocument),
            ],
        )
        .with_top_up(0, 1)
    }

    /// Paying and cancelling one order, or letting it expire.
    pub(crate) fn attempts(pay: CommitMode, cancel: CommitMode, one_key: bool) -> Self {
        let first = cancellation(if one_key { "order:N:1" } else { "cancel:N" }, "cancelled");
        let mut callers = vec![wants(purchase(1, "k", 1), pay), wants(first, cancel)];
        if one_key {
            callers.push(wants_after(purchase(2, "l", 1), cancel, 0));
            callers.push(wants_after(cancellation("order:N:2", "expired"), pay, 0));
        }
        Self::new("pay or cancel", vec![account("a", 0), pending("o")], callers).with_top_up(0, 1)
    }

    /// A recharge, notices under these numbers, and giving up.
    pub(crate) fn recharge(manner: CommitMode, trade_nos: &[&'static str]) -> Self {
        let notices = trade_nos.iter().map(|trade_no| Caller::Notice {
            of: 0,
            trade_no,
            manner,
        });
        let mut callers = vec![wants(recharge(), manner)];
        callers.extend(notices);
        let mut scenario = Self::new("recharge", vec![account("a", 0)], callers);
        scenario.unpaid = true;
        scenario
    }

    /// Two debits and a credit; the second debit may be refused, and the first is reversed then.
    pub(crate) fn transfer(manner: CommitMode) -> Self {
        Self::new(
            "two debits and a credit",
            vec![account("a", 1), account("b", 0), account("c", 0)],
            vec![wants(transfer("a:transfer:k", ["a", "b"]), manner)],
        )
        .with_top_up(1, 1)
    }

    /// The first of two debits may be refused.
    pub(crate) fn poor_transfer() -> Self {
        Self::new(
            "two debits, the first without enough money",
            vec![account("a", 0), account("b", 1), account("c", 0)],
            vec![wants(transfer("a:transfer:k", ["a", "b"]), PerDocument)],
        )
    }

    /// Two of them, for the same money, each in its manner.
    pub(crate) fn two_transfers(first: CommitMode, second: CommitMode) -> Self {
        Self::new(
            "two payments for one account's money",
            vec![account("a", 1), account("b", 1), account("c", 0)],
            vec![
                wants(transfer("a:transfer:k", ["a", "b"]), first),
                wants(transfer("a:transfer:l", ["b", "a"]), second),
            ],
        )
    }

    /// A debit and a credit of one account.
    pub(crate) fn to_oneself() -> Self {
        let legs = vec![take("a", 1), give("a", 1)];
        Self::new(
            "transfer to oneself",
            vec![account("a", 1)],
            vec![wants(
                NewPayment::new(intent(Kind::Transfer, "a:transfer:k", 1, json!({}), legs)),
                PerDocument,
            )],
        )
    }

    /// One account's money goes to another.
    pub(crate) fn plain_transfer(manner: CommitMode) -> Self {
        Self::new(
            "transfer",
            vec![account("a", 1), account("b", 0)],
            vec![wants(plain_transfer(), manner)],
        )
    }

    /// An operator takes all that an account has: a payment on one document.
    pub(crate) fn one_account(manner: CommitMode) -> Self {
        let minus = wants(adjust("o:adjust:minus", -1, 0), manner);
        Self::new("adjustment of one account", vec![account("a", 1)], vec![minus])
    }

    /// The same as a transfer, when it stands in this state already, as far as it has come by then.
    pub(crate) fn under_way(state: LogState) -> Self {
        let mut scenario = Self::plain_transfer(PerDocument);
        let mut log = Document::new();
        let NewPayment { intent, .. } = plain_transfer();
        intent.to_update(&scenario.names, state).apply(&mut log).unwrap();
        log.insert("objectId".into(), "G0".into());
        if state >= LogState::Applied {
            log.insert("outcome".into(), "succeeded".into());
        }
        let applied = [state >= LogState::Funded, state >= LogState::Applied];
        let accounts = scenario.documents.iter_mut().zip(applied);
        for (units, ((_, document), applied)) in [0, 1].into_iter().zip(accounts) {
            if applied {
                document.insert("account".into(), units.into());
                document.insert("paylogs".into(), json!(["G0"]));
            }
        }
        scenario.logs = vec![(log, applied.map(u8::from).to_vec())];
        scenario.repeats = true;
        scenario
    }

    /// A hold of 2, and two of: a capture, one of a part, a release, an expiry. Each has a key of its own, or all the
    /// same.
    pub(crate) fn hold(manner: CommitMode, ends: [DraftOf; 2]) -> Self {
        let [first, second] = ends;
        let follows = |draft, manner| Caller::Follows { of: 0, draft, manner };
        Self::new(
            "hold",
            vec![account("a", 2), account("m", 0)],
            vec![
                wants(set_aside(Kind::Hold, 2), manner),
                follows(first, PerDocument),
                follows(second, manner),
            ],
        )
    }

    /// A withdrawal, and the gateway's word that it was paid out racing the one that it was not.
    pub(crate) fn withdrawal(manner: CommitMode) -> Self {
        let follows = |draft, manner| Caller::Follows { of: 0, draft, manner };
        Self::new(
            "withdrawal",
            vec![account("a", 1)],
            vec![
                wants(set_aside(Kind::Withdraw, 1), manner),
                follows(paid_out, manner),
                follows(not_paid_out, PerDocument),
            ],
        )
    }

    /// An operator takes 1 from an account, gives it 1, and its owner spends 1.
    pub(crate) fn adjusting(manner: CommitMode, floor: i64) -> Self {
        let mut scenario = Self::new(
            "adjusting an account",
            vec![account("a", 0), account("b", 0)],
            vec![
                wants(adjust("o:adjust:minus", -1, floor), manner),
                wants(adjust("o:adjust:plus", 1, 0), PerDocument),
                wants(plain_transfer(), manner),
            ],
        );
        scenario.floor = -floor;
        scenario
    }

    /// An order of 2 that was paid, and two refunds of 1 which the merchant pays.
    pub(crate) fn refunds(manner: CommitMode, merchant: i64, order_last: bool) -> Self {
        let mut legs = vec![take("m", 1), on_order(1)];
        if !order_last {
            legs.reverse();
        }
        Self::new(
            "two refunds of one order",
            vec![account("a", 0), account("m", merchant), paid_order()],
            vec![
                wants(refund("1", 1, legs.clone()), manner),
                wants(refund("2", 1, legs), PerDocument),
            ],
        )
    }

    /// The same without a merchant.
    pub(crate) fn plain_refunds() -> Self {
        Self::new(
            "two refunds of one order without payees",
            vec![account("a", 0), paid_order()],
            vec![
                wants(refund("1", 1, vec![on_order(1)]), PerDocument),
                wants(refund("2", 1, vec![on_order(1)]), PerDocument),
            ],
        )
    }

    /// All of it, racing a part of it; only one is left of the order for the other.
    pub(crate) fn too_many_refunds(all: CommitMode, part: CommitMode) -> Self {
        Self::new(
            "a refund in full or in part",
            vec![account("a", 0), account("m", 3), paid_order()],
            vec![
                wants(refund("1", 2, vec![take("m", 2), on_order(2)]), all),
                wants(refund("2", 1, vec![take("m", 1), on_order(1)]), part),
            ],
        )
    }
}

/// All that is held goes to the payee.
pub(crate) fn capture(log: &ObjectId) -> NewPayment {
    settle(&format!("settle:{log}"), "m", 2, 2, 0)
}

/// A part of it does.
pub(crate) fn capture_part(log: &ObjectId) -> NewPayment {
    settle(&format!("settle:{log}"), "m", 2, 1, 0)
}

/// None of it.
pub(crate) fn release(log: &ObjectId) -> NewPayment {
    settle(&format!("settle:{log}"), "a", 2, 0, 0)
}

/// Nor when nobody asks for it in time.
pub(crate) fn expiry(log: &ObjectId) -> NewPayment {
    settle(&format!("settle:{log}"), "expired", 2, 0, 0)
}

/// A capture under a key of its own.
pub(crate) fn keyed_capture(log: &ObjectId) -> NewPayment {
    settle(&format!("capture:{log}"), "m", 2, 2, 0)
}

/// A release under a key of its own.
pub(crate) fn keyed_release(log: &ObjectId) -> NewPayment {
    settle(&format!("release:{log}"), "a", 2, 0, 0)
}

fn paid_out(log: &ObjectId) -> NewPayment {
    settle(&format!("settle:{log}"), "outside", 1, 0, 1)
}

fn not_paid_out(log: &ObjectId) -> NewPayment {
    settle(&format!("settle:{log}"), "a", 1, 0, 0)
}

fn paid_order() -> (Target, Document) {
    let fields = json!({"number": "N", "status": "paid", "refunded": 0, "amount": 2});
    document(&order("o"), fields)
}
