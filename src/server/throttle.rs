//! How many requests an app may make: at a time, and in a second. Beyond that they are refused at once (429), so that
//! those who got in are served.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::ServerConfig;
use crate::model::{CloudError, ErrorCode};

/// How far requests may come ahead of the rate: what was not used of the last second.
const BURST: Duration = Duration::from_secs(1);

/// The bounds of one server.
#[derive(Debug)]
pub(super) struct Throttle {
    slots: Option<Arc<Semaphore>>,
    rate: Option<Rate>,
}

/// So many a second, evenly: each request moves the time up to which requests are paid for.
#[derive(Debug)]
struct Rate {
    interval: Duration,
    paid_until: Mutex<Duration>,
}

/// A place among the requests under way, given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    _slot: Option<OwnedSemaphorePermit>,
}

impl Throttle {
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

    /// Lets a request in; `now` is a time of the clock that only moves forwards.
    ///
    /// # Errors
    /// 429.
    pub(super) fn admit(&self, now: Duration) -> Result<Admission, CloudError> {
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
        Ok(Admission { _slot: slot })
    }
}

fn too_many() -> CloudError {
    CloudError::new(ErrorCode::TOO_MANY_REQUESTS, "Too many requests.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(slots: Option<usize>, rate: Option<u32>) -> Throttle {
        Throttle {
            slots: slots.map(|slots| Arc::new(Semaphore::new(slots))),
            rate: rate.map(|rate| Rate {
                interval: Duration::from_secs(1) / rate,
                paid_until: Mutex::default(),
            }),
        }
    }

    #[test]
    fn places_are_given_back() {
        let throttle = throttle(Some(2), None);
        let first = throttle.admit(Duration::ZERO).unwrap();
        let _second = throttle.admit(Duration::ZERO).unwrap();
        assert_eq!(throttle.admit(Duration::ZERO).unwrap_err().status, 429);
        drop(first);
        assert!(throttle.admit(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_rate_holds_after_a_burst() {
        let throttle = throttle(None, Some(10));
        let admitted = |from: u64, to: u64| {
            (from..to)
                .filter(|millis| throttle.admit(Duration::from_millis(*millis)).is_ok())
                .count()
        };
        // A second's worth at once, and then ten a second.
        assert_eq!(
            (0..100)
                .filter(|_| throttle.admit(Duration::ZERO).is_ok())
                .count(),
            11
        );
        assert_eq!(admitted(1, 1001), 10);
        assert_eq!(admitted(1001, 3001), 20);
        // What was not used is kept for one second, not for ten.
        assert_eq!(
            (0..100)
                .filter(|_| throttle.admit(Duration::from_secs(20)).is_ok())
                .count(),
            11
        );
    }
}
