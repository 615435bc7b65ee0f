//! Failed logins: who guesses a password gets only so many guesses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Environment;
use crate::model::{CloudError, ErrorCode, ObjectId};

/// Failures after which a user cannot log in for a while; LeanCloud's number.
const FAILURES_MAX: u32 = 6;

/// How long failures count, from the first one on; LeanCloud's time.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Users that are remembered. Beyond it those whose time is over are forgotten, then any.
const USERS_MAX: usize = 10_000;

/// The failures of late, in this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct LoginLimiter(Arc<Mutex<HashMap<ObjectId, Failures>>>);

/// One guess at a user's password.
pub(super) struct LoginAttempt {
    limiter: LoginLimiter,
    user: ObjectId,
    environment: Environment,
}

impl LoginAttempt {
    /// Whether the user may try now. Asked again when the guess has its turn: of many that come at once, those that
    /// waited see the failures of those before.
    ///
    /// # Errors
    /// 219.
    pub(super) fn check(&self) -> Result<(), CloudError> {
        self.limiter.check(&self.user, self.environment.elapsed())
    }

    /// Counts what it came to.
    pub(super) fn end(&self, is_right: bool) {
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
    /// When the first one was, on the clock that only moves forwards.
    since: Duration,
}

impl LoginLimiter {
    /// A guess at this user's password.
    pub(super) fn attempt(&self, user: ObjectId, environment: &Environment) -> LoginAttempt {
        LoginAttempt {
            limiter: self.clone(),
            user,
            environment: environment.clone(),
        }
    }

    /// Whether the user may try.
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

    /// Forgets the failures of who has logged in.
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
    fn six_failures_lock_a_user_for_a_quarter_of_an_hour() {
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
        // Another window begins, and a success forgets it.
        for _ in 0..6 {
            limiter.failed(&tom, minute(16));
        }
        assert!(limiter.check(&tom, minute(16)).is_err());
        limiter.succeeded(&tom);
        assert!(limiter.check(&tom, minute(16)).is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limiter = LoginLimiter::default();
        for user in 0..USERS_MAX + 10 {
            limiter.failed(&ObjectId::parse(&format!("u{user}")).unwrap(), Duration::ZERO);
        }
        assert_eq!(limiter.0.lock().unwrap().len(), USERS_MAX);
    }
}
