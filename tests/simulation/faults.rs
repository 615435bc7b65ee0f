//! The faults of a run, and their rates.

use crate::rng::Rng;

/// Rates of faults, in thousandths of all calls of the store unless a field says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A request never arrives.
    pub(crate) request_lost: u16,
    /// A request takes effect, and its response is lost.
    pub(crate) response_lost: u16,
    /// A request is answered, and arrives a second time later.
    pub(crate) duplicate: u16,
    /// A request has no response, and arrives later.
    pub(crate) delayed: u16,
    /// A request is answered with an error that leaves the outcome open.
    pub(crate) rejected: u16,
    /// A read has no response.
    pub(crate) read_lost: u16,
    /// A read returns the state before the last few writes.
    pub(crate) stale: u16,
    /// The way to the store, or back, is slow.
    pub(crate) slow: u16,
    /// The calling worker dies before, during or after the request.
    pub(crate) worker_dies: u16,
    /// The whole process of the calling worker dies.
    pub(crate) process_dies: u16,
    /// A wall clock jumps; of the moments at which it could.
    pub(crate) clock_jumps: u16,
    /// `afterPayment` fails; of its calls.
    pub(crate) notification_fails: u16,
    /// The app's policy refuses a payment; of those that it is asked about.
    pub(crate) policy_refuses: u16,
}

impl Faults {
    /// Draws a rate for each kind of fault, often 0. A kind has its worst effects when others are absent.
    pub(crate) fn drawn(rng: &Rng) -> Self {
        let rate = |most: u64| -> u16 {
            match rng.below(3) {
                0 => 0,
                1 => u16::try_from(rng.between(1, 1 + most / 4)).unwrap(),
                _ => u16::try_from(rng.between(1, most)).unwrap(),
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
            notification_fails: rate(300),
            policy_refuses: rate(200),
        }
    }
}
