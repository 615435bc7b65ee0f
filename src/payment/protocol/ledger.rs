//! What must always hold, as a computation: from the logs alone, what every account and order must show.
//!
//! A log says something about each document that it touches ([`Posting`]); a [`Statement`] takes all that was said of
//! one document and holds it against the document. Logs that are decided count by themselves; of an open one the
//! document's marks say which legs have been applied. A [`Ledger`] does that for all documents, in memory;
//! [`audit`](crate::payment::audit) does it for those of a store, which need not fit there.

mod posting;
mod statement;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::{Document, ObjectId};
use crate::payment::protocol::error::ProtocolError;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::{Intent, Log, LogState};
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::Rules;

pub use posting::{Entry, Posting};
pub use statement::{Finding, Statement};

/// Logs that a [`Difference`] names; there may be millions on one account, and the newest are looked at first.
pub const LOGS_NAMED: usize = 10;

/// The key of the log that accounts for what was in an account before any payment.
pub(crate) fn opening_key(user: &ObjectId) -> String {
    format!("opening:{user}")
}

/// Something that the logs do not account for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Difference {
    /// The class of the document.
    pub class: String,
    /// Its id.
    pub id: ObjectId,
    /// The field that differs, `legs` of a log, or `objectId` where the document is missing.
    pub field: String,
    /// What the logs say.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The newest logs that have an effect on the document, newest first, at most [`LOGS_NAMED`].
    pub logs: Vec<ObjectId>,
    /// How many such logs there are.
    #[serde(rename = "logsTotal")]
    pub logs_total: u64,
}

impl Difference {
    /// What is wrong with a log by itself.
    fn of_log(rules: &Rules, log: &ObjectId, field: &str, expected: &str, found: &str) -> Self {
        Self {
            class: rules.log_class.to_string(),
            id: log.clone(),
            field: field.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            logs: vec![log.clone()],
            logs_total: 1,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}: `{}` is {}, the payments say {}",
            self.class, self.id, self.field, self.found, self.expected
        )
    }
}

/// How many logs there are, and what they say by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All logs.
    pub logs: u64,
    /// Those that are still open.
    pub open: u64,
    /// Of those, left to an operator.
    pub stuck: u64,
    /// What gateways have paid, in minor units, and no account has been credited with as far as the logs say.
    pub arrived: i128,
}

impl Totals {
    /// Counts a log.
    pub fn add(&mut self, log: &Log) {
        self.logs = self.logs.saturating_add(1);
        if log.state == LogState::Closed {
            return;
        }
        self.open = self.open.saturating_add(1);
        self.stuck = self.stuck.saturating_add(u64::from(log.stuck.is_some()));
        if log.intent.kind == Kind::Recharge && log.state == LogState::Funded {
            let amount = log.intent.amount.map_or(0, Amount::units);
            self.arrived = self.arrived.saturating_add(amount.into());
        }
    }
}

/// Reads a log for its effects. One that is being moved to another store is read as it was before.
///
/// # Errors
/// The difference to be reported: such a log accounts for nothing.
pub fn read_log(document: &Document, rules: &Rules) -> Result<Log, Option<Box<Difference>>> {
    let read = match Log::from_document(document, rules) {
        Err(ProtocolError::Moved(_)) => {
            let mut before = document.clone();
            let state = document.integer("state").unwrap_or_default();
            before.insert("state".into(), LogState::without_fence(state).into());
            Log::from_document(&before, rules)
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
                Difference::of_log(rules, &log, &field, &expected, &shown(&field))
            }
            ProtocolError::Moved(_)
            | ProtocolError::NoDocument(_)
            | ProtocolError::OrderDisagrees { .. }
            | ProtocolError::Overflow
            | ProtocolError::UnexpectedInput { .. } => {
                Difference::of_log(rules, &log, "*", "a log", &error.to_string())
            }
        };
        Some(Box::new(difference))
    })
}

/// What is wrong with a log by itself, whatever the documents show.
#[must_use]
pub fn examine(log: &Log, rules: &Rules) -> Option<Difference> {
    let intent = &log.intent;
    if log.failed() && intent.legs.as_slice().is_empty() {
        // Refused before it was decided what to move.
        return None;
    }
    if !legs_add_up(intent, rules) {
        let expected = format!("legs of {} that add up", intent.kind);
        let found = intent.legs.to_value().to_string();
        return Some(Difference::of_log(rules, &log.id, "legs", &expected, &found));
    }
    if intent.kind == Kind::Settle && !log.failed() && posting::ended(&intent.key, &rules.log_class).is_none()
    {
        let expected = "settle: and the id of the log that it ends";
        return Some(Difference::of_log(rules, &log.id, "key", expected, &intent.key));
    }
    None
}

/// What the logs say about every document, in memory.
#[derive(Clone, Debug)]
pub struct Ledger {
    rules: Rules,
    postings: BTreeMap<Target, Vec<Posting>>,
    totals: Totals,
    in_flight: i128,
    differences: Vec<Difference>,
}

impl Ledger {
    /// Before any log.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            postings: BTreeMap::new(),
            totals: Totals::default(),
            in_flight: 0,
            differences: Vec::new(),
        }
    }

    /// Takes a log into account. Each once.
    pub fn take(&mut self, log: &Log) {
        self.totals.add(log);
        self.differences.extend(examine(log, &self.rules));
        for posting in Posting::all(log, &self.rules) {
            let target = posting.target.clone();
            self.postings.entry(target).or_default().push(posting);
        }
    }

    /// How many logs were taken.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// What open logs have taken, in minor units, and not yet given to the documents seen so far.
    #[must_use]
    pub fn in_flight(&self) -> i128 {
        self.totals.arrived.saturating_add(self.in_flight)
    }

    /// Compares an account or an order with the logs. Each once.
    pub fn check(&mut self, target: &Target, document: &Document) {
        let postings = self.postings.remove(target).unwrap_or_default();
        self.state(target.clone(), Some(document), &postings);
    }

    fn state(&mut self, target: Target, document: Option<&Document>, postings: &[Posting]) {
        let mut statement = Statement::new(&self.rules, target, document);
        for posting in postings {
            statement.post(posting);
        }
        let finding = statement.finish();
        self.in_flight = self.in_flight.saturating_add(finding.in_flight);
        self.differences.extend(finding.differences);
    }

    /// Everything that differs, once all documents were checked: documents that the logs name and nobody has shown
    /// are missing.
    #[must_use]
    pub fn finish(mut self) -> Vec<Difference> {
        for (target, postings) in std::mem::take(&mut self.postings) {
            self.state(target, None, &postings);
        }
        self.differences.sort();
        self.differences
    }
}

/// Whether the legs move what the payment says: in, out, across, and never more than its amount; and nothing but
/// money.
#[must_use]
pub fn legs_add_up(intent: &Intent, rules: &Rules) -> bool {
    let amount = i128::from(intent.amount.map_or(0, Amount::units));
    let Some(Sums {
        account,
        given,
        frozen,
        refunded,
    }) = Sums::of(intent, rules)
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

/// What legs add to fields of all documents.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    account: i128,
    /// What is added to accounts, without what is taken from others.
    given: i128,
    frozen: i128,
    refunded: i128,
}

impl Sums {
    /// `None` where a leg adds to anything else.
    fn of(intent: &Intent, rules: &Rules) -> Option<Self> {
        let mut sums = Self::default();
        for leg in intent.legs.as_slice() {
            let on_account = leg.target.class == rules.user_class;
            let on_order =
                leg.target.class == rules.order_class && intent.order.as_ref() == Some(&leg.target.id);
            if !on_account && !on_order {
                return None;
            }
            for (field, delta) in &leg.add {
                let units = i128::from(delta.units());
                let sum = if on_account && *field == rules.account {
                    sums.given = sums.given.saturating_add(units.max(0));
                    &mut sums.account
                } else if on_account && *field == rules.frozen {
                    &mut sums.frozen
                } else if on_order && field == "refunded" {
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

#[cfg(test)]
mod tests;
