//! What callers were told, which must stay true.

use std::collections::BTreeMap;

use paylog::model::{CloudError, ErrorCode};

use crate::auditor::Seen;
use crate::calls::{Answer, Call, Told};

/// Refusals whose text stands in a log, and so is always the same.
const RECORDED: [ErrorCode; 4] = [
    ErrorCode::INSUFFICIENT_BALANCE,
    ErrorCode::REFUSED_BY_POLICY,
    ErrorCode::GATEWAY_REFUSED,
    ErrorCode::AMOUNT_EXCEEDS_REST,
];

/// Answers that say nothing about the payment.
const UNDECIDED: [ErrorCode; 2] = [ErrorCode::OUTCOME_UNKNOWN, ErrorCode::ACCOUNT_MOVED];
/// From here on the codes speak of money; those below are the store's.
const MONEY: i32 = 9001;

/// What is known about one payment by those who asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The calls with this identity; they differ in their parameters where a key is reused.
    pub(crate) calls: Vec<Call>,
    /// A success, or a recharge that waits; and which of the calls was told so.
    pub(crate) success: Option<(Call, Told)>,
    /// Refusals that are final, and which call was told so.
    refusals: Vec<(Call, CloudError)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Whether reads are stale: then what was made a moment ago may be said not to be there, which binds nobody.
    pub(crate) stale_reads: bool,
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl Ledger {
    pub(crate) fn asked(&mut self, call: &Call) {
        let entry = self.entries.entry(call.identity()).or_default();
        if !entry.calls.contains(call) {
            entry.calls.push(call.clone());
        }
    }

    /// Notes an answer; an error where it contradicts an earlier one.
    pub(crate) fn told(&mut self, call: &Call, answer: &Answer) -> Result<Option<Seen>, String> {
        let entry = self.entries.entry(call.identity()).or_default();
        match answer {
            Ok(told) => entry.succeeded(call, told),
            // Nothing is said: nobody knows, or the store would not take it this time.
            Err(error) if error.code.0 < MONEY || UNDECIDED.contains(&error.code) => Ok(None),
            Err(error) if error.code == ErrorCode::NO_SUCH_PAYMENT && self.stale_reads => Ok(None),
            Err(error) => entry.refused(call, error),
        }
    }

    /// Calls of which nobody was told how they came out.
    pub(crate) fn unknown(&self) -> Vec<Call> {
        let entries = self.entries.values();
        let calls = entries.flat_map(|entry| entry.calls.iter().filter(|call| !entry.knows(call)));
        calls.cloned().collect()
    }

    /// The first call for every payment.
    pub(crate) fn all(&self) -> Vec<Call> {
        let entries = self.entries.values();
        entries.filter_map(|entry| entry.calls.first()).cloned().collect()
    }
}

impl Entry {
    /// Whether the call knows how it came out. A recharge may wait for its gateway for ever.
    fn knows(&self, call: &Call) -> bool {
        let succeeded = self.success.as_ref().is_some_and(|(told, success)| {
            told == call && (success.is_decided() || matches!(call, Call::Recharge { .. }))
        });
        succeeded || self.refusal(call).is_some()
    }

    fn refusal(&self, call: &Call) -> Option<&CloudError> {
        let refusal = self.refusals.iter().find(|(refused, _)| refused == call);
        refusal.map(|(_, error)| error)
    }

    fn succeeded(&mut self, call: &Call, told: &Told) -> Result<Option<Seen>, String> {
        if let Some(refusal) = self.refusal(call) {
            // Of two who ask at once, the second may be told less: that the recharge waits, as it did a moment before.
            if !told.is_decided() {
                return Ok(None);
            }
            return Err(format!(
                "{} was refused ({refusal}), and now: {told:?}",
                call.told()
            ));
        }
        let lasting = told.lasting();
        let replayed = matches!(told, Told::Payment(receipt) if receipt.replayed);
        match &self.success {
            None => self.success = Some((call.clone(), lasting)),
            Some((other, _)) if other != call => {
                return Err(format!(
                    "both {} and {} were told of success",
                    other.told(),
                    call.told()
                ));
            }
            Some((_, before)) if before.is_decided() => {
                // Of two who ask at once, the second may be told less: what was certain a moment before.
                if told.is_decided() && *before != lasting {
                    return Err(format!(
                        "{} is answered {lasting:?}, and before {before:?}",
                        call.told()
                    ));
                }
            }
            // A recharge that waited has been paid, perhaps.
            Some(_) => self.success = Some((call.clone(), lasting)),
        }
        Ok(replayed.then_some(Seen::Replayed))
    }

    fn refused(&mut self, call: &Call, error: &CloudError) -> Result<Option<Seen>, String> {
        let reused = error.code == ErrorCode::KEY_REUSED;
        if reused && self.calls.iter().all(|other| other == call) {
            return Err(format!("{} is told that its key was reused", call.told()));
        }
        // A recharge that waited may be given up.
        if let Some((_, told)) = self
            .success
            .as_ref()
            .filter(|(told, success)| told == call && (success.is_decided() || reused))
        {
            return Err(format!(
                "{} was told {told:?}, and is refused now: {error}",
                call.told()
            ));
        }
        match self.refusal(call) {
            Some(before)
                if before.code != error.code
                    || RECORDED.contains(&error.code) && before.message != error.message =>
            {
                return Err(format!(
                    "{} is refused with {error}, and before with {before}",
                    call.told()
                ));
            }
            Some(_) => {}
            None => self.refusals.push((call.clone(), error.clone())),
        }
        Ok(match error.code {
            ErrorCode::REFUSED_BY_POLICY => Some(Seen::PolicyRefusal),
            ErrorCode::KEY_REUSED => Some(Seen::KeyReused),
            _ => None,
        })
    }
}
