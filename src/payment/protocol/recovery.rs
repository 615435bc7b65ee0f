//! What recovery writes on a log, and which logs it looks for.

use crate::model::{Filter, Test, Timestamp, Update};
use crate::payment::protocol::effect::Write;
use crate::payment::protocol::error::Refusal;
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::{CANCEL, EXPIRES_AT, Log, LogState};
use crate::payment::protocol::names::Rules;
use crate::payment::protocol::order::OrderStatus;

/// Who takes logs up, and until when it asks the others to leave them alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// A name for operators.
    pub name: String,
    /// The end of the lease.
    pub until: Timestamp,
}

/// How often recovery takes up a log that keeps failing before it leaves it to an operator. Leases double from 5
/// seconds to a minute, so that this takes a quarter of an hour: an outage of that length heals by itself, and a
/// customer whose money hangs is not left alone for much longer. A run that failed only because marks were pruned
/// meanwhile leaves nothing to an operator.
pub const CLAIMS_MAX: i64 = 20;

/// Which claim of a run this is. A run is one worker's work on one payment; it claims again with every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// The first one counts.
    First,
    /// A restart is no new attempt: `claims` stays.
    Repeated,
}

/// What somebody wants of a log that is taken up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Nobody asks; it is to come to its end.
    Recovered,
    /// Somebody asks for the payment again: where it is stuck, the operator has it no more, and attempts are counted
    /// from the beginning.
    Resumed,
    /// An operator wants it refused, for this reason, as long as the money is not secured.
    Cancelled(Refusal),
}

/// Takes a log up. A write, not a read: what it answers cannot be stale. `state` is incremented by 0, so that the
/// answer carries it; `claims` likewise where this run has been counted, or is none of recovery's: a caller who asks
/// again and again leaves nothing to an operator.
#[must_use]
pub fn claim(rules: &Rules, log: &Log, worker: &Worker, claim: Claim, wish: &Wish) -> Write {
    let begins = *wish == Wish::Resumed && log.stuck.is_some();
    let mut update = match claim {
        Claim::First if begins => Update::new().set("claims", 0),
        Claim::First if *wish == Wish::Recovered => Update::new().increment("claims", 1),
        Claim::First | Claim::Repeated => Update::new().increment("claims", 0),
    };
    update = update
        .increment("state", 0)
        .set("claimedBy", worker.name.as_str())
        .set("claimedUntil", worker.until.to_date());
    let mut below = LogState::Closed;
    match wish {
        Wish::Recovered => {}
        Wish::Resumed => update = update.delete("stuck"),
        Wish::Cancelled(refusal) => {
            // Before anything is refused: whoever closes the log instead of this worker finds the reason in it.
            update = update.set(CANCEL, refusal.to_reason());
            below = LogState::Funded;
        }
    }
    Write::Update {
        target: Target::new(&rules.log_class, &log.id),
        guard: Filter::all().lt("state", below.number()),
        update,
    }
}

/// Leaves a log to an operator. It stays resumable. No effect where another worker has moved it on meanwhile: then it
/// is not stuck. `None` where it is closed: there is nothing left to resume.
#[must_use]
pub fn stuck(rules: &Rules, log: &Log, why: &str) -> Option<Write> {
    (log.state < LogState::Closed).then(|| Write::Update {
        target: Target::new(&rules.log_class, &log.id),
        guard: Filter::all().eq("state", log.state.number()),
        update: Update::new().set("stuck", why),
    })
}

/// One by one and not as a range: nearly all logs are closed, and an engine that does not know that had rather read
/// them all than an index.
fn states(states: &[LogState]) -> Filter {
    let states = states.iter().map(|state| state.number().into()).collect();
    Filter::all().one_of("state", states)
}

/// Logs that a worker can bring to their end: open, not left to an operator, and no recharge that waits for its
/// gateway. There may be many of those: by state and kind an index passes over them.
fn workable() -> Filter {
    Filter::all().exists("stuck", false).and_any(vec![
        states(&[LogState::Funded, LogState::Applied, LogState::Settled]),
        states(&[LogState::Created, LogState::Ordered]).ne("kind", Kind::Recharge.name()),
    ])
}

/// Which logs wait to be taken up: open, not stuck, not claimed, and (where never claimed) older than `untouched`.
/// A recharge in state 1 waits for its gateway, and nothing can be done for it. Times beyond `longest`, the end of the
/// longest lease given out now, show that a clock is wrong, this one or the other, and keep nobody away: neither such a
/// lease, nor such a creation.
#[must_use]
pub fn due(now: Timestamp, untouched: Timestamp, longest: Timestamp) -> Filter {
    let unclaimed = || Filter::all().exists("claimedUntil", false);
    let beyond = || Test::Gt(longest.to_date());
    workable().and_any(vec![
        Filter::all().lte("claimedUntil", now.to_date()),
        Filter::all().and_key("claimedUntil", beyond()),
        unclaimed().lte("createdAt", untouched.to_date()),
        unclaimed().and_key("createdAt", beyond()),
    ])
}

/// Which logs, created by `created`, a worker has still to bring to their end. Neither those that wait for an
/// operator, nor a recharge that waits for its gateway.
#[must_use]
pub fn open(created: Timestamp) -> Filter {
    workable().lte("createdAt", created.to_date())
}

/// Which logs wait for an operator.
#[must_use]
pub fn left_stuck() -> Filter {
    states(&[
        LogState::Created,
        LogState::Ordered,
        LogState::Funded,
        LogState::Applied,
        LogState::Settled,
    ])
    .exists("stuck", true)
}

/// Which orders nobody has paid in time.
#[must_use]
pub fn unpaid_orders(now: Timestamp) -> Filter {
    Filter::all()
        .eq("status", OrderStatus::Pending.name())
        .lte("expiresAt", now.to_date())
}

/// Which recharges, made by `before`, nobody has paid. Money that has arrived is never given up, whatever else.
#[must_use]
pub fn unpaid_recharges(before: Timestamp) -> Filter {
    Filter::all()
        .eq("state", LogState::Ordered.number())
        .eq("kind", Kind::Recharge.name())
        .exists("stuck", false)
        .exists("tradeNo", false)
        .lte("createdAt", before.to_date())
}

/// Which holds are to be ended: not those that move to another store.
#[must_use]
pub fn expired_holds(now: Timestamp) -> Filter {
    Filter::all()
        .lte(EXPIRES_AT, now.to_date())
        .lte("state", LogState::Closed.number())
}

/// Closes a recharge that nobody paid. Money that arrives later makes a log of its own.
#[must_use]
pub fn close_unpaid(rules: &Rules, log: &Log, reason: &str) -> Write {
    Write::Update {
        target: Target::new(&rules.log_class, &log.id),
        guard: Filter::all().eq("state", LogState::Ordered.number()),
        update: Update::new()
            .set("state", LogState::Closed.number())
            .set("outcome", crate::payment::protocol::log::Verdict::Failed.name())
            .set("reason", reason),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Document;

    #[test]
    fn a_clock_that_is_wrong_leaves_no_log_alone() {
        let created = Timestamp::from_millis(1_000_000_000_000);
        let is_due = |now: Timestamp| {
            let log = Document::from_iter([
                ("state".to_owned(), json!(3)),
                ("createdAt".to_owned(), json!(created.to_string())),
            ]);
            let due = due(now, now.plus_millis(-5_000), now.plus_millis(60_000));
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
    fn what_recovery_takes_up() {
        let date = |minute| time(minute).to_date();
        let due = due(time(10), time(9), time(11));
        let open = open(time(9));
        let left = left_stuck();
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
    fn what_is_given_up_in_time() {
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
    fn what_is_written_on_a_log_that_is_given_up() {
        let rules = Rules::default();
        let stored = json!({
            "objectId": "G", "state": 1, "kind": "recharge", "key": "k", "legs": [],
            "user": rules.user_pointer(&crate::model::ObjectId::parse("u").unwrap()),
        });
        let stored = Document(stored.as_object().cloned().unwrap());
        let log = Log::from_document(&stored, &rules).unwrap();
        let written = |write: Write, before: &Document| {
            let Write::Update {
                target,
                guard,
                update,
            } = write
            else {
                panic!("{write:?}")
            };
            assert_eq!(target, Target::new(&rules.log_class, &log.id));
            let mut after = before.clone();
            guard
                .matches(before)
                .unwrap()
                .then(|| update.apply(&mut after).unwrap())?;
            Some(Log::from_document(&after, &rules).unwrap())
        };
        let closed = written(close_unpaid(&rules, &log, "9006 Unpaid."), &stored).unwrap();
        assert_eq!((closed.state, closed.failed()), (LogState::Closed, true));
        assert_eq!(closed.refusal.unwrap().text, "Unpaid.");
        let left = written(stuck(&rules, &log, "why").unwrap(), &stored).unwrap();
        assert_eq!(
            (left.state, left.stuck.as_deref()),
            (LogState::Ordered, Some("why"))
        );
        // Its money came meanwhile: it is neither unpaid nor stuck.
        let mut funded = stored.clone();
        funded.insert("state".to_owned(), json!(2));
        assert_eq!(written(close_unpaid(&rules, &log, "9006 Unpaid."), &funded), None);
        assert_eq!(written(stuck(&rules, &log, "why").unwrap(), &funded), None);
    }
}
