//! The queue of batches between the reading thread and the importer.

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::migration::import::ImportError;
use crate::model::CloudError;
use crate::store::load::LoadOutcome;

/// A batch that the store is loading.
pub(super) struct PendingBatch {
    pub(super) loaded: BoxFuture<'static, Result<Vec<LoadOutcome>, CloudError>>,
    /// Bytes of the input files in the batch.
    pub(super) bytes: u64,
}

/// The sending end of the queue.
pub(super) type BatchSender = mpsc::Sender<Result<PendingBatch, ImportError>>;
