//! Relocation: the writes that move the whole data to another store, so that every document is live in one of the two
//! stores, whatever is lost, late, repeated or tried again. The module is pure: a relocator reads, asks here for the next
//! write, and performs it.
//!
//! A relocation goes in rounds, in this order:
//!
//! 1. Agree on the [`Decision`]: one document at the source, of a class whose `key` is unique. It numbers the attempts.
//! 2. [`fence`] every account and order at the source, including those that no payment has touched yet.
//! 3. Then list the logs and [`fence`] the open ones. A log that moved money is there by now, since none has moved after
//!    step 2. A listing may be stale; the marks on the fenced documents ([`pruning::logs`]) name logs that must be among
//!    those found.
//! 4. [Copy](FencedCopy) all of it, each document from a read that shows the fence; closed logs too, which never change.
//! 5. Once every copy [stands](CopyAction::Done): [`Decision::decide`], *final* or *rolled back*, once.
//! 6. After *final*, [`open`] the copies, logs and documents alike; after *rolled back*, [`roll_back`] at the source.
//!
//! Each of these preconditions is necessary:
//!
//! - *The fence of an account or order* is `where {payEpoch: e}` (absent counts as 0), set −(e+1). Every request under
//!   way carries `payEpoch: e` and has no effect any more. The value serves one fence only, because the source goes on
//!   with e+1 after a roll-back: a late copy, opening or roll-back of an earlier attempt finds another value.
//! - *The fence of a log* is `where {state: s}`, set s + 10: no claim (`state < 5`) and no step (`state: s`) matches.
//!   A closed log needs none. A stuck log is open, and stays stuck wherever it goes on.
//! - *The attempt* is written with the fence: as a mark `move:<n>` in `paylogs`, in `move` of a log. A document that an
//!   earlier attempt has fenced is fenced again ([`fence`] does it in one write, without ever opening it), so that a
//!   process that still rolls the earlier attempt back does not touch it.
//! - *A copy* is a fenced document as it is. It replaces only one of an earlier fence that has not been opened.
//! - *The decision* is `where {decision: open, attempt: n}`. A read of it is certain if it is not `open`: a decision is
//!   never taken back, and after `final` there is no further attempt.
//!
//! No fence stops the creation of a log at the source. Such a log moves no money, because the documents are fenced. But
//! a gateway's notice, or a refusal, that the source still answers so late is unknown at the destination until a further
//! round of steps 2, 3, 4 and 6 has brought the log over. So stop the source's functions before the decision, and repeat
//! rounds after it until one finds nothing. If the destination has given the key of such a log to another one, and the
//! log holds a `tradeNo`, confirm that number at the destination as a notice of the gateway.
//!
//! [`pruning::logs`]: crate::payment::protocol::pruning::logs

use std::collections::BTreeSet;

use crate::model::value::{INTEGER_MAX, as_integer};
use crate::model::write::Write;
use crate::model::{Document, Filter, Update, Value};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::log::{LogState, fields};
use crate::payment::protocol::mark::{self, PAY_EPOCH, PAYLOGS};
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::target::Target;

/// The fields that the store writes by itself.
const OF_THE_STORE: [&str; 3] = ["objectId", "createdAt", "updatedAt"];

/// An attempt to move. Each has a number greater than those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(i64);

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// Returns the next attempt.
    ///
    /// # Errors
    /// [`ProtocolError::Overflow`].
    pub fn next(self) -> Result<Self, ProtocolError> {
        let next = self.0.checked_add(1).filter(|next| *next <= INTEGER_MAX);
        next.map(Self).ok_or(ProtocolError::Overflow)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    fn from_value(value: &Value) -> Option<Self> {
        as_integer(value).filter(|number| *number > 0).map(Self)
    }

    /// The mark on the documents that the attempt fences.
    fn mark(self) -> String {
        format!("{}{}", mark::MOVE, self.0)
    }

    fn from_mark(held: &Value) -> Option<Self> {
        let number = held.as_str()?.strip_prefix(mark::MOVE)?.parse().ok()?;
        (number > 0).then_some(Self(number))
    }
}

/// The end of an attempt to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// The attempt has not ended.
    Open,
    /// The destination takes over.
    Final,
    /// The source goes on.
    RolledBack,
}

impl Resolution {
    const ALL: [Self; 3] = [Self::Open, Self::Final, Self::RolledBack];

    /// The text in the decision.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Final => "final",
            Self::RolledBack => "rolled back",
        }
    }
}

/// The decision about a move, as its one document holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The current attempt, or the last one.
    pub attempt: Attempt,
    /// Its end.
    pub resolution: Resolution,
}

impl Decision {
    const KEY: &str = "key";
    const MOVE: &str = "move";
    const ATTEMPT: &str = "attempt";
    const DECISION: &str = "decision";
    const PREPARED: &str = "prepared";

    /// The fields of the document, for the first attempt. Its class must have a unique index on `key`, so that two
    /// processes cannot decide twice: after 137 the document that stands is read.
    #[must_use]
    pub fn begin() -> Update {
        Update::new()
            .set(Self::KEY, Self::MOVE)
            .set(Self::ATTEMPT, Attempt::FIRST.get())
            .set(Self::DECISION, Resolution::Open.name())
    }

    /// The filter that finds the document.
    #[must_use]
    pub fn find() -> Filter {
        Filter::all().eq(Self::KEY, Self::MOVE)
    }

    /// The fields of a document that decides nothing. A second create shows whether `key` is unique.
    #[must_use]
    pub fn probe(text: &str) -> Update {
        Update::new().set(Self::KEY, format!("probe:{text}"))
    }

    /// Reads the decision from its document.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn of(document: &Document) -> Result<Self, ProtocolError> {
        let attempt = document.get(Self::ATTEMPT).and_then(Attempt::from_value);
        let text = document.text(Self::DECISION);
        let resolution = Resolution::ALL.into_iter().find(|one| text == Some(one.name()));
        Ok(Self {
            attempt: attempt.ok_or_else(|| ProtocolError::malformed(Self::ATTEMPT, "an integer from 1"))?,
            resolution: resolution
                .ok_or_else(|| ProtocolError::malformed(Self::DECISION, "open, final or rolled back"))?,
        })
    }

    fn precondition(self) -> Filter {
        Filter::all()
            .eq(Self::DECISION, self.resolution.name())
            .eq(Self::ATTEMPT, self.attempt.get())
    }

    /// The write that ends the attempt; `None` if it has ended. After 305, or no answer, the decision is read until it
    /// is not open. *Final* only if every copy of this attempt stands at the destination.
    #[must_use]
    pub fn decide(self, target: &Target, resolution: Resolution) -> Option<Write> {
        (self.resolution == Resolution::Open).then(|| {
            target.update(
                self.precondition(),
                Update::new().set(Self::DECISION, resolution.name()),
            )
        })
    }

    /// The write that notes that every document in use at the beginning of the attempt has been copied; `None` if the
    /// attempt has ended.
    #[must_use]
    pub fn prepared(self, target: &Target) -> Option<Write> {
        (self.resolution == Resolution::Open).then(|| {
            target.update(
                self.precondition(),
                Update::new().set(Self::PREPARED, self.attempt.get()),
            )
        })
    }

    /// Returns true if the document notes that for this attempt.
    #[must_use]
    pub fn is_prepared(self, document: &Document) -> bool {
        document.get(Self::PREPARED).and_then(Attempt::from_value) == Some(self.attempt)
    }

    /// The write that begins another attempt after one that was rolled back; `None` otherwise. The new one may begin at
    /// once: it takes over the documents that are still fenced.
    ///
    /// # Errors
    /// [`ProtocolError::Overflow`].
    pub fn try_again(self, target: &Target) -> Result<Option<Write>, ProtocolError> {
        if self.resolution != Resolution::RolledBack {
            return Ok(None);
        }
        Ok(Some(
            target.update(
                self.precondition(),
                Update::new()
                    .set(Self::DECISION, Resolution::Open.name())
                    .set(Self::ATTEMPT, self.attempt.next()?.get()),
            ),
        ))
    }

    /// Returns true if the documents that `fenced` has fenced go on at the destination.
    fn opens(self, fenced: Attempt) -> bool {
        self.resolution == Resolution::Final && self.attempt == fenced
    }

    /// Returns true if the documents that `fenced` has fenced go on at the source.
    fn rolls_back(self, fenced: Attempt) -> bool {
        self.attempt > fenced || self.resolution == Resolution::RolledBack && self.attempt == fenced
    }
}

/// The next step for a document, according to one read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelocationStep {
    /// Nothing is left to do.
    Done,
    /// This write. After 305, or no answer, read the document and ask again.
    Write(Write),
    /// No step: the decision does not allow it; it is open, or about another attempt.
    NotAllowed,
}

/// The state of a document in a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DocumentState {
    /// An account or order in use, with its epoch.
    Live(i64),
    /// An account or order that has moved, with its negative epoch.
    Fenced(i64, Attempt),
    /// A log in one of its states 0 to 4.
    OpenLog(LogState),
    /// An open log that has been fenced.
    FencedLog(LogState, Attempt),
    /// A log that will never change.
    ClosedLog,
}

impl DocumentState {
    fn of(names: &SchemaNames, target: &Target, document: &Document) -> Result<Self, ProtocolError> {
        if target.class == names.log_class {
            return Self::of_log(document);
        }
        let epoch = mark::epoch_number(document)?;
        if epoch >= 0 {
            return Ok(Self::Live(epoch));
        }
        let attempt = mark::marks(document)?.iter().filter_map(Attempt::from_mark).max();
        attempt
            .map(|attempt| Self::Fenced(epoch, attempt))
            .ok_or_else(|| ProtocolError::malformed(PAYLOGS, "a mark of the move that has fenced it"))
    }

    fn of_log(document: &Document) -> Result<Self, ProtocolError> {
        let malformed =
            || ProtocolError::malformed(fields::STATE, "an integer from 0 to 5, or from 10 to 14");
        let number = document.integer(fields::STATE).ok_or_else(malformed)?;
        let open = |number: i64| {
            LogState::try_from(number)
                .ok()
                .filter(|state| *state < LogState::Closed)
        };
        if let Some(state) = open(number) {
            return Ok(Self::OpenLog(state));
        }
        if number == i64::from(LogState::Closed.number()) {
            return Ok(Self::ClosedLog);
        }
        let state = number
            .checked_sub(LogState::FENCE)
            .and_then(open)
            .ok_or_else(malformed)?;
        let attempt = document.get(fields::MOVE).and_then(Attempt::from_value);
        attempt
            .map(|attempt| Self::FencedLog(state, attempt))
            .ok_or_else(|| ProtocolError::malformed(fields::MOVE, "the attempt that has fenced it"))
    }

    /// The condition that the document is still in this state. For an account or order the epoch says it all: no two
    /// fences of one document have the same.
    fn precondition(self) -> Filter {
        match self {
            Self::Live(epoch) | Self::Fenced(epoch, _) => mark::epoch_precondition(epoch),
            Self::OpenLog(state) => Filter::all().eq(fields::STATE, state.number()),
            Self::FencedLog(state, attempt) => Filter::all()
                .eq(fields::STATE, fenced_number(state))
                .eq(fields::MOVE, attempt.get()),
            Self::ClosedLog => Filter::all().eq(fields::STATE, LogState::Closed.number()),
        }
    }

    /// Returns true if a copy in this state replaces one in the state `there`: a later one replaces one that has not
    /// been opened.
    fn replaces(self, there: Self) -> bool {
        match (self, there) {
            (Self::Fenced(epoch, _), Self::Fenced(other, _)) => epoch < other,
            (Self::FencedLog(_, attempt), Self::FencedLog(_, other)) => attempt > other,
            (Self::ClosedLog, Self::FencedLog(..)) => true,
            (
                Self::Live(_) | Self::Fenced(..) | Self::OpenLog(_) | Self::FencedLog(..) | Self::ClosedLog,
                _,
            ) => false,
        }
    }
}

fn fenced_number(state: LogState) -> i64 {
    i64::from(state.number()).saturating_add(LogState::FENCE)
}

/// The step that fences a document of the source for `attempt`: an account, an order, a log.
///
/// # Errors
/// [`ProtocolError::Malformed`] where an epoch, a state or marks are not what the protocol writes: repair it, then go on.
/// [`ProtocolError::Overflow`].
pub fn fence(
    names: &SchemaNames,
    target: &Target,
    document: &Document,
    attempt: Attempt,
) -> Result<RelocationStep, ProtocolError> {
    let standing = DocumentState::of(names, target, document)?;
    let fence_at = |epoch: Option<i64>| {
        let epoch = epoch.filter(|epoch| epoch.unsigned_abs() <= INTEGER_MAX.unsigned_abs());
        let epoch = epoch.ok_or(ProtocolError::Overflow)?;
        let update = Update::new().set(PAY_EPOCH, epoch);
        Ok(update.add_unique(PAYLOGS, vec![attempt.mark().into()]))
    };
    let update = match standing {
        DocumentState::ClosedLog => return Ok(RelocationStep::Done),
        DocumentState::Fenced(_, by) | DocumentState::FencedLog(_, by) if by == attempt => {
            return Ok(RelocationStep::Done);
        }
        DocumentState::Fenced(_, by) | DocumentState::FencedLog(_, by) if by > attempt => {
            return Ok(RelocationStep::NotAllowed);
        }
        DocumentState::Live(epoch) => fence_at(epoch.checked_neg().and_then(|epoch| epoch.checked_sub(1)))?,
        DocumentState::Fenced(epoch, _) => fence_at(epoch.checked_sub(1))?,
        DocumentState::OpenLog(state) | DocumentState::FencedLog(state, _) => Update::new()
            .set(fields::STATE, fenced_number(state))
            .set(fields::MOVE, attempt.get()),
    };
    Ok(RelocationStep::Write(
        target.update(standing.precondition(), update),
    ))
}

/// A document of the source as it goes to the destination: fenced, or a closed log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FencedCopy {
    target: Target,
    document: Document,
    standing: DocumentState,
}

/// The action for a copy at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyAction {
    /// Create this document, under its own id. The create must fail if the id is taken: then read the document and ask
    /// again.
    Create(Document),
    /// Overwrite the copy of an earlier fence. After 305, or no answer, read the document and ask again.
    Replace {
        /// The condition that it is still that copy.
        precondition: Filter,
        /// The changes that make it this one.
        update: Update,
    },
    /// Nothing: the copy stands.
    Done,
    /// Nothing: the document there has been opened, or comes from a later fence.
    Keep,
}

impl FencedCopy {
    /// Makes a copy of a document that was read at the source. `None` if the read does not show it fenced for `attempt`
    /// (a stale read, perhaps), so that nothing can rest on it.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn of(
        names: &SchemaNames,
        target: &Target,
        document: &Document,
        attempt: Attempt,
    ) -> Result<Option<Self>, ProtocolError> {
        let standing = DocumentState::of(names, target, document)?;
        let certain = match standing {
            DocumentState::ClosedLog => true,
            DocumentState::Fenced(_, by) | DocumentState::FencedLog(_, by) => by == attempt,
            DocumentState::Live(_) | DocumentState::OpenLog(_) => false,
        };
        Ok(certain.then(|| Self {
            target: target.clone(),
            document: document.clone(),
            standing,
        }))
    }

    /// The document that was copied.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The document as it was read at the source.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Returns the action at the destination, if `there` was read under the same id.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] where what is there is no such document.
    pub fn place(&self, names: &SchemaNames, there: Option<&Document>) -> Result<CopyAction, ProtocolError> {
        let Some(there) = there else {
            return Ok(CopyAction::Create(self.document.clone()));
        };
        let standing = DocumentState::of(names, &self.target, there)?;
        if standing == self.standing {
            return Ok(CopyAction::Done);
        }
        if !self.standing.replaces(standing) {
            return Ok(CopyAction::Keep);
        }
        let ours = |key: &&String| !OF_THE_STORE.contains(&key.as_str());
        let keys: BTreeSet<&String> = there.keys().chain(self.document.keys()).filter(ours).collect();
        let update = keys
            .into_iter()
            .fold(Update::new(), |update, key| match self.document.get(key) {
                Some(value) => update.set(key, value.clone()),
                None => update.delete(key),
            });
        Ok(CopyAction::Replace {
            precondition: standing.precondition(),
            update,
        })
    }
}

/// The step that opens a copy at the destination: from then on it is the document. Only if `decision`, as it was read,
/// is final.
///
/// # Errors
/// [`ProtocolError::Malformed`]; [`ProtocolError::Overflow`].
pub fn open(
    names: &SchemaNames,
    target: &Target,
    document: &Document,
    decision: Decision,
) -> Result<RelocationStep, ProtocolError> {
    let standing = DocumentState::of(names, target, document)?;
    unfence(target, document, standing, |by| decision.opens(by))
}

/// The step that gives a fenced document back to the source. Only if `decision`, as it was read, says that the attempt
/// which has fenced it is over.
///
/// # Errors
/// [`ProtocolError::Malformed`]; [`ProtocolError::Overflow`].
pub fn roll_back(
    names: &SchemaNames,
    target: &Target,
    document: &Document,
    decision: Decision,
) -> Result<RelocationStep, ProtocolError> {
    let standing = DocumentState::of(names, target, document)?;
    unfence(target, document, standing, |by| decision.rolls_back(by))
}

/// The step that makes a document live again: an account or order with the epoch after that before the fence, a log in
/// its state.
fn unfence(
    target: &Target,
    document: &Document,
    standing: DocumentState,
    allowed: impl Fn(Attempt) -> bool,
) -> Result<RelocationStep, ProtocolError> {
    let update = match standing {
        DocumentState::Live(_) | DocumentState::OpenLog(_) | DocumentState::ClosedLog => {
            return Ok(RelocationStep::Done);
        }
        DocumentState::Fenced(_, by) | DocumentState::FencedLog(_, by) if !allowed(by) => {
            return Ok(RelocationStep::NotAllowed);
        }
        DocumentState::Fenced(epoch, _) => {
            let marks = mark::marks(document)?.iter();
            let marks = marks.filter(|held| Attempt::from_mark(held).is_some()).cloned();
            Update::new()
                .set(PAY_EPOCH, epoch.checked_neg().ok_or(ProtocolError::Overflow)?)
                .remove(PAYLOGS, marks.collect())
        }
        DocumentState::FencedLog(state, _) => Update::new()
            .set(fields::STATE, state.number())
            .delete(fields::MOVE),
    };
    Ok(RelocationStep::Write(
        target.update(standing.precondition(), update),
    ))
}

#[cfg(test)]
mod tests;
