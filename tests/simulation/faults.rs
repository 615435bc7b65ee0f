//! What may go wrong, and how often.

use crate::rng::Chance;

/// How often what goes wrong, in thousandths of all calls of the store unless said otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A request never arrives.
    pub(crate) request_lost: u16,
    /// It takes effect, and its answer never arrives.
    pub(crate) response_lost: u16,
    /// It is answered, and arrives a second time later.
    pub(crate) duplicate: u16,
    /// It has no answer, and arrives later.
    pub(crate) delayed: u16,
    /// It is answered with some error that says nothing.
    pub(crate) rejected: u16,
    /// A read is not answered.
    pub(crate) read_lost: u16,
    /// A read answers what was there some writes ago.
    pub(crate) stale: u16,
    /// The way to the store, or back, takes long.
    pub(crate) slow: u16,
    /// The worker that calls dies: before, after, or with its request under way.
    pub(crate) worker_dies: u16,
    /// So does its whole process.
    pub(crate) process_dies: u16,
    /// Of the moments at which it could, how often a wall clock jumps.
    pub(crate) clock_jumps: u16,
    /// Of the calls of `afterPayment`, how many fail.
    pub(crate) telling_fails: u16,
    /// Of the payments that it is asked about, how many the app's policy refuses.
    pub(crate) policy_refuses: u16,
}

impl Faults {
    /// Some kinds of faults, each often or rarely. That not all are always there lets each have its own worst effects.
    pub(crate) fn drawn(chance: &Chance) -> Self {
        let rate = |most: u64| -> u16 {
            match chance.below(3) {
                0 => 0,
                1 => u16::try_from(chance.between(1, 1 + most / 4)).unwrap(),
                _ => u16::try_from(chance.between(1, most)).unwrap(),
            }
        };
        Self {
            request_lost: rate(120),
            response_lost: rate(120),
            duplicate: rate(200),
            delayed: rate(120),
            rejected: rate(60),
            read_lost: rate(80),
            stale: rate(250),
            slow: rate(100),
            worker_dies: rate(25),
            process_dies: rate(8),
            clock_jumps: rate(500),
            telling_fails: rate(300),
            policy_refuses: rate(200),
        }
    }
}
