//! What goes on behind the answers: closing, recovery, expiry, pruning. Each at its own pace: none waits for another.
//!
//! Where one of several futures is waited for they are asked in the order written (`biased`), not in one drawn by
//! tokio: a simulation repeats itself.

mod closing;
mod expiry;
mod pruning;
mod recovery;

use futures_util::future;
use tokio_util::sync::CancellationToken;

use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::payment::service::{Payments, lock};

pub(super) use closing::Telling;
pub(super) use pruning::Crowded;
pub use recovery::Recovered;
pub(super) use recovery::Swept;

/// Documents that are read at once.
const PAGE: u32 = 500;

impl Payments {
    /// Runs until `stop`: closes settled payments in shared batches and prunes marks behind them, and every few
    /// seconds takes up open logs and expires orders. One per process; a second one leaves the closing to the first.
    ///
    /// What is under way when `stop` comes is closed before this returns.
    pub async fn run_sweeper(&self, stop: CancellationToken) {
        let closings = lock(&self.0.closings_waiting).take();
        let closer = async {
            if let Some(closings) = closings {
                self.run_closer(closings, &stop).await;
            }
        };
        future::join4(
            closer,
            self.run_sweeps(&stop),
            self.run_expiry(&stop),
            self.run_pruning(&stop),
        )
        .await;
    }

    /// A page of what matches, in the order of the ids (that of creation, nearly), after `last`. Whoever pages on
    /// cannot be kept from newer documents by older ones that get nowhere. `None` where the store does not answer.
    pub(super) async fn page(
        &self,
        class: &ClassName,
        filter: &Filter,
        last: Option<&ObjectId>,
    ) -> Option<Vec<Document>> {
        let filter = filter.clone().after_id(last);
        let query = Query::new(filter).order_by("objectId").limit(PAGE);
        self.0.driver.find(class, &query, self.deadline()).await
    }
}

/// The id to go on from after a full page; `None` after the last one.
pub(super) fn next_page(page: &[Document]) -> Option<ObjectId> {
    let full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
    page.last().filter(|_| full).and_then(Document::object_id)
}
