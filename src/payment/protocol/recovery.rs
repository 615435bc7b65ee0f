//! Recovery: the claim of a log, and the filters that find logs and orders with work left.

use std::time::Duration;

use crate::model::write::Write;
use crate::model::{Filter, Test, Timestamp, Update};
use crate::payment::protocol::error::Refusal;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::log::{Log, LogState, fields};
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::order::OrderStatus;
use crate::payment::protocol::target::Target;

/// A worker that takes logs up, and its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The name, for operators.
    pub name: String,
    /// The end of the lease. Until then the worker asks the others to leave its log alone.
    pub until: Timestamp,
}

/// The number of times that recovery takes up a log that keeps failing, before it leaves the log to an operator. Leases
/// double from 5 seconds to a minute, so that this takes a quarter of an hour: an outage of that length heals by
/// itself, and a customer whose money hangs is not left alone for much longer. A run that failed only because marks
/// were pruned meanwhile leaves nothing to an operator.
pub const CLAIMS_MAX: i64 = 20;

/// The longest lease of a log that keeps failing, unless the configured lease is longer.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// The lease of a log that was claimed `claims` times before. It begins with `shortest` and doubles with each claim, up to
/// one minute: a log that keeps failing is tried less and less often, and soon after the cause is gone. A payment whose
/// `afterPayment` has failed is tried again after the same time.
#[must_use]
pub fn lease(shortest: Duration, claims: i64) -> Duration {
    let doublings = u32::try_from(claims.clamp(0, 8)).unwrap_or(0);
    shortest
        .saturating_mul(1 << doublings)
        .min(shortest.max(LEASE_MAX))
}

/// True if recovery leaves the log to an operator without another attempt. It was taken up twice `claims_max` times, and
/// no attempt reported an error: whatever takes it up dies. A log whose outcome is decided is never given up.
#[must_use]
pub fn is_abandoned(log: &Log, claims_max: i64) -> bool {
    log.verdict.is_none() && log.claims >= claims_max.saturating_mul(2)
}

/// True if an attempt that ends in an error of the store was the last one: recovery has taken the log up `claims_max` times
/// with it, and leaves it to an operator. A log whose outcome is decided is never given up.
#[must_use]
pub fn is_last_attempt(log: &Log, claims_max: i64) -> bool {
    log.verdict.is_none() && log.claims.saturating_add(1) >= claims_max
}

/// The position of a claim in its run. A run is one worker's work on one payment; it claims again with every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// The first claim of the run. It counts as an attempt of recovery.
    First,
    /// A claim after a restart, which is no new attempt: `claims` stays.
    Repeated,
}

/// The reason for taking a log up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TakeoverReason {
    /// The sweeper found it open; nobody has asked for it.
    Recovery,
    /// A caller asks for the payment again. A stuck log is taken back from the operator, and its attempts are counted
    /// from the beginning.
    Resumption,
    /// An operator wants the payment refused for this reason, as long as the money is not secured.
    Cancellation(Refusal),
}

/// The write that claims a log. It is a write and no read, so that its answer cannot be stale. It increments `state` by
/// 0, so that the answer holds the state. It increments `claims` by 0 if this run has been counted or is not
/// recovery's: a caller who asks again and again leaves nothing to an operator.
///
/// **Atomicity**: the log. **Idempotency**: safe to repeat; the first claim of recovery counts once more.
#[must_use]
pub fn claim(
    names: &SchemaNames,
    log: &Log,
    worker: &Worker,
    claim: Claim,
    reason: &TakeoverReason,
) -> Write {
    let begins = *reason == TakeoverReason::Resumption && log.stuck.is_some();
    let mut update = match claim {
        Claim::First if begins => Update::new().set(fields::CLAIMS, 0),
        Claim::First if *reason == TakeoverReason::Recovery => Update::new().increment(fields::CLAIMS, 1),
        Claim::First | Claim::Repeated => Update::new().increment(fields::CLAIMS, 0),
    };
    update = update
        .increment(fields::STATE, 0)
        .set(fields::CLAIMED_BY, worker.name.as_str())
        .set(fields::CLAIMED_UNTIL, worker.until.to_date());
    let mut below = LogState::Closed;
    match reason {
        TakeoverReason::Recovery => {}
        TakeoverReason::Resumption => update = update.delete(fields::STUCK),
        TakeoverReason::Cancellation(refusal) => {
            // Before anything is refused: whoever closes the log instead of this worker finds the reason in it.
            update = update.set(fields::CANCEL, refusal.to_reason());
            below = LogState::Funded;
        }
    }
    Target::new(&names.log_class, &log.id).update(Filter::all().lt(fields::STATE, below.number()), update)
}

/// The write that leaves a log to an operator. The log stays resumable. The write has no effect if another worker has
/// moved the log on meanwhile: then it is not stuck. `None` if the log is closed: there is nothing left to resume.
#[must_use]
pub fn mark_stuck(names: &SchemaNames, log: &Log, why: &str) -> Option<Write> {
    (log.state < LogState::Closed).then(|| {
        Target::new(&names.log_class, &log.id).update(
            Filter::all().eq(fields::STATE, log.state.number()),
            Update::new().set(fields::STUCK, why),
        )
    })
}

/// The states, one by one and not as a range: nearly all logs are closed, and an engine that does not know that would
/// rather read them all than use an index.
fn states(states: &[LogState]) -> Filter {
    let states = states.iter().map(|state| state.number().into()).collect();
    Filter::all().one_of(fields::STATE, states)
}

/// The logs that a worker can finish: open, not left to an operator, and no recharge that waits for its gateway. There
/// may be many of those; by state and kind an index passes over them.
fn workable() -> Filter {
    Filter::all().exists(fields::STUCK, false).and_any(vec![
        states(&[LogState::Funded, LogState::Applied, LogState::Settled]),
        states(&[LogState::Created, LogState::Ordered]).ne(fields::KIND, Kind::Recharge.name()),
    ])
}

/// The logs that are due for recovery: open, not stuck, not claimed, and, if never claimed, older than `untouched`. A
/// recharge in state 1 waits for its gateway and is left alone. A time beyond `longest`, the end of the longest lease
/// given out now, shows that a clock is wrong, and keeps nobody away, be it a lease or a creation.
#[must_use]
pub fn due_logs(now: Timestamp, untouched: Timestamp, longest: Timestamp) -> Filter {
    let unclaimed = || Filter::all().exists(fields::CLAIMED_UNTIL, false);
    let beyond = || Test::Gt(longest.to_date());
    workable().and_any(vec![
        Filter::all().lte(fields::CLAIMED_UNTIL, now.to_date()),
        Filter::all().and_key(fields::CLAIMED_UNTIL, beyond()),
        unclaimed().lte("createdAt", untouched.to_date()),
        unclaimed().and_key("createdAt", beyond()),
    ])
}

/// The logs, created by `created`, that a worker has still to finish; neither those that wait for an operator nor a
/// recharge that waits for its gateway.
#[must_use]
pub fn open_logs(created: Timestamp) -> Filter {
    workable().lte("createdAt", created.to_date())
}

/// The logs that wait for an operator.
#[must_use]
pub fn stuck_logs() -> Filter {
    states(&[
        LogState::Created,
        LogState::Ordered,
        LogState::Funded,
        LogState::Applied,
        LogState::Settled,
    ])
    .exists(fields::STUCK, true)
}

/// The orders that are unpaid past their time.
#[must_use]
pub fn unpaid_orders(now: Timestamp) -> Filter {
    Filter::all()
        .eq("status", OrderStatus::Pending.name())
        .lte("expiresAt", now.to_date())
}

/// The recharges, made by `before`, that nobody has paid. Money that has arrived is never given up.
#[must_use]
pub fn unpaid_recharges(before: Timestamp) -> Filter {
    Filter::all()
        .eq(fields::STATE, LogState::Ordered.number())
        .eq(fields::KIND, Kind::Recharge.name())
        .exists(fields::STUCK, false)
        .exists(fields::TRADE_NO, false)
        .lte("createdAt", before.to_date())
}

/// The holds that have expired, except those that move to another store.
#[must_use]
pub fn expired_holds(now: Timestamp) -> Filter {
    Filter::all()
        .lte(fields::EXPIRES_AT, now.to_date())
        .lte(fields::STATE, LogState::Closed.number())
}

/// The write that closes an unpaid recharge. Money that arrives later gets a log of its own.
#[must_use]
pub fn close_unpaid_recharge(names: &SchemaNames, log: &Log, reason: &str) -> Write {
    Target::new(&names.log_class, &log.id).update(
        Filter::all().eq(fields::STATE, LogState::Ordered.number()),
        Update::new()
            .set(fields::STATE, LogState::Closed.number())
            .set(
                fields::OUTCOME,
                crate::payment::protocol::log::Verdict::Failed.name(),
            )
            .set(fields::REASON, reason),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::write::Action;
    use crate::model::{Document, ObjectId};
    use crate::payment::protocol::intent::Intent;
    use crate::payment::protocol::leg::Legs;
    use crate::payment::protocol::log::Verdict;
    use crate::payment::protocol::money::Amount;

    #[test]
    fn wrong_clock_keeps_no_log_from_recovery() {
        let created = Timestamp::from_millis(1_000_000_000_000);
        let is_due = |now: Timestamp| {
            let log = Document::from_iter([
                ("state".to_owned(), json!(3)),
                ("createdAt".to_owned(), json!(created.to_string())),
            ]);
            let due = due_logs(now, now.plus_millis(-5_000), now.plus_millis(60_000));
            due.matches(&log).unwrap()
        };
        assert!(!is_due(created.plus_millis(1_000)), "it is another's still");
        assert!(is_due(created.plus_millis(6_000)));
        assert!(!is_due(created.plus_millis(-1_000)));
        for hours in [1, 24, 24 * 365] {
            assert!(
                is_due(created.plus_millis(-hours * 3_600_000)),
                "{hours} hours behind"
            );
        }
    }

    #[test]
    fn lease_doubles_with_each_claim_up_to_a_minute() {
        let seconds = |claims| lease(Duration::from_secs(5), claims).as_secs();
        let all = [-1, 0, 1, 2, 3, 4, 5, 100, i64::MAX].map(seconds);
        assert_eq!(all, [5, 5, 10, 20, 40, 60, 60, 60, 60]);
        assert_eq!(lease(Duration::from_secs(90), 3).as_secs(), 90);
    }

    #[test]
    fn undecided_log_is_given_up_after_its_attempts_and_decided_log_never() {
        let log = |claims: i64, verdict| {
            let intent = Intent {
                key: "u:adjust:k".into(),
                request_key: None,
                number: None,
                kind: Kind::Adjust,
                user: ObjectId::parse("u").unwrap(),
                order: None,
                amount: Amount::new(1),
                params: serde_json::Map::new(),
                legs: Legs::new(Vec::new()).unwrap(),
            };
            let created = Document::from_iter([("objectId".to_owned(), json!("G"))]);
            let mut log = Log::created(intent, LogState::Ordered, &created).unwrap();
            (log.claims, log.verdict) = (claims, verdict);
            log
        };
        for (claims, is_last, abandoned) in [
            (18, false, false),
            (19, true, false),
            (39, true, false),
            (40, true, true),
        ] {
            let undecided = log(claims, None);
            assert_eq!(is_last_attempt(&undecided, 20), is_last, "{claims}");
            assert_eq!(is_abandoned(&undecided, 20), abandoned, "{claims}");
            let decided = log(claims, Some(Verdict::Succeeded));
            assert!(
                !is_last_attempt(&decided, 20) && !is_abandoned(&decided, 20),
                "{claims}"
            );
        }
    }

    fn time(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000_000).plus_millis(minutes * 60_000)
    }

    /// A log of a minute, with what else it shows.
    fn log_of(minute: i64, fields: serde_json::Value) -> Document {
        let serde_json::Value::Object(fields) = fields else {
            panic!("{fields}")
        };
        let mut log = Document(fields);
        log.insert("createdAt".to_owned(), json!(time(minute).to_string()));
        log
    }

    #[test]
    fn due_open_and_stuck_logs_are_told_apart() {
        let date = |minute| time(minute).to_date();
        let due = due_logs(time(10), time(9), time(11));
        let open = open_logs(time(9));
        let left = stuck_logs();
        for (fields, is_due, is_open, is_left) in [
            (json!({"state": 0, "kind": "purchase"}), true, true, false),
            (json!({"state": 1, "kind": "purchase"}), true, true, false),
            (json!({"state": 2, "kind": "recharge"}), true, true, false),
            (json!({"state": 3, "kind": "purchase"}), true, true, false),
            (json!({"state": 4, "kind": "purchase"}), true, true, false),
            (json!({"state": 5, "kind": "purchase"}), false, false, false),
            // It has moved to another store.
            (json!({"state": 11, "kind": "purchase"}), false, false, false),
            // It waits for its gateway.
            (json!({"state": 1, "kind": "recharge"}), false, false, false),
            // An operator has it.
            (
                json!({"state": 1, "kind": "purchase", "stuck": "why"}),
                false,
                false,
                true,
            ),
            (
                json!({"state": 2, "kind": "recharge", "stuck": "why"}),
                false,
                false,
                true,
            ),
            (
                json!({"state": 5, "kind": "purchase", "stuck": "why"}),
                false,
                false,
                false,
            ),
            // A worker has it, or has had it.
            (
                json!({"state": 1, "kind": "transfer", "claimedUntil": date(11)}),
                false,
                true,
                false,
            ),
            (
                json!({"state": 1, "kind": "transfer", "claimedUntil": date(10)}),
                true,
                true,
                false,
            ),
            (
                json!({"state": 1, "kind": "transfer", "claimedUntil": date(12)}),
                true,
                true,
                false,
            ),
        ] {
            let log = log_of(5, fields);
            assert_eq!(due.matches(&log), Ok(is_due), "{log:?}");
            assert_eq!(open.matches(&log), Ok(is_open), "{log:?}");
            assert_eq!(left.matches(&log), Ok(is_left), "{log:?}");
        }
        let young = log_of(10, json!({"state": 1, "kind": "purchase"}));
        assert_eq!(open.matches(&young), Ok(false));
    }

    #[test]
    fn unpaid_orders_recharges_and_expired_holds_are_found() {
        let date = |minute| time(minute).to_date();
        for (order, is_unpaid) in [
            (json!({"status": "pending", "expiresAt": date(9)}), true),
            (json!({"status": "pending", "expiresAt": date(11)}), false),
            (json!({"status": "pending"}), false),
            (json!({"status": "paid", "expiresAt": date(9)}), false),
        ] {
            let order = log_of(0, order);
            assert_eq!(
                unpaid_orders(time(10)).matches(&order),
                Ok(is_unpaid),
                "{order:?}"
            );
        }
        for (made, recharge, is_unpaid) in [
            (9, json!({"state": 1, "kind": "recharge"}), true),
            (11, json!({"state": 1, "kind": "recharge"}), false),
            (9, json!({"state": 2, "kind": "recharge"}), false),
            (9, json!({"state": 1, "kind": "purchase"}), false),
            // Money that has arrived.
            (9, json!({"state": 1, "kind": "recharge", "tradeNo": "T"}), false),
            (9, json!({"state": 1, "kind": "recharge", "stuck": "why"}), false),
        ] {
            let recharge = log_of(made, recharge);
            assert_eq!(
                unpaid_recharges(time(10)).matches(&recharge),
                Ok(is_unpaid),
                "{recharge:?}"
            );
        }
        for (hold, is_expired) in [
            (json!({"state": 5, "expiresAt": date(9)}), true),
            (json!({"state": 3, "expiresAt": date(10)}), true),
            (json!({"state": 5, "expiresAt": date(11)}), false),
            (json!({"state": 5}), false),
            // It moves to another store.
            (json!({"state": 13, "expiresAt": date(9)}), false),
        ] {
            let hold = log_of(0, hold);
            assert_eq!(expired_holds(time(10)).matches(&hold), Ok(is_expired), "{hold:?}");
        }
    }

    #[test]
    fn closing_or_marking_stuck_spares_funded_log() {
        let names = SchemaNames::default();
        let stored = json!({
            "objectId": "G", "state": 1, "kind": "recharge", "key": "k", "legs": [],
            "user": names.user_pointer(&crate::model::ObjectId::parse("u").unwrap()),
        });
        let stored = Document(stored.as_object().cloned().unwrap());
        let log = Log::from_document(&stored, &names).unwrap();
        let written = |write: Write, before: &Document| {
            assert_eq!(Target::of(&write), Some(Target::new(&names.log_class, &log.id)));
            let Action::Update {
                precondition, update, ..
            } = write.action
            else {
                panic!("{write:?}")
            };
            let mut after = before.clone();
            precondition
                .matches(before)
                .unwrap()
                .then(|| update.apply(&mut after).unwrap())?;
            Some(Log::from_document(&after, &names).unwrap())
        };
        let closed = written(close_unpaid_recharge(&names, &log, "9006 Unpaid."), &stored).unwrap();
        assert_eq!((closed.state, closed.failed()), (LogState::Closed, true));
        assert_eq!(closed.refusal.unwrap().text, "Unpaid.");
        let left = written(mark_stuck(&names, &log, "why").unwrap(), &stored).unwrap();
        assert_eq!(
            (left.state, left.stuck.as_deref()),
            (LogState::Ordered, Some("why"))
        );
        // Its money came meanwhile: it is neither unpaid nor stuck.
        let mut funded = stored.clone();
        funded.insert("state".to_owned(), json!(2));
        assert_eq!(
            written(close_unpaid_recharge(&names, &log, "9006 Unpaid."), &funded),
            None
        );
        assert_eq!(written(mark_stuck(&names, &log, "why").unwrap(), &funded), None);
    }
}
