//! Chance and time, from one seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use paylog::environment::{Clock, Entropy, Environment};
use paylog::model::Timestamp;

/// A small generator (SplitMix64). Clones share its state; the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Chance(Arc<AtomicU64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(mixed(seed ^ 0x5eed))))
    }

    /// Another generator, for a purpose of its own: what it draws changes nothing here.
    pub(crate) fn fork(&self, purpose: u64) -> Self {
        let state = self.0.load(Ordering::Relaxed);
        Self(Arc::new(AtomicU64::new(mixed(
            state ^ mixed(purpose.wrapping_add(1)),
        ))))
    }

    pub(crate) fn draw(&self) -> u64 {
        mixed(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }

    /// 0 to `end` − 1.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// `from` to `to`, both included.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True in `of` of a thousand cases.
    pub(crate) fn happens(&self, of: u16) -> bool {
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

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// One machine's clocks: the wall clock may be wrong, the other one is tokio's, which is paused and moves on by
/// itself when nobody has anything left to do.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    began: tokio::time::Instant,
    wrong_by_millis: Arc<AtomicI64>,
}

impl Clocks {
    /// Clocks that are right.
    pub(crate) fn right(began: tokio::time::Instant) -> Self {
        Self {
            began,
            wrong_by_millis: Arc::default(),
        }
    }

    /// The same time on a clock of its own.
    pub(crate) fn another(&self) -> Self {
        Self::right(self.began)
    }

    /// The wall clock is wrong by this from now on.
    pub(crate) fn jump_to(&self, wrong_by_millis: i64) {
        self.wrong_by_millis.store(wrong_by_millis, Ordering::Relaxed);
    }

    pub(crate) fn environment(&self, chance: Chance) -> Environment {
        Environment::new(Arc::new(self.clone()), Arc::new(chance))
    }
}

impl Clock for Clocks {
    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.elapsed().as_millis()).unwrap();
        let wrong = self.wrong_by_millis.load(Ordering::Relaxed);
        Timestamp::from_millis(1_795_000_000_000 + millis + wrong)
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
