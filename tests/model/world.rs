//! The store, the network and the workers as a transition system. The payments in it are the real ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use paylog::model::{Document, ErrorCode, Filter, KeyPath, ObjectId, Test, Update};
use paylog::payment::effect::{Commit, Effect, Input, Outcome, Write};
use paylog::payment::leg::Target;
use paylog::payment::log::{LogState, Verdict};
use paylog::payment::machine::{Draft, End, Next, Payment, step};
use paylog::payment::mark::Epoch;
use paylog::payment::prune;
use paylog::payment::recovery::{Worker, close_unpaid};
use stateright::{Model, Property};

use crate::control::{Control, is_claim, is_void};
use crate::scenario::{Caller, Scenario, credit_apart, id};
use crate::tables::{ABSENT, Answer, Ask, FREE, Facts, Job, Message, Number, Role, Table};

/// The scenario and what is known about its parts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    tables: Mutex<Tables>,
}

/// Of each log, how often each leg was applied and reversed.
pub(crate) type Effects = Vec<Vec<(u8, u8)>>;

/// Everything that can differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The scenario's documents and then the logs; of each its last versions, the newest last.
    pub(crate) documents: Vec<Vec<Number>>,
    /// Of each log, how often each leg was applied and reversed.
    pub(crate) effects: Effects,
    /// Their jobs, sorted: workers are alike.
    pub(crate) workers: Vec<Number>,
    /// The requests that were sent and can still take effect, sorted.
    pub(crate) net: Vec<Number>,
    /// What each caller was told.
    pub(crate) told: Vec<u8>,
    pub(crate) topped_up: u8,
    /// What must never happen, and can only be seen while it happens.
    pub(crate) faults: u8,
}

pub(crate) const TOLD_SUCCESS: u8 = 1;
pub(crate) const TOLD_REFUSAL: u8 = 2;

/// A log waits for an operator.
pub(crate) const FAULT_STUCK: u8 = 1;
/// The state of a log fell, or that of a closed one changed.
pub(crate) const FAULT_FELL: u8 = 2;
/// A document changed that had moved.
pub(crate) const FAULT_MOVED: u8 = 4;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A worker begins what a caller wants; for a notice, with this version of the log.
    Begin {
        caller: u8,
        version: u8,
    },
    /// A worker takes up a log, of which it has read this version.
    Recover {
        log: u8,
        version: u8,
    },
    /// A read is answered.
    Read {
        worker: u8,
        version: u8,
    },
    /// The next write of a worker reaches the store, and so does the answer the worker.
    Deliver {
        worker: u8,
    },
    /// The worker has no answer to its next write.
    NoAnswer {
        worker: u8,
    },
    /// A request that was sent earlier reaches the store.
    Late {
        message: Number,
    },
    /// The worker is gone.
    Crash {
        worker: u8,
    },
    /// Marks of these logs (bits) are forgotten, as this version of the document shows them.
    Prune {
        document: u8,
        version: u8,
        logs: u8,
    },
    TopUp,
    /// A recharge is given up.
    GiveUp {
        log: u8,
    },
    Fence {
        document: u8,
    },
}

/// What follows when a worker is given its answers.
#[derive(Clone, Debug)]
struct Transition {
    job: Number,
    sent: Vec<Number>,
    told: u8,
    faults: u8,
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) documents: Table<Document>,
    pub(crate) facts: Vec<Facts>,
    pub(crate) jobs: Table<Job>,
    pub(crate) messages: Table<Message>,
    answers: Table<Answer>,
    stepped: HashMap<(Number, Number), Transition>,
    applied: HashMap<(Number, usize, Number), Option<(Number, Document)>>,
    dead: HashMap<(Number, usize, Number), bool>,
    /// What `properties` has found out about documents and effects.
    pub(crate) recoverable: HashMap<(Vec<Number>, Effects), bool>,
    pub(crate) audited: HashMap<(Vec<Number>, u8), bool>,
    pub(crate) lost_effects: u64,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let absent = Document::new();
        let tables = Tables {
            facts: vec![Facts::of(&absent, &scenario.rules)],
            documents: Table::with(absent),
            jobs: Table::with(Job::free()),
            messages: Table::new(),
            answers: Table::new(),
            stepped: HashMap::new(),
            applied: HashMap::new(),
            dead: HashMap::new(),
            recoverable: HashMap::new(),
            audited: HashMap::new(),
            lost_effects: 0,
        };
        Self {
            scenario,
            tables: Mutex::new(tables),
        }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    pub(crate) fn fixed(&self) -> usize {
        self.scenario.documents.len()
    }

    /// The index of a document, where it is there.
    fn place(&self, state: &State, target: &Target) -> Option<usize> {
        if target.class == self.scenario.rules.log_class {
            let index = self.fixed() + log_index(&target.id)?;
            return (index < state.documents.len()).then_some(index);
        }
        self.scenario
            .documents
            .iter()
            .position(|(there, _)| there == target)
    }

    fn begin_state(&self) -> State {
        let mut tables = self.tables();
        let documents = self.scenario.documents.iter();
        State {
            documents: documents
                .map(|(_, document)| vec![tables.document(document.clone(), &self.scenario)])
                .collect(),
            effects: Vec::new(),
            workers: vec![FREE; self.scenario.workers],
            net: Vec::new(),
            told: vec![0; self.scenario.callers.len()],
            topped_up: 0,
            faults: 0,
        }
    }

    /// Another version of a document.
    fn put(&self, tables: &Tables, state: &mut State, place: usize, number: Number) {
        let versions = &mut state.documents[place];
        let before = *versions.last().unwrap();
        if before == number {
            return;
        }
        let (old, new) = (tables.fact(before), tables.fact(number));
        if new.state < old.state || old.state == 5 {
            state.faults |= FAULT_FELL;
        }
        if old.epoch < 0 {
            state.faults |= FAULT_MOVED;
        }
        versions.push(number);
        let kept = self.scenario.stale + 1;
        if versions.len() > kept {
            versions.remove(0);
        }
    }

    /// One write of a message takes effect, or not.
    fn land(&self, tables: &mut Tables, state: &mut State, message: Number, index: usize) -> Outcome {
        let sent = std::sync::Arc::clone(tables.messages.value(message));
        let (write, role) = &sent.writes[index];
        match write {
            Write::Create { fields, .. } => self.land_create(tables, state, fields),
            Write::Update { target, .. } => {
                let Some(place) = self.place(state, target) else {
                    return Outcome::NotMatched;
                };
                let before = newest(state, place);
                let Some((after, answer)) = tables.apply(message, index, write, before, &self.scenario)
                else {
                    return Outcome::NotMatched;
                };
                self.put(tables, state, place, after);
                let log = sent
                    .log
                    .map_or(state.effects.len().saturating_sub(1), usize::from);
                match role {
                    Role::Take(leg) => state.effects[log][usize::from(*leg)].0 += 1,
                    Role::Undo(leg) => state.effects[log][usize::from(*leg)].1 += 1,
                    Role::Create | Role::Void | Role::Other => {}
                }
                Outcome::Applied(answer)
            }
        }
    }

    fn land_create(&self, tables: &mut Tables, state: &mut State, fields: &Update) -> Outcome {
        let mut document = Document::new();
        fields.apply(&mut document).unwrap();
        for place in self.fixed()..state.documents.len() {
            let other = tables.documents.value(newest(state, place));
            let taken = ["key", "requestKey", "number"]
                .iter()
                .any(|key| document.contains_key(*key) && document.get(*key) == other.get(*key));
            if taken {
                if self.scenario.control == Control::OwnCreateOnly && document.get("key") == other.get("key")
                {
                    let answer = [("objectId".to_owned(), other["objectId"].clone())];
                    return Outcome::Applied(answer.into_iter().collect());
                }
                return Outcome::Rejected(ErrorCode::DUPLICATE_VALUE);
            }
        }
        let name = format!("G{}", state.effects.len());
        document.insert("objectId".into(), name.as_str().into());
        let legs = document["legs"].as_array().unwrap().clone();
        let number = tables.document(document, &self.scenario);
        let mut versions = vec![ABSENT, number];
        if self.scenario.stale == 0 {
            versions.remove(0);
        }
        state.documents.push(versions);
        let decided = fields.to_value()["state"] == 3;
        let idle = |leg: &paylog::model::Value| leg["add"].as_object().unwrap().is_empty();
        // A commit that creates the log as applied leaves out a leg that changes nothing.
        state.effects.push(
            legs.iter()
                .map(|leg| (u8::from(decided && idle(leg)), 0))
                .collect(),
        );
        Outcome::Applied([("objectId".to_owned(), name.into())].into_iter().collect())
    }

    /// All writes of a message take effect, or none does.
    fn commit(&self, tables: &mut Tables, state: &mut State, message: Number) -> Commit {
        let before = state.clone();
        let mut answers = Vec::new();
        for index in 0..tables.messages.value(message).writes.len() {
            match self.land(tables, state, message, index) {
                Outcome::Applied(answer) => answers.push(answer),
                refused => {
                    *state = before;
                    return Commit::Refused(index, refused);
                }
            }
        }
        Commit::Applied(answers)
    }

    /// Gives the worker one more answer, and takes it from there.
    fn answer(&self, tables: &mut Tables, state: &mut State, worker: usize, answer: Answer) {
        let before = state.workers[worker];
        let answer = tables.answers.number(answer);
        let transition = match tables.stepped.get(&(before, answer)) {
            Some(transition) => transition.clone(),
            None => {
                let transition = self.answered(tables, before, answer);
                tables.stepped.insert((before, answer), transition.clone());
                transition
            }
        };
        let caller = tables.jobs.value(before).caller;
        self.follow(state, worker, caller, &transition);
    }

    fn follow(&self, state: &mut State, worker: usize, caller: Option<u8>, transition: &Transition) {
        state.workers[worker] = transition.job;
        for message in &transition.sent {
            if let Err(at) = state.net.binary_search(message) {
                state.net.insert(at, *message);
            }
        }
        if let Some(caller) = caller {
            state.told[usize::from(caller)] |= transition.told;
        }
        state.faults |= transition.faults;
    }

    fn answered(&self, tables: &mut Tables, job: Number, answer: Number) -> Transition {
        let mut job = Job::clone(tables.jobs.value(job));
        job.answers.push(tables.answers.value(answer).as_ref().clone());
        match job.input() {
            Some(input) => {
                let payment = job.payment.take().unwrap();
                self.advance(tables, payment, input, job.caller)
            }
            None => Transition {
                job: tables.jobs.number(job),
                sent: Vec::new(),
                told: 0,
                faults: 0,
            },
        }
    }

    /// Runs the real machine until it asks for something that takes time.
    fn advance(&self, tables: &mut Tables, payment: Payment, input: Input, caller: Option<u8>) -> Transition {
        let (mut payment, mut input) = (payment, input);
        let (mut told, mut faults) = (0, 0);
        loop {
            let stepped = step(payment, input).unwrap();
            payment = stepped.payment;
            let effect = match stepped.next {
                Next::Ask(effect) | Next::Again(_, effect) => effect,
                Next::Settled => {
                    told |= TOLD_SUCCESS;
                    input = Input::Told;
                    continue;
                }
                Next::End(end) => {
                    match (
                        end,
                        caller.map(|caller| &self.scenario.callers[usize::from(caller)]),
                    ) {
                        (End::Closed, _) => {
                            let failed = payment.log().unwrap().failed();
                            told |= if failed { TOLD_REFUSAL } else { TOLD_SUCCESS };
                        }
                        (End::Unconfirmable, Some(Caller::Notice { trade_no, manner, .. })) => {
                            let draft = credit_apart(trade_no);
                            payment = Payment::fresh(&self.scenario.rules, worker(), *manner, draft);
                            input = Input::Begin;
                            continue;
                        }
                        (End::Stuck(_) | End::Unconfirmable, _) => faults |= FAULT_STUCK,
                        (End::Waiting | End::Taken | End::Secured | End::Moved(_), _) => {}
                    }
                    return Transition {
                        job: FREE,
                        sent: Vec::new(),
                        told,
                        faults,
                    };
                }
            };
            if let Some(pretended) = self.scenario.control.pretended(&payment, &effect) {
                input = pretended;
                continue;
            }
            let (ask, sent) = self.ask(tables, &payment, effect);
            let job = tables.jobs.number(Job {
                payment: Some(payment),
                caller,
                ask,
                answers: Vec::new(),
            });
            return Transition {
                job,
                sent,
                told,
                faults,
            };
        }
    }

    fn ask(&self, tables: &mut Tables, payment: &Payment, effect: Effect) -> (Ask, Vec<Number>) {
        match effect {
            Effect::Read(purpose, targets) => (Ask::Documents(purpose, targets), Vec::new()),
            Effect::Find(_, filter) => (Ask::Find(filter), Vec::new()),
            Effect::Write(write) | Effect::Close(write) => {
                let messages = vec![self.message(tables, payment, vec![write])];
                let mut sent: Vec<Number> = messages.clone();
                if self.scenario.control == Control::OneAtATime {
                    sent.extend(self.next_leg(tables, payment, messages[0]));
                }
                // A claim changes nothing that is kept here.
                sent.retain(
                    |message| match tables.messages.value(*message).writes.as_slice() {
                        [(Write::Update { update, .. }, _)] => !is_claim(update),
                        _ => true,
                    },
                );
                (Ask::Writes(messages), sent)
            }
            Effect::Batch(writes) => {
                let writes = writes.into_iter();
                let messages: Vec<Number> = writes
                    .map(|write| self.message(tables, payment, vec![write]))
                    .collect();
                (Ask::Writes(messages.clone()), messages)
            }
            Effect::Commit(writes) => {
                let message = self.message(tables, payment, writes);
                (Ask::Commit(message), vec![message])
            }
        }
    }

    fn message(&self, tables: &mut Tables, payment: &Payment, writes: Vec<Write>) -> Number {
        let tagged = writes.into_iter().map(|write| {
            let role = self.role(payment, &write);
            (self.scenario.control.tampered(write, role), role)
        });
        let writes = tagged.collect();
        let log = payment.log().and_then(|log| log_index(&log.id));
        tables.messages.number(Message {
            writes,
            log: log.map(|index| u8::try_from(index).unwrap()),
        })
    }

    /// What a write of this payment does to which leg.
    fn role(&self, payment: &Payment, write: &Write) -> Role {
        let Write::Update { target, update, .. } = write else {
            return Role::Create;
        };
        let targets = payment.targets().unwrap();
        let columns = update.columns();
        if target.class == self.scenario.rules.log_class || columns.iter().any(|column| column == "status") {
            return Role::Other;
        }
        // The legs come first among the targets, in order.
        let leg = targets.iter().position(|leg| leg == target).unwrap();
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
    fn next_leg(&self, tables: &mut Tables, payment: &Payment, message: Number) -> Option<Number> {
        let (_, Role::Take(leg)) = tables.messages.value(message).writes[0] else {
            return None;
        };
        let log = payment.log()?;
        let next = log.intent.legs.as_slice().get(usize::from(leg) + 1)?;
        next.is_conditional().then(|| {
            let write = Write::Update {
                target: next.target.clone(),
                guard: next.guard(&log.id, Epoch::default()),
                update: next.body(&log.id),
            };
            self.message(tables, payment, vec![write])
        })
    }

    /// The payment with which a worker begins what a caller wants.
    fn wanted(&self, tables: &Tables, state: &State, caller: u8, version: u8) -> Option<Payment> {
        let rules = &self.scenario.rules;
        match &self.scenario.callers[usize::from(caller)] {
            Caller::Wants { draft, manner, after } => {
                if version > 0 || !self.scenario.repeats && state.told[usize::from(caller)] != 0 {
                    return None;
                }
                let own = self.log_of(tables, state, usize::from(caller));
                if own.is_some() && !self.scenario.repeats {
                    return None;
                }
                if let Some(after) = after {
                    let log = tables.fact(newest(state, self.log_of(tables, state, *after)?));
                    if log.log.as_ref()?.verdict != Some(Verdict::Failed) || log.state != 5 {
                        return None;
                    }
                }
                Some(Payment::fresh(rules, worker(), *manner, Draft::clone(draft)))
            }
            Caller::Follows { of, draft, manner } => {
                if version > 0 || state.told[usize::from(caller)] != 0 {
                    return None;
                }
                let log = tables.fact(newest(state, self.log_of(tables, state, *of)?));
                let log = log.log.as_ref()?;
                (log.verdict == Some(Verdict::Succeeded))
                    .then(|| Payment::fresh(rules, worker(), *manner, draft(&log.id)))
            }
            Caller::Notice { of, trade_no, manner } => {
                let versions = &state.documents[self.log_of(tables, state, *of)?];
                let log = &tables.fact(*versions.get(usize::from(version))?).log;
                let log = log.as_ref()?.as_ref().clone();
                Some(if log.trade_no.as_deref() == Some(trade_no) {
                    Payment::recovered(rules, worker(), log)
                } else {
                    Payment::confirmed(rules, worker(), *manner, log, trade_no)
                })
            }
        }
    }

    /// The place of the log that a caller's draft is, or would be, answered with.
    pub(crate) fn log_of(&self, tables: &Tables, state: &State, caller: usize) -> Option<usize> {
        let Caller::Wants { draft, .. } = &self.scenario.callers[caller] else {
            return None;
        };
        (self.fixed()..state.documents.len()).find(|place| {
            let log = tables.fact(newest(state, *place)).log.as_ref();
            log.is_some_and(|log| log.intent.key == draft.intent.key && draft.intent.repeats(&log.intent))
        })
    }

    fn prune(&self, tables: &mut Tables, state: &mut State, document: u8, version: u8, logs: u8) {
        let place = usize::from(document);
        let target = &self.scenario.documents[place].0;
        let seen = state.documents[place][usize::from(version)];
        let closed: BTreeSet<ObjectId> = (0..8).filter(|log| logs & (1 << log) != 0).map(log_id).collect();
        let seen = tables.documents.value(seen);
        let Some(write) = prune::prune(target, seen, &closed).unwrap() else {
            return;
        };
        let write = match self.scenario.control {
            Control::EpochInGuard => write,
            control => control.tampered(write, Role::Other),
        };
        let message = tables.messages.number(Message {
            writes: vec![(write, Role::Other)],
            log: Some(0),
        });
        self.land(tables, state, message, 0);
    }

    /// A write from outside the payments.
    fn outside(&self, tables: &mut Tables, state: &mut State, write: Write) {
        let message = tables.messages.number(Message {
            writes: vec![(write, Role::Other)],
            log: Some(0),
        });
        self.land(tables, state, message, 0);
    }

    /// Brings a state into its one form: requests that can never take effect are forgotten, workers are sorted.
    fn tidy(&self, tables: &mut Tables, state: &mut State) {
        let mut net = std::mem::take(&mut state.net);
        net.retain(|message| !self.is_dead(tables, state, *message));
        state.net = net;
        state.workers.sort_unstable();
    }

    /// Whether no delivery of this message can ever have an effect: epochs and states only grow, keys stay taken.
    pub(crate) fn is_dead(&self, tables: &mut Tables, state: &State, message: Number) -> bool {
        let sent = std::sync::Arc::clone(tables.messages.value(message));
        sent.writes
            .iter()
            .enumerate()
            .any(|(index, (write, _))| match write {
                Write::Create { fields, .. } => fields.ops.iter().any(|(path, op)| {
                    let paylog::model::Op::Set(value) = op else {
                        return false;
                    };
                    ["key", "requestKey", "number"].contains(&path.as_str())
                        && (self.fixed()..state.documents.len()).any(|place| {
                            tables.documents.value(newest(state, place)).get(path.as_str()) == Some(value)
                        })
                }),
                Write::Update { target, guard, .. } => match self.place(state, target) {
                    None => false,
                    Some(place) => tables.is_dead(message, index, guard, newest(state, place)),
                },
            })
    }

    fn read(&self, tables: &Tables, state: &State, worker: usize, version: u8) -> Option<Answer> {
        let job = tables.jobs.value(state.workers[worker]);
        match &job.ask {
            Ask::Documents(_, targets) => {
                let target = &targets[job.answers.len()];
                let Some(place) = self.place(state, target) else {
                    return (version == 0).then_some(Answer::Document(None));
                };
                let number = *state.documents[place].get(usize::from(version))?;
                Some(Answer::Document(
                    (number != ABSENT).then(|| Document::clone(tables.documents.value(number))),
                ))
            }
            Ask::Find(filter) => {
                // `version` counts through all combinations of the logs' versions.
                let mut rest = usize::from(version);
                let mut found = Vec::new();
                for versions in &state.documents[self.fixed()..] {
                    let number = versions[rest % versions.len()];
                    rest /= versions.len();
                    let document = tables.documents.value(number);
                    if number != ABSENT && filter.matches(document).unwrap() {
                        found.push(Document::clone(document));
                    }
                }
                (rest == 0).then_some(Answer::Found(found))
            }
            Ask::Nothing | Ask::Writes(_) | Ask::Commit(_) => None,
        }
    }

    fn deliver(&self, tables: &mut Tables, state: &mut State, worker: usize) -> Option<()> {
        let job = std::sync::Arc::clone(tables.jobs.value(state.workers[worker]));
        let answer = match &job.ask {
            Ask::Writes(messages) => {
                let message = messages[job.answers.len()];
                Answer::Outcome(self.land(tables, state, message, 0))
            }
            Ask::Commit(message) => Answer::Committed(self.commit(tables, state, *message)),
            Ask::Nothing | Ask::Documents(..) | Ask::Find(_) => return None,
        };
        self.answer(tables, state, worker, answer);
        Some(())
    }

    fn no_answer(&self, tables: &mut Tables, state: &mut State, worker: usize) -> Option<()> {
        let job = std::sync::Arc::clone(tables.jobs.value(state.workers[worker]));
        let answer = match &job.ask {
            Ask::Writes(messages) => {
                let message = messages[job.answers.len()];
                let sent = &tables.messages.value(message).writes[0];
                let money = matches!(sent.1, Role::Take(_));
                if let ((_, Role::Take(leg)), Some(log)) = (sent, tables.messages.value(message).log) {
                    let (applied, _) = state.effects[usize::from(log)][usize::from(*leg)];
                    tables.lost_effects += u64::from(applied);
                }
                if money && self.scenario.control == Control::NoAnswerIsNone {
                    Answer::Outcome(Outcome::Applied(Document::new()))
                } else {
                    Answer::Outcome(Outcome::Unknown)
                }
            }
            Ask::Commit(_) => Answer::Committed(Commit::Unknown),
            Ask::Nothing | Ask::Documents(..) | Ask::Find(_) => return None,
        };
        self.answer(tables, state, worker, answer);
        Some(())
    }

    fn late(&self, tables: &mut Tables, state: &mut State, message: Number) -> Option<()> {
        let before = state.documents.clone();
        let sent = tables.messages.value(message);
        if sent.writes.len() > 1 {
            self.commit(tables, state, message);
        } else {
            self.land(tables, state, message, 0);
        }
        (state.documents != before).then_some(())
    }

    fn happen(&self, tables: &mut Tables, state: &mut State, action: Action) -> Option<()> {
        let rules = &self.scenario.rules;
        match action {
            Action::Begin { caller, version } => {
                let payment = self.wanted(tables, state, caller, version)?;
                self.start(tables, state, payment, Some(caller))?;
            }
            Action::Recover { log, version } => {
                let number = *state.documents[self.fixed() + usize::from(log)].get(usize::from(version))?;
                let log = tables.fact(number).log.as_ref()?;
                if log.state == LogState::Closed || log.waits_for_gateway() {
                    return None;
                }
                let payment = Payment::recovered(rules, worker(), log.as_ref().clone());
                self.start(tables, state, payment, None)?;
            }
            Action::Read { worker, version } => {
                let answer = self.read(tables, state, usize::from(worker), version)?;
                self.answer(tables, state, usize::from(worker), answer);
            }
            Action::Deliver { worker } => self.deliver(tables, state, usize::from(worker))?,
            Action::NoAnswer { worker } => self.no_answer(tables, state, usize::from(worker))?,
            Action::Late { message } => self.late(tables, state, message)?,
            Action::Crash { worker } => state.workers[usize::from(worker)] = FREE,
            Action::Prune {
                document,
                version,
                logs,
            } => self.prune(tables, state, document, version, logs),
            Action::TopUp => {
                let (document, _) = self.scenario.top_up?;
                state.topped_up += 1;
                let write = Write::Update {
                    target: self.scenario.documents[document].0.clone(),
                    guard: Filter::all(),
                    update: Update::new().increment(&rules.account, 1),
                };
                self.outside(tables, state, write);
            }
            Action::GiveUp { log } => {
                let log = &tables.fact(newest(state, self.fixed() + usize::from(log))).log;
                let write = close_unpaid(rules, log.as_ref()?, "9006 Not paid in time.");
                self.outside(tables, state, write);
            }
            Action::Fence { document } => {
                let place = usize::from(document);
                let epoch = tables.fact(newest(state, place)).epoch;
                let write = Write::Update {
                    target: self.scenario.documents[place].0.clone(),
                    guard: Filter::all(),
                    update: Update::new().set("payEpoch", -(epoch + 1)),
                };
                self.outside(tables, state, write);
            }
        }
        Some(())
    }

    fn start(
        &self,
        tables: &mut Tables,
        state: &mut State,
        payment: Payment,
        caller: Option<u8>,
    ) -> Option<()> {
        let worker = state.workers.iter().position(|job| *job == FREE)?;
        let transition = self.advance(tables, payment, Input::Begin, caller);
        self.follow(state, worker, caller, &transition);
        Some(())
    }

    /// From here on nothing is lost and nobody else is there: recovery alone brings every log to its end.
    pub(crate) fn recover(&self, tables: &mut Tables, state: &State) -> Result<State, String> {
        let mut state = State {
            workers: vec![FREE],
            net: Vec::new(),
            ..state.clone()
        };
        for log in 0..state.effects.len() {
            let version = state.documents[self.fixed() + log].len() - 1;
            let action = Action::Recover {
                log: u8::try_from(log).unwrap(),
                version: u8::try_from(version).unwrap(),
            };
            if self.happen(tables, &mut state, action).is_none() {
                continue;
            }
            for _ in 0..100 {
                if state.workers[0] == FREE {
                    break;
                }
                let job = std::sync::Arc::clone(tables.jobs.value(state.workers[0]));
                let version = match &job.ask {
                    Ask::Documents(_, targets) => self
                        .place(&state, &targets[job.answers.len()])
                        .map_or(0, |place| state.documents[place].len() - 1),
                    Ask::Nothing | Ask::Find(_) | Ask::Writes(_) | Ask::Commit(_) => 0,
                };
                let version = u8::try_from(version).unwrap();
                self.happen(tables, &mut state, Action::Read { worker: 0, version })
                    .or_else(|| self.happen(tables, &mut state, Action::Deliver { worker: 0 }))
                    .ok_or("nothing can happen")?;
            }
            let place = self.fixed() + log;
            if tables.fact(newest(&state, place)).state != 5 {
                return Err(format!(
                    "G{log} is not closed: {:?}",
                    tables.documents.value(newest(&state, place))
                ));
            }
        }
        Ok(state)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let tables = self.tables();
        let byte = |number: usize| u8::try_from(number).unwrap();
        let free = state.workers.contains(&FREE);
        if free {
            for caller in 0..byte(self.scenario.callers.len()) {
                for version in 0..=byte(self.scenario.stale) {
                    actions.push(Action::Begin { caller, version });
                }
            }
            for log in 0..state.effects.len() {
                for version in 0..state.documents[self.fixed() + log].len() {
                    let (log, version) = (byte(log), byte(version));
                    actions.push(Action::Recover { log, version });
                }
            }
        }
        for (worker, number) in state.workers.iter().enumerate() {
            // Workers with the same job do the same.
            if *number == FREE || worker > 0 && state.workers[worker - 1] == *number {
                continue;
            }
            let job = tables.jobs.value(*number);
            let versions = match &job.ask {
                Ask::Nothing | Ask::Writes(_) | Ask::Commit(_) => 0,
                Ask::Documents(..) => self.scenario.stale + 1,
                Ask::Find(_) => state.documents[self.fixed()..].iter().map(Vec::len).product(),
            };
            let worker = byte(worker);
            actions.extend((0..byte(versions)).map(|version| Action::Read { worker, version }));
            if versions == 0 {
                actions.push(Action::Deliver { worker });
                actions.push(Action::NoAnswer { worker });
            }
            actions.push(Action::Crash { worker });
        }
        actions.extend(state.net.iter().map(|message| Action::Late { message: *message }));
        self.outside_actions(&tables, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut tables = self.tables();
        let mut state = last.clone();
        self.happen(&mut tables, &mut state, action)?;
        self.tidy(&mut tables, &mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all(&self.scenario)
    }
}

impl World {
    fn outside_actions(&self, tables: &Tables, state: &State, actions: &mut Vec<Action>) {
        let byte = |number: usize| u8::try_from(number).unwrap();
        let log_state = |log: usize| tables.fact(newest(state, self.fixed() + log)).state;
        let closed = (0..state.effects.len())
            .filter(|log| log_state(*log) == 5 || self.scenario.control == Control::PruneClosedOnly);
        let closed: u8 = closed.map(|log| 1 << log).sum();
        for place in 0..self.fixed() {
            let document = byte(place);
            for (version, number) in state.documents[place].iter().enumerate() {
                let fact = tables.fact(*number);
                if fact.epoch >= self.scenario.epochs || fact.epoch < 0 {
                    continue;
                }
                let seen = tables.documents.value(*number);
                let marked = prune::logs(seen).unwrap();
                let marked: u8 = marked.iter().filter_map(log_index).map(|log| 1 << log).sum();
                let version = byte(version);
                actions.extend(
                    (1..=u8::MAX)
                        .filter(|logs| logs & !(closed & marked) == 0)
                        .map(|logs| Action::Prune {
                            document,
                            version,
                            logs,
                        }),
                );
            }
            if self.scenario.fence && tables.fact(newest(state, place)).epoch >= 0 {
                actions.push(Action::Fence { document });
            }
        }
        if self
            .scenario
            .top_up
            .is_some_and(|(_, times)| state.topped_up < times)
        {
            actions.push(Action::TopUp);
        }
        if self.scenario.unpaid {
            let open = (0..state.effects.len()).filter(|log| log_state(*log) == 1);
            actions.extend(open.map(|log| Action::GiveUp { log: byte(log) }));
        }
    }
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
            let facts = Facts::of(self.documents.value(number), &scenario.rules);
            self.facts.push(facts);
        }
        number
    }

    pub(crate) fn fact(&self, number: Number) -> &Facts {
        &self.facts[number as usize]
    }

    /// What a conditional update makes of a document, and what it answers.
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
        let Write::Update { guard, update, .. } = write else {
            return None;
        };
        let mut document = Document::clone(self.documents.value(before));
        let applied = guard.matches(&document).unwrap().then(|| {
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

    fn is_dead(&mut self, message: Number, index: usize, guard: &Filter, document: Number) -> bool {
        let (facts, dead) = (&self.facts, &mut self.dead);
        *dead.entry((message, index, document)).or_insert_with(|| {
            let fact = &facts[document as usize];
            let passed =
                |key: &str, now: i64| demanded(guard, key).is_some_and(|demanded| now < 0 || now > demanded);
            passed("payEpoch", fact.epoch) || passed("state", fact.state)
        })
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

pub(crate) fn newest(state: &State, place: usize) -> Number {
    *state.documents[place].last().unwrap()
}

pub(crate) fn log_id(index: usize) -> ObjectId {
    id(&format!("G{index}"))
}

pub(crate) fn log_index(id: &ObjectId) -> Option<usize> {
    id.as_str().strip_prefix('G')?.parse().ok()
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
        let tables = world.tables();
        if let Some(action) = action {
            let _ = match action {
                Action::Late { message } => {
                    writeln!(story, "  Late: {}", write_of(&tables, message))
                }
                Action::Deliver { worker } | Action::NoAnswer { worker } | Action::Read { worker, .. } => {
                    let job = tables.jobs.value(state.workers[usize::from(worker)]);
                    let asked = match &job.ask {
                        Ask::Writes(messages) => write_of(&tables, messages[job.answers.len()]),
                        Ask::Commit(message) => write_of(&tables, *message),
                        Ask::Documents(purpose, targets) => {
                            format!("{purpose:?} {}", targets[job.answers.len()])
                        }
                        Ask::Find(_) | Ask::Nothing => format!("{:?}", job.ask),
                    };
                    writeln!(story, "  {action:?}: {asked}")
                }
                _ => writeln!(story, "  {action:?}"),
            };
        } else {
            for place in 0..state.documents.len() {
                let document = tables.documents.value(newest(&state, place));
                let _ = writeln!(story, "  = {}", serde_json::to_string(document).unwrap());
            }
            let _ = writeln!(
                story,
                "  = effects {:?}, told {:?}, faults {}",
                state.effects, state.told, state.faults
            );
        }
    }
    story
}

fn write_of(tables: &Tables, message: Number) -> String {
    let one = |(write, role): &(Write, Role)| match write {
        Write::Create { fields, .. } => format!("create {}", fields.to_value()["key"]),
        Write::Update {
            target,
            guard,
            update,
        } => format!(
            "{role:?} {target} where {} {}",
            guard.to_value(),
            update.to_value()
        ),
    };
    let writes: Vec<String> = tables.messages.value(message).writes.iter().map(one).collect();
    writes.join("; ")
}
