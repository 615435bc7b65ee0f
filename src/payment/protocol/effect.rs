//! What the machine asks for, and what it is told.

use crate::model::{ClassName, Document, ErrorCode, Filter, Update};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::leg::Target;

/// What the machine wants done next. The driver does it, and feeds what became of it as an [`Input`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read these documents; answer [`Input::Documents`], in the same order.
    Read(Purpose, Vec<Target>),
    /// Find logs; answer [`Input::Found`].
    Find(ClassName, Filter),
    /// One write; answer [`Input::Outcomes`] with one outcome.
    Write(Write),
    /// Writes that may share a round trip, because each may land without the others; answer [`Input::Outcomes`].
    Batch(Vec<Write>),
    /// Writes that happen all or not at all; answer [`Input::Committed`].
    Commit(Vec<Write>),
    /// The closing of a log: may wait a little and share a round trip with the closings of other payments. Answer
    /// [`Input::Outcomes`] with one outcome.
    Close(Write),
}

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The epochs, before a create or a claim. May be answered with what was read earlier in the same call.
    Epochs,
    /// Why a write had no effect. Must be read afresh.
    Reason,
}

/// A write of one document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// Creates a document.
    Create {
        /// In which class.
        class: ClassName,
        /// Its fields.
        fields: Update,
    },
    /// Changes a document under a condition, answering the changed fields.
    Update {
        /// Which.
        target: Target,
        /// Only if it matches this.
        guard: Filter,
        /// How.
        update: Update,
    },
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It took effect: at least `objectId` of a create, and the changed fields of an update.
    Applied(Document),
    /// No effect: the condition did not hold, or there is no such document (305).
    NotMatched,
    /// Refused with this code. Only 137 on a create says something; any other refusal is no answer.
    Rejected(ErrorCode),
    /// Nobody knows.
    Unknown,
}

/// What became of an all-or-nothing commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Commit {
    /// Everything took effect; the answers in order.
    Applied(Vec<Document>),
    /// Nothing did, because of the write at this index.
    Refused(usize, Outcome),
    /// Nobody knows; all or nothing.
    Unknown,
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Begin.
    Begin,
    /// The documents asked for, in order; `None` where there is none.
    Documents(Vec<Option<Document>>),
    /// The logs found.
    Found(Vec<Document>),
    /// What became of the writes, in order.
    Outcomes(Vec<Outcome>),
    /// What became of the commit.
    Committed(Commit),
    /// The world has been told: `afterPayment` has run.
    Told,
}

impl Input {
    fn name(&self) -> &'static str {
        match self {
            Self::Begin => "the beginning",
            Self::Documents(_) => "documents",
            Self::Found(_) => "logs",
            Self::Outcomes(_) => "outcomes",
            Self::Committed(_) => "the outcome of a commit",
            Self::Told => "that the world was told",
        }
    }

    /// This input was not asked for.
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
            | Self::Told => Err(self.unexpected("documents, one for each target")),
        }
    }

    pub(super) fn document(self) -> Result<Option<Document>, ProtocolError> {
        Ok(self.documents(1)?.pop().flatten())
    }

    pub(super) fn found(self) -> Result<Vec<Document>, ProtocolError> {
        match self {
            Self::Found(documents) => Ok(documents),
            Self::Documents(_) | Self::Begin | Self::Outcomes(_) | Self::Committed(_) | Self::Told => {
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
            | Self::Told => Err(self.unexpected("an outcome for each write")),
        }
    }

    pub(super) fn outcome(self) -> Result<Outcome, ProtocolError> {
        Ok(self.outcomes(1)?.pop().unwrap_or(Outcome::Unknown))
    }

    pub(super) fn committed(self) -> Result<Commit, ProtocolError> {
        match self {
            Self::Committed(commit) => Ok(commit),
            Self::Documents(_) | Self::Begin | Self::Outcomes(_) | Self::Found(_) | Self::Told => {
                Err(self.unexpected("the outcome of a commit"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_is_named() {
        for (input, given) in [
            (Input::Begin, "the beginning"),
            (Input::Documents(vec![]), "documents"),
            (Input::Found(vec![]), "logs"),
            (Input::Outcomes(vec![]), "outcomes"),
            (Input::Committed(Commit::Unknown), "the outcome of a commit"),
            (Input::Told, "that the world was told"),
        ] {
            assert_eq!(
                input.unexpected("something else").to_string(),
                format!("the machine asked for something else, and was given {given}")
            );
        }
    }

    #[test]
    fn there_are_as_many_answers_as_questions() {
        let outcomes = |count| Input::Outcomes(vec![Outcome::Unknown; count]).outcomes(2);
        assert_eq!(outcomes(2), Ok(vec![Outcome::Unknown; 2]));
        assert!(outcomes(1).is_err() && outcomes(3).is_err());
        let documents = |count| Input::Documents(vec![None; count]).documents(2);
        assert_eq!(documents(2), Ok(vec![None; 2]));
        assert!(documents(1).is_err() && documents(3).is_err());
    }
}
