//! Notification: runs the app's `afterPayment` for payments that have succeeded, at least once for each.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::model::{CloudError, ObjectId};
use crate::payment::Kind;
use crate::payment::protocol::machine::PaymentProcess;
use crate::payment::service::Receipt;
use crate::payment::sync::lock;

/// The longest run of `afterPayment`: LeanEngine's limit for a function. A longer one is given up, and repeated later.
const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(15);

/// The function that runs after a payment has succeeded.
pub type AfterPayment =
    Arc<dyn Fn(Receipt) -> Pin<Box<dyn Future<Output = Result<(), CloudError>> + Send>> + Send + Sync>;

/// Runs `afterPayment`.
#[derive(Default)]
pub(in crate::payment) struct Notifier {
    hook: OnceLock<AfterPayment>,
    in_flight: InFlightNotifications,
}

impl Notifier {
    /// Sets the function. Later calls change nothing.
    pub(in crate::payment) fn set_hook(&self, hook: AfterPayment) {
        let _ = self.hook.set(hook);
    }

    /// Runs `afterPayment` for a payment that has succeeded; a cancelled order is not one. True if the log can be closed.
    /// If `afterPayment` fails, the log stays open and recovery repeats it, less and less often.
    pub(in crate::payment) async fn notify(&self, payment: &PaymentProcess) -> bool {
        let (Some(hook), Some(log)) = (self.hook.get(), payment.log()) else {
            return true;
        };
        if log.failed() || log.intent.kind == Kind::Cancel {
            return true;
        }
        // Two runs for one payment at the same time would both find that nothing was granted yet.
        let Some(_guard) = self.in_flight.begin(&log.id) else {
            return false;
        };
        match tokio::time::timeout(NOTIFICATION_TIMEOUT, hook(Receipt::of(log))).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(payment.id = log.id.as_str(), "afterPayment: {error}");
                false
            }
            Err(_) => {
                tracing::warn!(
                    payment.id = log.id.as_str(),
                    "afterPayment did not finish within {} s",
                    NOTIFICATION_TIMEOUT.as_secs()
                );
                false
            }
        }
    }
}

/// The logs for which `afterPayment` is running in this process.
#[derive(Debug, Default)]
struct InFlightNotifications(Mutex<BTreeSet<ObjectId>>);

impl InFlightNotifications {
    /// `None` if `afterPayment` is running for this log already.
    fn begin(&self, log: &ObjectId) -> Option<NotificationGuard<'_>> {
        lock(&self.0).insert(log.clone()).then(|| NotificationGuard {
            in_flight: self,
            log: log.clone(),
        })
    }
}

/// Removes the log when dropped, so also when its future is dropped.
struct NotificationGuard<'a> {
    in_flight: &'a InFlightNotifications,
    log: ObjectId,
}

impl Drop for NotificationGuard<'_> {
    fn drop(&mut self) {
        lock(&self.in_flight.0).remove(&self.log);
    }
}
