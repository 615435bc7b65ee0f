//! Closing: runs `afterPayment` for a settled payment, then closes its log, in a batch shared with others.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, future};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::payment::driver::Driver;
use crate::payment::protocol::machine::PaymentProcess;
use crate::payment::worker::notifying::Notifier;

/// The most closings in one batch.
const CLOSINGS_MAX: usize = 256;
/// The most runs of `afterPayment` at the same time.
const NOTIFICATIONS_AT_ONCE: usize = 64;

/// Closes settled payments.
pub(in crate::payment) struct Closer {
    driver: Driver,
    environment: Environment,
    /// The time that closings wait for others to share a batch with.
    delay: Duration,
    notifier: Notifier,
    /// Notified when logs have been closed, whose marks can then be pruned.
    closed: Notify,
}

impl Closer {
    pub(in crate::payment) fn new(driver: Driver, environment: Environment, delay: Duration) -> Self {
        Self {
            driver,
            environment,
            delay,
            notifier: Notifier::default(),
            closed: Notify::new(),
        }
    }

    pub(in crate::payment) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Notified when logs have been closed.
    pub(in crate::payment) fn closed(&self) -> &Notify {
        &self.closed
    }

    /// Runs `afterPayment` for the payments that are received, and closes those for which it succeeded. A slow
    /// `afterPayment` delays no other payment.
    pub(in crate::payment) async fn run(
        &self,
        settled: mpsc::Receiver<PaymentProcess>,
        stop: &CancellationToken,
    ) {
        let (sender, notified) = mpsc::channel(CLOSINGS_MAX);
        future::join(
            self.run_notifications(settled, sender, stop),
            self.run_closings(notified, stop),
        )
        .await;
    }

    async fn run_notifications(
        &self,
        mut settled: mpsc::Receiver<PaymentProcess>,
        notified: mpsc::Sender<PaymentProcess>,
        stop: &CancellationToken,
    ) {
        let mut notifying = FuturesUnordered::new();
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                Some(payment) = notifying.next(), if !notifying.is_empty() => {
                    if let Some(payment) = payment {
                        // If the other half has ended, recovery closes it.
                        let _ = notified.send(payment).await;
                    }
                }
                payment = settled.recv(), if is_open && notifying.len() < NOTIFICATIONS_AT_ONCE => match payment {
                    Some(payment) => notifying.push(async move {
                        self.notifier.notify(&payment).await.then_some(payment)
                    }),
                    None => is_open = false,
                },
                () = stop.cancelled(), if is_open && settled.is_empty() => is_open = false,
                else => return,
            }
        }
    }

    /// Collects payments for a moment and closes them in one batch, until no more can come.
    async fn run_closings(&self, mut notified: mpsc::Receiver<PaymentProcess>, stop: &CancellationToken) {
        let mut waiting = Vec::with_capacity(CLOSINGS_MAX);
        loop {
            let received = notified.recv_many(&mut waiting, CLOSINGS_MAX).await;
            if received == 0 {
                return;
            }
            if received < CLOSINGS_MAX && !stop.is_cancelled() {
                self.environment.sleep(self.delay).await;
                while waiting.len() < CLOSINGS_MAX
                    && let Ok(payment) = notified.try_recv()
                {
                    waiting.push(payment);
                }
            }
            self.close_notified(std::mem::take(&mut waiting)).await;
        }
    }

    /// Runs `afterPayment` for a settled payment and closes it. True if it is closed now.
    pub(in crate::payment) async fn close(&self, settled: PaymentProcess) -> bool {
        self.notifier.notify(&settled).await && self.close_notified(vec![settled]).await == 1
    }

    /// Closes payments whose `afterPayment` has run; returns how many. From here on their marks can be pruned.
    async fn close_notified(&self, notified: Vec<PaymentProcess>) -> usize {
        let closed = self.driver.close(notified).await.unwrap_or_else(|error| {
            tracing::error!("closing payments: {error}");
            0
        });
        if closed > 0 {
            self.closed.notify_one();
        }
        closed
    }
}
