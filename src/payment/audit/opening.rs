//! Opening: a log for the balance that an account had before its first payment, so that its logs account for all of it.
//!
//! The log is created closed, as an adjustment that has succeeded, with a leg whose effect is in the document already.
//! It moves nothing. It is safe beside payments because of what it says: so much was there *before any of them*. An
//! audit has found the account without marks, without an epoch and without any log that touches it, all at one moment
//! (or unchanged over three passes, which comes to the same): at that moment no leg had taken effect on it. Whatever
//! has happened to it since is said by logs of its own, so that the sum stays right, however the two race, and with
//! however old an answer of the store. No lower state of the log ever exists, so no worker takes it up, and no mark is
//! needed. Its key is fixed by the account: it is written once for ever.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::environment::{Backoff, Environment};
use crate::model::{ErrorCode, ObjectId, Value};
use crate::payment::audit::error::AuditError;
use crate::payment::audit::sort::Sorter;
use crate::payment::protocol::intent::Intent;
use crate::payment::protocol::ledger::opening_key;
use crate::payment::protocol::leg::{Leg, Legs};
use crate::payment::protocol::log::{LogState, Verdict, fields};
use crate::payment::protocol::target::Target;
use crate::payment::{Amount, Delta, Kind, SchemaNames};
use crate::store::{ReadError, Store, Write, WriteOutcome};

/// Logs in one batch: LeanCloud takes at most so many at once in good time.
const BATCH: usize = 50;
/// The most times that a batch without an answer is sent. The keys make that safe.
const TRIES: u32 = 5;
/// Pauses before a batch is sent again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(60));

/// Accounts that had money before any payment. There may be millions.
#[derive(Debug)]
pub struct Unopened {
    accounts: Sorter,
    count: u64,
}

/// Result of an opening.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// Number of accounts for which a log was written.
    pub accounts: u64,
    /// Sum of their balances in minor units, held amounts included.
    pub amount: i128,
    /// Number of accounts that another process has opened meanwhile.
    pub before: u64,
    /// Accounts that hold more than 10^12, or less than −10^12: more than one log can say.
    pub beyond: Vec<ObjectId>,
}

impl Unopened {
    pub(super) fn new() -> Self {
        Self {
            accounts: Sorter::new(),
            count: 0,
        }
    }

    pub(super) fn push(&mut self, user: &ObjectId, account: i64, frozen: i64) -> io::Result<()> {
        self.count = self.count.saturating_add(1);
        let record = json!([user.as_str(), account, frozen]).to_string();
        self.accounts.push(record.as_bytes())
    }

    /// Number of accounts.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes the log of each account. `store` is that of the audit, now open for writing.
    ///
    /// **Idempotency**: one log per account, ever. Another audit continues what was left unfinished.
    ///
    /// # Errors
    /// [`AuditError`] if the store refuses a log, or does not answer again and again.
    pub async fn open(
        self,
        store: &dyn Store,
        names: &SchemaNames,
        environment: &Environment,
    ) -> Result<Opened, AuditError> {
        let mut opened = Opened::default();
        let mut accounts = self.accounts.finish()?;
        let mut waiting = Vec::with_capacity(BATCH);
        while let Some(record) = accounts.peek() {
            let (user, account, frozen): (ObjectId, i64, i64) =
                serde_json::from_slice(record).map_err(io::Error::other)?;
            match opening(&user, account, frozen, names) {
                Some(intent) => waiting.push((intent, i128::from(account).saturating_add(frozen.into()))),
                None => opened.beyond.push(user),
            }
            accounts.advance()?;
            if waiting.len() >= BATCH || accounts.peek().is_none() {
                create(&mut waiting, store, names, environment, &mut opened).await?;
            }
        }
        Ok(opened)
    }
}

/// The log of an account; `None` if its sum does not fit into one log.
fn opening(user: &ObjectId, account: i64, frozen: i64, names: &SchemaNames) -> Option<Intent> {
    let amount = Amount::new(account.checked_abs()?.checked_add(frozen.checked_abs()?)?)?;
    let fields = [(&names.account, account), (&names.frozen, frozen)];
    let mut leg = Leg::new(Target::new(&names.user_class, user));
    for (field, units) in fields.into_iter().filter(|(_, units)| *units != 0) {
        leg = leg.adding(field, Delta::new(units)?);
    }
    let params = json!({"account": account, "frozen": frozen, "reason": "held before the first payment"});
    let Value::Object(params) = params else {
        return None;
    };
    Some(Intent {
        key: opening_key(user),
        request_key: None,
        number: None,
        kind: Kind::Adjust,
        user: user.clone(),
        order: None,
        amount: Some(amount),
        params,
        legs: Legs::new(vec![leg]).ok()?,
    })
}

/// Creates the logs that wait, and takes them out.
async fn create(
    waiting: &mut Vec<(Intent, i128)>,
    store: &dyn Store,
    names: &SchemaNames,
    environment: &Environment,
    opened: &mut Opened,
) -> Result<(), AuditError> {
    for attempt in 1..=TRIES {
        let writes = waiting.iter().map(|(intent, _)| {
            let fields = intent
                .to_update(names, LogState::Closed)
                .set(fields::OUTCOME, Verdict::Succeeded.name());
            Write::create(&names.log_class, fields)
        });
        let mut outcomes = store.batch(writes.collect()).await.into_iter();
        let mut unanswered = Vec::new();
        let mut why = String::new();
        for (intent, units) in waiting.drain(..) {
            match outcomes.next() {
                Some(WriteOutcome::Applied(_)) => opened.add(units),
                // Our own log, if an earlier request got no answer.
                Some(WriteOutcome::Rejected(error)) if error.code == ErrorCode::DUPLICATE_VALUE => {
                    if attempt > 1 {
                        opened.add(units);
                    } else {
                        opened.before = opened.before.saturating_add(1);
                    }
                }
                Some(WriteOutcome::Rejected(error)) if !error.code.leaves_outcome_unknown() => {
                    return Err(ReadError::Rejected(error).into());
                }
                other => {
                    why = match other {
                        Some(WriteOutcome::Unknown(why)) => why,
                        Some(WriteOutcome::Rejected(error)) => error.to_string(),
                        Some(WriteOutcome::Applied(_) | WriteOutcome::NotMatched) | None => {
                            "no answer".to_owned()
                        }
                    };
                    unanswered.push((intent, units));
                }
            }
        }
        *waiting = unanswered;
        if waiting.is_empty() {
            return Ok(());
        }
        if attempt == TRIES {
            return Err(ReadError::Unavailable(why).into());
        }
        environment.sleep(BACKOFF.pause(attempt.saturating_sub(1))).await;
    }
    Ok(())
}

impl Opened {
    fn add(&mut self, units: i128) {
        self.accounts = self.accounts.saturating_add(1);
        self.amount = self.amount.saturating_add(units);
    }
}
