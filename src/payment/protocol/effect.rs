//! Effects and inputs: the requests of the machine, and the answers to them.

use crate::model::write::Write;
use crate::model::{ClassName, Document, ErrorCode, Filter};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::target::Target;

/// A request of the machine. The driver carries it out and returns the result as an [`Input`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads these documents. Answer: [`Input::Documents`], in the same order.
    Read(ReadPurpose, Vec<Target>),
    /// Finds logs. Answer: [`Input::Found`].
    Find(ClassName, Filter),
    /// One write. Answer: [`Input::Outcomes`] with one outcome.
    Write(Write),
    /// Writes that may share a round trip; each may take effect without the others. Answer: [`Input::Outcomes`].
    Batch(Vec<Write>),
    /// Writes that take effect together or not at all. Answer: [`Input::Committed`].
    Commit(Vec<Write>),
    /// The closing of a log. It may wait a little and share a round trip with the closings of other payments. Answer:
    /// [`Input::Outcomes`] with one outcome.
    Close(Write),
}

/// The purpose of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadPurpose {
    /// The epochs, before a create or a claim. A document that was read earlier in the same call will do.
    Epochs,
    /// The reason for which a write had no effect. The read must be fresh.
    Conflict,
}

/// The outcome of a write, as the machine needs it. It differs from the store's
/// [`WriteOutcome`](crate::model::write::WriteOutcome) on purpose: it can be hashed and compared, which the model
/// checker needs, and so it holds neither texts for people nor times; a refusal with 305 is the same as an update that
/// did not match.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It took effect. The document holds at least the `objectId` of a create, or the changed fields of an update.
    Applied(Document),
    /// It had no effect: the condition did not hold, or there is no such document (305).
    NotMatched,
    /// The store refused it with this code. Only 137 on a create is certain; any other refusal counts as no answer.
    Rejected(ErrorCode),
    /// Nobody knows.
    Unknown,
}

/// The outcome of an all-or-nothing commit; the counterpart of the store's
/// [`CommitOutcome`](crate::model::write::CommitOutcome), as [`Outcome`] is of its outcome of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOutcome {
    /// Every write took effect; the answers are in order.
    Applied(Vec<Document>),
    /// No write took effect, because of the one at this index.
    Refused(usize, Outcome),
    /// Nobody knows: all of them took effect, or none.
    Unknown,
}

/// An input of the machine: the beginning, or the answer to an effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The beginning of a run.
    Begin,
    /// The documents that were asked for, in order; `None` for one that does not exist.
    Documents(Vec<Option<Document>>),
    /// The logs that were found.
    Found(Vec<Document>),
    /// The outcomes of the writes, in order.
    Outcomes(Vec<Outcome>),
    /// The outcome of the commit.
    Committed(AtomicOutcome),
    /// The app has been notified: `afterPayment` has run.
    Notified,
}

impl Input {
    fn name(&self) -> &'static str {
        match self {
            Self::Begin => "the beginning",
            Self::Documents(_) => "documents",
            Self::Found(_) => "logs",
            Self::Outcomes(_) => "outcomes",
            Self::Committed(_) => "the outcome of a commit",
            Self::Notified => "that the world was told",
        }
    }

    /// The error for an input that was not asked for.
    #[must_use]
    pub fn unexpected(&self, asked: &'static str) -> ProtocolError {
        ProtocolError::UnexpectedInput {
            asked,
            given: self.name(),
        }
    }

    pub(super) fn documents(self, count: usize) -> Result<Vec<Option<Document>>, ProtocolError> {
        match self {
            Self::Documents(documents) if documents.len() == count => Ok(documents),
            Self::Documents(_)
            | Self::Begin
            | Self::Found(_)
            | Self::Outcomes(_)
            | Self::Committed(_)
            | Self::Notified => Err(self.unexpected("documents, one for each target")),
        }
    }

    pub(super) fn document(self) -> Result<Option<Document>, ProtocolError> {
        Ok(self.documents(1)?.pop().flatten())
    }

    pub(super) fn found(self) -> Result<Vec<Document>, ProtocolError> {
        match self {
            Self::Found(documents) => Ok(documents),
            Self::Documents(_) | Self::Begin | Self::Outcomes(_) | Self::Committed(_) | Self::Notified => {
                Err(self.unexpected("logs"))
            }
        }
    }

    pub(super) fn outcomes(self, count: usize) -> Result<Vec<Outcome>, ProtocolError> {
        match self {
            Self::Outcomes(outcomes) if outcomes.len() == count => Ok(outcomes),
            Self::Outcomes(_)
            | Self::Begin
            | Self::Found(_)
            | Self::Documents(_)
            | Self::Committed(_)
            | Self::Notified => Err(self.unexpected("an outcome for each write")),
        }
    }

    pub(super) fn outcome(self) -> Result<Outcome, ProtocolError> {
        Ok(self.outcomes(1)?.pop().unwrap_or(Outcome::Unknown))
    }

    pub(super) fn committed(self) -> Result<AtomicOutcome, ProtocolError> {
        match self {
            Self::Committed(commit) => Ok(commit),
            Self::Documents(_) | Self::Begin | Self::Outcomes(_) | Self::Found(_) | Self::Notified => {
                Err(self.unexpected("the outcome of a commit"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unexpected_input_names_expected_and_given() {
        for (input, given) in [
            (Input::Begin, "the beginning"),
            (Input::Documents(vec![]), "documents"),
            (Input::Found(vec![]), "logs"),
            (Input::Outcomes(vec![]), "outcomes"),
            (
                Input::Committed(AtomicOutcome::Unknown),
                "the outcome of a commit",
            ),
            (Input::Notified, "that the world was told"),
        ] {
            assert_eq!(
                input.unexpected("something else").to_string(),
                format!("the machine asked for something else, and was given {given}")
            );
        }
    }

    #[test]
    fn input_with_another_count_than_asked_is_an_error() {
        let outcomes = |count| Input::Outcomes(vec![Outcome::Unknown; count]).outcomes(2);
        assert_eq!(outcomes(2), Ok(vec![Outcome::Unknown; 2]));
        assert!(outcomes(1).is_err() && outcomes(3).is_err());
        let documents = |count| Input::Documents(vec![None; count]).documents(2);
        assert_eq!(documents(2), Ok(vec![None; 2]));
        assert!(documents(1).is_err() && documents(3).is_err());
    }
}
