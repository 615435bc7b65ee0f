//! The documents of one store, or of two while one moves to the other, and what a request does to them.

use std::sync::Arc;

use paylog::model::write::{Action, Write};
use paylog::model::{Document, ErrorCode, Filter, KeyPath, ObjectId, Test, Update};
use paylog::payment::protocol::effect::{AtomicOutcome, Outcome};
use paylog::payment::protocol::target::Target;

use crate::control::Control;
use crate::relocation::Moving;
use crate::scenario::{Scenario, id};
use crate::tables::{ABSENT, Answer, FREE, Facts, Job, Message, Number, Role};
use crate::world::{FAULT_FELL, FAULT_MOVED, Tables, World};

/// Of each log, how often each leg was applied and reversed.
pub(crate) type Effects = Vec<Vec<(u8, u8)>>;

/// The contents of the stores, and the counters kept along with them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    /// Of each document its last versions, the newest last: the scenario's at the first home, at the second one; then,
    /// of each log, at the first and at the second one.
    pub(crate) documents: Vec<Vec<Number>>,
    pub(crate) effects: Effects,
    pub(crate) topped_up: u8,
    pub(crate) moving: Moving,
}

impl Store {
    pub(crate) fn newest(&self, place: usize) -> Number {
        self.documents[place].last().copied().unwrap_or(ABSENT)
    }
}

/// The result of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landed {
    pub(crate) store: Number,
    pub(crate) answer: Number,
    pub(crate) faults: u16,
}

pub(crate) fn log_id(index: usize) -> ObjectId {
    id(&format!("G{index}"))
}

pub(crate) fn log_index(id: &ObjectId) -> Option<usize> {
    id.as_str().strip_prefix('G')?.parse().ok()
}

impl World {
    pub(crate) fn homes(&self) -> usize {
        1 + usize::from(self.scenario.attempts > 0)
    }

    /// The number of documents that are no logs, at one home.
    pub(crate) fn fixed(&self) -> usize {
        self.scenario.documents.len()
    }

    pub(crate) fn place_of_document(&self, home: usize, index: usize) -> usize {
        home * self.fixed() + index
    }

    pub(crate) fn place_of_log(&self, home: usize, log: usize) -> usize {
        self.homes() * (self.fixed() + log) + home
    }

    /// The place of a document, existing or not.
    pub(crate) fn place(&self, home: usize, target: &Target) -> usize {
        if target.class == self.scenario.names.log_class {
            return self.place_of_log(home, log_index(&target.id).unwrap());
        }
        let mut documents = self.scenario.documents.iter();
        self.place_of_document(home, documents.position(|(there, _)| there == target).unwrap())
    }

    pub(crate) fn begin_store(&self, tables: &mut Tables) -> Store {
        let documents = self.scenario.documents.iter();
        let mut versions: Vec<Vec<Number>> = documents
            .map(|(_, document)| vec![tables.document(document.clone(), &self.scenario)])
            .collect();
        versions.resize(self.homes() * self.fixed(), Vec::new());
        let mut effects = Vec::new();
        for (log, applied) in &self.scenario.logs {
            let number = tables.document(log.clone(), &self.scenario);
            versions.push(vec![number]);
            versions.resize(self.homes() * (self.fixed() + effects.len() + 1), Vec::new());
            effects.push(applied.iter().map(|times| (*times, 0)).collect());
        }
        Store {
            documents: versions,
            effects,
            topped_up: 0,
            moving: self.begin_moving(tables),
        }
    }

    /// Another version of a document, by a request that is not the mover's.
    fn put(&self, tables: &Tables, store: &mut Store, place: usize, number: Number) -> u16 {
        let before = store.newest(place);
        if before == number {
            return 0;
        }
        let (old, new) = (tables.fact(before), tables.fact(number));
        let mut faults = 0;
        if new.state < old.state || old.state == 5 {
            faults |= FAULT_FELL;
        }
        if old.is_fenced() {
            faults |= FAULT_MOVED;
        }
        self.put_version(store, place, number);
        faults
    }

    pub(crate) fn put_version(&self, store: &mut Store, place: usize, number: Number) {
        let versions = &mut store.documents[place];
        versions.push(number);
        if versions.len() > self.scenario.stale + 1 {
            versions.remove(0);
        }
    }

    /// A request reaches its store.
    pub(crate) fn land(&self, tables: &mut Tables, store: Number, message: Number) -> Landed {
        if let Some(known) = tables.landed.get(&(store, message)) {
            return *known;
        }
        let before = Arc::clone(tables.stores.value(store));
        let sent = Arc::clone(tables.messages.value(message));
        let mut after = Store::clone(&before);
        let mut faults = 0;
        let answer = if sent.commit {
            let mut answers = Vec::new();
            let mut refused = None;
            for index in 0..sent.writes.len() {
                match self.land_one(tables, &mut after, message, index, &mut faults) {
                    Outcome::Applied(answer) => answers.push(answer),
                    outcome => {
                        refused = Some(AtomicOutcome::Refused(index, outcome));
                        break;
                    }
                }
            }
            if refused.is_some() {
                after.clone_from(&before);
                faults = 0;
            }
            Answer::Committed(refused.unwrap_or(AtomicOutcome::Applied(answers)))
        } else {
            Answer::Outcome(self.land_one(tables, &mut after, message, 0, &mut faults))
        };
        self.note_copies(tables, &mut after);
        let landed = Landed {
            store: tables.stores.number(after),
            answer: tables.answers.number(answer),
            faults,
        };
        tables.landed.insert((store, message), landed);
        landed
    }

    /// One write of a message takes effect, or not.
    fn land_one(
        &self,
        tables: &mut Tables,
        store: &mut Store,
        message: Number,
        index: usize,
        faults: &mut u16,
    ) -> Outcome {
        let sent = Arc::clone(tables.messages.value(message));
        let (write, role) = &sent.writes[index];
        let home = usize::from(sent.home);
        let Some(target) = Target::of(write) else {
            let Action::Create { fields } = &write.action else {
                panic!("{write:?}")
            };
            return self.land_create(tables, store, home, fields);
        };
        let place = self.place(home, &target);
        let before = store.documents.get(place).and_then(|versions| versions.last());
        let Some(before) = before.copied().filter(|before| *before != ABSENT) else {
            return Outcome::NotMatched;
        };
        let Some((after, answer)) = tables.apply(message, index, write, before, &self.scenario) else {
            return Outcome::NotMatched;
        };
        *faults |= self.put(tables, store, place, after);
        let last = store.effects.len().saturating_sub(1);
        let log = sent.log.map_or(last, usize::from);
        match role {
            Role::Take(leg) => store.effects[log][usize::from(*leg)].0 += 1,
            Role::Undo(leg) => store.effects[log][usize::from(*leg)].1 += 1,
            Role::Create | Role::Void | Role::Other => {}
        }
        Outcome::Applied(answer)
    }

    /// The log of this home that holds one of the unique keys of `document`.
    pub(crate) fn holder(
        &self,
        tables: &Tables,
        store: &Store,
        home: usize,
        document: &Document,
    ) -> Option<Number> {
        (0..store.effects.len())
            .map(|log| store.newest(self.place_of_log(home, log)))
            .find(|number| {
                let other = tables.documents.value(*number);
                ["key", "requestKey", "number"]
                    .iter()
                    .any(|key| document.contains_key(*key) && document.get(*key) == other.get(*key))
            })
    }

    fn land_create(&self, tables: &mut Tables, store: &mut Store, home: usize, fields: &Update) -> Outcome {
        let mut document = Document::new();
        fields.apply(&mut document).unwrap();
        if let Some(holder) = self.holder(tables, store, home, &document) {
            let other = tables.documents.value(holder);
            if self.scenario.control == Control::OwnCreateOnly && document.get("key") == other.get("key") {
                let answer = [("objectId".to_owned(), other["objectId"].clone())];
                return Outcome::Applied(answer.into_iter().collect());
            }
            return Outcome::Rejected(ErrorCode::DUPLICATE_VALUE);
        }
        let index = store.effects.len();
        let name = log_id(index).to_string();
        document.insert("objectId".into(), name.as_str().into());
        let legs = document["legs"].as_array().unwrap().clone();
        let number = tables.document(document, &self.scenario);
        for there in 0..self.homes() {
            let mut versions = Vec::new();
            if there == home {
                versions.push(number);
                if self.scenario.stale > 0 {
                    versions.insert(0, ABSENT);
                }
            }
            store.documents.push(versions);
        }
        let decided = fields.to_value()["state"] == 3;
        let idle = |leg: &paylog::model::Value| leg["add"].as_object().unwrap().is_empty();
        // A commit that creates the log as applied leaves out a leg that changes nothing.
        store.effects.push(
            legs.iter()
                .map(|leg| (u8::from(decided && idle(leg)), 0))
                .collect(),
        );
        Outcome::Applied([("objectId".to_owned(), name.into())].into_iter().collect())
    }

    /// A write from outside the payments.
    pub(crate) fn outside(&self, tables: &mut Tables, store: Number, home: usize, write: Write) -> Landed {
        let message = tables.messages.number(Message {
            home: u8::try_from(home).unwrap(),
            commit: false,
            writes: vec![(write, Role::Other)],
            log: Some(0),
        });
        self.land(tables, store, message)
    }

    /// Returns true if no delivery of this message can ever have an effect: epochs and states only grow, keys stay
    /// taken.
    pub(crate) fn is_dead(&self, tables: &mut Tables, store: &Store, message: Number) -> bool {
        let sent = Arc::clone(tables.messages.value(message));
        let home = usize::from(sent.home);
        if self.scenario.control == Control::RollBackEpoch {
            // Without it epochs come back.
            return false;
        }
        sent.writes.iter().enumerate().any(|(index, (write, _))| {
            let Action::Update { precondition, .. } = &write.action else {
                let Action::Create { fields } = &write.action else {
                    panic!("{write:?}")
                };
                let mut document = Document::new();
                fields.apply(&mut document).unwrap();
                return self.holder(tables, store, home, &document).is_some();
            };
            let place = self.place(home, &Target::of(write).unwrap());
            place < store.documents.len() && tables.is_dead(message, index, precondition, store.newest(place))
        })
    }
}

/// Epochs in the order in which a document passes through them: fenced at e, −(e + 1); given back, e + 1.
fn rank(epoch: i64) -> i64 {
    if epoch < 0 { -2 * epoch - 1 } else { 2 * epoch }
}

impl Tables {
    pub(crate) fn document(&mut self, mut document: Document, scenario: &Scenario) -> Number {
        // The order of marks says nothing, and nothing rests on claims.
        if let Some(paylog::model::Value::Array(marks)) = document.get_mut("paylogs") {
            marks.sort_by_key(ToString::to_string);
        }
        document.retain(|key, _| !key.starts_with("claim"));
        let number = self.documents.number(document);
        if number as usize == self.facts.len() {
            let facts = Facts::of(self.documents.value(number), &scenario.names);
            self.facts.push(facts);
        }
        number
    }

    pub(crate) fn fact(&self, number: Number) -> &Facts {
        &self.facts[number as usize]
    }

    /// Applies a conditional update to a document; returns the new version and the answer.
    fn apply(
        &mut self,
        message: Number,
        index: usize,
        write: &Write,
        before: Number,
        scenario: &Scenario,
    ) -> Option<(Number, Document)> {
        let key = (message, index, before);
        if let Some(known) = self.applied.get(&key) {
            return known.clone();
        }
        let Action::Update {
            precondition, update, ..
        } = &write.action
        else {
            return None;
        };
        let mut document = Document::clone(self.documents.value(before));
        let applied = precondition.matches(&document).unwrap().then(|| {
            update.apply(&mut document).unwrap();
            let columns = update.columns().into_iter();
            let answer = columns
                .filter(|column| !column.starts_with("claim"))
                .filter_map(|column| Some((column.clone(), document.get(&column)?.clone())))
                .collect();
            (self.document(document, scenario), answer)
        });
        self.applied.insert(key, applied.clone());
        applied
    }

    fn is_dead(&mut self, message: Number, index: usize, precondition: &Filter, document: Number) -> bool {
        let (facts, dead) = (&self.facts, &mut self.dead);
        *dead.entry((message, index, document)).or_insert_with(|| {
            let fact = &facts[document as usize];
            let epoch =
                demanded(precondition, "payEpoch").is_some_and(|epoch| rank(fact.epoch) > rank(epoch));
            let state = demanded(precondition, "state").is_some_and(|state| fact.state % 10 > state);
            epoch || state
        })
    }

    /// A worker with nothing to do.
    pub(crate) fn free() -> crate::tables::Table<Job> {
        let jobs = crate::tables::Table::with(Job::free());
        debug_assert_eq!(FREE, 0);
        jobs
    }
}

/// The one value that a filter wants a key to have.
pub(crate) fn demanded(filter: &Filter, key: &str) -> Option<i64> {
    let parts = match filter {
        Filter::And(parts) | Filter::Or(parts) => parts,
        Filter::Key(path, Test::Eq(value)) if *path == KeyPath::new(key) => return value.as_i64(),
        Filter::Key(..) | Filter::Nor(_) | Filter::RelatedTo { .. } => return None,
    };
    parts.iter().find_map(|part| demanded(part, key))
}
