//! The stores, the network and the workers as a transition system. The payments in it are the real ones.

use std::sync::{Arc, Mutex, MutexGuard};

use paylog::model::write::{Action as WriteAction, Write};
use paylog::model::{Document, Op, Update};
use paylog::payment::protocol::effect::{AtomicOutcome, Effect, Input, Outcome};
use paylog::payment::protocol::log::{LogState, Verdict};
use paylog::payment::protocol::machine::{End, NewPayment, Next, PaymentProcess, step};
use paylog::payment::protocol::mark::Epoch;
use paylog::payment::protocol::recovery::Worker;
use paylog::payment::protocol::target::Target;
use stateright::{Model, Property};

use crate::control::{Control, is_claim, is_void};
use crate::outside::Outside;
use crate::scenario::{Caller, Scenario, credit_apart};
use crate::store::{Landed, Store, log_index};
use crate::tables::{
    ABSENT, Answer, Ask, Asked, FREE, Facts, FastMap, Job, Message, Number, QUIET, Role, Table,
};

/// The scenario and what is known about its parts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    tables: Mutex<Tables>,
}

/// The most workers of a scenario.
const WORKERS_MAX: usize = 3;
/// The place of a worker that the scenario does not have.
const NOBODY: Number = Number::MAX;

/// Everything that can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) store: Number,
    /// The requests that were sent and can still take effect.
    pub(crate) net: Number,
    /// Their jobs, sorted: workers are alike.
    pub(crate) workers: [Number; WORKERS_MAX],
    /// The answers that the callers got: two bits each.
    pub(crate) told: u16,
    /// Faults that can only be seen while they happen.
    pub(crate) faults: u16,
    /// The properties that do not hold: bits. Follows from the above.
    pub(crate) violated: u16,
}

pub(crate) const TOLD_SUCCESS: u16 = 1;
pub(crate) const TOLD_REFUSAL: u16 = 2;

/// A log waits for an operator.
pub(crate) const FAULT_STUCK: u16 = 1;
/// The state of a log fell, or that of a closed one changed.
pub(crate) const FAULT_FELL: u16 = 2;
/// A document changed that had moved.
pub(crate) const FAULT_MOVED: u16 = 4;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A worker begins: one of [`Tables::beginnings`].
    Begin { index: u16 },
    /// A read is answered.
    Read { worker: u8, version: u8 },
    /// The next write of a worker reaches the store, and so does the answer the worker.
    Deliver { worker: u8 },
    /// The worker has no answer to its next write.
    NoAnswer { worker: u8 },
    /// A request that was sent earlier reaches the store.
    Late { message: Number },
    /// The worker is gone.
    Crash { worker: u8 },
    /// Something that no worker does: one of [`Tables::outside`].
    Outside { index: u16 },
}

/// The beginning of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    pub(crate) what: Begin,
    transition: Number,
    /// The caller, where it is not to have been told anything yet.
    untold: Option<u8>,
}

/// The subject of a worker's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Begin {
    /// The caller's request; for a notice and its successors on a log, with this version of the log.
    Caller { caller: u8, home: u8, log: Number },
    /// A log, of which it has read this version.
    Recovery { home: u8, log: Number },
}

/// The next state of a worker after its answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transition {
    job: Number,
    caller: Option<u8>,
    sent: Vec<Number>,
    told: u16,
    faults: u16,
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) documents: Table<Document>,
    pub(crate) facts: Vec<Facts>,
    pub(crate) stores: Table<Store>,
    pub(crate) jobs: Table<Job>,
    asked: Vec<Asked>,
    pub(crate) messages: Table<Message>,
    pub(crate) nets: Table<Vec<Number>>,
    pub(crate) answers: Table<Answer>,
    transitions: Table<Transition>,
    begun: FastMap<Begin, Number>,
    stepped: FastMap<(Number, Number), Number>,
    pub(crate) applied: FastMap<(Number, usize, Number), Option<(Number, Document)>>,
    pub(crate) dead: FastMap<(Number, usize, Number), bool>,
    pub(crate) landed: FastMap<(Number, Number), Landed>,
    found: FastMap<(Number, Number, u8), Option<Number>>,
    sent: FastMap<(Number, Number), Number>,
    alive: FastMap<(Number, Number), Number>,
    beginnings: FastMap<Number, Arc<Vec<Beginning>>>,
    pub(crate) outside: FastMap<Number, Arc<Vec<(Outside, Landed)>>>,
    /// Results of `properties`.
    pub(crate) verdicts: FastMap<Number, u16>,
    pub(crate) told: FastMap<(Number, u16), bool>,
    pub(crate) recovered: FastMap<Number, u16>,
    pub(crate) lost_effects: bool,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let absent = Document::new();
        let tables = Tables {
            facts: vec![Facts::of(&absent, &scenario.names)],
            documents: Table::with(absent),
            stores: Table::new(),
            jobs: Tables::free(),
            asked: vec![Asked::Nothing],
            messages: Table::new(),
            nets: Table::with(Vec::new()),
            answers: Table::new(),
            transitions: Table::new(),
            begun: FastMap::default(),
            stepped: FastMap::default(),
            applied: FastMap::default(),
            dead: FastMap::default(),
            landed: FastMap::default(),
            found: FastMap::default(),
            sent: FastMap::default(),
            alive: FastMap::default(),
            beginnings: FastMap::default(),
            outside: FastMap::default(),
            verdicts: FastMap::default(),
            told: FastMap::default(),
            recovered: FastMap::default(),
            lost_effects: false,
        };
        Self {
            scenario,
            tables: Mutex::new(tables),
        }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    /// The next state of the worker after one more answer.
    fn answered(&self, tables: &mut Tables, job: Number, answer: Number) -> Number {
        if let Some(known) = tables.stepped.get(&(job, answer)) {
            return *known;
        }
        let mut next = Job::clone(tables.jobs.value(job));
        next.answers.push(Answer::clone(tables.answers.value(answer)));
        let transition = match next.input(&tables.documents) {
            Some(input) => {
                let payment = next.payment.take().unwrap();
                self.advance(tables, payment, input, next.home, next.caller)
            }
            None => {
                let caller = next.caller;
                Transition {
                    job: self.job(tables, next),
                    caller,
                    sent: Vec::new(),
                    told: 0,
                    faults: 0,
                }
            }
        };
        let number = tables.transitions.number(transition);
        tables.stepped.insert((job, answer), number);
        number
    }

    fn job(&self, tables: &mut Tables, job: Job) -> Number {
        let number = tables.jobs.number(job);
        if number as usize == tables.asked.len() {
            let job = tables.jobs.value(number);
            let next = job.answers.len();
            let asked = match &job.ask {
                Ask::Nothing => Asked::Nothing,
                Ask::Documents(_, targets) => {
                    Asked::Document(self.place(usize::from(job.home), &targets[next]))
                }
                Ask::Whether(target, _) => Asked::Document(self.place(usize::from(job.home), target)),
                Ask::Find(_) => Asked::Find,
                Ask::Writes(messages) => Asked::Message(messages[next]),
                Ask::Commit(message) => Asked::Message(*message),
            };
            tables.asked.push(asked);
        }
        number
    }

    /// Runs the real machine until it asks for something that takes time.
    fn advance(
        &self,
        tables: &mut Tables,
        payment: PaymentProcess,
        input: Input,
        home: u8,
        caller: Option<u8>,
    ) -> Transition {
        let (mut payment, mut input) = (payment, input);
        let (mut told, mut faults) = (0, 0);
        let (job, sent) = loop {
            let stepped = step(payment, input).unwrap();
            payment = stepped.payment;
            let effect = match stepped.next {
                Next::Perform(effect) | Next::Restart(_, effect) => effect,
                Next::Settled => {
                    told |= TOLD_SUCCESS;
                    input = Input::Notified;
                    continue;
                }
                Next::End(end) => {
                    let wanted = caller.map(|caller| &self.scenario.callers[usize::from(caller)]);
                    match (end, wanted) {
                        (End::Closed, _) => {
                            let failed = payment.log().unwrap().failed();
                            told |= if failed { TOLD_REFUSAL } else { TOLD_SUCCESS };
                        }
                        (End::Unconfirmable, Some(Caller::Notice { trade_no, manner, .. })) => {
                            let draft = credit_apart(trade_no);
                            payment = PaymentProcess::fresh(&self.scenario.names, worker(), *manner, draft);
                            input = Input::Begin;
                            continue;
                        }
                        (End::Stuck(_) | End::Unconfirmable, _) => faults |= FAULT_STUCK,
                        (End::AwaitingGateway | End::KeyTaken | End::Secured | End::Moved(_), _) => {}
                    }
                    break (FREE, Vec::new());
                }
            };
            if let Some(pretended) = self.scenario.control.pretended(&payment, &effect) {
                input = pretended;
                continue;
            }
            let (ask, sent) = self.ask(tables, &payment, home, effect);
            let job = Job {
                payment: Some(payment),
                home,
                caller,
                ask,
                answers: Vec::new(),
            };
            break (self.job(tables, job), sent);
        };
        Transition {
            job,
            caller,
            sent,
            told,
            faults,
        }
    }

    fn ask(
        &self,
        tables: &mut Tables,
        payment: &PaymentProcess,
        home: u8,
        effect: Effect,
    ) -> (Ask, Vec<Number>) {
        match effect {
            Effect::Read(purpose, targets) => (Ask::Documents(purpose, targets), Vec::new()),
            Effect::Find(_, filter) => (Ask::Find(filter), Vec::new()),
            Effect::Write(write) | Effect::Close(write) => {
                if let Some(ask) = self.scenario.control.read_instead(&write) {
                    return (ask, Vec::new());
                }
                let messages = vec![self.message(tables, payment, home, false, vec![write])];
                let mut sent: Vec<Number> = messages.clone();
                if self.scenario.control == Control::OneAtATime {
                    sent.extend(self.next_leg(tables, payment, home, messages[0]));
                }
                sent.retain(|message| {
                    let writes = &tables.messages.value(*message).writes;
                    !writes.iter().all(|(write, _)| changes_nothing(write))
                });
                (Ask::Writes(messages), sent)
            }
            Effect::Batch(writes) => {
                let writes = writes.into_iter();
                let messages: Vec<Number> = writes
                    .map(|write| self.message(tables, payment, home, false, vec![write]))
                    .collect();
                (Ask::Writes(messages.clone()), messages)
            }
            Effect::Commit(writes) => {
                let message = self.message(tables, payment, home, true, writes);
                (Ask::Commit(message), vec![message])
            }
        }
    }

    fn message(
        &self,
        tables: &mut Tables,
        payment: &PaymentProcess,
        home: u8,
        commit: bool,
        writes: Vec<Write>,
    ) -> Number {
        let tagged = writes.into_iter().map(|write| {
            let role = self.role(payment, &write);
            (self.scenario.control.tampered(write, role), role)
        });
        let mut writes: Vec<(Write, Role)> = tagged.collect();
        self.scenario.control.shortened(&mut writes);
        let log = payment.log().and_then(|log| log_index(&log.id));
        tables.messages.number(Message {
            home,
            commit,
            writes,
            log: log.map(|index| u8::try_from(index).unwrap()),
        })
    }

    /// The role of a write of this payment, and its leg.
    fn role(&self, payment: &PaymentProcess, write: &Write) -> Role {
        let (Some(target), WriteAction::Update { update, .. }) = (Target::of(write), &write.action) else {
            return Role::Create;
        };
        let targets = payment.targets().unwrap();
        let columns = update.columns();
        let marks = columns.iter().any(|column| column == "paylogs");
        if target.class == self.scenario.names.log_class
            || columns.iter().any(|column| column == "status")
            || !marks && is_probe(update)
        {
            return Role::Other;
        }
        // The legs come first among the targets, in order.
        let leg = targets.iter().position(|leg| *leg == target).unwrap();
        let leg = u8::try_from(leg).unwrap();
        if is_void(update) {
            return Role::Void;
        }
        if update.to_value()["paylogs"].to_string().contains("undo:") {
            return Role::Undo(leg);
        }
        Role::Take(leg)
    }

    /// The conditional leg after the one in this message, as if it were sent at the same time.
    fn next_leg(
        &self,
        tables: &mut Tables,
        payment: &PaymentProcess,
        home: u8,
        message: Number,
    ) -> Option<Number> {
        let (_, Role::Take(leg)) = tables.messages.value(message).writes[0] else {
            return None;
        };
        let log = payment.log()?;
        let next = log.intent.legs.as_slice().get(usize::from(leg) + 1)?;
        next.is_conditional().then(|| {
            let precondition = next.precondition(&log.id, Epoch::default());
            let write = next.target.update(precondition, next.update(&log.id));
            self.message(tables, payment, home, false, vec![write])
        })
    }

    /// All that a worker may begin with.
    fn beginnings(&self, tables: &mut Tables, store: Number) -> Arc<Vec<Beginning>> {
        if let Some(known) = tables.beginnings.get(&store) {
            return Arc::clone(known);
        }
        let mut beginnings = Vec::new();
        let stored = Arc::clone(tables.stores.value(store));
        for home in 0..self.homes() {
            if !self.serves(tables, &stored, home) {
                continue;
            }
            for caller in 0..self.scenario.callers.len() {
                self.callers_beginnings(tables, &stored, home, caller, &mut beginnings);
            }
            for log in 0..stored.effects.len() {
                let versions = &stored.documents[self.place_of_log(home, log)];
                for version in versions {
                    let what = Begin::Recovery {
                        home: u8::try_from(home).unwrap(),
                        log: *version,
                    };
                    if let Some(transition) = self.begun(tables, what) {
                        beginnings.push(Beginning {
                            what,
                            transition,
                            untold: None,
                        });
                    }
                }
            }
        }
        let beginnings = Arc::new(beginnings);
        tables.beginnings.insert(store, Arc::clone(&beginnings));
        beginnings
    }

    fn callers_beginnings(
        &self,
        tables: &mut Tables,
        store: &Store,
        home: usize,
        caller: usize,
        beginnings: &mut Vec<Beginning>,
    ) {
        let newest = |tables: &Tables, of: usize| {
            let place = self.log_of(tables, store, home, of)?;
            Some((place, tables.fact(store.newest(place)).log.clone()?))
        };
        let mut versions = vec![ABSENT];
        let mut once = true;
        match &self.scenario.callers[caller] {
            Caller::Wants { after, .. } => {
                once = !self.scenario.repeats;
                if once && self.log_of(tables, store, home, caller).is_some() {
                    return;
                }
                if let Some(after) = after {
                    let over = newest(tables, *after).is_some_and(|(_, log)| {
                        log.verdict == Some(Verdict::Failed) && log.state == LogState::Closed
                    });
                    if !over {
                        return;
                    }
                }
            }
            Caller::Follows { of, .. } => match newest(tables, *of) {
                Some((place, log)) if log.verdict == Some(Verdict::Succeeded) => {
                    versions = vec![store.newest(place)];
                }
                _ => return,
            },
            Caller::Notice { of, .. } => {
                once = false;
                match newest(tables, *of) {
                    Some((place, _)) => versions.clone_from(&store.documents[place]),
                    None => return,
                }
            }
        }
        for log in versions {
            let what = Begin::Caller {
                caller: u8::try_from(caller).unwrap(),
                home: u8::try_from(home).unwrap(),
                log,
            };
            if let Some(transition) = self.begun(tables, what) {
                beginnings.push(Beginning {
                    what,
                    transition,
                    untold: once.then(|| u8::try_from(caller).unwrap()),
                });
            }
        }
    }

    /// The first step of a worker.
    fn begun(&self, tables: &mut Tables, what: Begin) -> Option<Number> {
        if let Some(known) = tables.begun.get(&what) {
            return Some(*known);
        }
        let names = &self.scenario.names;
        let (payment, home, caller) = match what {
            Begin::Recovery { home, log } => {
                let facts = tables.fact(log);
                let log = facts.log.as_ref().filter(|_| !facts.is_fenced())?;
                if log.state == LogState::Closed || log.waits_for_gateway() {
                    return None;
                }
                (
                    PaymentProcess::recovered(names, worker(), log.as_ref().clone()),
                    home,
                    None,
                )
            }
            Begin::Caller { caller, home, log } => {
                let facts = tables.fact(log);
                let log = facts.log.as_ref().filter(|_| !facts.is_fenced());
                let payment = match &self.scenario.callers[usize::from(caller)] {
                    Caller::Wants { draft, manner, .. } => {
                        PaymentProcess::fresh(names, worker(), *manner, NewPayment::clone(draft))
                    }
                    Caller::Follows { draft, manner, .. } => {
                        PaymentProcess::fresh(names, worker(), *manner, draft(&log?.id))
                    }
                    Caller::Notice { trade_no, manner, .. } => {
                        let log = log?.as_ref().clone();
                        if log.trade_no.as_deref() == Some(trade_no) {
                            PaymentProcess::recovered(names, worker(), log)
                        } else {
                            PaymentProcess::confirmed(names, worker(), *manner, log, trade_no)
                        }
                    }
                };
                (payment, home, Some(caller))
            }
        };
        let transition = self.advance(tables, payment, Input::Begin, home, caller);
        let number = tables.transitions.number(transition);
        tables.begun.insert(what, number);
        Some(number)
    }

    /// The place of the log that a caller's draft is, or would be, answered with.
    pub(crate) fn log_of(&self, tables: &Tables, store: &Store, home: usize, caller: usize) -> Option<usize> {
        let Caller::Wants { draft, .. } = &self.scenario.callers[caller] else {
            return None;
        };
        (0..store.effects.len())
            .map(|log| self.place_of_log(home, log))
            .find(|place| {
                let log = tables.fact(store.newest(*place)).log.as_ref();
                log.is_some_and(|log| draft.intent.repeats(&log.intent))
            })
    }

    /// The result of a read: a version of a document, or a combination of versions of the logs.
    fn read(&self, tables: &mut Tables, state: &State, job: Number, version: u8) -> Option<Number> {
        match tables.asked[job as usize] {
            Asked::Document(place) => {
                let versions = tables.stores.value(state.store).documents.get(place);
                let number = versions.and_then(|versions| versions.get(usize::from(version)).copied());
                let number = number.or_else(|| {
                    let nothing = versions.is_none_or(Vec::is_empty);
                    (nothing && version == 0).then_some(ABSENT)
                })?;
                Some(tables.answers.number(Answer::Document(number)))
            }
            Asked::Find => {
                let key = (state.store, job, version);
                if let Some(known) = tables.found.get(&key) {
                    return *known;
                }
                let found = self.find(tables, state.store, job, version);
                let answer = found.map(|found| tables.answers.number(Answer::Found(found)));
                tables.found.insert(key, answer);
                answer
            }
            Asked::Nothing | Asked::Message(_) => None,
        }
    }

    fn find(&self, tables: &Tables, store: Number, job: Number, version: u8) -> Option<Vec<Number>> {
        let job = tables.jobs.value(job);
        let Ask::Find(filter) = &job.ask else { return None };
        let store = tables.stores.value(store);
        // `version` counts through all combinations of the logs' versions.
        let mut rest = usize::from(version);
        let mut found = Vec::new();
        for log in 0..store.effects.len() {
            let versions = &store.documents[self.place_of_log(usize::from(job.home), log)];
            if versions.is_empty() {
                continue;
            }
            let number = versions[rest % versions.len()];
            rest /= versions.len();
            if number != ABSENT && filter.matches(tables.documents.value(number)).unwrap() {
                found.push(number);
            }
        }
        (rest == 0).then_some(found)
    }

    /// Takes one worker through one transition.
    fn follow(&self, tables: &mut Tables, state: &mut State, worker: usize, transition: Number) {
        let key = (state.net, transition);
        let next = Arc::clone(tables.transitions.value(transition));
        state.workers[worker] = next.job;
        if !next.sent.is_empty() {
            state.net = match tables.sent.get(&key) {
                Some(known) => *known,
                None => {
                    let mut net = Vec::clone(tables.nets.value(state.net));
                    net.extend(&next.sent);
                    net.sort_unstable();
                    net.dedup();
                    let net = tables.nets.number(net);
                    tables.sent.insert(key, net);
                    net
                }
            };
        }
        if let Some(caller) = next.caller {
            state.told |= next.told << (2 * caller);
        }
        state.faults |= next.faults;
    }

    fn arrive(&self, state: &mut State, landed: Landed) {
        state.store = landed.store;
        state.faults |= landed.faults;
    }

    fn deliver(&self, tables: &mut Tables, state: &mut State, worker: usize) -> Option<()> {
        let job = state.workers[worker];
        let Asked::Message(message) = tables.asked[job as usize] else {
            return None;
        };
        let landed = self.land(tables, state.store, message);
        self.arrive(state, landed);
        let transition = self.answered(tables, job, landed.answer);
        self.follow(tables, state, worker, transition);
        Some(())
    }

    fn no_answer(&self, tables: &mut Tables, state: &mut State, worker: usize) -> Option<()> {
        let job = state.workers[worker];
        let Asked::Message(message) = tables.asked[job as usize] else {
            return None;
        };
        let sent = Arc::clone(tables.messages.value(message));
        let answer = if sent.commit {
            Answer::Committed(AtomicOutcome::Unknown)
        } else {
            let role = sent.writes[0].1;
            if let (Role::Take(leg), Some(log)) = (role, sent.log) {
                let (applied, _) =
                    tables.stores.value(state.store).effects[usize::from(log)][usize::from(leg)];
                tables.lost_effects |= applied > 0;
            }
            if matches!(role, Role::Take(_)) && self.scenario.control == Control::NoAnswerIsNone {
                Answer::Outcome(Outcome::Applied(Document::new()))
            } else {
                Answer::Outcome(Outcome::Unknown)
            }
        };
        let answer = tables.answers.number(answer);
        let transition = self.answered(tables, job, answer);
        self.follow(tables, state, worker, transition);
        Some(())
    }

    pub(crate) fn happen(&self, tables: &mut Tables, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Begin { index } => {
                let beginning = self.beginnings(tables, state.store)[usize::from(index)];
                let worker = state.workers.iter().position(|job| *job == FREE)?;
                self.follow(tables, state, worker, beginning.transition);
            }
            Action::Read { worker, version } => {
                let worker = usize::from(worker);
                let job = state.workers[worker];
                let answer = self.read(tables, state, job, version)?;
                let transition = self.answered(tables, job, answer);
                self.follow(tables, state, worker, transition);
            }
            Action::Deliver { worker } => self.deliver(tables, state, usize::from(worker))?,
            Action::NoAnswer { worker } => self.no_answer(tables, state, usize::from(worker))?,
            Action::Late { message } => {
                let landed = self.land(tables, state.store, message);
                (landed.store != state.store).then_some(())?;
                self.arrive(state, landed);
            }
            Action::Crash { worker } => state.workers[usize::from(worker)] = FREE,
            Action::Outside { index } => {
                let (_, landed) = self.outside_of(tables, state.store)[usize::from(index)];
                self.arrive(state, landed);
            }
        }
        Some(())
    }

    /// Brings a state into its one form: requests that can never take effect are forgotten, workers are sorted.
    fn tidy(&self, tables: &mut Tables, state: &mut State) {
        if state.net != QUIET {
            let key = (state.store, state.net);
            state.net = match tables.alive.get(&key) {
                Some(known) => *known,
                None => {
                    let mut net = Vec::clone(tables.nets.value(state.net));
                    let store = Arc::clone(tables.stores.value(state.store));
                    net.retain(|message| !self.is_dead(tables, &store, *message));
                    let net = tables.nets.number(net);
                    tables.alive.insert(key, net);
                    net
                }
            };
        }
        state.workers.sort_unstable();
    }

    pub(crate) fn begin_state(&self, tables: &mut Tables) -> State {
        let store = self.begin_store(tables);
        let mut workers = [NOBODY; WORKERS_MAX];
        workers[..self.scenario.workers].fill(FREE);
        State {
            store: tables.stores.number(store),
            net: QUIET,
            workers,
            told: 0,
            faults: 0,
            violated: 0,
        }
    }

    /// A state in which nothing is lost and nobody else is there.
    pub(crate) fn calm(store: Number) -> State {
        State {
            store,
            net: QUIET,
            workers: [FREE, NOBODY, NOBODY],
            told: 0,
            faults: 0,
            violated: 0,
        }
    }

    /// One worker takes up a log at a home.
    pub(crate) fn recover_log(
        &self,
        tables: &mut Tables,
        state: &mut State,
        home: usize,
        log: usize,
    ) -> Result<(), String> {
        let newest = tables
            .stores
            .value(state.store)
            .newest(self.place_of_log(home, log));
        let what = Begin::Recovery {
            home: u8::try_from(home).unwrap(),
            log: newest,
        };
        let Some(begun) = self.begun(tables, what) else {
            return Ok(());
        };
        self.run(tables, state, begun)
    }

    /// A recharge that was confirmed at the old home and could not be brought over is confirmed again at the new one.
    pub(crate) fn confirm_stranded(&self, tables: &mut Tables, state: &mut State, log: usize) -> bool {
        let store = Arc::clone(tables.stores.value(state.store));
        let stranded = tables.fact(store.newest(self.place_of_log(0, log))).log.clone();
        let Some(paid) = stranded
            .filter(|log| log.state >= LogState::Funded)
            .and_then(|log| log.trade_no.clone())
        else {
            return true;
        };
        for (caller, wants) in (0..).zip(&self.scenario.callers) {
            let Caller::Notice { of, trade_no, .. } = wants else {
                continue;
            };
            let Some(place) = self.log_of(tables, &store, 1, *of).filter(|_| *trade_no == paid) else {
                continue;
            };
            let what = Begin::Caller {
                caller,
                home: 1,
                log: store.newest(place),
            };
            let begun = self.begun(tables, what);
            return begun.is_some_and(|begun| self.run(tables, state, begun).is_ok());
        }
        false
    }

    /// One worker, to which nothing happens, goes on until it has nothing to do.
    fn run(&self, tables: &mut Tables, state: &mut State, begun: Number) -> Result<(), String> {
        self.follow(tables, state, 0, begun);
        for _ in 0..200 {
            let job = state.workers[0];
            state.net = QUIET;
            match tables.asked[job as usize] {
                Asked::Nothing => return Ok(()),
                Asked::Message(_) => self.deliver(tables, state, 0).ok_or("nothing to deliver")?,
                Asked::Find => {
                    let store = Arc::clone(tables.stores.value(state.store));
                    let home = usize::from(tables.jobs.value(job).home);
                    let newest: usize = (0..store.effects.len()).rev().fold(0, |rest, log| {
                        let versions = store.documents[self.place_of_log(home, log)].len().max(1);
                        rest * versions + versions - 1
                    });
                    let version = u8::try_from(newest).unwrap();
                    let answer = self.read(tables, state, job, version).ok_or("nothing to find")?;
                    let transition = self.answered(tables, job, answer);
                    self.follow(tables, state, 0, transition);
                }
                Asked::Document(place) => {
                    let store = tables.stores.value(state.store);
                    let versions = store.documents.get(place).map_or(0, Vec::len);
                    let version = u8::try_from(versions.saturating_sub(1)).unwrap();
                    let answer = self.read(tables, state, job, version).ok_or("nothing to read")?;
                    let transition = self.answered(tables, job, answer);
                    self.follow(tables, state, 0, transition);
                }
            }
        }
        Err("no end".into())
    }

    fn worker_actions(&self, tables: &Tables, state: &State, worker: usize, actions: &mut Vec<Action>) {
        let store = tables.stores.value(state.store);
        let job = state.workers[worker];
        let versions = match tables.asked[job as usize] {
            Asked::Nothing => return,
            Asked::Message(_) => 0,
            Asked::Document(place) => store
                .documents
                .get(place)
                .map_or(1, |versions| versions.len().max(1)),
            Asked::Find => {
                let home = usize::from(tables.jobs.value(job).home);
                (0..store.effects.len())
                    .map(|log| store.documents[self.place_of_log(home, log)].len().max(1))
                    .product()
            }
        };
        let worker = u8::try_from(worker).unwrap();
        let versions = u8::try_from(versions).unwrap();
        actions.extend((0..versions).map(|version| Action::Read { worker, version }));
        if versions == 0 {
            actions.push(Action::Deliver { worker });
            actions.push(Action::NoAnswer { worker });
        }
        actions.push(Action::Crash { worker });
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut tables = self.tables();
        let mut state = self.begin_state(&mut tables);
        state.violated = crate::properties::violated(self, &mut tables, &state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut tables = self.tables();
        if state.workers.contains(&FREE) {
            let beginnings = self.beginnings(&mut tables, state.store);
            for (index, beginning) in (0..).zip(beginnings.iter()) {
                let untold = |caller: u8| state.told >> (2 * caller) & 3 == 0;
                if beginning.untold.is_none_or(untold) {
                    actions.push(Action::Begin { index });
                }
            }
        }
        for (worker, job) in state.workers.iter().enumerate() {
            // Workers with the same job do the same.
            if *job == FREE || *job == NOBODY || worker > 0 && state.workers[worker - 1] == *job {
                continue;
            }
            self.worker_actions(&tables, state, worker, actions);
        }
        let net = tables.nets.value(state.net);
        actions.extend(net.iter().map(|message| Action::Late { message: *message }));
        let outside = self.outside_of(&mut tables, state.store);
        actions.extend((0..).take(outside.len()).map(|index| Action::Outside { index }));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut tables = self.tables();
        let mut state = *last;
        self.happen(&mut tables, &mut state, action)?;
        self.tidy(&mut tables, &mut state);
        state.violated = 0;
        state.violated = crate::properties::violated(self, &mut tables, &state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all(&self.scenario)
    }
}

/// Returns true if the update adds nothing to the fields that it writes.
fn is_probe(update: &Update) -> bool {
    let nothing = |op: &Op| matches!(op, Op::Increment(amount) if amount.as_i64() == Some(0));
    !update.ops.is_empty() && update.ops.iter().all(|(_, op)| nothing(op))
}

/// Returns true if the write changes nothing that is kept here, however late it arrives.
fn changes_nothing(write: &Write) -> bool {
    match &write.action {
        WriteAction::Create { .. } | WriteAction::Delete { .. } => false,
        WriteAction::Update { update, .. } => is_claim(update) || is_probe(update),
    }
}

fn worker() -> Worker {
    Worker {
        name: "w".into(),
        until: paylog::model::Timestamp::EPOCH,
    }
}

/// A counterexample, a line for each step.
pub(crate) fn told_as_a_story(world: &World, path: Vec<(State, Option<Action>)>) -> String {
    use std::fmt::Write as _;
    let mut story = String::new();
    for (state, action) in path {
        let mut tables = world.tables();
        let Some(action) = action else {
            let store = tables.stores.value(state.store);
            for place in 0..store.documents.len() {
                let document = tables.documents.value(store.newest(place));
                let _ = writeln!(story, "  = {}", serde_json::to_string(document).unwrap());
            }
            let _ = writeln!(
                story,
                "  = effects {:?}, told {:b}, faults {:b}, {:?}",
                store.effects, state.told, state.faults, store.moving
            );
            continue;
        };
        let told = match action {
            Action::Late { message } => write_of(&tables, message),
            Action::Begin { index } => {
                let what = world.beginnings(&mut tables, state.store)[usize::from(index)].what;
                match what {
                    Begin::Caller { .. } => format!("{what:?}"),
                    Begin::Recovery { home, log } => format!(
                        "Recovery at {home} of {}",
                        serde_json::to_string(tables.documents.value(log)).unwrap()
                    ),
                }
            }
            Action::Outside { index } => {
                format!(
                    "{:?}",
                    world.outside_of(&mut tables, state.store)[usize::from(index)].0
                )
            }
            Action::Deliver { worker }
            | Action::NoAnswer { worker }
            | Action::Crash { worker }
            | Action::Read { worker, .. } => {
                let job = tables.jobs.value(state.workers[usize::from(worker)]);
                match &job.ask {
                    Ask::Writes(messages) => write_of(&tables, messages[job.answers.len()]),
                    Ask::Commit(message) => write_of(&tables, *message),
                    Ask::Documents(purpose, targets) => {
                        format!("{purpose:?} {} at {}", targets[job.answers.len()], job.home)
                    }
                    Ask::Find(_) | Ask::Nothing | Ask::Whether(..) => format!("{:?}", job.ask),
                }
            }
        };
        let _ = writeln!(story, "  {action:?}: {told}");
    }
    story
}

fn write_of(tables: &Tables, message: Number) -> String {
    let one = |(write, role): &(Write, Role)| match &write.action {
        WriteAction::Create { fields } => format!("create {}", fields.to_value()["key"]),
        WriteAction::Update {
            id,
            precondition,
            update,
            ..
        } => format!(
            "{role:?} {}/{id} where {} {}",
            write.class,
            precondition.to_value(),
            update.to_value()
        ),
        WriteAction::Delete { .. } => panic!("{write:?}"),
    };
    let message = tables.messages.value(message);
    let writes: Vec<String> = message.writes.iter().map(one).collect();
    format!("at {}: {}", message.home, writes.join("; "))
}
