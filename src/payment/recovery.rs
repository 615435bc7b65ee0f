//! What recovery writes on a log, and which logs it looks for.

use serde_json::json;

use crate::model::{Filter, Test, Timestamp, Update, Value};
use crate::payment::Rules;
use crate::payment::effect::Write;
use crate::payment::kind::Kind;
use crate::payment::leg::Target;
use crate::payment::log::{Log, LogState};

/// Who takes logs up, and until when it asks the others to leave them alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// A name for operators.
    pub name: String,
    /// The end of the lease.
    pub until: Timestamp,
}

/// The wire form of a time.
#[must_use]
pub fn date(time: Timestamp) -> Value {
    json!({"__type": "Date", "iso": time.to_string()})
}

/// Which claim of a run this is. A run is one worker's work on one payment; it claims again with every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// The first one counts.
    First,
    /// A restart is no new attempt: `claims` stays.
    Repeated,
}

/// Takes a log up. A write, not a read: what it answers cannot be stale. `state` is incremented by 0, so that the
/// answer carries it; `claims` likewise where this run has been counted. `resumes` takes it back from the operator:
/// somebody has asked for it again.
#[must_use]
pub fn claim(rules: &Rules, log: &Log, worker: &Worker, claim: Claim, resumes: bool) -> Write {
    let count = match claim {
        Claim::First => 1,
        Claim::Repeated => 0,
    };
    let mut update = Update::new()
        .increment("claims", count)
        .increment("state", 0)
        .set("claimedBy", worker.name.as_str())
        .set("claimedUntil", date(worker.until));
    if resumes {
        update = update.delete("stuck");
    }
    Write::Update {
        target: Target::new(&rules.log_class, &log.id),
        guard: Filter::all().lt("state", LogState::Closed.number()),
        update,
    }
}

/// Leaves a log to an operator. It stays resumable. No effect where another worker has moved it on meanwhile: then it
/// is not stuck.
#[must_use]
pub fn stuck(rules: &Rules, log: &Log, why: &str) -> Write {
    Write::Update {
        target: Target::new(&rules.log_class, &log.id),
        guard: Filter::all().eq("state", log.state.number()),
        update: Update::new().set("stuck", why),
    }
}

/// Which logs wait to be taken up: open, not stuck, not claimed, and (where never claimed) older than `untouched`.
/// A recharge in state 1 waits for its gateway, and nothing can be done for it. A lease that ends after `longest`,
/// the end of the longest one given out now, is that of a worker whose clock is wrong, and keeps nobody away.
#[must_use]
pub fn due(now: Timestamp, untouched: Timestamp, longest: Timestamp) -> Filter {
    Filter::all()
        .lt("state", LogState::Closed.number())
        .exists("stuck", false)
        .and_any(vec![
            Filter::all().ne("kind", Kind::Recharge.name()),
            Filter::all().and_key("state", Test::Gt(LogState::Ordered.number().into())),
        ])
        .and_any(vec![
            Filter::all().lte("claimedUntil", date(now)),
            Filter::all().and_key("claimedUntil", Test::Gt(date(longest))),
            Filter::all()
                .exists("claimedUntil", false)
                .lte("createdAt", date(untouched)),
        ])
}

/// Which logs, created by `created`, a worker has still to bring to their end. Neither those that wait for an
/// operator, nor a recharge that waits for its gateway.
#[must_use]
pub fn open(created: Timestamp) -> Filter {
    Filter::all()
        .lt("state", LogState::Closed.number())
        .exists("stuck", false)
        .lte("createdAt", date(created))
        .and_any(vec![
            Filter::all().ne("kind", Kind::Recharge.name()),
            Filter::all().and_key("state", Test::Gt(LogState::Ordered.number().into())),
        ])
}

/// Which logs wait for an operator.
#[must_use]
pub fn left_stuck() -> Filter {
    Filter::all()
        .lt("state", LogState::Closed.number())
        .exists("stuck", true)
}

/// Closes a recharge that nobody paid. Money that arrives later makes a log of its own.
#[must_use]
pub fn close_unpaid(rules: &Rules, log: &Log, reason: &str) -> Write {
    Write::Update {
        target: Target::new(&rules.log_class, &log.id),
        guard: Filter::all().eq("state", LogState::Ordered.number()),
        update: Update::new()
            .set("state", LogState::Closed.number())
            .set("outcome", crate::payment::log::Verdict::Failed.name())
            .set("reason", reason),
    }
}
