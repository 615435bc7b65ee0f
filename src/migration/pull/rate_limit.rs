//! How fast a server is asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Environment;

/// Lets requests begin at even intervals, however many there are at a time. What was not used is not saved up: a
/// quota is not to be met with a burst.
#[derive(Debug)]
pub struct RateLimit {
    environment: Environment,
    interval: Duration,
    /// When the next request may begin.
    next: Mutex<Duration>,
}

impl RateLimit {
    /// So many requests in a second at most.
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
    pub async fn turn(&self) {
        let wait = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.environment.elapsed();
            let mine = (*next).max(now);
            *next = mine.saturating_add(self.interval);
            mine.saturating_sub(now)
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
        // The clock that measures stands still, so each turn waits for all those before it.
        let (environment, _) = Environment::seeded(1, crate::model::Timestamp::EPOCH);
        let pace = RateLimit::new(environment, 4.0);
        for expected in [0, 250, 500, 750] {
            let before = tokio::time::Instant::now();
            pace.turn().await;
            assert_eq!(before.elapsed().as_millis(), expected);
        }
    }
}
