//! The hooks that run, and the bounds of how many.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use crate::model::CloudError;

/// After hooks that may run at the same time. A write whose hook gets no permit waits for one, so that a flood of writes
/// does not pile up hooks without end.
const AFTER_HOOKS_MAX: usize = 1024;

/// Time that a write waits for the permit of its after hook. After hooks end within three seconds, so that one comes free
/// by then, unless the hooks themselves wait for permits: then this hook is given up.
const AFTER_HOOK_TIMEOUT: Duration = Duration::from_secs(4);

/// Before hooks that may run at the same time for writes of unknown depth: of another app's engine, which shows the hook
/// key and does not send its depth ([`hook_depth::HEADER`](crate::environment::hook_depth::HEADER)). The official SDKs
/// never send it. A write inside of a before hook waits for the hook that it makes run; so a circle of hooks takes one
/// permit each round, and ends when there are none left.
const UNKNOWN_DEPTH_MAX: usize = 256;

/// Time that such a write waits for a permit: some come free after a burst, none in a circle.
const UNKNOWN_DEPTH_TIMEOUT: Duration = Duration::from_secs(1);

/// The running hooks of a server.
pub(super) struct RunningHooks {
    /// The after hooks.
    pub(super) tasks: TaskTracker,
    after: Arc<Semaphore>,
    unknown_depth: Semaphore,
}

impl Default for RunningHooks {
    fn default() -> Self {
        Self {
            tasks: TaskTracker::new(),
            after: Arc::new(Semaphore::new(AFTER_HOOKS_MAX)),
            unknown_depth: Semaphore::new(UNKNOWN_DEPTH_MAX),
        }
    }
}

impl RunningHooks {
    /// Waits for the permit of an after hook; `None` after four seconds.
    pub(super) async fn after_permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.after).acquire_owned();
        let permit = tokio::time::timeout(AFTER_HOOK_TIMEOUT, permit).await;
        permit.ok()?.ok()
    }

    /// Waits for the permit of a before hook of unknown depth.
    ///
    /// # Errors
    /// Code 1 after a second: hooks that call each other hold all permits.
    pub(super) async fn unknown_depth_permit(&self) -> Result<SemaphorePermit<'_>, CloudError> {
        match tokio::time::timeout(UNKNOWN_DEPTH_TIMEOUT, self.unknown_depth.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(CloudError::other(format!(
                "{UNKNOWN_DEPTH_MAX} before hooks wait for each other: a save inside of a hook ignores hooks with \
                 __ignore_hooks."
            ))),
        }
    }

    /// Waits for the running after hooks.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
