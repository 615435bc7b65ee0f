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

/// What is known about one payment by those who asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The calls with this identity; they differ in their parameters where a key is reused.
    pub(crate) calls: Vec<Call>,
    /// A success, or a recharge that waits; and which of the calls was told so.
    pub(crate) success: Option<(Call, Told)>,
    /// A refusal that is final.
    pub(crate) refusal: Option<(Call, CloudError)>,
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
            Err(error) if error.code == ErrorCode::NO_SUCH_PAYMENT && self.stale_reads => Ok(None),
            Err(error) => entry.refused(call, error),
        }
    }

    /// Whether the call knows how it came out.
    pub(crate) fn knows(&self, call: &Call) -> bool {
        self.entries.get(&call.identity()).is_some_and(|entry| {
            entry.success.as_ref().is_some_and(|(_, told)| told.is_decided()) || entry.refusal.is_some()
        })
    }
}

impl Entry {
    fn succeeded(&mut self, call: &Call, told: &Told) -> Result<Option<Seen>, String> {
        if let Some((_, refusal)) = self.refusal.as_ref().filter(|(refused, _)| refused == call) {
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
            Some((_, before)) if before.is_decided() || !told.is_decided() => {
                if *before != lasting {
                    return Err(format!(
                        "{} is answered {lasting:?}, and before {before:?}",
                        call.told()
                    ));
                }
            }
            // A recharge that waited has been paid.
            Some(_) => self.success = Some((call.clone(), lasting)),
        }
        Ok(replayed.then_some(Seen::Replayed))
    }

    fn refused(&mut self, call: &Call, error: &CloudError) -> Result<Option<Seen>, String> {
        let conflict = self.calls.iter().any(|other| other != call);
        match error.code {
            // Nothing is said.
            ErrorCode::OUTCOME_UNKNOWN => return Ok(None),
            ErrorCode::KEY_REUSED if conflict => return Ok(Some(Seen::KeyReused)),
            _ => {}
        }
        if let Some((_, told)) = self
            .success
            .as_ref()
            .filter(|(told, success)| told == call && success.is_decided())
        {
            return Err(format!(
                "{} was told {told:?}, and is refused now: {error}",
                call.told()
            ));
        }
        match self.refusal.as_ref().filter(|(refused, _)| refused == call) {
            Some((_, before))
                if before.code != error.code
                    || RECORDED.contains(&error.code) && before.message != error.message =>
            {
                return Err(format!(
                    "{} is refused with {error}, and before with {before}",
                    call.told()
                ));
            }
            Some(_) => {}
            None => self.refusal = Some((call.clone(), error.clone())),
        }
        Ok((error.code == ErrorCode::REFUSED_BY_POLICY).then_some(Seen::PolicyRefusal))
    }
}
