//! Invariants, and the sightings without which they would mean nothing.
//!
//! The numbers are those of the invariants of the protocol; the others say when an invariant could be lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use paylog::model::write::Action;
use paylog::model::{Document, ObjectId};
use paylog::payment::protocol::intent::Intent;
use paylog::payment::protocol::ledger::{Ledger, legs_add_up};
use paylog::payment::protocol::leg::{Leg, Legs};
use paylog::payment::protocol::log::{Log, LogState, Verdict};
use paylog::payment::protocol::machine::NewPayment;
use paylog::payment::protocol::mark::{self, MarkKind};
use paylog::payment::protocol::order::OrderMark;
use paylog::payment::protocol::pruning;
use paylog::payment::protocol::relocation::Resolution;
use paylog::payment::protocol::target::Target;
use paylog::payment::{Amount, Delta, Kind};
use stateright::Property;

use crate::control::Control;
use crate::relocation::decision_of;
use crate::scenario::{Caller, Scenario, id};
use crate::store::{Store, log_id, log_index};
use crate::tables::{ABSENT, Ask, FREE, Facts, Number, Role};
use crate::world::{FAULT_FELL, FAULT_MOVED, FAULT_STUCK, State, TOLD_REFUSAL, TOLD_SUCCESS, Tables, World};

/// A store as the properties look at it: of each document, and of each log, the one that counts.
struct View<'a> {
    world: &'a World,
    tables: &'a Tables,
    store: &'a Store,
    documents: Vec<Number>,
    logs: Vec<Number>,
}

type Check = fn(&View<'_>) -> bool;
/// The same, as the checker wants it: whether a bit of [`State::violated`] is clear.
type Condition = fn(&World, &State) -> bool;

/// The properties of one store by itself.
const SAFETY: [(&str, Check, Condition); 10] = [
    ("1: no leg takes effect twice", once, |_, s| s.violated & 1 == 0),
    ("2: no state is written before its work", decided, |_, s| {
        s.violated & 1 << 1 == 0
    }),
    ("3: money moves by legs alone", conserved, |_, s| {
        s.violated & 1 << 2 == 0
    }),
    ("4: no bound is ever broken", bounded, |_, s| {
        s.violated & 1 << 3 == 0
    }),
    ("5: one key makes one log", one_key, |_, s| {
        s.violated & 1 << 4 == 0
    }),
    (
        "5: one thing happens to an order, a hold, a gateway's number",
        unique,
        |_, s| s.violated & 1 << 5 == 0,
    ),
    ("the order shows its attempts", shown, |_, s| {
        s.violated & 1 << 6 == 0
    }),
    ("7: marks stay few", few_marks, |_, s| s.violated & 1 << 7 == 0),
    ("nobody is refused without a reason", justified, |_, s| {
        s.violated & 1 << 8 == 0
    }),
    ("money is in exactly one home", at_one_home, |_, s| {
        s.violated & 1 << 9 == 0
    }),
];

/// The properties that need more than one store by itself.
const FURTHER: [(&str, Condition); 6] = [
    ("5: what the caller was told stays true", |_, s| {
        s.violated & TOLD == 0
    }),
    ("the audit finds nothing", |_, s| s.violated & AUDITED == 0),
    ("6: recovery alone closes every log", |_, s| {
        s.violated & RECOVERABLE == 0
    }),
    ("no log waits for an operator", |_, s| s.faults & FAULT_STUCK == 0),
    ("no state falls, and no closed log changes", |_, s| {
        s.faults & FAULT_FELL == 0
    }),
    ("nothing that has moved changes", |_, s| {
        s.faults & FAULT_MOVED == 0
    }),
];

const TOLD: u16 = 1 << 10;
const AUDITED: u16 = 1 << 11;
const RECOVERABLE: u16 = 1 << 12;

/// Events that must be seen at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Success,
    Refusal,
    Reversal,
    Pruned,
    Two,
    Unknown,
    Apart,
    Refunded,
    Paid,
    Cancelled,
    Expired,
    Captured,
    Released,
    PaidOut,
    Arrived,
    ArrivedOrdered,
    ArrivedFunded,
    ArrivedApplied,
    ArrivedClosed,
    TriedAgain,
    LateAtTheFence,
}

pub(crate) fn all(scenario: &Scenario) -> Vec<Property<World>> {
    let mut properties: Vec<Property<World>> = SAFETY
        .iter()
        .map(|(name, _, condition)| Property::always(name, *condition))
        .collect();
    properties.extend(
        FURTHER
            .iter()
            .map(|(name, condition)| Property::always(name, *condition)),
    );
    properties.extend(scenario.seen.iter().map(|seen| sometimes(*seen)));
    properties
}

/// The bits of what does not hold.
pub(crate) fn violated(world: &World, tables: &mut Tables, state: &State) -> u16 {
    let mut bits = verdict(world, tables, state.store);
    if state.told != 0 {
        let key = (state.store, state.told);
        let holds = match tables.told.get(&key) {
            Some(known) => *known,
            None => {
                let store = Arc::clone(tables.stores.value(state.store));
                let holds = told(&View::new(world, tables, &store), state.told);
                tables.told.insert(key, holds);
                holds
            }
        };
        bits |= if holds { 0 } else { TOLD };
    }
    bits
}

/// The violations of a store, computed once.
fn verdict(world: &World, tables: &mut Tables, number: Number) -> u16 {
    if let Some(known) = tables.verdicts.get(&number) {
        return *known;
    }
    let store = Arc::clone(tables.stores.value(number));
    let bits = safety(&View::new(world, tables, &store)) | recovered(world, tables, &store);
    tables.verdicts.insert(number, bits);
    bits
}

fn safety(view: &View<'_>) -> u16 {
    let holds = SAFETY.iter().map(|(_, check, _)| check(view));
    let bits: u16 = holds.zip(0..).map(|(holds, bit)| u16::from(!holds) << bit).sum();
    if audit(view) { bits } else { bits | AUDITED }
}

impl<'a> View<'a> {
    fn new(world: &'a World, tables: &'a Tables, store: &'a Store) -> Self {
        let current = |index| world.current(tables, store, index);
        let fixed = world.fixed();
        Self {
            world,
            tables,
            store,
            documents: (0..fixed).map(current).collect(),
            logs: (0..store.effects.len()).map(|log| current(fixed + log)).collect(),
        }
    }

    fn logs(&self) -> impl Iterator<Item = &'a Facts> {
        let tables = self.tables;
        self.logs.iter().map(|number| tables.fact(*number))
    }

    fn document(&self, index: usize) -> &'a Document {
        self.tables.documents.value(self.documents[index])
    }

    fn facts(&self, index: usize) -> &'a Facts {
        self.tables.fact(self.documents[index])
    }
}

fn any_log(world: &World, state: &State, is: &dyn Fn(&Log) -> bool) -> bool {
    let tables = world.tables();
    let store = tables.stores.value(state.store);
    View::new(world, &tables, store)
        .logs()
        .any(|log| log.log.as_ref().is_some_and(|log| is(log)))
}

fn once(view: &View<'_>) -> bool {
    let effects = view.store.effects.iter().flatten();
    effects
        .into_iter()
        .all(|(applied, reversed)| *applied <= 1 && reversed <= applied)
}

fn decided(view: &View<'_>) -> bool {
    view.logs().zip(&view.store.effects).all(|(facts, effects)| {
        let Some(log) = &facts.log else { return false };
        let all = |effects: &[(u8, u8)], what: fn(&(u8, u8)) -> bool| effects.iter().all(what);
        let applied: fn(&(u8, u8)) -> bool = |effect| *effect == (1, 0);
        match (log.state, log.verdict) {
            (LogState::Created | LogState::Ordered, _) => true,
            (LogState::Funded, _) => all(&effects[..log.intent.legs.conditional_count()], applied),
            (_, Some(Verdict::Succeeded)) => all(effects, applied),
            (_, _) => all(effects, |(applied, reversed)| applied == reversed),
        }
    })
}

fn conserved(view: &View<'_>) -> bool {
    let scenario = &view.world.scenario;
    let fixed = scenario.documents.iter().enumerate();
    fixed.clone().all(|(index, (target, first))| {
        let now = view.facts(index);
        let first = Facts::of(first, &scenario.names);
        let topped = scenario.top_up.is_some_and(|(topped, _)| topped == index);
        let fields = [
            (&scenario.names.account, first.account, now.account),
            (&scenario.names.frozen, first.frozen, now.frozen),
            (&"refunded".to_owned(), first.refunded, now.refunded),
        ];
        fields.into_iter().all(|(field, first, now)| {
            let mut expected = first;
            if topped && *field == scenario.names.account {
                expected += i64::from(view.store.topped_up);
            }
            expected -= before(view, target, field);
            for (facts, effects) in view.logs().zip(&view.store.effects) {
                let Some(log) = &facts.log else { return false };
                for (leg, (applied, reversed)) in log.intent.legs.as_slice().iter().zip(effects) {
                    if leg.target == *target {
                        let delta = leg.add.get(field).map_or(0, |delta| delta.units());
                        expected += delta * (i64::from(*applied) - i64::from(*reversed));
                    }
                }
            }
            expected == now
        })
    })
}

/// The effects on a document of the logs that existed from the beginning.
fn before(view: &View<'_>, target: &Target, field: &str) -> i64 {
    let logs = view.world.scenario.logs.iter().zip(&view.logs);
    logs.map(|((_, applied), number)| {
        let log = view.tables.fact(*number).log.as_ref().unwrap();
        let legs = log.intent.legs.as_slice().iter().zip(applied);
        legs.filter(|(leg, _)| leg.target == *target)
            .map(|(leg, times)| i64::from(*times) * leg.add.get(field).map_or(0, |delta| delta.units()))
            .sum::<i64>()
    })
    .sum()
}

fn bounded(view: &View<'_>) -> bool {
    let world = view.world;
    (0..world.homes() * world.fixed()).all(|place| {
        let number = view.store.newest(place);
        let facts = view.tables.fact(number);
        let most = view.tables.documents.value(number).integer("amount");
        let floor = -world.scenario.floor;
        facts.account >= floor && facts.frozen >= 0 && most.is_none_or(|most| facts.refunded <= most)
    })
}

fn one_key(view: &View<'_>) -> bool {
    (0..view.world.homes()).all(|home| {
        let logs = (0..view.store.effects.len()).map(|log| {
            let number = view.store.newest(view.world.place_of_log(home, log));
            view.tables.documents.value(number).text("key")
        });
        let keys: Vec<&str> = logs.flatten().collect();
        keys.iter().collect::<BTreeSet<_>>().len() == keys.len()
    })
}

/// The intent that a caller's log has.
fn wanted(view: &View<'_>, caller: usize) -> Option<Intent> {
    let world = view.world;
    match &world.scenario.callers[caller] {
        Caller::Wants { draft, .. } => Some(draft.intent.clone()),
        Caller::Follows { of, draft, .. } => {
            let homes = 0..world.homes();
            let of = homes
                .filter_map(|home| world.log_of(view.tables, view.store, home, *of))
                .next()?;
            let log = of / world.homes() - world.fixed();
            let NewPayment { intent, .. } = draft(&log_id(log));
            Some(intent)
        }
        Caller::Notice { .. } => None,
    }
}

fn told(view: &View<'_>, told: u16) -> bool {
    let found = |is: &dyn Fn(&Log) -> bool| {
        view.logs()
            .any(|facts| facts.log.as_ref().is_some_and(|log| is(log)))
    };
    (0..view.world.scenario.callers.len()).all(|caller| {
        let told = told >> (2 * caller) & 3;
        if told == 0 {
            return true;
        }
        let succeeded = |log: &Log| log.verdict == Some(Verdict::Succeeded);
        if let Caller::Notice { trade_no, .. } = &view.world.scenario.callers[caller] {
            return found(&|log| log.trade_no.as_deref() == Some(trade_no) && log.state >= LogState::Funded);
        }
        let Some(wanted) = wanted(view, caller) else {
            return false;
        };
        let paid = found(&|log| wanted.repeats(&log.intent) && succeeded(log));
        (told & TOLD_SUCCESS == 0 || paid) && (told & TOLD_REFUSAL == 0 || !paid)
    })
}

fn unique(view: &View<'_>) -> bool {
    let count = |is: &dyn Fn(&Log) -> bool| {
        let succeeded = |log: &Log| log.verdict == Some(Verdict::Succeeded) || log.state == LogState::Funded;
        let facts = view.logs().enumerate();
        facts
            .filter(|(_, facts)| facts.log.as_ref().is_some_and(|log| succeeded(log) && is(log)))
            .filter(|(log, _)| !view.world.is_stranded(view.tables, view.store, *log))
            .count()
    };
    let trades = ["T", "U"];
    count(&|log| matches!(log.intent.kind, Kind::Purchase | Kind::Cancel)) <= 1
        && count(&|log| log.intent.kind == Kind::Settle) <= 1
        && trades
            .iter()
            .all(|trade_no| count(&|log| log.trade_no.as_deref() == Some(trade_no)) <= 1)
}

fn shown(view: &View<'_>) -> bool {
    let all: Vec<_> = view.logs().filter_map(|facts| facts.log.clone()).collect();
    (0..view.world.fixed()).all(|index| {
        let document = view.document(index);
        let Some(status) = document.text("status") else {
            return true;
        };
        let refunds_done = all
            .iter()
            .all(|log| log.intent.kind != Kind::Refund || log.state == LogState::Closed);
        let most = document.integer("amount");
        let in_full = most.is_some_and(|most| view.facts(index).refunded >= most);
        let refunded = status == "refunded";
        let attempts = all.iter().all(|log| {
            let mark = log.intent.order_mark(&view.world.scenario.names).unwrap();
            let closed = log.state == LogState::Closed && log.verdict == Some(Verdict::Succeeded);
            !closed
                || match mark {
                    Some(OrderMark::Paid) => status == "paid" || refunded,
                    Some(OrderMark::Cancelled) => status == "cancelled",
                    Some(OrderMark::Expired) => status == "expired",
                    Some(OrderMark::Refunded { .. }) | None => true,
                }
        });
        attempts && (!refunded || in_full) && (!(refunds_done && in_full) || refunded)
    })
}

/// One pruning brings every document down to the marks of its open logs, three each at most: so with a threshold t
/// there are never more than t + 3 × the open logs.
fn few_marks(view: &View<'_>) -> bool {
    let state = |log: &usize| view.tables.fact(view.logs[*log]).state;
    let closed: BTreeSet<ObjectId> = (0..view.logs.len())
        .filter(|log| state(log) == 5)
        .map(log_id)
        .collect();
    let open = view.logs.len() - closed.len();
    (0..view.world.fixed()).all(|index| {
        let mut document = view.document(index).clone();
        if view.facts(index).epoch < 0 {
            return true;
        }
        let target = &view.world.scenario.documents[index].0;
        if let Some(Action::Update {
            precondition, update, ..
        }) = pruning::prune(target, &document, &closed)
            .unwrap()
            .map(|write| write.action)
        {
            if !precondition.matches(&document).unwrap() {
                return false;
            }
            update.apply(&mut document).unwrap();
        }
        let marks = mark::marks(&document).unwrap();
        let of_open = |held: &&paylog::model::Value| {
            let log = held
                .as_str()
                .and_then(MarkKind::parse)
                .and_then(|(_, log)| log_index(&log));
            log.is_some_and(|log| state(&log) != 5)
        };
        marks.len() <= 3 * open && marks.iter().filter(of_open).count() == marks.len()
    })
}

/// No payment is refused for want of money if there is always enough for everyone.
fn justified(view: &View<'_>) -> bool {
    !view.world.scenario.ample
        || view.logs().all(|facts| {
            let log = facts.log.as_ref();
            log.is_none_or(|log| log.refusal.as_ref().is_none_or(|refusal| refusal.code.0 != 9002))
        })
}

fn at_one_home(view: &View<'_>) -> bool {
    view.world.at_one_home(view.tables, view.store)
}

/// The real audit, at any moment.
fn audit(view: &View<'_>) -> bool {
    let scenario = &view.world.scenario;
    if scenario.control == Control::SettleKey {
        // It knows such a log by its key: what else goes wrong is to be seen.
        return true;
    }
    let names = &scenario.names;
    let mut ledger = Ledger::new(names);
    for (index, (target, first)) in scenario.documents.iter().enumerate() {
        let topped = scenario.top_up.filter(|(topped, _)| *topped == index);
        let topped = topped.map_or(0, |_| i64::from(view.store.topped_up));
        let units = Facts::of(first, names).account + topped - before(view, target, &names.account);
        if units != 0 {
            let leg = Leg::new(target.clone()).adding(&names.account, Delta::new(units).unwrap());
            ledger.add_log(&opened(
                Kind::Adjust,
                &target.id,
                Amount::new(units),
                None,
                vec![leg],
            ));
        }
        if first.text("status") == Some("paid") {
            let order = Some(target.id.clone());
            ledger.add_log(&opened(Kind::Purchase, &id("a"), Amount::new(2), order, vec![]));
        }
    }
    for facts in view.logs() {
        let Some(log) = &facts.log else { return false };
        assert!(legs_add_up(&log.intent, names), "the scenario's legs add up");
        ledger.add_log(log);
    }
    for (index, (target, _)) in scenario.documents.iter().enumerate() {
        ledger.check_document(target, view.document(index));
    }
    ledger.finish().is_empty()
}

/// The contents of the store before paylog.
fn opened(
    kind: Kind,
    user: &ObjectId,
    amount: Option<Amount>,
    order: Option<ObjectId>,
    legs: Vec<Leg>,
) -> Log {
    Log {
        id: id(&format!("before-{user}")),
        state: LogState::Closed,
        intent: Intent {
            key: format!("before:{user}"),
            request_key: None,
            number: None,
            kind,
            user: user.clone(),
            order,
            amount,
            params: serde_json::Map::new(),
            legs: Legs::new(legs).unwrap(),
        },
        verdict: Some(Verdict::Succeeded),
        refusal: None,
        trade_no: None,
        claims: 0,
        claimed_until: None,
        stuck: None,
        created_at: None,
    }
}

/// Recovery runs to its end on a copy: what does not hold there, or that there is no end. An undecided move is rolled
/// back first; one that is final is brought to its end.
fn recovered(world: &World, tables: &mut Tables, store: &Store) -> u16 {
    if store.effects.is_empty() && world.homes() == 1 {
        return 0;
    }
    let mut newest = store.clone();
    for versions in &mut newest.documents {
        versions.drain(..versions.len().saturating_sub(1));
    }
    let newest = tables.stores.number(newest);
    if let Some(known) = tables.recovered.get(&newest) {
        return *known;
    }
    let bits = recover(world, tables, newest);
    tables.recovered.insert(newest, bits);
    bits
}

fn recover(world: &World, tables: &mut Tables, store: Number) -> u16 {
    let (store, home) = world.end_move(tables, store);
    let mut state = World::calm(store);
    let logs = tables.stores.value(store).effects.len();
    let ended = (0..logs).all(|log| recover_one(world, tables, &mut state, home, log));
    let last = Arc::clone(tables.stores.value(state.store));
    let bits = safety(&View::new(world, tables, &last));
    if ended && state.faults == 0 {
        bits
    } else {
        bits | RECOVERABLE
    }
}

fn recover_one(world: &World, tables: &mut Tables, state: &mut State, home: usize, log: usize) -> bool {
    let place = world.place_of_log(home, log);
    if tables.stores.value(state.store).newest(place) == ABSENT {
        // Created at the old home after the move, under a key that the new one has given away: it has done nothing.
        let untouched = |effect: &(u8, u8)| *effect == (0, 0);
        return tables.stores.value(state.store).effects[log]
            .iter()
            .all(untouched)
            && world.confirm_stranded(tables, state, log);
    }
    if world.recover_log(tables, state, home, log).is_err() {
        return false;
    }
    let facts = tables.fact(tables.stores.value(state.store).newest(place));
    facts.state == 5 || facts.log.as_ref().is_some_and(|log| log.waits_for_gateway())
}

fn sometimes(seen: Seen) -> Property<World> {
    match seen {
        Seen::Success => Property::sometimes("a payment succeeds", |w, s| {
            any_log(w, s, &|log| log.verdict == Some(Verdict::Succeeded))
        }),
        Seen::Refusal => Property::sometimes("a payment is refused", |w, s| any_log(w, s, &Log::failed)),
        Seen::Reversal => Property::sometimes("a leg is reversed", |w: &World, s: &State| {
            let tables = w.tables();
            let effects = &tables.stores.value(s.store).effects;
            effects.iter().flatten().any(|(_, reversed)| *reversed > 0)
        }),
        Seen::Pruned => Property::sometimes("marks are pruned between sending and delivery", |w, s| {
            moved_on(w, s, |facts| facts.epoch > 0)
        }),
        Seen::LateAtTheFence => {
            Property::sometimes("a document is fenced between sending and delivery", |w, s| {
                moved_on(w, s, |facts| facts.epoch < 0)
            })
        }
        Seen::Two => Property::sometimes("two workers move the money of one log", two_on_one),
        Seen::Unknown => Property::sometimes(
            "a write without an answer has taken effect",
            |w: &World, _: &State| w.tables().lost_effects,
        ),
        Seen::Apart => Property::sometimes("money that no recharge waits for is credited", |w, s| {
            any_log(w, s, &|log| {
                log.intent.key.starts_with("trade:") && log.state == LogState::Closed
            })
        }),
        Seen::Refunded => {
            Property::sometimes("an order is refunded in full", |w, s| status(w, s, "refunded"))
        }
        Seen::Cancelled => Property::sometimes("an order is cancelled", |w, s| status(w, s, "cancelled")),
        Seen::Expired => Property::sometimes("an order expires", |w, s| status(w, s, "expired")),
        Seen::Paid => Property::sometimes("an order is paid", |w, s| status(w, s, "paid")),
        Seen::Captured => Property::sometimes("what was held goes to the payee", |w, s| settled(w, s, "m")),
        Seen::Released => Property::sometimes("what was held goes back", |w, s| settled(w, s, "a")),
        Seen::PaidOut => Property::sometimes("what was held is paid out", |w, s| {
            any_log(w, s, &|log| {
                log.intent.params.get("to") == Some(&"outside".into()) && log.state == LogState::Closed
            })
        }),
        Seen::Arrived => Property::sometimes("an open log has arrived", |w, s| {
            (0..5).any(|number| arrived(w, s, number))
        }),
        Seen::ArrivedOrdered => Property::sometimes("a log in state 1 has arrived", |w, s| arrived(w, s, 1)),
        Seen::ArrivedFunded => Property::sometimes("a log in state 2 has arrived", |w, s| arrived(w, s, 2)),
        Seen::ArrivedApplied => Property::sometimes("a log in state 3 has arrived", |w, s| arrived(w, s, 3)),
        Seen::ArrivedClosed => Property::sometimes("a closed log has arrived", |w, s| arrived(w, s, 5)),
        Seen::TriedAgain => {
            Property::sometimes("a move succeeds in its second attempt", |w: &World, s: &State| {
                let tables = w.tables();
                let decision = decision_of(&tables, tables.stores.value(s.store));
                decision.attempt.get() == 2 && decision.resolution == Resolution::Final
            })
        }
    }
}

fn status(world: &World, state: &State, name: &str) -> bool {
    let tables = world.tables();
    let store = tables.stores.value(state.store);
    let view = View::new(world, &tables, store);
    (0..world.fixed()).any(|index| view.document(index).text("status") == Some(name))
}

fn settled(world: &World, state: &State, to: &str) -> bool {
    any_log(world, state, &|log| {
        let closed = log.state == LogState::Closed && log.verdict == Some(Verdict::Succeeded);
        closed && log.intent.kind == Kind::Settle && log.intent.params["to"] == to
    })
}

/// A log stands at the new home, in this state, and the move is final.
fn arrived(world: &World, state: &State, number: i64) -> bool {
    let tables = world.tables();
    let store = tables.stores.value(state.store);
    (0..store.effects.len()).any(|log| {
        let there = store.newest(world.place_of_log(1, log));
        let from = store.newest(world.place_of_log(0, log));
        let moved = tables.fact(from).is_fenced() || number == 5 && from != ABSENT;
        there != ABSENT && moved && tables.fact(there).state == number
    })
}

/// A worker waits for the answer to a leg that carries an older epoch than the document has.
fn moved_on(world: &World, state: &State, is: fn(&Facts) -> bool) -> bool {
    let mut tables = world.tables();
    let store = Arc::clone(tables.stores.value(state.store));
    state.workers.iter().any(|number| {
        if *number as usize >= tables.jobs.len() {
            return false;
        }
        let job = Arc::clone(tables.jobs.value(*number));
        let Ask::Writes(messages) = &job.ask else {
            return false;
        };
        messages.iter().any(|message| {
            let sent = Arc::clone(tables.messages.value(*message));
            let (write, role) = &sent.writes[0];
            let (Role::Take(_), Some(target)) = (role, Target::of(write)) else {
                return false;
            };
            let place = world.place(usize::from(job.home), &target);
            is(tables.fact(store.newest(place))) && world.is_dead(&mut tables, &store, *message)
        })
    })
}

/// Two workers wait for the answers to legs of the same log.
fn two_on_one(world: &World, state: &State) -> bool {
    let tables = world.tables();
    let moving: Vec<_> = state
        .workers
        .iter()
        .filter(|number| **number != FREE && (**number as usize) < tables.jobs.len())
        .filter_map(|number| {
            let job = tables.jobs.value(*number);
            let Ask::Writes(messages) = &job.ask else {
                return None;
            };
            let message = tables.messages.value(messages[0]);
            matches!(message.writes[0].1, Role::Take(_)).then_some(message.log)
        })
        .collect();
    moving.len() > 1 && moving[0] == moving[1]
}
