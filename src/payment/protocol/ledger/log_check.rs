//! Checks of single logs, whatever the documents show.

use crate::model::{Document, ObjectId};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::ledger::discrepancy::Discrepancy;
use crate::payment::protocol::ledger::posting;
use crate::payment::protocol::log::{Log, LogState};
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::order::OrderMark;

/// The key of the log that accounts for the balance of an account before any payment.
#[must_use]
pub fn opening_key(user: &ObjectId) -> String {
    format!("opening:{user}")
}

/// Reads a log for its effects. One that moves to another store is read as it was before.
///
/// # Errors
/// The difference to be reported: such a log accounts for nothing.
pub fn read_log(document: &Document, names: &SchemaNames) -> Result<Log, Option<Box<Discrepancy>>> {
    let read = match Log::from_document(document, names) {
        Err(ProtocolError::Moved(_)) => {
            let mut before = document.clone();
            let state = document.integer("state").unwrap_or_default();
            before.insert("state".into(), LogState::without_fence(state).into());
            Log::from_document(&before, names)
        }
        read => read,
    };
    read.map_err(|error| {
        let log = document.object_id()?;
        let shown = |field: &str| {
            document
                .get(field)
                .map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let difference = match error {
            ProtocolError::Malformed { field, expected } => {
                Discrepancy::of_log(names, &log, &field, &expected, &shown(&field))
            }
            ProtocolError::Moved(_)
            | ProtocolError::NoDocument(_)
            | ProtocolError::OrderDisagrees { .. }
            | ProtocolError::Overflow
            | ProtocolError::UnexpectedInput { .. } => {
                Discrepancy::of_log(names, &log, "*", "a log", &error.to_string())
            }
        };
        Some(Box::new(difference))
    })
}

/// Returns the discrepancy of a log by itself, whatever the documents show.
#[must_use]
pub fn check_log(log: &Log, names: &SchemaNames) -> Option<Discrepancy> {
    let intent = &log.intent;
    if log.failed() && intent.legs.as_slice().is_empty() {
        // Refused before it was decided what to move.
        return None;
    }
    if !legs_add_up(intent, names) {
        let expected = format!("legs of {} that add up", intent.kind);
        let found = intent.legs.to_value().to_string();
        return Some(Discrepancy::of_log(names, &log.id, "legs", &expected, &found));
    }
    if intent.kind == Kind::Settle && !log.failed() && posting::ended(&intent.key, &names.log_class).is_none()
    {
        let expected = "settle: and the id of the log that it ends";
        return Some(Discrepancy::of_log(names, &log.id, "key", expected, &intent.key));
    }
    None
}

/// Returns true if the legs move the payment's money and nothing else: in, out, across, and never more than its amount.
#[must_use]
pub fn legs_add_up(intent: &Intent, names: &SchemaNames) -> bool {
    let amount = i128::from(intent.amount.map_or(0, Amount::units));
    let Some(Sums {
        account,
        given,
        frozen,
        refunded,
    }) = Sums::of(intent, names)
    else {
        return false;
    };
    if refunded != 0 && intent.kind != Kind::Refund {
        return false;
    }
    match intent.kind {
        Kind::Recharge => account == amount && frozen == 0,
        // What no payee gets is the app's own.
        Kind::Purchase => account <= 0 && account >= -amount && frozen == 0,
        Kind::Cancel => account == 0 && given == 0 && frozen == 0,
        // To oneself it is nothing.
        Kind::Transfer => account == 0 && (given == amount || given == 0) && frozen == 0,
        // What no payee gives back is the app's own, too.
        Kind::Refund => account >= 0 && account <= amount && frozen == 0 && refunded == amount,
        Kind::Hold | Kind::Withdraw => account == -amount && frozen == amount,
        Kind::Settle => frozen <= 0 && account <= -frozen && account >= 0,
        Kind::Adjust if intent.key == opening_key(&intent.user) => {
            account.abs().saturating_add(frozen.abs()) == amount
        }
        Kind::Adjust => account.abs() == amount && frozen == 0,
    }
}

/// The sums of all legs of an intent, by field.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    account: i128,
    /// The credits of accounts, without the debits of others.
    given: i128,
    frozen: i128,
    refunded: i128,
}

impl Sums {
    /// Adds the legs up; `None` if one changes any other field.
    fn of(intent: &Intent, names: &SchemaNames) -> Option<Self> {
        let mut sums = Self::default();
        for leg in intent.legs.as_slice() {
            let on_account = leg.target.class == names.user_class;
            let on_order =
                leg.target.class == names.order_class && intent.order.as_ref() == Some(&leg.target.id);
            if !on_account && !on_order {
                return None;
            }
            for (field, delta) in &leg.add {
                let units = i128::from(delta.units());
                let sum = if on_account && *field == names.account {
                    sums.given = sums.given.saturating_add(units.max(0));
                    &mut sums.account
                } else if on_account && *field == names.frozen {
                    &mut sums.frozen
                } else if on_order && field == OrderMark::REFUNDED {
                    &mut sums.refunded
                } else {
                    return None;
                };
                *sum = sum.saturating_add(units);
            }
        }
        Some(sums)
    }
}
