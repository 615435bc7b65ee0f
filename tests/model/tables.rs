//! Parts of states, each kept once: a state then consists of numbers only, and every pure function is computed once for
//! each combination of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use paylog::model::write::Write;
use paylog::model::{Document, Filter};
use paylog::payment::protocol::effect::{AtomicOutcome, Input, Outcome, ReadPurpose};
use paylog::payment::protocol::log::{Log, LogState};
use paylog::payment::protocol::machine::PaymentProcess;
use paylog::payment::protocol::target::Target;
use paylog::payment::{Balance, SchemaNames};

/// The number of a document, a job, a message, an answer … in its table.
pub(crate) type Number = u32;

/// The document that is not there.
pub(crate) const ABSENT: Number = 0;
/// The worker that has nothing to do.
pub(crate) const FREE: Number = 0;
/// No request is under way.
pub(crate) const QUIET: Number = 0;

pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Values by number and numbers by value.
#[derive(Debug)]
pub(crate) struct Table<T> {
    numbers: FastMap<Arc<T>, Number>,
    values: Vec<Arc<T>>,
}

impl<T: Hash + Eq> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            numbers: FastMap::default(),
            values: Vec::new(),
        }
    }

    /// A table in which `first` is number 0.
    pub(crate) fn with(first: T) -> Self {
        let mut table = Self::new();
        table.number(first);
        table
    }

    pub(crate) fn number(&mut self, value: T) -> Number {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = Number::try_from(self.values.len()).unwrap();
        let value = Arc::new(value);
        self.numbers.insert(Arc::clone(&value), number);
        self.values.push(value);
        number
    }

    pub(crate) fn value(&self, number: Number) -> &Arc<T> {
        &self.values[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// Facts read off a document again and again.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) account: i64,
    pub(crate) frozen: i64,
    pub(crate) refunded: i64,
    pub(crate) epoch: i64,
    /// The state of a log, as it is stored.
    pub(crate) state: i64,
    /// The log, where it can be read; of a fenced one, as it will be read where it goes on.
    pub(crate) log: Option<Arc<Log>>,
}

impl Facts {
    pub(crate) fn of(document: &Document, names: &SchemaNames) -> Self {
        let units = |key: &str| Balance::of(document, key).map_or(0, Balance::units);
        let state = units("state");
        let log = document.contains_key("legs").then(|| {
            let mut document = document.clone();
            document.insert("state".into(), (state % LogState::FENCE).into());
            Log::from_document(&document, names).ok().map(Arc::new)
        });
        Self {
            account: units(&names.account),
            frozen: units(&names.frozen),
            refunded: units("refunded"),
            epoch: units("payEpoch"),
            state,
            log: log.flatten(),
        }
    }

    /// Returns true if it has moved away, or has been copied and not been opened.
    pub(crate) fn is_fenced(&self) -> bool {
        self.epoch < 0 || self.state >= LogState::FENCE
    }
}

/// A request that was sent: it may arrive at any time from then on, any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    /// To which store.
    pub(crate) home: u8,
    /// True if its writes take effect together or not at all.
    pub(crate) commit: bool,
    pub(crate) writes: Vec<(Write, Role)>,
    /// The log that it belongs to; `None` if the message creates the log.
    pub(crate) log: Option<u8>,
}

/// The role of a write, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Create,
    Take(u8),
    Void,
    Undo(u8),
    Other,
}

/// A worker's payment and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    /// `None` for the worker that has nothing to do.
    pub(crate) payment: Option<PaymentProcess>,
    /// The store that it works on.
    pub(crate) home: u8,
    /// The caller that gets the result: an index into the scenario's callers.
    pub(crate) caller: Option<u8>,
    pub(crate) ask: Ask,
    /// Those that came already, in order.
    pub(crate) answers: Vec<Answer>,
}

/// The answer that a worker waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    Nothing,
    Documents(ReadPurpose, Vec<Target>),
    Find(Filter),
    /// Single writes, each a message of its own.
    Writes(Vec<Number>),
    Commit(Number),
    /// A negative control reads whether this holds, in the place of a write that it guards.
    Whether(Target, Filter),
}

/// The same, as it is asked again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Nothing,
    /// The document at this place.
    Document(usize),
    Find,
    Message(Number),
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Document(Number),
    Found(Vec<Number>),
    Outcome(Outcome),
    Committed(AtomicOutcome),
}

impl Job {
    pub(crate) fn free() -> Self {
        Self {
            payment: None,
            home: 0,
            caller: None,
            ask: Ask::Nothing,
            answers: Vec::new(),
        }
    }

    /// The input that the answers make up, once they are complete.
    pub(crate) fn input(&self, documents: &Table<Document>) -> Option<Input> {
        let there = |number: Number| Document::clone(documents.value(number));
        match (&self.ask, self.answers.as_slice()) {
            (Ask::Documents(_, targets), answers) if answers.len() == targets.len() => {
                let document = |answer: &Answer| match answer {
                    Answer::Document(number) => (*number != ABSENT).then(|| there(*number)),
                    other => panic!("not a document: {other:?}"),
                };
                Some(Input::Documents(answers.iter().map(document).collect()))
            }
            (Ask::Find(_), [Answer::Found(found)]) => {
                Some(Input::Found(found.iter().map(|number| there(*number)).collect()))
            }
            (Ask::Commit(_), [Answer::Committed(commit)]) => Some(Input::Committed(commit.clone())),
            (Ask::Whether(_, filter), [Answer::Document(number)]) => {
                let holds = filter.matches(documents.value(*number)).unwrap();
                Some(Input::Outcomes(vec![if holds {
                    Outcome::Applied(Document::new())
                } else {
                    Outcome::NotMatched
                }]))
            }
            (Ask::Writes(messages), answers) if answers.len() == messages.len() => {
                let outcome = |answer: &Answer| match answer {
                    Answer::Outcome(outcome) => outcome.clone(),
                    other => panic!("not an outcome: {other:?}"),
                };
                Some(Input::Outcomes(answers.iter().map(outcome).collect()))
            }
            _ => None,
        }
    }
}
