//! A move of the store, by any number of movers, each of which may be slow, or gone, and come back.
//!
//! What a mover writes follows from what it has read, and each of its guards names what it has read exactly. A write
//! that comes late and takes effect is therefore one that could be computed right now. What cannot be computed again
//! is kept: copies that were read behind an earlier fence, and decisions that were sent.

use paylog::model::write::{Action, Write};
use paylog::model::{Document, Filter, Update, Value};
use paylog::payment::protocol::log::LogState;
use paylog::payment::protocol::relocation::{
    self, Attempt, CopyAction, Decision, FencedCopy, RelocationStep, Resolution,
};
use paylog::payment::protocol::target::Target;
use paylog::payment::protocol::{mark, pruning};

use crate::control::Control;
use crate::outside::Outside;
use crate::scenario::id;
use crate::store::{Landed, Store, log_id, log_index};
use crate::tables::{ABSENT, Number};
use crate::world::{Tables, World};

/// The progress of a relocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Moving {
    /// The document that decides.
    pub(crate) decision: Number,
    /// The reads at the source that could still be put into the destination: the document, and its version.
    copies: Vec<(u8, Number)>,
    /// The attempts for which somebody has sent that they are final: bits.
    final_sent: u8,
}

/// One write of a mover. A document is named by its index at a home; logs come after the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Fence { index: usize, attempt: i64 },
    Place { index: usize, copy: Number },
    SendFinal,
    Decide { attempt: i64, resolution: Resolution },
    TryAgain,
    Open { index: usize },
    RollBack { index: usize },
}

const OLD: usize = 0;
const NEW: usize = 1;

impl World {
    pub(crate) fn begin_moving(&self, tables: &mut Tables) -> Moving {
        let mut moving = Moving::default();
        if self.scenario.attempts > 0 {
            let mut decision = Document::new();
            Decision::begin().apply(&mut decision).unwrap();
            moving.decision = tables.document(decision, &self.scenario);
        }
        moving
    }

    /// Returns true if workers begin anything at this store. The destination serves nobody before the decision; the
    /// source may still do so after it.
    pub(crate) fn serves(&self, tables: &Tables, store: &Store, home: usize) -> bool {
        home == OLD || decision_of(tables, store).resolution == Resolution::Final
    }

    /// Returns true if the sweeper of this store gives up unpaid recharges: that of the source is stopped before the
    /// decision.
    pub(crate) fn sweeps(&self, tables: &Tables, store: &Store, home: usize) -> bool {
        (home == NEW) == (decision_of(tables, store).resolution == Resolution::Final)
    }

    fn target_of(&self, index: usize) -> Target {
        match self.scenario.documents.get(index) {
            Some((target, _)) => target.clone(),
            None => Target::new(&self.scenario.names.log_class, &log_id(index - self.fixed())),
        }
    }

    fn place_of(&self, home: usize, index: usize) -> usize {
        if index < self.fixed() {
            self.place_of_document(home, index)
        } else {
            self.place_of_log(home, index - self.fixed())
        }
    }

    fn indices(&self, store: &Store) -> std::ops::Range<usize> {
        0..self.fixed() + store.effects.len()
    }

    /// A document as a mover sees it; without the rule, every document shows the attempt that it looks for.
    fn seen(&self, tables: &Tables, number: Number, attempt: Attempt) -> Document {
        let mut document = Document::clone(tables.documents.value(number));
        if self.scenario.control == Control::MoveAttempt {
            if let Some(Value::Array(marks)) = document.get_mut(mark::PAYLOGS) {
                let before = marks.len();
                marks.retain(|held| !held.as_str().unwrap().starts_with(mark::MOVE));
                if marks.len() < before {
                    marks.push(format!("{}{}", mark::MOVE, attempt.get()).into());
                }
            }
            if document.contains_key(paylog::payment::protocol::log::fields::MOVE) {
                document.insert(
                    paylog::payment::protocol::log::fields::MOVE.into(),
                    attempt.get().into(),
                );
            }
        }
        document
    }

    /// The copy that a document, as it was read at the old home, makes.
    fn copy_of(&self, tables: &Tables, index: usize, number: Number, attempt: Attempt) -> Option<FencedCopy> {
        let document = self.seen(tables, number, attempt);
        FencedCopy::of(&self.scenario.names, &self.target_of(index), &document, attempt).unwrap()
    }

    /// The action for a document that was read at the source.
    fn placing(&self, tables: &Tables, store: &Store, index: usize, number: Number) -> Option<CopyAction> {
        let attempt = tables.documents.value(number);
        let marks = mark::marks(attempt).unwrap().iter().filter_map(Value::as_str);
        let by_mark = marks
            .filter_map(|held| held.strip_prefix(mark::MOVE)?.parse().ok())
            .max();
        let by = by_mark
            .or(attempt.integer(paylog::payment::protocol::log::fields::MOVE))
            .unwrap_or(1);
        let copy = self.copy_of(tables, index, number, attempt_of(by))?;
        let there = store.newest(self.place_of(NEW, index));
        let there = (there != ABSENT).then(|| tables.documents.value(there));
        Some(
            copy.place(&self.scenario.names, there.map(AsRef::as_ref))
                .unwrap(),
        )
    }

    /// Notes what can be read at the old home, and forgets what can never be put into the new one any more.
    pub(crate) fn note_copies(&self, tables: &Tables, store: &mut Store) {
        if self.homes() == 1 {
            return;
        }
        let mut copies = std::mem::take(&mut store.moving.copies);
        for index in self.indices(store) {
            let number = store.newest(self.place_of(OLD, index));
            let facts = tables.fact(number);
            if facts.is_fenced() || facts.state == i64::from(LogState::Closed.number()) {
                copies.push((u8::try_from(index).unwrap(), number));
            }
        }
        copies.sort_unstable();
        copies.dedup();
        copies.retain(|(index, number)| {
            let index = usize::from(*index);
            match self.placing(tables, store, index, *number) {
                Some(CopyAction::Create(document)) => self.holder(tables, store, NEW, &document).is_none(),
                Some(CopyAction::Replace { .. }) => true,
                Some(CopyAction::Keep) => self.scenario.control == Control::CopyGuard,
                Some(CopyAction::Done) | None => false,
            }
        });
        store.moving.copies = copies;
    }

    /// A write of a mover at one home, where it takes effect.
    fn moved(&self, tables: &mut Tables, store: &Store, home: usize, write: &Write) -> Option<Store> {
        let Action::Update {
            precondition, update, ..
        } = &write.action
        else {
            return None;
        };
        let place = self.place(home, &Target::of(write)?);
        let mut document = Document::clone(tables.documents.value(store.newest(place)));
        if !precondition.matches(&document).unwrap() {
            return None;
        }
        update.apply(&mut document).unwrap();
        let number = tables.document(document, &self.scenario);
        let mut after = store.clone();
        self.put_version(&mut after, place, number);
        self.note_copies(tables, &mut after);
        Some(after)
    }

    fn decided(&self, tables: &mut Tables, store: &Store, write: &Write) -> Option<Store> {
        let Action::Update {
            precondition, update, ..
        } = &write.action
        else {
            return None;
        };
        let mut document = Document::clone(tables.documents.value(store.moving.decision));
        let free = self.scenario.control == Control::DecisionOnce;
        if !free && !precondition.matches(&document).unwrap() {
            return None;
        }
        update.apply(&mut document).unwrap();
        let mut after = store.clone();
        after.moving.decision = tables.document(document, &self.scenario);
        Some(after)
    }

    fn fenced(&self, tables: &mut Tables, store: &Store, index: usize, attempt: i64) -> Option<Store> {
        let number = store.newest(self.place_of(OLD, index));
        if number == ABSENT {
            return None;
        }
        let attempt = attempt_of(attempt);
        let document = self.seen(tables, number, attempt);
        let todo =
            relocation::fence(&self.scenario.names, &self.target_of(index), &document, attempt).unwrap();
        let RelocationStep::Write(write) = todo else {
            return None;
        };
        let log = index >= self.fixed();
        let left_out = match self.scenario.control {
            Control::DocumentFence => !log,
            Control::LogFence => log,
            _ => false,
        };
        if !left_out {
            return self.moved(tables, store, OLD, &write);
        }
        // The copy is made as if it were fenced, and the old home knows nothing of it.
        let Action::Update { update, .. } = write.action else {
            return None;
        };
        let mut copy = document;
        update.apply(&mut copy).unwrap();
        let copy = (
            u8::try_from(index).unwrap(),
            tables.document(copy, &self.scenario),
        );
        let mut after = store.clone();
        after.moving.copies.push(copy);
        self.note_copies(tables, &mut after);
        Some(after)
    }

    fn placed(&self, tables: &mut Tables, store: &Store, index: usize, copy: Number) -> Option<Store> {
        match self.placing(tables, store, index, copy)? {
            CopyAction::Create(document) => {
                if self.holder(tables, store, NEW, &document).is_some() {
                    return None;
                }
                let number = tables.document(document, &self.scenario);
                let mut after = store.clone();
                let place = self.place_of(NEW, index);
                if self.scenario.stale > 0 {
                    after.documents[place].push(ABSENT);
                }
                self.put_version(&mut after, place, number);
                self.note_copies(tables, &mut after);
                Some(after)
            }
            CopyAction::Replace { precondition, update } => {
                let write = self.target_of(index).update(precondition, update);
                self.moved(tables, store, NEW, &write)
            }
            CopyAction::Keep if self.scenario.control == Control::CopyGuard => {
                let document = tables.documents.value(copy).iter();
                let update = document.fold(Update::new(), |update, (key, value)| {
                    update.set(key, value.clone())
                });
                let write = self.target_of(index).update(Filter::all(), update);
                self.moved(tables, store, NEW, &write)
            }
            CopyAction::Done | CopyAction::Keep => None,
        }
    }

    /// Returns true if a relocator may take the attempt for complete: all that it sees at the source is fenced and
    /// stands at the destination. A stale read may not show it a log yet; but then no mark may name that log.
    fn is_complete(&self, tables: &Tables, store: &Store, attempt: Attempt) -> bool {
        let marked = |log: usize| {
            (0..self.fixed()).any(|index| {
                let document = tables.documents.value(store.newest(self.place_of(OLD, index)));
                pruning::logs(document)
                    .unwrap()
                    .iter()
                    .any(|id| log_index(id) == Some(log))
            })
        };
        self.indices(store).all(|index| {
            let place = self.place_of(OLD, index);
            let number = store.newest(place);
            if index >= self.fixed() {
                let unseen = store.documents[place]
                    .first()
                    .is_none_or(|first| *first == ABSENT);
                if unseen && !marked(index - self.fixed()) {
                    return true;
                }
            }
            let left_out = match self.scenario.control {
                Control::DocumentFence => index < self.fixed(),
                Control::LogFence => index >= self.fixed(),
                _ => false,
            };
            if left_out {
                return store.newest(self.place_of(NEW, index)) != ABSENT;
            }
            let copy = self.copy_of(tables, index, number, attempt);
            let there = store.newest(self.place_of(NEW, index));
            let there = (there != ABSENT).then(|| self.seen(tables, there, attempt));
            copy.is_some_and(|copy| {
                copy.place(&self.scenario.names, there.as_ref()).unwrap() == CopyAction::Done
            })
        })
    }

    fn unfenced(&self, tables: &mut Tables, store: &Store, home: usize, index: usize) -> Option<Store> {
        let number = store.newest(self.place_of(home, index));
        if number == ABSENT {
            return None;
        }
        let (names, target) = (&self.scenario.names, self.target_of(index));
        let decision = decision_of(tables, store);
        let todo = if home == NEW {
            let document = self.seen(tables, number, decision.attempt);
            let final_now = Decision {
                resolution: Resolution::Final,
                ..decision
            };
            let early = self.scenario.control == Control::OpenAfterFinal;
            relocation::open(
                names,
                &target,
                &document,
                if early { final_now } else { decision },
            )
        } else {
            let mut document = self.seen(tables, number, Attempt::FIRST);
            if self.scenario.control == Control::RollBackEpoch && tables.fact(number).epoch == -1 {
                // A late roll-back of the first attempt names this epoch, too.
                document.insert(mark::PAYLOGS.into(), vec![Value::from("move:1")].into());
            }
            relocation::roll_back(names, &target, &document, decision)
        };
        let RelocationStep::Write(mut write) = todo.unwrap() else {
            return None;
        };
        if self.scenario.control == Control::RollBackEpoch
            && home == OLD
            && let Action::Update { update, .. } = &mut write.action
            && index < self.fixed()
        {
            let epoch = -tables.fact(number).epoch - 1;
            *update = std::mem::take(update).set(mark::PAY_EPOCH, epoch);
        }
        self.moved(tables, store, home, &write)
    }

    fn make(&self, tables: &mut Tables, store: &Store, one: Move) -> Option<Store> {
        let target = Target::new(&self.scenario.names.order_class, &id("move"));
        match one {
            Move::Fence { index, attempt } => self.fenced(tables, store, index, attempt),
            Move::Place { index, copy } => self.placed(tables, store, index, copy),
            Move::SendFinal => {
                let decision = decision_of(tables, store);
                let bit = 1 << decision.attempt.get();
                let sendable = decision.resolution == Resolution::Open
                    && store.moving.final_sent & bit == 0
                    && self.is_complete(tables, store, decision.attempt);
                let mut after = store.clone();
                after.moving.final_sent |= bit;
                sendable.then_some(after)
            }
            Move::Decide { attempt, resolution } => {
                let sent = store.moving.final_sent >> attempt & 1 == 1;
                if resolution == Resolution::Final && !sent {
                    return None;
                }
                let seen = Decision {
                    attempt: attempt_of(attempt),
                    resolution: Resolution::Open,
                };
                self.decided(tables, store, &seen.decide(&target, resolution).unwrap())
            }
            Move::TryAgain => {
                let decision = decision_of(tables, store);
                if decision.attempt.get() >= self.scenario.attempts {
                    return None;
                }
                let write = decision.try_again(&target).unwrap()?;
                self.decided(tables, store, &write)
            }
            Move::Open { index } => self.unfenced(tables, store, NEW, index),
            Move::RollBack { index } => self.unfenced(tables, store, OLD, index),
        }
    }

    /// All that movers can do now.
    pub(crate) fn moves(&self, tables: &mut Tables, store: &Store) -> Vec<(Outside, Landed)> {
        if self.homes() == 1 {
            return Vec::new();
        }
        let attempts = 1..=decision_of(tables, store).attempt.get();
        let mut moves = vec![Move::SendFinal, Move::TryAgain];
        for attempt in attempts.clone() {
            moves.extend(
                [Resolution::Final, Resolution::RolledBack]
                    .map(|resolution| Move::Decide { attempt, resolution }),
            );
        }
        for index in self.indices(store) {
            let epoch = tables.fact(store.newest(self.place_of(OLD, index))).epoch;
            if epoch.abs() < self.scenario.epochs + self.scenario.attempts {
                moves.extend(attempts.clone().map(|attempt| Move::Fence { index, attempt }));
            }
            moves.extend([Move::Open { index }, Move::RollBack { index }]);
        }
        moves.extend(store.moving.copies.iter().map(|(index, copy)| Move::Place {
            index: usize::from(*index),
            copy: *copy,
        }));
        let made = moves.into_iter().filter_map(|one| {
            let after = self.make(tables, store, one).filter(|after| after != store)?;
            let landed = Landed {
                store: tables.stores.number(after),
                answer: 0,
                faults: 0,
            };
            Some((Outside::Move(one), landed))
        });
        made.collect()
    }

    /// One mover, to which nothing happens, ends the move: it rolls an undecided one back.
    pub(crate) fn end_move(&self, tables: &mut Tables, store: Number) -> (Number, usize) {
        let mut now = Store::clone(tables.stores.value(store));
        if self.homes() == 1 {
            return (store, OLD);
        }
        let decision = decision_of(tables, &now);
        let attempt = decision.attempt.get();
        if decision.resolution == Resolution::Open {
            let resolution = Resolution::RolledBack;
            now = self
                .make(tables, &now, Move::Decide { attempt, resolution })
                .unwrap_or(now);
        }
        let is_final = decision_of(tables, &now).resolution == Resolution::Final;
        for index in self.indices(&now) {
            if is_final {
                now = self
                    .make(tables, &now, Move::Fence { index, attempt })
                    .unwrap_or(now);
                for (_, copy) in now
                    .moving
                    .copies
                    .clone()
                    .into_iter()
                    .filter(|(of, _)| usize::from(*of) == index)
                {
                    now = self
                        .make(tables, &now, Move::Place { index, copy })
                        .unwrap_or(now);
                }
            } else {
                now = self.make(tables, &now, Move::RollBack { index }).unwrap_or(now);
            }
        }
        if is_final {
            for index in self.indices(&now) {
                now = self.make(tables, &now, Move::Open { index }).unwrap_or(now);
            }
        }
        (tables.stores.number(now), if is_final { NEW } else { OLD })
    }

    /// The document, or log, that counts: that of the new home once it has been opened there.
    pub(crate) fn current(&self, tables: &Tables, store: &Store, index: usize) -> Number {
        if self.homes() > 1 {
            let there = store.newest(self.place_of(NEW, index));
            if there != ABSENT && !tables.fact(there).is_fenced() {
                return there;
            }
        }
        store.newest(self.place_of(OLD, index))
    }

    /// No document is in use in both stores.
    /// Created at the old home too late to be brought over: it moves nothing there, as all that it could touch is fenced.
    pub(crate) fn is_stranded(&self, tables: &Tables, store: &Store, log: usize) -> bool {
        self.homes() > 1
            && decision_of(tables, store).resolution == Resolution::Final
            && store.newest(self.place_of_log(NEW, log)) == ABSENT
            && store.effects[log].iter().all(|effect| *effect == (0, 0))
    }

    pub(crate) fn at_one_home(&self, tables: &Tables, store: &Store) -> bool {
        self.homes() == 1
            || self.indices(store).all(|index| {
                let in_use = |home: usize| {
                    let number = store.newest(self.place_of(home, index));
                    let facts = tables.fact(number);
                    number != ABSENT && !facts.is_fenced() && facts.state != 5
                };
                let there = store.newest(self.place_of(NEW, index));
                let arrived = there != ABSENT && !tables.fact(there).is_fenced();
                !(in_use(OLD) && arrived)
            })
    }
}

fn attempt_of(number: i64) -> Attempt {
    (1..number).fold(Attempt::FIRST, |attempt, _| attempt.next().unwrap())
}

pub(crate) fn decision_of(tables: &Tables, store: &Store) -> Decision {
    if store.moving.decision == ABSENT {
        return Decision {
            attempt: Attempt::FIRST,
            resolution: Resolution::Open,
        };
    }
    Decision::of(tables.documents.value(store.moving.decision)).unwrap()
}
