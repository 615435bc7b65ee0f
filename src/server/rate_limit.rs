//! Bounds of the requests of an app: at a time, and per second. Requests beyond are refused at once (429), so that the
//! accepted ones are served.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::ServerConfig;
use crate::model::{CloudError, ErrorCode};

/// Time that requests may come ahead of the rate: the unused part of the last second.
const BURST: Duration = Duration::from_secs(1);

/// The limits of one server.
#[derive(Debug)]
pub(super) struct RateLimit {
    slots: Option<Arc<Semaphore>>,
    rate: Option<Rate>,
}

/// An even rate: each request moves the time up to which requests are paid for.
#[derive(Debug)]
struct Rate {
    interval: Duration,
    paid_until: Mutex<Duration>,
}

/// The permit of a running request. Dropping it frees its slot.
#[derive(Debug)]
pub(super) struct Permit {
    _slot: Option<OwnedSemaphorePermit>,
}

impl RateLimit {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let rate = config.requests_per_second.filter(|rate| *rate > 0);
        Self {
            slots: config
                .concurrent_requests_max
                .map(|slots| Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS)))),
            rate: rate.map(|rate| Rate {
                interval: Duration::from_secs(1) / rate,
                paid_until: Mutex::default(),
            }),
        }
    }

    /// Acquires a permit; `now` is a time of the monotonic clock.
    ///
    /// # Errors
    /// 429.
    pub(super) fn acquire(&self, now: Duration) -> Result<Permit, CloudError> {
        let slot = match &self.slots {
            None => None,
            Some(slots) => match Arc::clone(slots).try_acquire_owned() {
                Ok(slot) => Some(slot),
                Err(_) => return Err(too_many()),
            },
        };
        if let Some(rate) = &self.rate {
            let mut paid_until = rate.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            if *paid_until > now.saturating_add(BURST) {
                return Err(too_many());
            }
            *paid_until = now.max(*paid_until).saturating_add(rate.interval);
        }
        Ok(Permit { _slot: slot })
    }
}

/// 429.
fn too_many() -> CloudError {
    CloudError::new(ErrorCode::TOO_MANY_REQUESTS, "Too many requests.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(slots: Option<usize>, rate: Option<u32>) -> RateLimit {
        RateLimit {
            slots: slots.map(|slots| Arc::new(Semaphore::new(slots))),
            rate: rate.map(|rate| Rate {
                interval: Duration::from_secs(1) / rate,
                paid_until: Mutex::default(),
            }),
        }
    }

    #[test]
    fn dropped_permit_frees_its_slot() {
        let limit = limit(Some(2), None);
        let first = limit.acquire(Duration::ZERO).unwrap();
        let _second = limit.acquire(Duration::ZERO).unwrap();
        assert_eq!(limit.acquire(Duration::ZERO).unwrap_err().status, 429);
        drop(first);
        assert!(limit.acquire(Duration::ZERO).is_ok());
    }

    #[test]
    fn rate_holds_after_a_burst() {
        let limit = limit(None, Some(10));
        let admitted = |from: u64, to: u64| {
            (from..to)
                .filter(|millis| limit.acquire(Duration::from_millis(*millis)).is_ok())
                .count()
        };
        // A second's worth at once, and then ten a second.
        assert_eq!(
            (0..100).filter(|_| limit.acquire(Duration::ZERO).is_ok()).count(),
            11
        );
        assert_eq!(admitted(1, 1001), 10);
        assert_eq!(admitted(1001, 3001), 20);
        // What was not used is kept for one second, not for ten.
        assert_eq!(
            (0..100)
                .filter(|_| limit.acquire(Duration::from_secs(20)).is_ok())
                .count(),
            11
        );
    }
}
