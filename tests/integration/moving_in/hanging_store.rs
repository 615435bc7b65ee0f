//! A store that hangs at a chosen write, as the store of a killed worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use paylog::store::{Store, StoreWrapper, Write, WriteOutcome};
use tokio::sync::Notify;

/// Forwards the first writing calls, and never returns from a later one.
#[derive(Debug)]
pub(super) struct HangingStore {
    inner: Arc<dyn Store>,
    left: AtomicI64,
    reached: Notify,
}

impl HangingStore {
    pub(super) fn new(inner: Arc<dyn Store>, calls: i64) -> Self {
        Self {
            inner,
            left: AtomicI64::new(calls),
            reached: Notify::new(),
        }
    }

    /// Waits until the first call that hangs.
    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    async fn pass(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl StoreWrapper for HangingStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.pass().await;
        self.inner.write(write).await
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.pass().await;
        self.inner.batch(writes).await
    }

    fn is_atomic(&self) -> bool {
        false
    }
}
