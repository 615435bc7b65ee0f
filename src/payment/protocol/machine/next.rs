//! The machine's answer to an input: the next effect, or the end.

use crate::payment::protocol::effect::Effect;
use crate::payment::protocol::error::ProtocolError;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Perform this effect, and return its result.
    Perform(Effect),
    /// Start over from the epochs, after a pause: then perform this effect, and return its result.
    Restart(RestartReason, Effect),
    /// Every leg is applied and the order shows it: the caller can get its answer. Run `afterPayment`, then give
    /// [`Input::Notified`](crate::payment::protocol::effect::Input::Notified).
    Settled,
    /// This worker has nothing left to do.
    End(End),
}

/// The reason for which a payment starts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RestartReason {
    /// A document was pruned, or nothing stands in the way any more. It does not count as a failure.
    EpochMoved,
    /// Another worker was faster.
    Overtaken,
    /// A read does not show yet what a write has returned.
    NotSeenYet,
    /// A write got no answer.
    NoAnswer,
}

/// The end of a worker's part; the log is
/// [`PaymentProcess::log`](crate::payment::protocol::machine::PaymentProcess::log).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The log is closed: succeeded or failed.
    Closed,
    /// A recharge waits for its gateway.
    AwaitingGateway,
    /// A cancellation came too late: no leg is left that could be refused.
    Secured,
    /// The key belongs to a log with other parameters, or the attempt to another caller.
    KeyTaken,
    /// The recharge is closed as failed, or was paid under another number: the money needs a log of its own.
    Unconfirmable,
    /// The payment cannot go on by itself.
    Stuck(ProtocolError),
    /// A document, or the log, has moved to another store.
    Moved(String),
}
