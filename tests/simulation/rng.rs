//! The random generator and the clocks of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use paylog::environment::{Clock, Entropy, Environment};
use paylog::model::Timestamp;

/// A random generator (SplitMix64). Clones share its state. The same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng(Arc<AtomicU64>);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(mix(seed ^ 0x5eed))))
    }

    /// A generator with its own state, for one purpose. Drawing from it does not change this one.
    pub(crate) fn fork(&self, purpose: u64) -> Self {
        let state = self.0.load(Ordering::Relaxed);
        Self(Arc::new(AtomicU64::new(
            mix(state ^ mix(purpose.wrapping_add(1))),
        )))
    }

    pub(crate) fn draw(&self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    /// 0 to `end` − 1.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// `from` to `to`, both included.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True in `of` of 1000 cases.
    pub(crate) fn per_mille(&self, of: u16) -> bool {
        self.below(1000) < u64::from(of)
    }

    pub(crate) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap())).unwrap()
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Entropy for Rng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The clocks of one machine. The wall clock may be wrong. The monotonic clock is tokio's, which is paused and advances
/// by itself when every task waits.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    began: tokio::time::Instant,
    offset_millis: Arc<AtomicI64>,
}

impl Clocks {
    /// Clocks without an offset.
    pub(crate) fn accurate(began: tokio::time::Instant) -> Self {
        Self {
            began,
            offset_millis: Arc::default(),
        }
    }

    /// Clocks of another machine, without an offset, at the same time.
    pub(crate) fn same_time(&self) -> Self {
        Self::accurate(self.began)
    }

    /// Sets the error of the wall clock.
    pub(crate) fn set_offset(&self, offset_millis: i64) {
        self.offset_millis.store(offset_millis, Ordering::Relaxed);
    }

    pub(crate) fn environment(&self, rng: Rng) -> Environment {
        Environment::new(Arc::new(self.clone()), Arc::new(rng))
    }
}

impl Clock for Clocks {
    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.elapsed().as_millis()).unwrap();
        let wrong = self.offset_millis.load(Ordering::Relaxed);
        Timestamp::from_millis(1_795_000_000_000 + millis + wrong)
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
