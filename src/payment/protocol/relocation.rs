//! Moving to another store: what is written so that every document is live in one of them, whatever is lost, late,
//! repeated or tried again. Pure: the mover reads, asks here what to write, and writes it.
//!
//! A move is of the whole store, in rounds of this order:
//!
//! 1. Agree on the [`Decision`]: one document at the old home, of a class whose `key` is unique. It numbers the
//!    attempts.
//! 2. [`fence`] every account and order at the old home, those that no payment has touched yet too.
//! 3. Then list the logs and [`fence`] the open ones: a log that moved money is there by now, since none has moved
//!    after step 2. A listing may be stale; the marks on the fenced documents ([`pruning::logs`](crate::payment::protocol::pruning::logs))
//!    name logs that must be among those found.
//! 4. [Copy](struct@Copy) all of it, each from a read that shows the fence; closed logs too, which never change.
//! 5. When every copy [stands](Placing::Stands): [`Decision::decide`], *final* or *rolled back*, once.
//! 6. After *final* [`open`] the copies, logs and documents alike; after *rolled back*, [`roll_back`] at the old home.
//!
//! The guards, each of them necessary:
//!
//! - *The fence of an account or order* is `where {payEpoch: e}` (absent counts as 0), set −(e+1). Every request under
//!   way carries `payEpoch: e` and has no effect any more. The value serves one fence only, for the old home goes on
//!   with e+1 after a roll-back: a late copy, opening or roll-back of an earlier attempt finds another value.
//! - *The fence of a log* is `where {state: s}`, set s + 10: no claim (`state < 5`) and no step (`state: s`) matches.
//!   A closed log needs none. One that is stuck is open, and stays stuck wherever it goes on.
//! - *The attempt* is written with the fence: as a mark `move:<n>` in `paylogs`, in `move` of a log. A document that
//!   an earlier attempt has fenced is fenced anew ([`fence`] does it in one write, without ever opening it), so that
//!   whoever still rolls the earlier attempt back does not touch it.
//! - *A copy* is a fenced document as it is. It replaces only one of an earlier fence that has not been opened.
//! - *The decision* is `where {decision: open, attempt: n}`. What was read of it is certain where it is not `open`:
//!   a decision is never taken back, and after `final` there is no further attempt.
//!
//! What no fence stops is the creation of a log at the old home. It moves no money, for the documents are fenced; but a
//! gateway's notice, or a refusal, that the old home still answers so late is not known at the new one until a further
//! round of steps 2, 3, 4 and 6 has brought the log over. So stop the old home's functions before the decision, and
//! repeat rounds after it until one finds nothing. Where the new home has given the key of such a log to another, and
//! it holds a `tradeNo`, confirm that number at the new home as a notice of the gateway.

use std::collections::BTreeSet;

use crate::model::value::{INTEGER_MAX, as_integer};
use crate::model::{Document, Filter, Update, Value};
use crate::payment::protocol::effect::Write;
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::LogState;
use crate::payment::protocol::mark::{self, PAY_EPOCH, PAYLOGS};
use crate::payment::protocol::names::Rules;

/// The field of a log with the attempt that has fenced it.
pub const LOG_MOVE: &str = "move";

/// Fields that the store writes by itself.
const OF_THE_STORE: [&str; 3] = ["objectId", "createdAt", "updatedAt"];

/// Which attempt to move. Each has a number greater than those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(i64);

impl Attempt {
    /// The first one.
    pub const FIRST: Self = Self(1);

    /// The one after it.
    ///
    /// # Errors
    /// [`ProtocolError::Overflow`].
    pub fn next(self) -> Result<Self, ProtocolError> {
        let next = self.0.checked_add(1).filter(|next| *next <= INTEGER_MAX);
        next.map(Self).ok_or(ProtocolError::Overflow)
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    fn from_value(value: &Value) -> Option<Self> {
        as_integer(value).filter(|number| *number > 0).map(Self)
    }

    /// The mark that it leaves on the documents that it fences.
    fn mark(self) -> String {
        format!("{}{}", mark::MOVE, self.0)
    }

    fn from_mark(held: &Value) -> Option<Self> {
        let number = held.as_str()?.strip_prefix(mark::MOVE)?.parse().ok()?;
        (number > 0).then_some(Self(number))
    }
}

/// How an attempt to move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// It has not ended.
    Open,
    /// The new home takes over.
    Final,
    /// The old home goes on.
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

/// What the one document says that decides about a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Which attempt is on, or was the last.
    pub attempt: Attempt,
    /// How it ended.
    pub resolution: Resolution,
}

impl Decision {
    const KEY: &str = "key";
    const MOVE: &str = "move";
    const ATTEMPT: &str = "attempt";
    const DECISION: &str = "decision";
    const PREPARED: &str = "prepared";

    /// The fields of the document, for the first attempt. Its class must have a unique index on `key`, so that two
    /// movers cannot decide twice: after 137 the one that stands is read.
    #[must_use]
    pub fn begin() -> Update {
        Update::new()
            .set(Self::KEY, Self::MOVE)
            .set(Self::ATTEMPT, Attempt::FIRST.get())
            .set(Self::DECISION, Resolution::Open.name())
    }

    /// Which document it is.
    #[must_use]
    pub fn find() -> Filter {
        Filter::all().eq(Self::KEY, Self::MOVE)
    }

    /// The fields of a document that decides nothing: made twice it shows whether `key` is unique.
    #[must_use]
    pub fn probe(text: &str) -> Update {
        Update::new().set(Self::KEY, format!("probe:{text}"))
    }

    /// Reads the document.
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

    fn guard(self) -> Filter {
        Filter::all()
            .eq(Self::DECISION, self.resolution.name())
            .eq(Self::ATTEMPT, self.attempt.get())
    }

    /// Ends the attempt, one way or the other; `None` where it has ended. After 305, or no answer, what was decided is
    /// read, until it is not open. *Final* only when every copy of this attempt stands at the new home.
    #[must_use]
    pub fn decide(self, target: &Target, resolution: Resolution) -> Option<Write> {
        (self.resolution == Resolution::Open).then(|| Write::Update {
            target: target.clone(),
            guard: self.guard(),
            update: Update::new().set(Self::DECISION, resolution.name()),
        })
    }

    /// Notes that everything which was in use when the attempt began has been copied; `None` where it has ended.
    #[must_use]
    pub fn prepared(self, target: &Target) -> Option<Write> {
        (self.resolution == Resolution::Open).then(|| Write::Update {
            target: target.clone(),
            guard: self.guard(),
            update: Update::new().set(Self::PREPARED, self.attempt.get()),
        })
    }

    /// Whether that stands in the document, for this attempt.
    #[must_use]
    pub fn is_prepared(self, document: &Document) -> bool {
        document.get(Self::PREPARED).and_then(Attempt::from_value) == Some(self.attempt)
    }

    /// Begins another attempt after one that was rolled back; `None` otherwise. It may begin at once: it takes over
    /// what is still fenced.
    ///
    /// # Errors
    /// [`ProtocolError::Overflow`].
    pub fn try_again(self, target: &Target) -> Result<Option<Write>, ProtocolError> {
        if self.resolution != Resolution::RolledBack {
            return Ok(None);
        }
        Ok(Some(Write::Update {
            target: target.clone(),
            guard: self.guard(),
            update: Update::new()
                .set(Self::DECISION, Resolution::Open.name())
                .set(Self::ATTEMPT, self.attempt.next()?.get()),
        }))
    }

    /// Whether what `fenced` has fenced goes on at the new home.
    fn opens(self, fenced: Attempt) -> bool {
        self.resolution == Resolution::Final && self.attempt == fenced
    }

    /// Whether what `fenced` has fenced goes on at the old home.
    fn rolls_back(self, fenced: Attempt) -> bool {
        self.attempt > fenced || self.resolution == Resolution::RolledBack && self.attempt == fenced
    }
}

/// What a document, as it was read, asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// It is as it should be.
    Nothing,
    /// Write this. After 305, or no answer, read the document and ask again.
    Write(Write),
    /// The decision does not allow it: it is open, or about another attempt.
    NotAllowed,
}

/// Where a document stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// An account or order in use, with its epoch.
    Live(i64),
    /// An account or order that has moved, with its negative epoch.
    Fenced(i64, Attempt),
    /// A log in one of its states 0 to 4.
    OpenLog(LogState),
    /// The same, moved.
    FencedLog(LogState, Attempt),
    /// A log that will never change.
    ClosedLog,
}

impl Standing {
    fn of(rules: &Rules, target: &Target, document: &Document) -> Result<Self, ProtocolError> {
        if target.class == rules.log_class {
            return Self::of_log(document);
        }
        let epoch = mark::epoch_number(document)?;
        if epoch >= 0 {
            return Ok(Self::Live(epoch));
        }
        let attempt = mark::list(document)?.iter().filter_map(Attempt::from_mark).max();
        attempt
            .map(|attempt| Self::Fenced(epoch, attempt))
            .ok_or_else(|| ProtocolError::malformed(PAYLOGS, "a mark of the move that has fenced it"))
    }

    fn of_log(document: &Document) -> Result<Self, ProtocolError> {
        let malformed = || ProtocolError::malformed("state", "an integer from 0 to 5, or from 10 to 14");
        let number = document.integer("state").ok_or_else(malformed)?;
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
        let attempt = document.get(LOG_MOVE).and_then(Attempt::from_value);
        attempt
            .map(|attempt| Self::FencedLog(state, attempt))
            .ok_or_else(|| ProtocolError::malformed(LOG_MOVE, "the attempt that has fenced it"))
    }

    /// The condition that it is still so. Of an account or order the epoch says it all: no two fences of one document
    /// have the same.
    fn guard(self) -> Filter {
        match self {
            Self::Live(epoch) | Self::Fenced(epoch, _) => mark::epoch_guard(epoch),
            Self::OpenLog(state) => Filter::all().eq("state", state.number()),
            Self::FencedLog(state, attempt) => Filter::all()
                .eq("state", fenced_number(state))
                .eq(LOG_MOVE, attempt.get()),
            Self::ClosedLog => Filter::all().eq("state", LogState::Closed.number()),
        }
    }

    /// Whether a copy from here replaces `there`: a later one of what has not been opened.
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

/// Fences a document of the old home for `attempt`: an account, an order, a log.
///
/// # Errors
/// [`ProtocolError::Malformed`] where an epoch, a state or marks are not what the protocol writes: repair it, then go on.
/// [`ProtocolError::Overflow`].
pub fn fence(
    rules: &Rules,
    target: &Target,
    document: &Document,
    attempt: Attempt,
) -> Result<Todo, ProtocolError> {
    let standing = Standing::of(rules, target, document)?;
    let fence_at = |epoch: Option<i64>| {
        let epoch = epoch.filter(|epoch| epoch.unsigned_abs() <= INTEGER_MAX.unsigned_abs());
        let epoch = epoch.ok_or(ProtocolError::Overflow)?;
        let update = Update::new().set(PAY_EPOCH, epoch);
        Ok(update.add_unique(PAYLOGS, vec![attempt.mark().into()]))
    };
    let update = match standing {
        Standing::ClosedLog => return Ok(Todo::Nothing),
        Standing::Fenced(_, by) | Standing::FencedLog(_, by) if by == attempt => return Ok(Todo::Nothing),
        Standing::Fenced(_, by) | Standing::FencedLog(_, by) if by > attempt => return Ok(Todo::NotAllowed),
        Standing::Live(epoch) => fence_at(epoch.checked_neg().and_then(|epoch| epoch.checked_sub(1)))?,
        Standing::Fenced(epoch, _) => fence_at(epoch.checked_sub(1))?,
        Standing::OpenLog(state) | Standing::FencedLog(state, _) => Update::new()
            .set("state", fenced_number(state))
            .set(LOG_MOVE, attempt.get()),
    };
    Ok(Todo::Write(Write::Update {
        target: target.clone(),
        guard: standing.guard(),
        update,
    }))
}

/// A document of the old home as it goes to the new one: fenced, or a closed log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    target: Target,
    document: Document,
    standing: Standing,
}

/// What is to be done with a copy at the new home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placing {
    /// Create this document, under its own id. It must fail where the id is taken: then read it and ask again.
    Create(Document),
    /// Write this, over the copy of an earlier fence. After 305, or no answer, read the document and ask again.
    Replace(Write),
    /// It is there.
    Stands,
    /// Leave alone what is there: it has been opened, or comes from a later fence.
    Keep,
}

impl Copy {
    /// The copy of a document that was read at the old home; `None` where the read does not show it fenced for
    /// `attempt` (a stale read, perhaps), and so says nothing that could be relied on.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`].
    pub fn of(
        rules: &Rules,
        target: &Target,
        document: &Document,
        attempt: Attempt,
    ) -> Result<Option<Self>, ProtocolError> {
        let standing = Standing::of(rules, target, document)?;
        let certain = match standing {
            Standing::ClosedLog => true,
            Standing::Fenced(_, by) | Standing::FencedLog(_, by) => by == attempt,
            Standing::Live(_) | Standing::OpenLog(_) => false,
        };
        Ok(certain.then(|| Self {
            target: target.clone(),
            document: document.clone(),
            standing,
        }))
    }

    /// Which document it is of.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The document as it was read at the old home.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What to do at the new home, where `there` was read under the same id.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] where what is there is no such document.
    pub fn place(&self, rules: &Rules, there: Option<&Document>) -> Result<Placing, ProtocolError> {
        let Some(there) = there else {
            return Ok(Placing::Create(self.document.clone()));
        };
        let standing = Standing::of(rules, &self.target, there)?;
        if standing == self.standing {
            return Ok(Placing::Stands);
        }
        if !self.standing.replaces(standing) {
            return Ok(Placing::Keep);
        }
        let ours = |key: &&String| !OF_THE_STORE.contains(&key.as_str());
        let keys: BTreeSet<&String> = there.keys().chain(self.document.keys()).filter(ours).collect();
        let update = keys
            .into_iter()
            .fold(Update::new(), |update, key| match self.document.get(key) {
                Some(value) => update.set(key, value.clone()),
                None => update.delete(key),
            });
        Ok(Placing::Replace(Write::Update {
            target: self.target.clone(),
            guard: standing.guard(),
            update,
        }))
    }
}

/// Opens a copy at the new home: from then on it is the document. Only after `decision`, as it was read, is final.
///
/// # Errors
/// [`ProtocolError::Malformed`]; [`ProtocolError::Overflow`].
pub fn open(
    rules: &Rules,
    target: &Target,
    document: &Document,
    decision: Decision,
) -> Result<Todo, ProtocolError> {
    let standing = Standing::of(rules, target, document)?;
    unfence(target, document, standing, |by| decision.opens(by))
}

/// Gives a fenced document back to the old home. Only after `decision`, as it was read, says that the attempt which
/// has fenced it is over.
///
/// # Errors
/// [`ProtocolError::Malformed`]; [`ProtocolError::Overflow`].
pub fn roll_back(
    rules: &Rules,
    target: &Target,
    document: &Document,
    decision: Decision,
) -> Result<Todo, ProtocolError> {
    let standing = Standing::of(rules, target, document)?;
    unfence(target, document, standing, |by| decision.rolls_back(by))
}

/// Live again: an account or order with the epoch after that of before the fence, a log in its state.
fn unfence(
    target: &Target,
    document: &Document,
    standing: Standing,
    allowed: impl Fn(Attempt) -> bool,
) -> Result<Todo, ProtocolError> {
    let update = match standing {
        Standing::Live(_) | Standing::OpenLog(_) | Standing::ClosedLog => return Ok(Todo::Nothing),
        Standing::Fenced(_, by) | Standing::FencedLog(_, by) if !allowed(by) => return Ok(Todo::NotAllowed),
        Standing::Fenced(epoch, _) => {
            let marks = mark::list(document)?.iter();
            let marks = marks.filter(|held| Attempt::from_mark(held).is_some()).cloned();
            Update::new()
                .set(PAY_EPOCH, epoch.checked_neg().ok_or(ProtocolError::Overflow)?)
                .remove(PAYLOGS, marks.collect())
        }
        Standing::FencedLog(state, _) => Update::new().set("state", state.number()).delete(LOG_MOVE),
    };
    Ok(Todo::Write(Write::Update {
        target: target.clone(),
        guard: standing.guard(),
        update,
    }))
}

#[cfg(test)]
mod tests;
