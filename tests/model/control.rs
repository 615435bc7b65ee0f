//! Negative controls: one rule at a time is left out of what the machine asks for, or of what it is told.

use paylog::model::write::{Action, Write};
use paylog::model::{Filter, KeyPath, Update};
use paylog::payment::protocol::effect::{AtomicOutcome, Effect, Input, Outcome};
use paylog::payment::protocol::machine::PaymentProcess;
use paylog::payment::protocol::target::Target;

use crate::tables::{Ask, Role};

/// The rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// None: the protocol as it is.
    None,
    /// The epoch is not part of any condition.
    EpochInGuard,
    /// The mark is not part of a leg's condition.
    MarkInGuard,
    /// A reversal is neither marked nor guarded by its mark.
    UndoMark,
    /// A leg is taken for refused without a tombstone.
    Tombstone,
    /// A log is claimed by what was read of it.
    ClaimByWrite,
    /// A create answered 137 is taken for one's own.
    OwnCreateOnly,
    /// A refusal before the beginning is answered without a log that says so.
    RefusalsStored,
    /// Conditional legs are sent together.
    OneAtATime,
    /// A log's state is moved unconditionally.
    StateInGuard,
    /// A confirmation does not write the gateway's number.
    TradeNo,
    /// Pruning leaves the epoch as it is.
    PruneRaisesEpoch,
    /// Pruning forgets marks of open logs.
    PruneClosedOnly,
    /// A leg without an answer is taken for applied.
    NoAnswerIsNone,
    /// A confirmation is written whatever state the recharge is in.
    ConfirmOnce,
    /// Only the first half of a leg that was merged of two takes effect, since they share a mark.
    Merging,
    /// A cancellation has a key of its own kind, not that of an attempt. Left out by the scenario.
    AttemptKey,
    /// Capture and release have keys of their own. Left out by the scenario.
    SettleKey,
    /// A refund changes its order before the payees. Left out by the scenario.
    OrderLegLast,
    /// A full refund is read, not found out by a write.
    RefundedByWrite,
    /// A commit that refuses for want of money does not ask for the epoch of the account.
    EpochInRefusal,
    /// A move: accounts and orders are copied without being fenced.
    DocumentFence,
    /// Logs are copied without being fenced.
    LogFence,
    /// The old home goes on with the epoch that was fenced.
    RollBackEpoch,
    /// A decision can be made again.
    DecisionOnce,
    /// Copies are opened before the decision.
    OpenAfterFinal,
    /// A copy replaces whatever stands at the new home.
    CopyGuard,
    /// Documents of an earlier attempt are taken for fenced by this one.
    MoveAttempt,
}

impl Control {
    /// Returns the input that is pretended, in the place of the effect.
    pub(crate) fn pretended(self, payment: &PaymentProcess, effect: &Effect) -> Option<Input> {
        if let (Self::RefusalsStored, Effect::Commit(writes)) = (self, effect)
            && let Some(Action::Create { fields }) = writes.first().map(|write| &write.action)
            && fields.to_value()["outcome"] == "failed"
        {
            let nowhere = [("objectId".to_owned(), "nowhere".into())].into_iter().collect();
            return Some(Input::Committed(AtomicOutcome::Applied(vec![nowhere])));
        }
        let Effect::Write(write) = effect else { return None };
        let applied = |fields: &[(&str, paylog::model::Value)]| {
            let fields = fields
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()));
            Some(Input::Outcomes(vec![Outcome::Applied(fields.collect())]))
        };
        match (self, &write.action) {
            (Self::Tombstone, Action::Update { update, .. }) if is_void(update) => applied(&[]),
            (Self::ClaimByWrite, Action::Update { update, .. }) if is_claim(update) => {
                let state = payment.log()?.state.number();
                applied(&[("state", state.into())])
            }
            (Self::RefusalsStored, Action::Create { fields })
                if fields.to_value().get("outcome").is_some() =>
            {
                applied(&[("objectId", "nowhere".into())])
            }
            _ => None,
        }
    }

    /// Returns the read in the place of a write that only finds out if its condition holds.
    pub(crate) fn read_instead(self, write: &Write) -> Option<Ask> {
        let Action::Update {
            precondition, update, ..
        } = &write.action
        else {
            return None;
        };
        let weighs = update.columns() == ["refunded"];
        (self == Self::RefundedByWrite && weighs).then(|| {
            Ask::Whether(
                Target::of(write).unwrap(),
                without(precondition.clone(), "payEpoch"),
            )
        })
    }

    /// The writes of one message, without the one that a rule adds.
    pub(crate) fn shortened(self, writes: &mut Vec<(Write, Role)>) {
        let refuses = writes.first().is_some_and(|(write, _)| match &write.action {
            Action::Create { fields } => fields.to_value()["outcome"] == "failed",
            Action::Update { .. } | Action::Delete { .. } => false,
        });
        if self == Self::EpochInRefusal && refuses {
            writes.truncate(1);
        }
    }

    /// The write without what the rule puts into it.
    pub(crate) fn tampered(self, mut write: Write, role: Role) -> Write {
        let Action::Update {
            precondition, update, ..
        } = &mut write.action
        else {
            return write;
        };
        let drop_test = |precondition: &mut Filter, key: &str| {
            *precondition = without(std::mem::replace(precondition, Filter::all()), key);
        };
        match (self, role) {
            (Self::EpochInGuard, _) => drop_test(precondition, "payEpoch"),
            (Self::MarkInGuard, Role::Take(_)) => drop_test(precondition, "paylogs"),
            (Self::UndoMark, Role::Undo(_)) => {
                drop_test(precondition, "paylogs");
                update.ops.retain(|(path, _)| path.as_str() != "paylogs");
            }
            (Self::StateInGuard, Role::Other) => drop_test(precondition, "state"),
            (Self::ConfirmOnce, Role::Other) if update.columns().contains(&"tradeNo".to_owned()) => {
                drop_test(precondition, "state");
            }
            (Self::TradeNo, _) => update.ops.retain(|(path, _)| path.as_str() != "tradeNo"),
            (Self::PruneRaisesEpoch, Role::Other) => {
                update.ops.retain(|(path, _)| path.as_str() != "payEpoch");
            }
            (Self::Merging, Role::Take(_)) if update.to_value()["account"]["amount"] == 0 => {
                update.ops.retain(|(path, _)| path.as_str() != "account");
                *update = std::mem::take(update).increment("account", -1);
            }
            _ => {}
        }
        write
    }
}

/// Returns true if the update writes a tombstone.
pub(crate) fn is_void(update: &Update) -> bool {
    update.to_value()["paylogs"].to_string().contains("void:")
}

/// Returns true if the update claims a log: it changes nothing that a guarantee rests on.
pub(crate) fn is_claim(update: &Update) -> bool {
    update.columns().iter().any(|column| column == "claims")
}

/// The filter without any test of `key`.
fn without(filter: Filter, key: &str) -> Filter {
    let about = |part: &Filter| tests(part).iter().all(|path| path.as_str() == key);
    match filter {
        Filter::And(parts) => Filter::And(parts.into_iter().filter(|part| !about(part)).collect()),
        other if about(&other) => Filter::all(),
        other => other,
    }
}

fn tests(filter: &Filter) -> Vec<&KeyPath> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => parts.iter().flat_map(tests).collect(),
        Filter::Key(path, _) => vec![path],
        Filter::RelatedTo { .. } => Vec::new(),
    }
}
