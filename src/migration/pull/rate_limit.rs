//! Limit on the rate of requests to the source.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Environment;

/// Lets requests begin at even intervals, however many wait. An unused interval is not saved up: a quota must not be met
/// with a burst.
#[derive(Debug)]
pub struct RateLimit {
    environment: Environment,
    interval: Duration,
    /// Time at which the next request may begin.
    next: Mutex<Duration>,
}

impl RateLimit {
    /// A limit of `per_second` requests in a second.
    #[must_use]
    pub fn new(environment: Environment, per_second: f64) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or_default();
        Self {
            environment,
            interval,
            next: Mutex::new(Duration::ZERO),
        }
    }

    /// Waits until the next request may begin.
    pub async fn acquire(&self) {
        let wait = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.environment.elapsed();
            let start = (*next).max(now);
            *next = start.saturating_add(self.interval);
            start.saturating_sub(now)
        };
        if !wait.is_zero() {
            self.environment.sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_begin_at_even_intervals() {
        // The measuring clock stands still, so each request waits for all those before it.
        let (environment, _) = Environment::seeded(1, crate::model::Timestamp::EPOCH);
        let limit = RateLimit::new(environment, 4.0);
        for expected in [0, 250, 500, 750] {
            let before = tokio::time::Instant::now();
            limit.acquire().await;
            assert_eq!(before.elapsed().as_millis(), expected);
        }
    }
}
