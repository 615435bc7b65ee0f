//! The retry policy: decides if a failed request is sent again, and after which delay. Pure: the caller supplies the
//! elapsed time, a random number and the failure.

use std::time::Duration;

use crate::client::BuildError;

/// Effect of repeating a request, as declared by its maker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idempotent {
    /// None: a read, or a request with the same result however often it is done.
    Yes,
    /// None, because its `where` no longer matches once it has taken effect. Repeated only if
    /// [`RetryPolicy::guarded_writes`] allows it.
    Guarded,
    /// A second effect. Never repeated, unless it was certainly not sent.
    #[default]
    No,
}

/// Failure of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptFailure {
    /// No byte of the request was sent.
    NotSent,
    /// Time-out or connection lost: the request may have taken effect.
    Lost,
    /// A 5xx, or a code that leaves the outcome unknown: the request may have taken effect.
    ServerFailed {
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Too many requests (429).
    Busy {
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A body that does not fit the request. A repetition would return the same again.
    Undecodable,
    /// Any other error: it is final.
    Refused,
}

/// Decision after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryDecision {
    /// Send the same request again after this delay.
    After(Duration),
    /// The failure is final.
    GiveUp,
}

/// Bounds on the repetition of requests: number of attempts, total time, and delays.
///
/// A request that was certainly not sent is always repeated. A request that may have been sent is repeated only if it is
/// [`Idempotent::Yes`], or [`Idempotent::Guarded`] and [`guarded_writes`](Self::guarded_writes) is set. A request that
/// got a response is not repeated, except after 5xx, the codes that leave the outcome unknown, and 429.
///
/// The n-th delay is `delay_first` doubled n − 1 times, at most `delay_max`; up to half of it is taken off at random, so
/// that many clients do not return at once. It is never shorter than the server's `Retry-After`. A delay that would end
/// after `elapsed_max` is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Number of attempts, including the first; 1 to 20. With 1, nothing is repeated.
    pub attempts_max: u32,
    /// Longest total time since the start of the first attempt; no delay ends later.
    pub elapsed_max: Duration,
    /// First delay, before the random reduction.
    pub delay_first: Duration,
    /// Longest delay, before the random reduction; `Retry-After` may exceed it.
    pub delay_max: Duration,
    /// True if requests declared as [`Idempotent::Guarded`] are repeated.
    pub guarded_writes: bool,
}

impl Default for RetryPolicy {
    /// Four attempts within 20 seconds: long enough for a restart of the server, short enough for a user who waits for a
    /// page.
    fn default() -> Self {
        Self {
            attempts_max: 4,
            elapsed_max: Duration::from_secs(20),
            delay_first: Duration::from_millis(100),
            delay_max: Duration::from_secs(2),
            guarded_writes: false,
        }
    }
}

impl RetryPolicy {
    /// Upper limit of `attempts_max`; more is a mistake.
    const ATTEMPTS_LIMIT: u32 = 20;

    /// Sends every request once.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts_max: 1,
            ..Self::default()
        }
    }

    /// Also repeats requests declared as guarded.
    #[must_use]
    pub fn with_guarded_writes(mut self) -> Self {
        self.guarded_writes = true;
        self
    }

    /// Decides after the `attempt`-th attempt (from 1) failed, `elapsed` after the first began. `random` is any random
    /// number.
    #[must_use]
    pub fn decide(
        &self,
        idempotent: Idempotent,
        failure: AttemptFailure,
        attempt: u32,
        elapsed: Duration,
        random: u32,
    ) -> RetryDecision {
        let repeatable = match idempotent {
            Idempotent::Yes => true,
            Idempotent::Guarded => self.guarded_writes,
            Idempotent::No => false,
        };
        let (again, retry_after) = match failure {
            AttemptFailure::NotSent => (true, None),
            AttemptFailure::Lost => (repeatable, None),
            AttemptFailure::ServerFailed { retry_after } | AttemptFailure::Busy { retry_after } => {
                (repeatable, retry_after)
            }
            AttemptFailure::Undecodable | AttemptFailure::Refused => (false, None),
        };
        if !again || attempt >= self.attempts_max {
            return RetryDecision::GiveUp;
        }
        let delay = self.delay(attempt, random).max(retry_after.unwrap_or_default());
        if elapsed.saturating_add(delay) > self.elapsed_max {
            return RetryDecision::GiveUp;
        }
        RetryDecision::After(delay)
    }

    /// The delay after the `attempt`-th attempt: between half of the exponential delay and all of it.
    fn delay(&self, attempt: u32, random: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let full = self.delay_first.saturating_mul(doubled).min(self.delay_max);
        let half = full / 2;
        let nanos = half.as_nanos().saturating_mul(u128::from(random)) / u128::from(u32::MAX);
        half.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Checks the bounds of the policy.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if !(1..=Self::ATTEMPTS_LIMIT).contains(&self.attempts_max) {
            let reason = format!(
                "attempts_max is {}; give 1 to {}",
                self.attempts_max,
                Self::ATTEMPTS_LIMIT
            );
            return Err(BuildError::new("retry_policy", reason));
        }
        if self.delay_first > self.delay_max {
            return Err(BuildError::new(
                "retry_policy",
                "delay_first is longer than delay_max",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// One row for each rule: kind of request, failure, repetition.
    #[test]
    fn request_is_repeated_by_idempotency_and_failure() {
        let plain = RetryPolicy::default();
        let guarded = RetryPolicy::default().with_guarded_writes();
        let server = AttemptFailure::ServerFailed { retry_after: None };
        let busy = AttemptFailure::Busy { retry_after: None };
        use AttemptFailure::{Lost, NotSent, Refused, Undecodable};
        use Idempotent::{Guarded, No, Yes};
        #[rustfmt::skip]
        let table = [
            // policy, request, failure,     again?
            (plain,    Yes,     NotSent,     true),
            (plain,    Guarded, NotSent,     true),
            (plain,    No,      NotSent,     true),
            (plain,    Yes,     Lost,        true),
            (plain,    Guarded, Lost,        false),
            (guarded,  Guarded, Lost,        true),
            (plain,    No,      Lost,        false),
            (guarded,  No,      Lost,        false),
            (plain,    Yes,     server,      true),
            (plain,    Guarded, server,      false),
            (guarded,  Guarded, server,      true),
            (guarded,  No,      server,      false),
            (plain,    Yes,     busy,        true),
            (plain,    Guarded, busy,        false),
            (guarded,  Guarded, busy,        true),
            (guarded,  No,      busy,        false),
            (guarded,  Yes,     Undecodable, false),
            (guarded,  Guarded, Undecodable, false),
            (guarded,  No,      Undecodable, false),
            (guarded,  Yes,     Refused,     false),
            (guarded,  Guarded, Refused,     false),
            (guarded,  No,      Refused,     false),
        ];
        for (policy, idempotent, failure, again) in table {
            let decision = policy.decide(idempotent, failure, 1, Duration::ZERO, 0);
            assert_eq!(
                matches!(decision, RetryDecision::After(_)),
                again,
                "{idempotent:?} after {failure:?}, guarded writes: {}",
                policy.guarded_writes
            );
        }
    }

    #[test]
    fn delay_doubles_up_to_bound_and_random_takes_off_up_to_half() {
        let policy = RetryPolicy {
            attempts_max: 8,
            elapsed_max: Duration::from_secs(60),
            delay_first: MS(100),
            delay_max: MS(500),
            guarded_writes: false,
        };
        // attempt, shortest, longest
        for (attempt, shortest, longest) in [
            (1, 50, 100),
            (2, 100, 200),
            (3, 200, 400),
            (4, 250, 500),
            (7, 250, 500),
        ] {
            let after = |random| {
                policy.decide(
                    Idempotent::Yes,
                    AttemptFailure::Lost,
                    attempt,
                    Duration::ZERO,
                    random,
                )
            };
            assert_eq!(after(0), RetryDecision::After(MS(shortest)));
            assert_eq!(after(u32::MAX), RetryDecision::After(MS(longest)));
        }
    }

    #[test]
    fn attempts_and_elapsed_time_are_bounded() {
        let policy = RetryPolicy {
            attempts_max: 3,
            elapsed_max: MS(1000),
            delay_first: MS(100),
            delay_max: MS(100),
            guarded_writes: false,
        };
        let decide = |attempt, elapsed| {
            policy.decide(
                Idempotent::Yes,
                AttemptFailure::NotSent,
                attempt,
                MS(elapsed),
                u32::MAX,
            )
        };
        assert_eq!(decide(2, 0), RetryDecision::After(MS(100)));
        assert_eq!(decide(3, 0), RetryDecision::GiveUp);
        assert_eq!(decide(1, 900), RetryDecision::After(MS(100)));
        assert_eq!(decide(1, 901), RetryDecision::GiveUp);
        let never = RetryPolicy::never();
        let decision = never.decide(Idempotent::Yes, AttemptFailure::NotSent, 1, Duration::ZERO, 0);
        assert_eq!(decision, RetryDecision::GiveUp);
    }

    #[test]
    fn retry_after_extends_delay_up_to_elapsed_max() {
        let policy = RetryPolicy::default();
        let after = |seconds| {
            let failure = AttemptFailure::Busy {
                retry_after: Some(Duration::from_secs(seconds)),
            };
            policy.decide(Idempotent::Yes, failure, 1, Duration::ZERO, u32::MAX)
        };
        assert_eq!(after(0), RetryDecision::After(MS(100)));
        assert_eq!(after(20), RetryDecision::After(Duration::from_secs(20)));
        assert_eq!(after(21), RetryDecision::GiveUp);
    }
}
