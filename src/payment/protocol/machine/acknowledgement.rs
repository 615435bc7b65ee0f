//! Acknowledgements: the effect of one update, as far as its outcome tells.

use crate::model::Document;
use crate::payment::protocol::effect::Outcome;

/// The effect of an update: applied, not matched, or unknown. Every refusal of an update is a missing acknowledgement:
/// another request of the same write may still be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    Applied(Document),
    NotMatched,
    Missing,
}

impl From<Outcome> for Acknowledgement {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied(document) => Self::Applied(document),
            Outcome::NotMatched => Self::NotMatched,
            Outcome::Rejected(_) | Outcome::Unknown => Self::Missing,
        }
    }
}
