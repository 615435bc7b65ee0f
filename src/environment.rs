//! Clock and randomness, passed as arguments. Code reads the clock, sleeps and draws random numbers only through
//! [`Environment`], so that a simulation controls all of it from one seed.

mod backoff;
pub mod hook_depth;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::{ObjectId, Timestamp};

pub use backoff::Backoff;

/// Source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall-clock time. It may jump forwards and backwards.
    fn now(&self) -> Timestamp;

    /// Returns the time since an arbitrary start. It never goes back; for measurements and deadlines.
    fn elapsed(&self) -> Duration;
}

/// Source of randomness.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with random values. The system's source is fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}

/// Clock and randomness of a component. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    ids: Arc<Ids>,
}

/// Common part and count of the ids made by one process.
struct Ids {
    process: [u8; 5],
    count: AtomicU32,
}

impl Environment {
    /// The system's clock and randomness.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock::default()), Arc::new(SystemEntropy))
    }

    /// A manual clock that starts at `start`, and randomness from `seed`.
    #[must_use]
    pub fn seeded(seed: u64, start: Timestamp) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(start));
        let entropy = SeededEntropy(Mutex::new(StdRng::seed_from_u64(seed)));
        (
            Self::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(entropy)),
            clock,
        )
    }

    /// An environment of the given clock and randomness.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let mut process = [0; 5];
        entropy.fill(&mut process);
        let ids = Arc::new(Ids {
            process,
            count: AtomicU32::new(0),
        });
        Self { clock, entropy, ids }
    }

    /// Returns the wall-clock time; see [`Clock::now`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the time since an arbitrary start; see [`Clock::elapsed`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Waits on tokio's clock, which tests may pause.
    pub async fn sleep(&self, duration: Duration) {
        #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
        tokio::time::sleep(duration).await;
    }

    /// Returns random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Returns a new object id, unique across processes. It is greater than earlier ones as long as the clock does not
    /// go back.
    #[must_use]
    pub fn object_id(&self) -> ObjectId {
        let count = self.ids.count.fetch_add(1, Ordering::Relaxed);
        ObjectId::from_parts(self.now(), self.ids.process, count)
    }

    /// Returns `length` random characters of `0-9a-z`, without bias.
    #[must_use]
    pub fn random_text(&self, length: usize) -> String {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut text = String::with_capacity(length);
        while text.len() < length {
            for byte in self.random::<32>() {
                // 252 = 7 × 36: larger bytes would favour the first letters.
                if byte < 252 && text.len() < length {
                    text.push(char::from(ALPHABET[usize::from(byte % 36)]));
                }
            }
        }
        text
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// The system's clocks.
#[derive(Debug)]
struct SystemClock {
    started: std::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
        let started = std::time::Instant::now();
        Self { started }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
        let now = jiff::Timestamp::now();
        Timestamp::from_millis(now.as_millisecond())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The operating system's generator, reseeded per thread by `rand`.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that draws random numbers"
        )]
        rand::rng().fill_bytes(bytes);
    }
}

/// A clock that moves only by [`ManualClock::advance`].
#[derive(Debug)]
pub struct ManualClock {
    start: Timestamp,
    now_millis: AtomicI64,
}

impl ManualClock {
    /// A clock that starts at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            now_millis: AtomicI64::new(start.as_millis()),
        }
    }

    /// Moves the clock by `millis`; backwards if negative.
    pub fn advance(&self, millis: i64) {
        self.now_millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_millis.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        let millis = self.now().as_millis().saturating_sub(self.start.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

struct SeededEntropy(Mutex<StdRng>);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut generator = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        generator.fill_bytes(bytes);
    }
}
