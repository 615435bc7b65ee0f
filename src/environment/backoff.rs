//! Exponential back-off.

use std::time::Duration;

use crate::environment::Environment;

/// Pauses between the tries of a step that gets nowhere: doubled with each try, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses that begin with `min` and never exceed `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    /// The pause after the try number `tries`, counted from 0.
    #[must_use]
    pub fn pause(&self, tries: u32) -> Duration {
        self.min.saturating_mul(1 << tries.min(20)).min(self.max)
    }

    /// As [`Backoff::pause`], of which a random half is kept or taken off: workers that met once do not meet again.
    #[must_use]
    pub fn jittered(&self, tries: u32, environment: &Environment) -> Duration {
        let pause = self.pause(tries);
        let [chance] = environment.random::<1>();
        pause / 2 + pause.mul_f64(f64::from(chance) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
        let millis = [0, 1, 2, 6, 7, u32::MAX].map(|tries| backoff.pause(tries).as_millis());
        assert_eq!(millis, [5, 10, 20, 320, 500, 500]);
    }

    #[test]
    fn jitter_keeps_at_least_half_of_the_pause() {
        let (environment, _) = Environment::seeded(1, Timestamp::from_millis(0));
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(100));
        for _ in 0..1000 {
            let pause = backoff.jittered(0, &environment);
            assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
