//! A store whose caller dies at a chosen write.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use paylog::store::{Store, StoreWrapper, Write, WriteOutcome};
use tokio::sync::Notify;

/// Lets so many calls that write through, and never answers another.
#[derive(Debug)]
pub(super) struct CutStore {
    inner: Arc<dyn Store>,
    left: AtomicI64,
    reached: Notify,
}

impl CutStore {
    pub(super) fn new(inner: Arc<dyn Store>, calls: i64) -> Self {
        Self {
            inner,
            left: AtomicI64::new(calls),
            reached: Notify::new(),
        }
    }

    /// Waits until the call after the last that goes through.
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

impl StoreWrapper for CutStore {
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
