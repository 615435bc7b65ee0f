//! Sabotage: one rule of the protocol is left out of all requests. The simulation must find a violation.

use paylog::model::{Filter, ObjectId, Op, Update};
use paylog::payment::protocol::log::LogState;
use paylog::store::{Action, Write};

/// The rule of the protocol that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// None: the protocol as it is.
    None,
    /// The precondition of a leg does not name the epoch.
    EpochInGuard,
    /// The precondition of a leg does not demand that its mark is absent.
    MarkInGuard,
    /// A reversal leaves no mark.
    UndoMark,
    /// A create that is answered 137 counts as the caller's own.
    OwnCreateOnly,
    /// Pruning does not raise the epoch.
    PruneRaisesEpoch,
    /// A refusal is returned although its tombstone was not written.
    Tombstone,
    /// A leg without a response counts as applied.
    NoAnswerIsNone,
    /// A log is recovered from a read, without a claim.
    ClaimByWrite,
    /// The state of a log is written without a precondition.
    StateInGuard,
    /// A confirmation does not write the trade number.
    TradeNo,
    /// An order's status is written without a precondition.
    StatusInGuard,
    /// A refusal is returned although no log stores it.
    RefusalStored,
    /// All conditional legs of a payment are sent at the same time.
    OneAtATime,
    /// Accounts and orders are copied without a fence.
    DocumentFence,
    /// An open log is copied without a fence.
    LogFence,
    /// The copies are opened before the move is final.
    OpenedBeforeFinal,
}

impl Sabotage {
    pub(crate) const ALL: [Self; 16] = [
        Self::EpochInGuard,
        Self::MarkInGuard,
        Self::UndoMark,
        Self::OwnCreateOnly,
        Self::PruneRaisesEpoch,
        Self::Tombstone,
        Self::NoAnswerIsNone,
        Self::ClaimByWrite,
        Self::StateInGuard,
        Self::TradeNo,
        Self::StatusInGuard,
        Self::RefusalStored,
        Self::OneAtATime,
        Self::DocumentFence,
        Self::LogFence,
        Self::OpenedBeforeFinal,
    ];

    /// The write without the part that the rule demands.
    pub(crate) fn weakened(self, mut write: Write) -> Write {
        let is_log = write.class.as_str() == "Log";
        let Action::Update {
            precondition, update, ..
        } = &mut write.action
        else {
            return write;
        };
        match self {
            Self::EpochInGuard => remove(precondition, "payEpoch"),
            Self::MarkInGuard if is_leg(update) => remove(precondition, "paylogs"),
            Self::UndoMark if adds_mark(update, "undo:") => {
                remove(precondition, "paylogs");
                update.ops.retain(|(path, _)| path.as_str() != "paylogs");
            }
            Self::PruneRaisesEpoch if is_pruning(update) => {
                update.ops.retain(|(path, _)| path.as_str() != "payEpoch");
            }
            Self::StateInGuard if is_log => remove(precondition, "state"),
            Self::TradeNo => update.ops.retain(|(path, _)| path.as_str() != "tradeNo"),
            Self::StatusInGuard => remove(precondition, "status"),
            _ => {}
        }
        write
    }

    /// True if the write is not sent, and counts as done.
    pub(crate) fn skips(self, write: &Write) -> bool {
        let update = match &write.action {
            Action::Update { update, .. } => update,
            Action::Create { fields } => {
                return self == Self::RefusalStored && fields.to_value()["outcome"] == "failed";
            }
            Action::Delete { .. } => return false,
        };
        match self {
            Self::Tombstone => adds_mark(update, "void:"),
            Self::ClaimByWrite => is_claim(update),
            Self::DocumentFence => sets(update, "payEpoch").is_some_and(|epoch| epoch < 0),
            Self::LogFence => sets(update, "state").is_some_and(|state| state >= LogState::FENCE),
            _ => false,
        }
    }

    /// True if movers see writes that were not made.
    pub(crate) fn deceives_movers(self) -> bool {
        matches!(
            self,
            Self::DocumentFence | Self::LogFence | Self::OpenedBeforeFinal
        )
    }

    /// True if the write counts as done although no response came.
    pub(crate) fn presumes(self, write: &Write) -> bool {
        let Action::Update { update, .. } = &write.action else {
            return false;
        };
        self == Self::NoAnswerIsNone && is_leg(update)
    }
}

/// The log of a write that applies a conditional leg.
pub(crate) fn log_of_leg(write: &Write) -> Option<ObjectId> {
    let Action::Update { update, .. } = &write.action else {
        return None;
    };
    let marks = update.ops.iter().find_map(|(path, op)| match op {
        Op::AddUnique(marks) if path.as_str() == "paylogs" => Some(marks),
        _ => None,
    })?;
    let mark = is_leg(update).then(|| marks.first()?.as_str())??;
    ObjectId::parse(mark).ok()
}

fn is_claim(update: &Update) -> bool {
    update.ops.iter().any(|(path, _)| path.as_str() == "claims")
}

/// The number to which the update sets a field.
fn sets(update: &Update, field: &str) -> Option<i64> {
    update.ops.iter().find_map(|(path, op)| match op {
        Op::Set(value) if path.as_str() == field => value.as_i64(),
        _ => None,
    })
}

fn is_pruning(update: &Update) -> bool {
    update.ops.iter().any(|(_, op)| matches!(op, Op::Remove(_)))
}

fn is_leg(update: &Update) -> bool {
    adds_mark(update, "") && !adds_mark(update, "void:") && !adds_mark(update, "undo:")
}

fn adds_mark(update: &Update, prefix: &str) -> bool {
    update.ops.iter().any(|(path, op)| match op {
        Op::AddUnique(marks) if path.as_str() == "paylogs" => marks
            .iter()
            .any(|mark| mark.as_str().is_some_and(|mark| mark.starts_with(prefix))),
        _ => false,
    })
}

/// Removes the tests of `key` from the filter.
fn remove(filter: &mut Filter, key: &str) {
    let Filter::And(parts) = filter else { return };
    parts.retain(|part| !is_about(part, key));
}

fn is_about(filter: &Filter, key: &str) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            !parts.is_empty() && parts.iter().all(|part| is_about(part, key))
        }
        Filter::Key(path, _) => path.as_str() == key,
        Filter::RelatedTo { .. } => false,
    }
}

/// The epoch that a precondition demands, if any.
pub(crate) fn epoch_asked(filter: &Filter) -> Option<i64> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts.iter().find_map(epoch_asked),
        Filter::Key(path, paylog::model::Test::Eq(value)) if path.as_str() == "payEpoch" => value.as_i64(),
        Filter::Key(..) | Filter::RelatedTo { .. } => None,
    }
}
