//! Phases: the answers that a payment waits for.

use crate::payment::protocol::error::Refusal;
use crate::payment::protocol::order::OrderMark;

/// The answer that the machine waits for. In any phase a missing answer, or an epoch that has moved, starts the run over
/// from [`Phase::ReadingEpochs`]; a document that has moved to another store ends it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Nothing has been asked. The beginning leads to the epochs, or straight to the create of a log that moves no
    /// money yet.
    New,
    /// The epochs are being read; nothing is certain yet. They lead to the create, the commit, the confirmation or the
    /// claim.
    ReadingEpochs,
    /// The log is being created. Success makes it this run's own; 137 leads to the log that holds the key.
    Creating,
    /// Log, legs and mark are being committed at once. Success: all is applied. A refusal leads to a read of the document
    /// that did not match.
    Committing,
    /// The commit had no effect, and the document of this part is being read: it tells if the payment is refused or
    /// started over.
    ReadingAfterCommit(Part),
    /// The record of a refusal is being created; no money has moved. Success ends the payment as failed.
    Declining(Refusal),
    /// As `Declining`, together with the condition that the epoch, under which the requirement was not met, still stands.
    DecliningUnmet(Refusal),
    /// A unique key is taken: the log that holds it is being looked up. The same request is adopted, any other ends here.
    LookingUpKey { declined: bool },
    /// The gateway's number and state 2 are being written into the log of a recharge.
    Confirming,
    /// The confirmation had no effect, and the log is being read: it has this number already, another, or has failed.
    ReadingAfterConfirm,
    /// The log is being claimed. Success returns its state, which is certain, and from which the run goes on.
    Claiming,
    /// The claim or the closing had no effect, and the log is being read: closed, secured, or to be claimed again.
    ReadingLog,
    /// A conditional leg is being sent; those before it are applied. Success leads to the next one.
    Debiting { leg: usize },
    /// The debit had no effect, and its document is being read: applied or refused before, a requirement not met, or
    /// the epoch has moved.
    ReadingAfterDebit { leg: usize },
    /// The tombstone of a conditional leg is being written. Success: the payment fails, and the legs before are reversed.
    Refusing { leg: usize },
    /// The tombstone had no effect, and its document is being read: the leg is applied after all, or refused before.
    ReadingAfterRefusal { leg: usize },
    /// An applied leg is being reversed, after the leg `refused` was refused. Success leads to the leg before.
    Reversing { leg: usize, refused: usize },
    /// The reversal had no effect, and its document is being read: reversed before, or the epoch has moved.
    ReadingAfterReversal { leg: usize, refused: usize },
    /// No leg is applied any more; the log is being closed as failed.
    Failing { refused: usize },
    /// The money is secured; the unconditional legs are being sent.
    Crediting { legs: Vec<usize> },
    /// Credits had no effect, and their documents are being read: each was applied before, or the epoch has moved.
    ReadingAfterCredit { legs: Vec<usize> },
    /// Every leg is applied; the outcome is being written into the log and the mark on the order.
    Recording { log: bool, mark: Option<OrderMark> },
    /// The mark of a refund had no effect; a write without change asks if more is to be refunded.
    ProbingOrder { mark: OrderMark },
    /// The mark had no effect, and the order is being read: it shows the mark, contradicts it, or the epoch has moved.
    ReadingOrder { mark: OrderMark },
    /// Everything is certain that the caller asked for; the app is being notified.
    Settled,
    /// The log is being closed.
    Closing,
    /// This worker's part has ended.
    Ended,
}

/// One write of an all-or-nothing commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The log.
    Log,
    /// The leg at this index.
    Leg(usize),
    /// The mark on the order.
    Mark(OrderMark),
}
