//! Whether and when a request is sent again. Pure: the caller brings the time, the chance and what happened.

use std::time::Duration;

use crate::client::BuildError;

/// What repeating a request would do; declared by whoever makes the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idempotent {
    /// Nothing: a read, or something that ends the same however often it is done.
    Yes,
    /// Nothing, because its `where` no longer matches once it has taken effect. Repeated only where
    /// [`RetryPolicy::guarded_writes`] allows it.
    Guarded,
    /// It may have its effect twice. Never repeated, unless it was certainly not sent.
    #[default]
    No,
}

/// Why an attempt did not end in an answer that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No byte of the request left.
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
    /// A body that is not what the request answers. Repeating it would bring the same again.
    Undecodable,
    /// Any other answer: it stands.
    Refused,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Send the same request again after this time.
    After(Duration),
    /// The failure stands.
    GiveUp,
}

/// How often, how long and how fast requests are repeated.
///
/// A request that was certainly not sent is repeated whatever it does. One that may have been is repeated only where
/// it is [`Idempotent::Yes`], or [`Idempotent::Guarded`] and [`guarded_writes`](Self::guarded_writes) is set. Nothing
/// that was answered is repeated, except 5xx, the codes that leave the outcome unknown, and 429.
///
/// The n-th delay is `delay_first` doubled n − 1 times, at most `delay_max`, of which a random half is taken off so
/// that many clients do not come back at once; never less than the server's `Retry-After`. A delay that would end
/// after `elapsed_max` is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 to 20, and 1 means: never again.
    pub attempts_max: u32,
    /// From the start of the first attempt; no delay ends later.
    pub elapsed_max: Duration,
    /// The first delay, before chance.
    pub delay_first: Duration,
    /// The longest delay, before chance and but for `Retry-After`.
    pub delay_max: Duration,
    /// Whether requests declared as [`Idempotent::Guarded`] are repeated.
    pub guarded_writes: bool,
}

impl Default for RetryPolicy {
    /// Four attempts within 20 seconds: long enough for a restart of the server, short enough for whoever waits for
    /// a page.
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
    /// More attempts than this are a mistake.
    const ATTEMPTS_LIMIT: u32 = 20;

    /// Every request once, whatever happens.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts_max: 1,
            ..Self::default()
        }
    }

    /// Also repeats requests that are declared as guarded.
    #[must_use]
    pub fn with_guarded_writes(mut self) -> Self {
        self.guarded_writes = true;
        self
    }

    /// Decides after the `attempt`-th attempt (from 1) failed, `elapsed` after the first began. `chance` is any
    /// random number.
    #[must_use]
    pub fn decide(
        &self,
        idempotent: Idempotent,
        failure: Failure,
        attempt: u32,
        elapsed: Duration,
        chance: u32,
    ) -> Decision {
        let repeatable = match idempotent {
            Idempotent::Yes => true,
            Idempotent::Guarded => self.guarded_writes,
            Idempotent::No => false,
        };
        let (again, retry_after) = match failure {
            Failure::NotSent => (true, None),
            Failure::Lost => (repeatable, None),
            Failure::ServerFailed { retry_after } | Failure::Busy { retry_after } => {
                (repeatable, retry_after)
            }
            Failure::Undecodable | Failure::Refused => (false, None),
        };
        if !again || attempt >= self.attempts_max {
            return Decision::GiveUp;
        }
        let delay = self.delay(attempt, chance).max(retry_after.unwrap_or_default());
        if elapsed.saturating_add(delay) > self.elapsed_max {
            return Decision::GiveUp;
        }
        Decision::After(delay)
    }

    /// The delay after the `attempt`-th attempt: between half of the exponential one and all of it.
    fn delay(&self, attempt: u32, chance: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let full = self.delay_first.saturating_mul(doubled).min(self.delay_max);
        let half = full / 2;
        let nanos = half.as_nanos().saturating_mul(u128::from(chance)) / u128::from(u32::MAX);
        half.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Refuses what cannot be meant.
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

    /// One row per rule: which requests are repeated after which failure.
    #[test]
    fn who_is_repeated_after_what() {
        let plain = RetryPolicy::default();
        let guarded = RetryPolicy::default().with_guarded_writes();
        let server = Failure::ServerFailed { retry_after: None };
        let busy = Failure::Busy { retry_after: None };
        use Failure::{Lost, NotSent, Refused, Undecodable};
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
                matches!(decision, Decision::After(_)),
                again,
                "{idempotent:?} after {failure:?}, guarded writes: {}",
                policy.guarded_writes
            );
        }
    }

    #[test]
    fn delays_double_and_are_bounded_and_chance_takes_off_up_to_half() {
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
            let after =
                |chance| policy.decide(Idempotent::Yes, Failure::Lost, attempt, Duration::ZERO, chance);
            assert_eq!(after(0), Decision::After(MS(shortest)));
            assert_eq!(after(u32::MAX), Decision::After(MS(longest)));
        }
    }

    #[test]
    fn count_and_time_are_bounded() {
        let policy = RetryPolicy {
            attempts_max: 3,
            elapsed_max: MS(1000),
            delay_first: MS(100),
            delay_max: MS(100),
            guarded_writes: false,
        };
        let decide = |attempt, elapsed| {
            policy.decide(Idempotent::Yes, Failure::NotSent, attempt, MS(elapsed), u32::MAX)
        };
        assert_eq!(decide(2, 0), Decision::After(MS(100)));
        assert_eq!(decide(3, 0), Decision::GiveUp);
        assert_eq!(decide(1, 900), Decision::After(MS(100)));
        assert_eq!(decide(1, 901), Decision::GiveUp);
        let never = RetryPolicy::never();
        let decision = never.decide(Idempotent::Yes, Failure::NotSent, 1, Duration::ZERO, 0);
        assert_eq!(decision, Decision::GiveUp);
    }

    #[test]
    fn the_server_may_ask_for_more_time_but_not_for_more_than_there_is() {
        let policy = RetryPolicy::default();
        let after = |seconds| {
            let failure = Failure::Busy {
                retry_after: Some(Duration::from_secs(seconds)),
            };
            policy.decide(Idempotent::Yes, failure, 1, Duration::ZERO, u32::MAX)
        };
        assert_eq!(after(0), Decision::After(MS(100)));
        assert_eq!(after(20), Decision::After(Duration::from_secs(20)));
        assert_eq!(after(21), Decision::GiveUp);
    }
}
