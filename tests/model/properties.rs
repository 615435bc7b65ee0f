//! What must always hold, and what must happen at least once for that to mean anything.

use paylog::model::ObjectId;
use paylog::payment::invariant::{Ledger, legs_add_up};
use paylog::payment::leg::{Leg, Legs};
use paylog::payment::log::{Intent, Log, LogState, Verdict};
use paylog::payment::machine::Draft;
use paylog::payment::mark;
use paylog::payment::order::OrderMark;
use paylog::payment::{Amount, Delta, Kind};
use stateright::Property;

use crate::scenario::{Caller, Scenario, id};
use crate::tables::{Ask, FREE, Facts, Role};
use crate::world::{
    FAULT_FELL, FAULT_MOVED, FAULT_STUCK, State, TOLD_REFUSAL, TOLD_SUCCESS, Tables, World, log_id, newest,
};

type Check = fn(&World, &Tables, &State) -> bool;
/// The same, as the checker wants it.
type Condition = fn(&World, &State) -> bool;

/// The properties of one state by itself.
const SAFETY: [(&str, Check, Condition); 11] = [
    ("no leg takes effect twice", once, |w, s| checked(w, s, once)),
    ("no state is written before its work", decided, |w, s| {
        checked(w, s, decided)
    }),
    ("money moves by legs alone", conserved, |w, s| {
        checked(w, s, conserved)
    }),
    ("no bound is ever broken", bounded, |w, s| checked(w, s, bounded)),
    ("what the caller was told stays true", told, |w, s| {
        checked(w, s, told)
    }),
    (
        "one thing happens to an order, a hold, a gateway's number",
        unique,
        |w, s| checked(w, s, unique),
    ),
    ("the order shows its attempts", shown, |w, s| checked(w, s, shown)),
    ("marks stay few", few_marks, |w, s| checked(w, s, few_marks)),
    ("no log waits for an operator", never_stuck, |w, s| {
        checked(w, s, never_stuck)
    }),
    (
        "no state falls, and no closed log changes",
        never_falls,
        |w, s| checked(w, s, never_falls),
    ),
    ("nothing that has moved changes", never_moved, |w, s| {
        checked(w, s, never_moved)
    }),
];

/// What should be seen at least once.
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
}

pub(crate) fn all(scenario: &Scenario) -> Vec<Property<World>> {
    let mut properties: Vec<Property<World>> = SAFETY
        .iter()
        .map(|(name, _, check)| Property::always(name, *check))
        .collect();
    properties.push(Property::always("the audit finds nothing", audited));
    properties.push(Property::always("recovery alone closes every log", recoverable));
    properties.extend(scenario.seen.iter().map(|seen| match seen {
        Seen::Success => Property::sometimes("a payment succeeds", |w, s| {
            any_log(w, s, |log| log.verdict == Some(Verdict::Succeeded))
        }),
        Seen::Refusal => Property::sometimes("a payment is refused", |w, s| any_log(w, s, Log::failed)),
        Seen::Reversal => Property::sometimes("a leg is reversed", |_: &World, s: &State| {
            s.effects.iter().flatten().any(|(_, reversed)| *reversed > 0)
        }),
        Seen::Pruned => {
            Property::sometimes("marks are pruned between sending and delivery", pruned_meanwhile)
        }
        Seen::Two => Property::sometimes("two workers move the money of one log", two_on_one),
        Seen::Unknown => Property::sometimes(
            "a write without an answer has taken effect",
            |w: &World, _: &State| w.tables().lost_effects > 0,
        ),
        Seen::Apart => Property::sometimes("money that no recharge waits for is credited", |w, s| {
            any_log(w, s, |log| {
                log.intent.key.starts_with("trade:") && log.state == LogState::Closed
            })
        }),
        Seen::Refunded => Property::sometimes("an order is refunded in full", |w: &World, s: &State| {
            let tables = w.tables();
            (0..w.fixed())
                .any(|place| tables.documents.value(newest(s, place)).text("status") == Some("refunded"))
        }),
    }));
    properties
}

fn checked(world: &World, state: &State, check: Check) -> bool {
    check(world, &world.tables(), state)
}

fn any_log(world: &World, state: &State, is: fn(&Log) -> bool) -> bool {
    logs(world, &world.tables(), state).any(|log| log.log.as_ref().is_some_and(|log| is(log)))
}

fn logs<'a>(world: &World, tables: &'a Tables, state: &'a State) -> impl Iterator<Item = &'a Facts> {
    state.documents[world.fixed()..]
        .iter()
        .map(|versions| tables.fact(*versions.last().unwrap()))
}

fn once(_: &World, _: &Tables, state: &State) -> bool {
    state
        .effects
        .iter()
        .flatten()
        .all(|(applied, reversed)| *applied <= 1 && reversed <= applied)
}

fn decided(world: &World, tables: &Tables, state: &State) -> bool {
    logs(world, tables, state)
        .zip(&state.effects)
        .all(|(facts, effects)| {
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

fn conserved(world: &World, tables: &Tables, state: &State) -> bool {
    let rules = &world.scenario.rules;
    let fixed = world.scenario.documents.iter().enumerate();
    fixed.clone().all(|(place, (target, first))| {
        let now = tables.fact(newest(state, place));
        let first = Facts::of(first, rules);
        let topped = world.scenario.top_up.is_some_and(|(topped, _)| topped == place);
        let fields = [
            (&rules.account, first.account, now.account),
            (&rules.frozen, first.frozen, now.frozen),
            (&"refunded".to_owned(), first.refunded, now.refunded),
        ];
        fields.into_iter().all(|(field, first, now)| {
            let mut expected = first;
            if topped && *field == rules.account {
                expected += i64::from(state.topped_up);
            }
            for (facts, effects) in logs(world, tables, state).zip(&state.effects) {
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

fn bounded(world: &World, tables: &Tables, state: &State) -> bool {
    (0..world.fixed()).all(|place| {
        let facts = tables.fact(newest(state, place));
        let most = tables.documents.value(newest(state, place)).integer("amount");
        facts.account >= 0 && facts.frozen >= 0 && most.is_none_or(|most| facts.refunded <= most)
    })
}

/// The intent that a caller's log has.
fn wanted(world: &World, tables: &Tables, state: &State, caller: usize) -> Option<Intent> {
    match &world.scenario.callers[caller] {
        Caller::Wants { draft, .. } => Some(draft.intent.clone()),
        Caller::Follows { of, draft, .. } => {
            let place = world.log_of(tables, state, *of)?;
            let Draft { intent, .. } = draft(&log_id(place - world.fixed()));
            Some(intent)
        }
        Caller::Notice { .. } => None,
    }
}

fn told(world: &World, tables: &Tables, state: &State) -> bool {
    let found = |is: &dyn Fn(&Log) -> bool| {
        logs(world, tables, state).any(|facts| facts.log.as_ref().is_some_and(|log| is(log)))
    };
    (0..state.told.len())
        .filter(|caller| state.told[*caller] != 0)
        .all(|caller| {
            let told = state.told[caller];
            let succeeded = |log: &Log| log.verdict == Some(Verdict::Succeeded);
            if let Caller::Notice { trade_no, .. } = &world.scenario.callers[caller] {
                return found(&|log| {
                    log.trade_no.as_deref() == Some(trade_no) && log.state >= LogState::Funded
                });
            }
            let Some(wanted) = wanted(world, tables, state, caller) else {
                return false;
            };
            let paid =
                found(&|log| wanted.key == log.intent.key && wanted.repeats(&log.intent) && succeeded(log));
            (told & TOLD_SUCCESS == 0 || paid) && (told & TOLD_REFUSAL == 0 || !paid)
        })
}

fn unique(world: &World, tables: &Tables, state: &State) -> bool {
    let count = |is: &dyn Fn(&Log) -> bool| {
        let succeeded = |log: &Log| log.verdict == Some(Verdict::Succeeded) || log.state == LogState::Funded;
        logs(world, tables, state)
            .filter(|facts| facts.log.as_ref().is_some_and(|log| succeeded(log) && is(log)))
            .count()
    };
    let trades = ["T", "U"];
    count(&|log| matches!(log.intent.kind, Kind::Purchase | Kind::Cancel)) <= 1
        && count(&|log| log.intent.kind == Kind::Settle) <= 1
        && trades
            .iter()
            .all(|trade_no| count(&|log| log.trade_no.as_deref() == Some(trade_no)) <= 1)
}

fn shown(world: &World, tables: &Tables, state: &State) -> bool {
    let all: Vec<_> = logs(world, tables, state)
        .filter_map(|facts| facts.log.clone())
        .collect();
    (0..world.fixed()).all(|place| {
        let document = tables.documents.value(newest(state, place));
        let Some(status) = document.text("status") else {
            return true;
        };
        let facts = tables.fact(newest(state, place));
        let refunds_done = all
            .iter()
            .all(|log| log.intent.kind != Kind::Refund || log.state == LogState::Closed);
        let in_full = document
            .integer("amount")
            .is_some_and(|most| facts.refunded >= most);
        let refunded = status == "refunded";
        let attempts = all.iter().all(|log| {
            let mark = log.intent.order_mark(&world.scenario.rules).unwrap();
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

fn few_marks(world: &World, tables: &Tables, state: &State) -> bool {
    (0..world.fixed()).all(|place| {
        let marks = mark::list(tables.documents.value(newest(state, place))).unwrap();
        marks.len() <= 3 * state.effects.len()
    })
}

fn never_stuck(_: &World, _: &Tables, state: &State) -> bool {
    state.faults & FAULT_STUCK == 0
}

fn never_falls(_: &World, _: &Tables, state: &State) -> bool {
    state.faults & FAULT_FELL == 0
}

fn never_moved(_: &World, _: &Tables, state: &State) -> bool {
    state.faults & FAULT_MOVED == 0
}

/// The real audit, at any moment.
fn audited(world: &World, state: &State) -> bool {
    let mut tables = world.tables();
    let key = (newest_all(state), state.topped_up);
    if let Some(known) = tables.audited.get(&key) {
        return *known;
    }
    let holds = audit(world, &tables, state);
    tables.audited.insert(key, holds);
    holds
}

fn audit(world: &World, tables: &Tables, state: &State) -> bool {
    let rules = &world.scenario.rules;
    let mut ledger = Ledger::new(rules);
    for (place, (target, first)) in world.scenario.documents.iter().enumerate() {
        let topped = world.scenario.top_up.filter(|(topped, _)| *topped == place);
        let opening = Facts::of(first, rules).account + topped.map_or(0, |_| i64::from(state.topped_up));
        if let Some(amount) = Amount::new(opening) {
            let leg = Leg::new(target.clone()).adding(&rules.account, Delta::new(opening).unwrap());
            ledger.take(&opened(Kind::Adjust, &target.id, Some(amount), None, vec![leg]));
        }
        if first.text("status") == Some("paid") {
            ledger.take(&opened(
                Kind::Purchase,
                &id("a"),
                Amount::new(2),
                Some(target.id.clone()),
                vec![],
            ));
        }
    }
    for facts in logs(world, tables, state) {
        let Some(log) = &facts.log else { return false };
        assert!(legs_add_up(&log.intent, rules), "the scenario's legs add up");
        ledger.take(log);
    }
    for (place, (target, _)) in world.scenario.documents.iter().enumerate() {
        ledger.check(target, tables.documents.value(newest(state, place)));
    }
    ledger.finish().is_empty()
}

/// What was there before paylog.
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

/// Recovery runs to its end on a copy, and everything must hold there too.
fn recoverable(world: &World, state: &State) -> bool {
    let fenced =
        |tables: &Tables| (0..world.fixed()).any(|place| tables.fact(newest(state, place)).epoch < 0);
    let mut tables = world.tables();
    if fenced(&tables) || state.effects.is_empty() {
        return true;
    }
    let key = (newest_all(state), state.effects.clone());
    if let Some(known) = tables.recoverable.get(&key) {
        return *known;
    }
    let mut first = state.clone();
    for versions in &mut first.documents {
        versions.drain(..versions.len() - 1);
    }
    first.told.fill(0);
    let holds = match world.recover(&mut tables, &first) {
        Err(_) => false,
        Ok(last) => {
            SAFETY.iter().all(|(_, check, _)| check(world, &tables, &last)) && audit(world, &tables, &last)
        }
    };
    tables.recoverable.insert(key, holds);
    holds
}

fn newest_all(state: &State) -> Vec<u32> {
    (0..state.documents.len())
        .map(|place| newest(state, place))
        .collect()
}

/// A worker waits for the answer to a leg that carries an older epoch than the document has.
fn pruned_meanwhile(world: &World, state: &State) -> bool {
    let mut tables = world.tables();
    state.workers.iter().any(|number| {
        let job = std::sync::Arc::clone(tables.jobs.value(*number));
        let Ask::Writes(messages) = &job.ask else {
            return false;
        };
        messages.iter().any(|message| {
            let take = matches!(tables.messages.value(*message).writes[0].1, Role::Take(_));
            take && world.is_dead(&mut tables, state, *message)
        })
    })
}

/// Two workers wait for the answers to legs of the same log.
fn two_on_one(world: &World, state: &State) -> bool {
    let tables = world.tables();
    let moving: Vec<_> = state
        .workers
        .iter()
        .filter(|number| **number != FREE)
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
