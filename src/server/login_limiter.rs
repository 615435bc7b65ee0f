//! Locks out a user after too many wrong passwords.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Environment;
use crate::model::{CloudError, ErrorCode, ObjectId};

/// Wrong passwords after which a user is locked out; LeanCloud's number.
const FAILURES_MAX: u32 = 6;

/// Time for which wrong passwords count, from the first one on; LeanCloud's time.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Users with counted failures. Beyond it, expired counts are dropped first, then any: a cache that evicts by age would
/// release a locked user for certain after so many failures of others.
const USERS_MAX: usize = 10_000;

/// The counts of wrong passwords, in this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct LoginLimiter(Arc<Mutex<HashMap<ObjectId, Failures>>>);

/// One attempt to log in as a user.
pub(super) struct LoginAttempt {
    limiter: LoginLimiter,
    user: ObjectId,
    environment: Environment,
}

impl LoginAttempt {
    /// Checks that the user is not locked out. It is called again when the attempt has its turn, so that of many attempts at
    /// once the waiting ones see the failures before them.
    ///
    /// # Errors
    /// 219.
    pub(super) fn check(&self) -> Result<(), CloudError> {
        self.limiter.check(&self.user, self.environment.elapsed())
    }

    /// Records the result.
    pub(super) fn record(&self, is_right: bool) {
        if is_right {
            self.limiter.succeeded(&self.user);
        } else {
            self.limiter.failed(&self.user, self.environment.elapsed());
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// The time of the first one, on the monotonic clock.
    since: Duration,
}

impl LoginLimiter {
    /// Begins an attempt to log in as this user.
    pub(super) fn attempt(&self, user: ObjectId, environment: &Environment) -> LoginAttempt {
        LoginAttempt {
            limiter: self.clone(),
            user,
            environment: environment.clone(),
        }
    }

    /// Checks that the user is not locked out.
    ///
    /// # Errors
    /// 219.
    fn check(&self, user: &ObjectId, now: Duration) -> Result<(), CloudError> {
        let users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match users.get(user) {
            Some(failures) if failures.count >= FAILURES_MAX && !failures.is_over(now) => {
                Err(CloudError::new(
                    ErrorCode::TOO_MANY_LOGINS,
                    "Too many failed logins: try again later, or reset the password.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    fn failed(&self, user: &ObjectId, now: Duration) {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS_MAX && !users.contains_key(user) {
            users.retain(|_, failures| !failures.is_over(now));
            let any = users.keys().next().filter(|_| users.len() >= USERS_MAX).cloned();
            if let Some(any) = any {
                users.remove(&any);
            }
        }
        let failures = users
            .entry(user.clone())
            .or_insert(Failures { count: 0, since: now });
        if failures.is_over(now) {
            *failures = Failures { count: 0, since: now };
        }
        failures.count = failures.count.saturating_add(1);
    }

    /// Forgets the failures of a user who has logged in.
    fn succeeded(&self, user: &ObjectId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(user);
    }
}

impl Failures {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_locked_for_15_minutes_after_six_failures() {
        let (limiter, tom) = (LoginLimiter::default(), ObjectId::parse("tom").unwrap());
        let minute = |minutes: u64| Duration::from_secs(60 * minutes);
        for minutes in 0..6 {
            assert!(limiter.check(&tom, minute(minutes)).is_ok());
            limiter.failed(&tom, minute(minutes));
        }
        let refused = limiter.check(&tom, minute(14)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::TOO_MANY_LOGINS);
        assert!(
            limiter
                .check(&ObjectId::parse("jerry").unwrap(), minute(14))
                .is_ok()
        );
        assert!(limiter.check(&tom, minute(15)).is_ok());
        // A success ends the next window.
        for _ in 0..6 {
            limiter.failed(&tom, minute(16));
        }
        assert!(limiter.check(&tom, minute(16)).is_err());
        limiter.succeeded(&tom);
        assert!(limiter.check(&tom, minute(16)).is_ok());
    }

    #[test]
    fn counted_users_are_bounded() {
        let limiter = LoginLimiter::default();
        for user in 0..USERS_MAX + 10 {
            limiter.failed(&ObjectId::parse(&format!("u{user}")).unwrap(), Duration::ZERO);
        }
        assert_eq!(limiter.0.lock().unwrap().len(), USERS_MAX);
    }
}
