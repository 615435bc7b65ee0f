//! The sweeper: runs all background work of a process.

use futures_util::future;
use tokio_util::sync::CancellationToken;

use crate::payment::service::PaymentService;
use crate::payment::sync::lock;

impl PaymentService {
    /// Runs until `stop`: closes settled payments in shared batches, prunes the marks of closed logs, and every few
    /// seconds takes up open logs and expires orders, recharges and holds. One per process; a second one leaves the
    /// closing to the first.
    ///
    /// Closings that are under way at `stop` are finished before this returns.
    pub async fn run_sweeper(&self, stop: CancellationToken) {
        let closings = lock(&self.0.closings_waiting).take();
        let closer = async {
            if let Some(closings) = closings {
                self.0.closer.run(closings, &stop).await;
            }
        };
        future::join4(
            closer,
            self.run_recovery(&stop),
            self.run_expiry(&stop),
            self.0.pruner.run(self.0.closer.closed(), &stop),
        )
        .await;
    }

    /// Prunes the documents that were seen with too many marks. Those that still have too many are pruned later.
    pub async fn prune_queued(&self) {
        self.0.pruner.prune_queued().await;
    }
}
