//! The world that all processes share: the stores with their documents, requests under way, and violations found.

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
use paylog::payment::protocol::relocation::Decision;
use paylog::payment::protocol::target::Target;
use paylog::payment::relocation::{self, ImportDocument, ImportOutcome};
use paylog::payment::{PaymentConfig, schema};
use paylog::storage::MemoryStore;
use paylog::store::load::{IfExists, LoadBatch, LoadOutcome, LoadStep, Loader};
use paylog::store::{Action, CommitOutcome, Database, Store, Write, WriteOutcome, Written};

use crate::auditor::{Auditor, Coverage, Effect};
use crate::faults::Faults;
use crate::rng::{Clocks, Rng};
use crate::sabotage::Sabotage;
use crate::tasks::{TaskId, Tasks};

/// Versions of a document that a stale read may return.
const VERSIONS: usize = 6;

/// The class of the document with the decision about a move.
pub(crate) const DECISIONS: &str = "Move";

/// A request to a store.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Request {
    Write(Write),
    Commit(Vec<Write>),
    /// A copy that a mover places.
    Place(ImportDocument),
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Write(WriteOutcome),
    Commit(CommitOutcome),
    Place(ImportOutcome),
}

/// One store: its documents, and their older versions.
pub(crate) struct SimulatedStore {
    memory: MemoryStore,
    versions: BTreeMap<ClassName, BTreeMap<ObjectId, Versions>>,
}

impl SimulatedStore {
    fn newest(&self, class: &ClassName, id: &ObjectId) -> Option<&Arc<Document>> {
        let versions = self.versions.get(class)?.get(id)?;
        versions.back().map(|(_, document)| document)
    }
}

/// The last versions of a document, each with the number of the write that made it; the newest last.
type Versions = VecDeque<(u64, Arc<Document>)>;

pub(crate) struct State {
    pub(crate) stores: Vec<SimulatedStore>,
    pub(crate) auditor: Auditor,
    pub(crate) faults: Faults,
    /// Requests that arrive at the end of the run, with their store.
    pub(crate) at_the_end: Vec<(usize, Request)>,
    /// Slots of processes that have died.
    pub(crate) died: Vec<usize>,
    /// The sweeper tasks.
    pub(crate) sweepers: BTreeSet<TaskId>,
    /// Updates that were left out, and that movers see as made.
    pub(crate) faked: BTreeMap<Target, Update>,
    is_healed: bool,
    pub(crate) violation: Option<String>,
    writes: u64,
    trace: DefaultHasher,
    transcript: Option<String>,
}

pub(crate) struct World {
    pub(crate) tasks: Tasks,
    /// The generator of the network and the scheduler.
    pub(crate) rng: Rng,
    pub(crate) clocks: Clocks,
    pub(crate) environment: Environment,
    pub(crate) config: PaymentConfig,
    pub(crate) sabotage: Sabotage,
    state: Mutex<State>,
}

impl World {
    pub(crate) fn new(
        rng: &Rng,
        faults: Faults,
        config: PaymentConfig,
        sabotage: Sabotage,
        is_verbose: bool,
    ) -> Arc<Self> {
        let clocks = Clocks::accurate(tokio::time::Instant::now());
        Arc::new(Self {
            tasks: Tasks::default(),
            rng: rng.fork(1),
            environment: clocks.environment(rng.fork(2)),
            clocks,
            sabotage,
            state: Mutex::new(State {
                stores: Vec::new(),
                auditor: Auditor::new(&config.names()),
                faults,
                at_the_end: Vec::new(),
                died: Vec::new(),
                sweepers: BTreeSet::new(),
                faked: BTreeMap::new(),
                is_healed: false,
                violation: None,
                writes: 0,
                trace: DefaultHasher::new(),
                transcript: is_verbose.then(String::new),
            }),
            config,
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds an empty store. Returns its number.
    pub(crate) fn add_store(&self) -> usize {
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
        state.stores.push(SimulatedStore {
            memory,
            versions: BTreeMap::new(),
        });
        state.stores.len() - 1
    }

    /// The store itself, without a network.
    pub(crate) fn documents(&self, store: usize) -> MemoryStore {
        self.state().stores[store].memory.clone()
    }

    pub(crate) fn now(&self) -> Duration {
        self.clocks.elapsed()
    }

    /// Records a violation, which ends the run.
    pub(crate) fn violated(&self, what: impl Into<String>) {
        self.state().violated(what.into());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().violation.is_some()
    }

    /// True if the running task is the sweeper of its process.
    pub(crate) fn is_sweeper(&self) -> bool {
        let current = self.tasks.current();
        current.is_some_and(|task| self.state().sweepers.contains(&task))
    }

    /// Ends all faults. Requests under way still arrive.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.faults = Faults::default();
        state.is_healed = true;
    }

    /// Records a payment that a gateway received.
    pub(crate) fn is_paid(&self, trade_no: &str, paid: &(String, i64)) {
        let trades = &mut self.state().auditor.trades;
        trades.insert(trade_no.to_owned(), paid.clone());
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.state().is_healed
    }

    pub(crate) fn cover(&self, coverage: Coverage) {
        self.state().auditor.coverage.insert(coverage);
    }

    /// Adds an event to the trace, and a line to the transcript.
    pub(crate) fn note(&self, part: &impl Hash, line: impl FnOnce() -> String) {
        let now = self.now();
        self.state().note(now, part, line);
    }

    /// The hash of the trace, and the transcript if the run keeps one.
    pub(crate) fn end(&self) -> (u64, Option<String>) {
        let mut state = self.state();
        (state.trace.finish(), state.transcript.take())
    }

    /// Delivers a request to its store.
    pub(crate) fn arrive(&self, store: usize, request: &Request, note: &str) -> Reply {
        let now = self.now();
        let mut state = self.state();
        let (reply, checked) = match request {
            Request::Write(write) => {
                let (outcome, checked) = state.write(store, write);
                (Reply::Write(outcome), checked)
            }
            Request::Commit(writes) => {
                let (outcome, checked) = state.commit(store, writes);
                (Reply::Commit(outcome), checked)
            }
            Request::Place(placement) => {
                let (placed, checked) = state.place(store, placement);
                (Reply::Place(placed), checked)
            }
        };
        let fate = match &reply {
            Reply::Write(outcome) => describe_outcome(outcome),
            Reply::Commit(CommitOutcome::Applied(_)) => "applied".to_owned(),
            Reply::Commit(CommitOutcome::Refused { index, outcome }) => {
                format!("{index}: {}", describe_outcome(outcome))
            }
            Reply::Commit(CommitOutcome::Unknown(_)) => "unknown".to_owned(),
            Reply::Place(placed) => format!("{placed:?}"),
        };
        state.note(now, &(store, request, &fate), || {
            format!("  store {store}{note}: {} → {fate}", request.describe())
        });
        if let Err(why) = checked {
            state.violated(why);
        }
        reply
    }

    /// Reads one document, as it was `stale` writes ago.
    pub(crate) fn get(&self, store: usize, class: &ClassName, id: &ObjectId, stale: u64) -> Option<Document> {
        let now = self.now();
        let mut state = self.state();
        let found = if stale == 0 {
            let memory = &state.stores[store].memory;
            memory.get(class, id).now_or_never().unwrap().unwrap()
        } else {
            let asked = state.writes.saturating_sub(stale);
            let versions = state.stores[store].versions.get(class);
            let versions = versions.and_then(|class| class.get(id));
            versions
                .and_then(|versions| as_of(versions, asked))
                .map(|found| Document::clone(found))
        };
        state.note(now, &(store, class, id, &found), || {
            let shown = found.as_ref().map_or("none".to_owned(), brief);
            format!(
                "  store {store}: get {class}/{} → {shown}{}",
                short(id),
                stale_note(stale)
            )
        });
        found
    }

    pub(crate) fn find(&self, store: usize, class: &ClassName, query: &Query, stale: u64) -> Vec<Document> {
        let now = self.now();
        let mut state = self.state();
        let found = if stale == 0 {
            let memory = &state.stores[store].memory;
            memory.find(class, query).now_or_never().unwrap().unwrap()
        } else {
            state.found_as_of(store, class, query, stale)
        };
        state.note(now, &(store, class, &query.filter, &found), || {
            format!(
                "  store {store}: find {class} {} → {} found{}",
                query.filter.to_value(),
                found.len(),
                stale_note(stale)
            )
        });
        found
    }

    /// The current version of a document.
    pub(crate) fn newest(&self, store: usize, class: &ClassName, id: &ObjectId) -> Option<Document> {
        let state = self.state();
        state.stores[store]
            .newest(class, id)
            .map(|document| Document::clone(document))
    }

    /// The current documents of a class.
    pub(crate) fn all(&self, store: usize, class: &ClassName) -> Vec<Document> {
        let state = self.state();
        let documents = state.stores[store].versions.get(class);
        let newest = documents
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(VecDeque::back);
        newest.map(|(_, document)| Document::clone(document)).collect()
    }
}

impl State {
    fn found_as_of(&self, store: usize, class: &ClassName, query: &Query, stale: u64) -> Vec<Document> {
        let asked = self.writes.saturating_sub(stale);
        let documents = self.stores[store].versions.get(class);
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
        if let Some(transcript) = &mut self.transcript {
            let _ = writeln!(transcript, "VIOLATED: {what}");
        }
        self.violation = Some(what);
    }

    fn note(&mut self, now: Duration, part: &impl Hash, line: impl FnOnce() -> String) {
        now.hash(&mut self.trace);
        part.hash(&mut self.trace);
        if let Some(transcript) = &mut self.transcript {
            let _ = writeln!(transcript, "{:>9.3} {}", now.as_secs_f64(), line());
        }
    }

    fn write(&mut self, store: usize, write: &Write) -> (WriteOutcome, Result<(), String>) {
        let memory = self.stores[store].memory.clone();
        let outcome = memory.write(write.clone()).now_or_never().unwrap();
        let checked = match &outcome {
            WriteOutcome::Applied(written) => self.applied(store, write, written, None),
            WriteOutcome::NotMatched | WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => Ok(()),
        };
        (outcome, checked)
    }

    fn commit(&mut self, store: usize, writes: &[Write]) -> (CommitOutcome, Result<(), String>) {
        let memory = self.stores[store].memory.clone();
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
            checked = checked.and_then(|()| self.applied(store, write, written, log.as_ref()));
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
        store: usize,
        write: &Write,
        written: &Written,
        commit_log: Option<&ObjectId>,
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
        let before = self.keep(store, &write.class, &id, &written.fields);
        let others = self
            .stores
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != store);
        let elsewhere: Vec<Document> = others
            .filter_map(|(_, other)| other.newest(&write.class, &id))
            .map(|document| Document::clone(document))
            .collect();
        let decision = self.decision();
        let effect = Effect {
            write,
            store,
            before: before.as_deref(),
            after: &written.fields,
            commit_log,
        };
        self.auditor.observe(effect, &elsewhere, decision)
    }

    fn place(&mut self, store: usize, placement: &ImportDocument) -> (ImportOutcome, Result<(), String>) {
        let step = LoadStep::Put {
            class: placement.class.clone(),
            document: placement.document.clone(),
            if_exists: match &placement.if_exists {
                relocation::IfExists::Keep => IfExists::Keep,
                relocation::IfExists::ReplaceMatching(filter) => IfExists::ReplaceMatching(filter.clone()),
            },
            fill_missing: &[],
        };
        let loading = self.stores[store].memory.load(LoadBatch::new(vec![step]));
        let loaded = loading.now_or_never().unwrap().unwrap().pop().unwrap();
        match loaded {
            LoadOutcome::Created | LoadOutcome::Replaced => {
                self.writes += 1;
                let id = placement.document.object_id().unwrap();
                self.keep(store, &placement.class, &id, &placement.document);
                let checked = self.auditor.placed(&placement.class, &placement.document, store);
                (ImportOutcome::Imported, checked)
            }
            LoadOutcome::Unchanged => (ImportOutcome::Imported, Ok(())),
            LoadOutcome::Kept { .. } | LoadOutcome::Removed => (ImportOutcome::PreconditionFailed, Ok(())),
            LoadOutcome::Refused(error) => (ImportOutcome::Refused(error), Ok(())),
        }
    }

    /// Adds a version of a document. Returns the version before.
    fn keep(
        &mut self,
        store: usize,
        class: &ClassName,
        id: &ObjectId,
        document: &Document,
    ) -> Option<Arc<Document>> {
        let versions = self.stores[store].versions.entry(class.clone()).or_default();
        let versions = versions.entry(id.clone()).or_default();
        let before = versions.back().map(|(_, document)| Arc::clone(document));
        versions.push_back((self.writes, Arc::new(document.clone())));
        if versions.len() > VERSIONS {
            versions.pop_front();
            // The oldest version that is kept stands for all before it.
            if let Some(oldest) = versions.front_mut() {
                oldest.0 = 0;
            }
        }
        before
    }

    /// The decision about the move, from its document in the first store.
    pub(crate) fn decision(&self) -> Option<Decision> {
        let documents = self.stores.first()?.versions.iter();
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
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Write(write) => describe_write(write),
            Self::Commit(writes) => {
                let writes: Vec<String> = writes.iter().map(describe_write).collect();
                format!("commit [{}]", writes.join("; "))
            }
            Self::Place(placement) => format!(
                "place {} {} over {:?}",
                placement.class,
                brief(&placement.document),
                placement.if_exists
            ),
        }
    }
}

fn describe_write(write: &Write) -> String {
    match &write.action {
        Action::Create { fields } => format!("create {} {}", write.class, fields.to_value()),
        Action::Update {
            id,
            precondition,
            update,
            ..
        } => format!(
            "update {}/{} where {} {}",
            write.class,
            short(id),
            precondition.to_value(),
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

fn describe_outcome(outcome: &WriteOutcome) -> String {
    match outcome {
        WriteOutcome::Applied(written) => format!("applied {}", brief(&written.fields)),
        WriteOutcome::NotMatched => "not matched".to_owned(),
        WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE => "137".to_owned(),
        WriteOutcome::Rejected(error) => error.to_string(),
        WriteOutcome::Unknown(why) => why.clone(),
    }
}

/// The columns of a document that matter in a transcript.
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
