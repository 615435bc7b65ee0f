//! The documents, what is under way to them, and what has been found out: everything that the processes share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use paylog::environment::{Clock, Environment};
use paylog::model::{
    Class, ClassName, Document, ErrorCode, Index, ObjectId, OrderKey, Query, SchemaChange, Update,
};
use paylog::payment::protocol::leg::Target;
use paylog::payment::protocol::relocation::Decision;
use paylog::payment::relocation::{self, Placed, Placement};
use paylog::payment::{PaymentConfig, schema};
use paylog::storage::MemoryStore;
use paylog::store::load::{IfExists, LoadBatch, LoadOutcome, LoadStep, Loader};
use paylog::store::{Action, CommitOutcome, Database, Store, Write, WriteOutcome, Written};

use crate::auditor::{Auditor, Effect, Seen};
use crate::faults::Faults;
use crate::rng::{Chance, Clocks};
use crate::sabotage::Sabotage;
use crate::tasks::{TaskId, Tasks};

/// Versions of a document that a stale read may still answer.
const VERSIONS: usize = 6;

/// The class of the document that decides about a move.
pub(crate) const DECISIONS: &str = "Move";

/// What travels to a store.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Request {
    Write(Write),
    Commit(Vec<Write>),
    /// A copy of a mover's.
    Place(Placement),
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Write(WriteOutcome),
    Commit(CommitOutcome),
    Place(Placed),
}

/// One store: the documents, their older versions, and who audits it.
pub(crate) struct Home {
    memory: MemoryStore,
    versions: BTreeMap<ClassName, BTreeMap<ObjectId, Versions>>,
}

impl Home {
    fn newest(&self, class: &ClassName, id: &ObjectId) -> Option<&Arc<Document>> {
        let versions = self.versions.get(class)?.get(id)?;
        versions.back().map(|(_, document)| document)
    }
}

/// The last versions of a document, each with the number of the write that made it; the newest last.
type Versions = VecDeque<(u64, Arc<Document>)>;

pub(crate) struct State {
    pub(crate) homes: Vec<Home>,
    pub(crate) auditor: Auditor,
    pub(crate) faults: Faults,
    /// Requests that arrive only when everything else is over.
    pub(crate) at_the_end: Vec<(usize, Request)>,
    /// Processes that have died, by their place.
    pub(crate) died: Vec<usize>,
    /// The tasks that sweep.
    pub(crate) sweepers: BTreeSet<TaskId>,
    /// Fences that were left out.
    pub(crate) pretended: BTreeMap<Target, Update>,
    is_healed: bool,
    pub(crate) violation: Option<String>,
    writes: u64,
    trace: DefaultHasher,
    story: Option<String>,
}

pub(crate) struct World {
    pub(crate) tasks: Tasks,
    /// Of the network and the scheduler.
    pub(crate) chance: Chance,
    pub(crate) clocks: Clocks,
    pub(crate) environment: Environment,
    pub(crate) config: PaymentConfig,
    pub(crate) sabotage: Sabotage,
    state: Mutex<State>,
}

impl World {
    pub(crate) fn new(
        chance: &Chance,
        faults: Faults,
        config: PaymentConfig,
        sabotage: Sabotage,
        tells: bool,
    ) -> Arc<Self> {
        let clocks = Clocks::right(tokio::time::Instant::now());
        Arc::new(Self {
            tasks: Tasks::default(),
            chance: chance.fork(1),
            environment: clocks.environment(chance.fork(2)),
            clocks,
            sabotage,
            state: Mutex::new(State {
                homes: Vec::new(),
                auditor: Auditor::new(&config.rules()),
                faults,
                at_the_end: Vec::new(),
                died: Vec::new(),
                sweepers: BTreeSet::new(),
                pretended: BTreeMap::new(),
                is_healed: false,
                violation: None,
                writes: 0,
                trace: DefaultHasher::new(),
                story: tells.then(String::new),
            }),
            config,
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Another empty store; answers its number.
    pub(crate) fn add_home(&self) -> usize {
        let memory = MemoryStore::new(self.environment.clone());
        for change in schema::changes(&memory.schema(), &self.config).unwrap() {
            memory.define(change).now_or_never().unwrap().unwrap();
        }
        let decisions = ClassName::parse(DECISIONS).unwrap();
        for change in [
            SchemaChange::CreateClass(Class::new(decisions.clone())),
            SchemaChange::AddIndex(
                decisions,
                Index {
                    keys: vec!["key".to_owned()],
                    unique: true,
                    sparse: false,
                },
            ),
        ] {
            memory.define(change).now_or_never().unwrap().unwrap();
        }
        let mut state = self.state();
        state.homes.push(Home {
            memory,
            versions: BTreeMap::new(),
        });
        state.homes.len() - 1
    }

    /// The documents themselves, past the network.
    pub(crate) fn documents(&self, home: usize) -> MemoryStore {
        self.state().homes[home].memory.clone()
    }

    pub(crate) fn now(&self) -> Duration {
        self.clocks.elapsed()
    }

    /// Something must never happen, and did: the run ends.
    pub(crate) fn violated(&self, what: impl Into<String>) {
        self.state().violated(what.into());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().violation.is_some()
    }

    /// Whether the task that runs now is the sweeper of its process.
    pub(crate) fn is_sweeper(&self) -> bool {
        let current = self.tasks.current();
        current.is_some_and(|task| self.state().sweepers.contains(&task))
    }

    /// Nothing goes wrong any more. What is under way still arrives.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.faults = Faults::default();
        state.is_healed = true;
    }

    /// A gateway has been paid.
    pub(crate) fn is_paid(&self, trade_no: &str, paid: &(String, i64)) {
        let trades = &mut self.state().auditor.trades;
        trades.insert(trade_no.to_owned(), paid.clone());
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.state().is_healed
    }

    pub(crate) fn saw(&self, seen: Seen) {
        self.state().auditor.seen.insert(seen);
    }

    /// A part of the trace, and a line of the story.
    pub(crate) fn note(&self, part: &impl Hash, line: impl FnOnce() -> String) {
        let now = self.now();
        self.state().note(now, part, line);
    }

    /// The trace as a number, and the story, if it was told.
    pub(crate) fn end(&self) -> (u64, Option<String>) {
        let mut state = self.state();
        (state.trace.finish(), state.story.take())
    }

    /// A request reaches its store.
    pub(crate) fn arrive(&self, home: usize, request: &Request, note: &str) -> Reply {
        let now = self.now();
        let mut state = self.state();
        let (reply, checked) = match request {
            Request::Write(write) => {
                let (outcome, checked) = state.write(home, write);
                (Reply::Write(outcome), checked)
            }
            Request::Commit(writes) => {
                let (outcome, checked) = state.commit(home, writes);
                (Reply::Commit(outcome), checked)
            }
            Request::Place(placement) => {
                let (placed, checked) = state.place(home, placement);
                (Reply::Place(placed), checked)
            }
        };
        let fate = match &reply {
            Reply::Write(outcome) => told(outcome),
            Reply::Commit(CommitOutcome::Applied(_)) => "applied".to_owned(),
            Reply::Commit(CommitOutcome::Refused { index, outcome }) => format!("{index}: {}", told(outcome)),
            Reply::Commit(CommitOutcome::Unknown(_)) => "unknown".to_owned(),
            Reply::Place(placed) => format!("{placed:?}"),
        };
        state.note(now, &(home, request, &fate), || {
            format!("  store {home}{note}: {} → {fate}", request.told())
        });
        if let Err(why) = checked {
            state.violated(why);
        }
        reply
    }

    /// A read reaches its store; with `stale`, the answer is as of so many writes ago.
    pub(crate) fn get(&self, home: usize, class: &ClassName, id: &ObjectId, stale: u64) -> Option<Document> {
        let now = self.now();
        let mut state = self.state();
        let found = if stale == 0 {
            let memory = &state.homes[home].memory;
            memory.get(class, id).now_or_never().unwrap().unwrap()
        } else {
            let asked = state.writes.saturating_sub(stale);
            let versions = state.homes[home].versions.get(class);
            let versions = versions.and_then(|class| class.get(id));
            versions
                .and_then(|versions| as_of(versions, asked))
                .map(|found| Document::clone(found))
        };
        state.note(now, &(home, class, id, &found), || {
            let shown = found.as_ref().map_or("none".to_owned(), brief);
            format!(
                "  store {home}: get {class}/{} → {shown}{}",
                short(id),
                stale_note(stale)
            )
        });
        found
    }

    pub(crate) fn find(&self, home: usize, class: &ClassName, query: &Query, stale: u64) -> Vec<Document> {
        let now = self.now();
        let mut state = self.state();
        let found = if stale == 0 {
            let memory = &state.homes[home].memory;
            memory.find(class, query).now_or_never().unwrap().unwrap()
        } else {
            state.found_as_of(home, class, query, stale)
        };
        state.note(now, &(home, class, &query.filter, &found), || {
            format!(
                "  store {home}: find {class} {} → {} found{}",
                query.filter.to_value(),
                found.len(),
                stale_note(stale)
            )
        });
        found
    }

    /// A document as it is.
    pub(crate) fn newest(&self, home: usize, class: &ClassName, id: &ObjectId) -> Option<Document> {
        let state = self.state();
        state.homes[home]
            .newest(class, id)
            .map(|document| Document::clone(document))
    }

    /// The whole of a class, as it is.
    pub(crate) fn all(&self, home: usize, class: &ClassName) -> Vec<Document> {
        let state = self.state();
        let documents = state.homes[home].versions.get(class);
        let newest = documents
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(VecDeque::back);
        newest.map(|(_, document)| Document::clone(document)).collect()
    }
}

impl State {
    fn found_as_of(&self, home: usize, class: &ClassName, query: &Query, stale: u64) -> Vec<Document> {
        let asked = self.writes.saturating_sub(stale);
        let documents = self.homes[home].versions.get(class);
        let mut found: Vec<&Arc<Document>> = documents
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|versions| as_of(versions, asked))
            .filter(|document| query.filter.matches(document).unwrap_or(false))
            .collect();
        if !query.order.is_empty() {
            found.sort_by(|a, b| OrderKey::compare(&query.order, a, b));
        }
        found
            .into_iter()
            .skip(query.skip as usize)
            .take(query.limit as usize)
            .map(|found| Document::clone(found))
            .collect()
    }

    pub(crate) fn violated(&mut self, what: String) {
        if self.violation.is_some() {
            return;
        }
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "VIOLATED: {what}");
        }
        self.violation = Some(what);
    }

    fn note(&mut self, now: Duration, part: &impl Hash, line: impl FnOnce() -> String) {
        now.hash(&mut self.trace);
        part.hash(&mut self.trace);
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{:>9.3} {}", now.as_secs_f64(), line());
        }
    }

    fn write(&mut self, home: usize, write: &Write) -> (WriteOutcome, Result<(), String>) {
        let memory = self.homes[home].memory.clone();
        let outcome = memory.write(write.clone()).now_or_never().unwrap();
        let checked = match &outcome {
            WriteOutcome::Applied(written) => self.applied(home, write, written, None),
            WriteOutcome::NotMatched | WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => Ok(()),
        };
        (outcome, checked)
    }

    fn commit(&mut self, home: usize, writes: &[Write]) -> (CommitOutcome, Result<(), String>) {
        let memory = self.homes[home].memory.clone();
        let atomic = memory.atomic().unwrap();
        let outcome = atomic.commit(writes.to_vec()).now_or_never().unwrap();
        let CommitOutcome::Applied(answers) = &outcome else {
            return (outcome, Ok(()));
        };
        let log = writes
            .iter()
            .zip(answers)
            .find(|(write, _)| write.class.as_str() == "Log")
            .and_then(|(_, written)| written.object_id.clone());
        let mut checked = Ok(());
        for (write, written) in writes.iter().zip(answers) {
            checked = checked.and_then(|()| self.applied(home, write, written, log.as_ref()));
        }
        let checked = checked.and_then(|()| {
            let auditor = &self.auditor;
            match log.and_then(|log| auditor.log(&log)) {
                Some(log) => auditor.consistent(log),
                None => Ok(()),
            }
        });
        (outcome, checked)
    }

    fn applied(
        &mut self,
        home: usize,
        write: &Write,
        written: &Written,
        at_once: Option<&ObjectId>,
    ) -> Result<(), String> {
        self.writes += 1;
        if let Action::Delete { id, .. } = &write.action {
            return if write.class.as_str() == DECISIONS {
                Ok(())
            } else {
                Err(format!("{} is deleted", Target::new(&write.class, id)))
            };
        }
        let id = written.object_id.clone().ok_or("a write without an id")?;
        let before = self.keep(home, &write.class, &id, &written.fields);
        let others = self.homes.iter().enumerate().filter(|(other, _)| *other != home);
        let elsewhere: Vec<Document> = others
            .filter_map(|(_, other)| other.newest(&write.class, &id))
            .map(|document| Document::clone(document))
            .collect();
        let decision = self.decision();
        let effect = Effect {
            write,
            home,
            before: before.as_deref(),
            after: &written.fields,
            at_once,
        };
        self.auditor.observe(effect, &elsewhere, decision)
    }

    fn place(&mut self, home: usize, placement: &Placement) -> (Placed, Result<(), String>) {
        let step = LoadStep::Put {
            class: placement.class.clone(),
            document: placement.document.clone(),
            if_exists: match &placement.over {
                relocation::Over::Nothing => IfExists::Keep,
                relocation::Over::Matching(filter) => IfExists::ReplaceMatching(filter.clone()),
            },
            fill_missing: &[],
        };
        let loading = self.homes[home].memory.load(LoadBatch::new(vec![step]));
        let loaded = loading.now_or_never().unwrap().unwrap().pop().unwrap();
        match loaded {
            LoadOutcome::Created | LoadOutcome::Replaced => {
                self.writes += 1;
                let id = placement.document.object_id().unwrap();
                self.keep(home, &placement.class, &id, &placement.document);
                let checked = self.auditor.placed(&placement.class, &placement.document, home);
                (Placed::Stands, checked)
            }
            LoadOutcome::Unchanged => (Placed::Stands, Ok(())),
            LoadOutcome::Kept { .. } | LoadOutcome::Removed => (Placed::Held, Ok(())),
            LoadOutcome::Refused(error) => (Placed::Refused(error), Ok(())),
        }
    }

    /// Keeps another version of a document; answers the one before.
    fn keep(
        &mut self,
        home: usize,
        class: &ClassName,
        id: &ObjectId,
        document: &Document,
    ) -> Option<Arc<Document>> {
        let versions = self.homes[home].versions.entry(class.clone()).or_default();
        let versions = versions.entry(id.clone()).or_default();
        let before = versions.back().map(|(_, document)| Arc::clone(document));
        versions.push_back((self.writes, Arc::new(document.clone())));
        if versions.len() > VERSIONS {
            versions.pop_front();
            // The oldest that is left stands for all before it.
            if let Some(oldest) = versions.front_mut() {
                oldest.0 = 0;
            }
        }
        before
    }

    /// What the document of the first store says that decides about a move.
    pub(crate) fn decision(&self) -> Option<Decision> {
        let documents = self.homes.first()?.versions.iter();
        let decisions = documents.filter(|(class, _)| class.as_str() == DECISIONS);
        let newest = decisions
            .flat_map(|(_, documents)| documents.values())
            .filter_map(VecDeque::back);
        newest
            .filter_map(|(_, document)| Decision::of(document).ok())
            .next()
    }
}

fn as_of(versions: &Versions, write: u64) -> Option<&Arc<Document>> {
    let then = versions.iter().rev().find(|(made, _)| *made <= write);
    then.map(|(_, document)| document)
}

impl Request {
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Write(write) => told_write(write),
            Self::Commit(writes) => {
                let writes: Vec<String> = writes.iter().map(told_write).collect();
                format!("commit [{}]", writes.join("; "))
            }
            Self::Place(placement) => format!(
                "place {} {} over {:?}",
                placement.class,
                brief(&placement.document),
                placement.over
            ),
        }
    }
}

fn told_write(write: &Write) -> String {
    match &write.action {
        Action::Create { fields } => format!("create {} {}", write.class, fields.to_value()),
        Action::Update {
            id, guard, update, ..
        } => format!(
            "update {}/{} where {} {}",
            write.class,
            short(id),
            guard.to_value(),
            update.to_value()
        ),
        Action::Delete { id, .. } => format!("delete {}/{}", write.class, short(id)),
    }
}

/// The last digits of an id: the first ones are the time.
pub(crate) fn short(id: &ObjectId) -> &str {
    let text = id.as_str();
    &text[text.len().saturating_sub(6)..]
}

fn told(outcome: &WriteOutcome) -> String {
    match outcome {
        WriteOutcome::Applied(written) => format!("applied {}", brief(&written.fields)),
        WriteOutcome::NotMatched => "not matched".to_owned(),
        WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE => "137".to_owned(),
        WriteOutcome::Rejected(error) => error.to_string(),
        WriteOutcome::Unknown(why) => why.clone(),
    }
}

/// What matters of a document.
fn brief(document: &Document) -> String {
    let fields = [
        "objectId", "state", "outcome", "account", "frozen", "status", "refunded", "payEpoch", "paylogs",
        "move", "attempt", "decision",
    ];
    let shown: Vec<String> = fields
        .iter()
        .filter_map(|field| Some(format!("{field}={}", document.get(*field)?)))
        .collect();
    shown.join(" ")
}

fn stale_note(stale: u64) -> String {
    if stale == 0 {
        String::new()
    } else {
        format!(", as of {stale} writes ago")
    }
}
