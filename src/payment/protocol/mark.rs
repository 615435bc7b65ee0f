//! Marks (`paylogs`) and epochs (`payEpoch`) of accounts and orders, and the conditions built from them. Every
//! precondition of the protocol on accounts and orders is built here.

use crate::model::value::as_integer;
use crate::model::{Document, Filter, ObjectId, Update, Value};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::target::Target;

/// The field that holds the marks.
pub const PAYLOGS: &str = "paylogs";
/// The field that holds the epoch.
pub const PAY_EPOCH: &str = "payEpoch";
/// The prefix of a mark that names an attempt to [move the store](crate::payment::protocol::relocation) and no log.
/// Such a mark stands only while the epoch is negative.
pub const MOVE: &str = "move:";

/// A kind of mark that a log leaves on a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkKind {
    /// The leg is decided: applied, or refused if [`MarkKind::Void`] stands beside it.
    Taken,
    /// The leg was refused, for good.
    Void,
    /// The applied leg was reversed.
    Undo,
}

impl MarkKind {
    /// Returns the text of this mark of `log`.
    #[must_use]
    pub fn of(self, log: &ObjectId) -> String {
        match self {
            Self::Taken => log.to_string(),
            Self::Void => format!("void:{log}"),
            Self::Undo => format!("undo:{log}"),
        }
    }

    /// Reads a mark: its kind and its log; `None` for text that is no mark.
    #[must_use]
    pub fn parse(mark: &str) -> Option<(Self, ObjectId)> {
        let (kind, id) = match mark.split_once(':') {
            None => (Self::Taken, mark),
            Some(("void", id)) => (Self::Void, id),
            Some(("undo", id)) => (Self::Undo, id),
            Some((_, _)) => return None,
        };
        ObjectId::parse(id).ok().map(|id| (kind, id))
    }
}

/// The number of times that a document's marks have been pruned. A negative epoch shows that the document has moved to
/// another store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(i64);

impl Epoch {
    /// Reads the epoch of a document; an absent epoch counts as 0.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] where it is no integer; [`ProtocolError::Moved`] where it is negative.
    pub fn of(document: &Document, target: &Target) -> Result<Self, ProtocolError> {
        let epoch = epoch_number(document)?;
        if epoch < 0 {
            return Err(ProtocolError::Moved(target.to_string()));
        }
        Ok(Self(epoch))
    }

    /// The condition that the epoch is still this one.
    #[must_use]
    pub fn precondition(self) -> Filter {
        epoch_precondition(self.0)
    }
}

/// Reads the epoch as a number, negative if the document has moved; an absent epoch counts as 0.
pub(super) fn epoch_number(document: &Document) -> Result<i64, ProtocolError> {
    match document.get(PAY_EPOCH) {
        None => Ok(0),
        Some(value) => {
            as_integer(value).ok_or_else(|| ProtocolError::malformed(PAY_EPOCH, "an integer, or absent"))
        }
    }
}

pub(super) fn epoch_precondition(epoch: i64) -> Filter {
    let equal = Filter::all().eq(PAY_EPOCH, epoch);
    if epoch == 0 {
        Filter::all().and_any(vec![equal, Filter::all().exists(PAY_EPOCH, false)])
    } else {
        equal
    }
}

/// The condition that `log` has not left `kind` on the document.
#[must_use]
pub fn unmarked(kind: MarkKind, log: &ObjectId) -> Filter {
    Filter::all().ne(PAYLOGS, kind.of(log))
}

/// Returns `update` with these marks of `log` added.
#[must_use]
pub fn with_marks(update: Update, kinds: &[MarkKind], log: &ObjectId) -> Update {
    update.add_unique(
        PAYLOGS,
        kinds.iter().map(|kind| Value::String(kind.of(log))).collect(),
    )
}

/// Returns true if the document holds this mark.
///
/// # Errors
/// [`ProtocolError::Malformed`] where `paylogs` is there and no array.
pub fn has_mark(document: &Document, kind: MarkKind, log: &ObjectId) -> Result<bool, ProtocolError> {
    let mark = kind.of(log);
    Ok(marks(document)?.iter().any(|held| held.as_str() == Some(&mark)))
}

/// Returns the marks of a document; none if the field is absent.
///
/// # Errors
/// [`ProtocolError::Malformed`] where `paylogs` is there and no array.
pub fn marks(document: &Document) -> Result<&[Value], ProtocolError> {
    match document.get(PAYLOGS) {
        None => Ok(&[]),
        Some(Value::Array(marks)) => Ok(marks),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            Err(ProtocolError::malformed(PAYLOGS, "an array, or absent"))
        }
    }
}
