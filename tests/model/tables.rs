//! What states are made of, each kept once: a state then consists of numbers only, and whatever is pure is computed
//! once for each combination of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use paylog::model::Document;
use paylog::payment::effect::{Input, Outcome, Purpose, Write};
use paylog::payment::leg::Target;
use paylog::payment::log::Log;
use paylog::payment::machine::Payment;
use paylog::payment::{Balance, Rules};

/// The number of a document, a job, a message or an answer in its table.
pub(crate) type Number = u32;

/// The document that is not there.
pub(crate) const ABSENT: Number = 0;
/// The worker that has nothing to do.
pub(crate) const FREE: Number = 0;

/// Values by number and numbers by value.
#[derive(Debug)]
pub(crate) struct Table<T> {
    numbers: HashMap<Arc<T>, Number>,
    values: Vec<Arc<T>>,
}

impl<T: Hash + Eq> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
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
}

/// What is read off a document again and again.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) account: i64,
    pub(crate) frozen: i64,
    pub(crate) refunded: i64,
    pub(crate) epoch: i64,
    /// The state of a log.
    pub(crate) state: i64,
    /// The log, where it can be read.
    pub(crate) log: Option<Arc<Log>>,
}

impl Facts {
    pub(crate) fn of(document: &Document, rules: &Rules) -> Self {
        let units = |key: &str| Balance::of(document, key).map_or(0, Balance::units);
        Self {
            account: units(&rules.account),
            frozen: units(&rules.frozen),
            refunded: units("refunded"),
            epoch: units("payEpoch"),
            state: units("state"),
            log: document
                .contains_key("legs")
                .then(|| Log::from_document(document, rules).ok().map(Arc::new))
                .flatten(),
        }
    }
}

/// A request that was sent: it may arrive at any time from then on, any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    /// One, or several that happen all or not at all.
    pub(crate) writes: Vec<(Write, Role)>,
    /// Whose it is; `None` where the message creates the log.
    pub(crate) log: Option<u8>,
}

/// What a write does, for counting.
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
    pub(crate) payment: Option<Payment>,
    /// Whom the result is told: an index of the scenario's callers.
    pub(crate) caller: Option<u8>,
    pub(crate) ask: Ask,
    /// Those that came already, in order.
    pub(crate) answers: Vec<Answer>,
}

/// What a worker waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    Nothing,
    Documents(Purpose, Vec<Target>),
    Find(paylog::model::Filter),
    /// Single writes, each a message of its own.
    Writes(Vec<Number>),
    Commit(Number),
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Document(Option<Document>),
    Found(Vec<Document>),
    Outcome(Outcome),
    Committed(paylog::payment::effect::Commit),
}

impl Job {
    pub(crate) fn free() -> Self {
        Self {
            payment: None,
            caller: None,
            ask: Ask::Nothing,
            answers: Vec::new(),
        }
    }

    /// The input that the answers make up, once they are complete.
    pub(crate) fn input(&self) -> Option<Input> {
        let outcomes = |answers: &[Answer]| {
            let outcome = |answer: &Answer| match answer {
                Answer::Outcome(outcome) => outcome.clone(),
                other => panic!("not an outcome: {other:?}"),
            };
            Input::Outcomes(answers.iter().map(outcome).collect())
        };
        match (&self.ask, self.answers.as_slice()) {
            (Ask::Documents(_, targets), answers) if answers.len() == targets.len() => {
                let document = |answer: &Answer| match answer {
                    Answer::Document(document) => document.clone(),
                    other => panic!("not a document: {other:?}"),
                };
                Some(Input::Documents(answers.iter().map(document).collect()))
            }
            (Ask::Find(_), [Answer::Found(found)]) => Some(Input::Found(found.clone())),
            (Ask::Commit(_), [Answer::Committed(commit)]) => Some(Input::Committed(commit.clone())),
            (Ask::Writes(messages), answers) if answers.len() == messages.len() => Some(outcomes(answers)),
            _ => None,
        }
    }
}
