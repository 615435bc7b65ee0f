//! The responses that callers got, which must stay true.

use std::collections::BTreeMap;

use paylog::model::{CloudError, ErrorCode};

use crate::auditor::Coverage;
use crate::calls::{Call, Response, Success};

/// Codes of refusals whose text is stored in a log, and so never changes.
const RECORDED: [ErrorCode; 4] = [
    ErrorCode::INSUFFICIENT_BALANCE,
    ErrorCode::REFUSED_BY_POLICY,
    ErrorCode::GATEWAY_REFUSED,
    ErrorCode::AMOUNT_EXCEEDS_REST,
];

/// Codes that leave the payment undecided.
const UNDECIDED: [ErrorCode; 2] = [ErrorCode::OUTCOME_UNKNOWN, ErrorCode::ACCOUNT_MOVED];
/// The lowest error code of the payment flow; lower codes are those of the store.
const MONEY: i32 = 9001;

/// The responses about one payment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The calls with this identity; their parameters differ if a key is reused.
    pub(crate) calls: Vec<Call>,
    /// A success, or a recharge that waits for its gateway, with the call that got it.
    pub(crate) success: Option<(Call, Success)>,
    /// Final refusals, with the calls that got them.
    refusals: Vec<(Call, CloudError)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Responses {
    /// True if reads may be stale: a response that a payment does not exist is then not final.
    pub(crate) stale_reads: bool,
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl Responses {
    pub(crate) fn asked(&mut self, call: &Call) {
        let entry = self.entries.entry(call.identity()).or_default();
        if !entry.calls.contains(call) {
            entry.calls.push(call.clone());
        }
    }

    /// Records a response. An error if it contradicts an earlier one.
    pub(crate) fn record(&mut self, call: &Call, answer: &Response) -> Result<Option<Coverage>, String> {
        let entry = self.entries.entry(call.identity()).or_default();
        match answer {
            Ok(success) => entry.succeeded(call, success),
            // Undecided, or an error of the store.
            Err(error) if error.code.0 < MONEY || UNDECIDED.contains(&error.code) => Ok(None),
            Err(error) if error.code == ErrorCode::NO_SUCH_PAYMENT && self.stale_reads => Ok(None),
            Err(error) => entry.refused(call, error),
        }
    }

    /// Calls whose outcome no response has told.
    pub(crate) fn unknown(&self) -> Vec<Call> {
        let entries = self.entries.values();
        let calls = entries.flat_map(|entry| entry.calls.iter().filter(|call| !entry.knows(call)));
        calls.cloned().collect()
    }

    /// The first call of each payment.
    pub(crate) fn first_calls(&self) -> Vec<Call> {
        let entries = self.entries.values();
        entries.filter_map(|entry| entry.calls.first()).cloned().collect()
    }
}

impl Entry {
    /// True if the call got its outcome. A recharge may wait for its gateway for ever.
    fn knows(&self, call: &Call) -> bool {
        let succeeded = self.success.as_ref().is_some_and(|(first, success)| {
            first == call && (success.is_decided() || matches!(call, Call::Recharge { .. }))
        });
        succeeded || self.refusal(call).is_some()
    }

    fn refusal(&self, call: &Call) -> Option<&CloudError> {
        let refusal = self.refusals.iter().find(|(refused, _)| refused == call);
        refusal.map(|(_, error)| error)
    }

    fn succeeded(&mut self, call: &Call, success: &Success) -> Result<Option<Coverage>, String> {
        if let Some(refusal) = self.refusal(call) {
            // Of two calls at the same time, the later response may be the older state: the recharge still waits.
            if !success.is_decided() {
                return Ok(None);
            }
            return Err(format!(
                "{} was refused ({refusal}), and now: {success:?}",
                call.describe()
            ));
        }
        let stable_part = success.stable_part();
        let replayed = matches!(success, Success::Payment(receipt) if receipt.replayed);
        match &self.success {
            None => self.success = Some((call.clone(), stable_part)),
            Some((other, _)) if other != call => {
                return Err(format!(
                    "both {} and {} were reported as succeeded",
                    other.describe(),
                    call.describe()
                ));
            }
            Some((_, before)) if before.is_decided() => {
                // Of two calls at the same time, the later response may be the older, undecided state.
                if success.is_decided() && *before != stable_part {
                    return Err(format!(
                        "{} is answered {stable_part:?}, and before {before:?}",
                        call.describe()
                    ));
                }
            }
            // A waiting recharge may have been paid meanwhile.
            Some(_) => self.success = Some((call.clone(), stable_part)),
        }
        Ok(replayed.then_some(Coverage::Replayed))
    }

    fn refused(&mut self, call: &Call, error: &CloudError) -> Result<Option<Coverage>, String> {
        let reused = error.code == ErrorCode::KEY_REUSED;
        if reused && self.calls.iter().all(|other| other == call) {
            return Err(format!(
                "{} is refused for a reused key, which was not",
                call.describe()
            ));
        }
        // A waiting recharge may expire.
        if let Some((_, success)) = self
            .success
            .as_ref()
            .filter(|(first, success)| first == call && (success.is_decided() || reused))
        {
            return Err(format!(
                "{} had succeeded ({success:?}), and is refused now: {error}",
                call.describe()
            ));
        }
        match self.refusal(call) {
            Some(before)
                if before.code != error.code
                    || RECORDED.contains(&error.code) && before.message != error.message =>
            {
                return Err(format!(
                    "{} is refused with {error}, and before with {before}",
                    call.describe()
                ));
            }
            Some(_) => {}
            None => self.refusals.push((call.clone(), error.clone())),
        }
        Ok(match error.code {
            ErrorCode::REFUSED_BY_POLICY => Some(Coverage::PolicyRefusal),
            ErrorCode::KEY_REUSED => Some(Coverage::KeyReused),
            _ => None,
        })
    }
}
