//! Closing: the world is told of a settled payment, then its log is closed, in a batch shared with others.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, future};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::ObjectId;
use crate::payment::Kind;
use crate::payment::protocol::machine::Payment;
use crate::payment::service::{Payments, Receipt, lock};

/// Closings that share one batch, at most.
const CLOSINGS_MAX: usize = 256;
/// Payments that the world is told of at once.
const TELLINGS_AT_ONCE: usize = 64;
/// How long `afterPayment` may take: LeanEngine's limit for a function. Later it is called again.
const TELLING_TIMEOUT: Duration = Duration::from_secs(15);

impl Payments {
    /// Tells the world of settled payments, and closes those that it has been told of: one that takes long holds up
    /// no other.
    pub(super) async fn run_closer(&self, settled: mpsc::Receiver<Payment>, stop: &CancellationToken) {
        let (sender, told) = mpsc::channel(CLOSINGS_MAX);
        future::join(
            self.run_teller(settled, sender, stop),
            self.run_concluder(told, stop),
        )
        .await;
    }

    async fn run_teller(
        &self,
        mut settled: mpsc::Receiver<Payment>,
        told: mpsc::Sender<Payment>,
        stop: &CancellationToken,
    ) {
        let mut telling = FuturesUnordered::new();
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                Some(payment) = telling.next(), if !telling.is_empty() => {
                    if let Some(payment) = payment {
                        // Nobody closes it only where the concluder is gone, and then recovery does.
                        let _ = told.send(payment).await;
                    }
                }
                payment = settled.recv(), if is_open && telling.len() < TELLINGS_AT_ONCE => match payment {
                    Some(payment) => telling.push(async move {
                        self.tell(&payment).await.then_some(payment)
                    }),
                    None => is_open = false,
                },
                () = stop.cancelled(), if is_open && settled.is_empty() => is_open = false,
                else => return,
            }
        }
    }

    /// Collects payments for a moment and closes them in one batch, until no more can come.
    async fn run_concluder(&self, mut told: mpsc::Receiver<Payment>, stop: &CancellationToken) {
        let mut waiting = Vec::with_capacity(CLOSINGS_MAX);
        loop {
            let received = told.recv_many(&mut waiting, CLOSINGS_MAX).await;
            if received == 0 {
                return;
            }
            if received < CLOSINGS_MAX && !stop.is_cancelled() {
                self.0.environment.sleep(self.0.config.closing_delay).await;
                while waiting.len() < CLOSINGS_MAX
                    && let Ok(payment) = told.try_recv()
                {
                    waiting.push(payment);
                }
            }
            self.conclude(std::mem::take(&mut waiting)).await;
        }
    }

    /// Tells the world of a settled payment and closes it; answers whether it is closed now.
    pub(super) async fn close(&self, settled: Payment) -> bool {
        self.tell(&settled).await && self.conclude(vec![settled]).await == 1
    }

    /// Closes payments that the world has been told of, and answers how many. Their marks can be forgotten from here.
    async fn conclude(&self, told: Vec<Payment>) -> usize {
        let closed = self.0.driver.conclude(told).await.unwrap_or_else(|error| {
            tracing::error!("closing payments: {error}");
            0
        });
        if closed > 0 {
            self.0.closed.notify_one();
        }
        closed
    }

    /// Runs `afterPayment` for a payment that has succeeded; a cancelled order is none. Where it fails the log stays
    /// open, and recovery comes back to it later and later.
    async fn tell(&self, payment: &Payment) -> bool {
        let (Some(hook), Some(log)) = (self.0.after_payment.get(), payment.log()) else {
            return true;
        };
        if log.failed() || log.intent.kind == Kind::Cancel {
            return true;
        }
        // Two at once of one payment would be two that see nothing granted yet.
        let Some(_turn) = self.0.telling.begin(&log.id) else {
            return false;
        };
        match tokio::time::timeout(TELLING_TIMEOUT, hook(Receipt::of(log))).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(payment.id = log.id.as_str(), "afterPayment: {error}");
                false
            }
            Err(_) => {
                tracing::warn!(
                    payment.id = log.id.as_str(),
                    "afterPayment: not done after {} s",
                    TELLING_TIMEOUT.as_secs()
                );
                false
            }
        }
    }
}

/// The logs that the world is being told of by this process.
#[derive(Debug, Default)]
pub(in crate::payment) struct Telling(Mutex<BTreeSet<ObjectId>>);

impl Telling {
    /// `None` where somebody is at it.
    fn begin(&self, log: &ObjectId) -> Option<Turn<'_>> {
        lock(&self.0).insert(log.clone()).then(|| Turn {
            telling: self,
            log: log.clone(),
        })
    }
}

/// Ends when dropped, also where its future is.
struct Turn<'a> {
    telling: &'a Telling,
    log: ObjectId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.telling.0).remove(&self.log);
    }
}
