//! Configuration of the payment flow.

use std::sync::Arc;
use std::time::Duration;

use crate::model::ClassName;
use crate::payment::SchemaNames;
use crate::payment::protocol::{pruning, recovery};

/// Names, limits and intervals of the payment flow.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// Class of accounts. `_User`.
    pub user_class: ClassName,
    /// Class of payment logs. `Log`; another name if the app has such a class already (`PAYLOG_LOG_CLASS`).
    pub log_class: ClassName,
    /// Class of orders. `Order`; another name if the app has such a class already (`PAYLOG_ORDER_CLASS`).
    pub order_class: ClassName,
    /// Class of products. `Product`.
    pub product_class: ClassName,
    /// Field of a user with the spendable balance. `account`.
    pub account_field: String,
    /// Field of a user with the held amount. `frozen`.
    pub frozen_field: String,
    /// True if the `sandbox` channel accepts recharges and withdrawals. It has no provider: the holder of the master key
    /// (or of the hook key), and nobody else, confirms that money has come or gone.
    pub sandbox: bool,
    /// Time-out of one call of the store, after which its outcome counts as unknown. 5 s: a slower store is failing, and
    /// the 15 s of a cloud function must leave room for another attempt.
    pub store_timeout: Duration,
    /// Time for which a cloud function works on a payment before it returns 9010. 12 s: below LeanEngine's 15 s.
    pub deadline: Duration,
    /// Time for which a worker claims a log. 5 s; doubled with each claim, up to a minute.
    pub lease: Duration,
    /// Interval at which the sweeper looks for open logs and expired orders. 3 s.
    pub sweep_every: Duration,
    /// Time for which closings wait for others to share a batch. 10 ms.
    pub closing_delay: Duration,
    /// Number of marks beyond which a document is pruned; `None` while an older program without `payEpoch` still runs.
    pub prune_threshold: Option<usize>,
    /// Time after which an unpaid order expires. 30 minutes.
    pub order_expires: Duration,
    /// Time after which an unpaid recharge is closed; money that arrives later is still credited. 24 hours.
    pub recharge_expires: Duration,
    /// Number of times that recovery takes up a failing log before it marks the log stuck.
    pub claims_max: i64,
}

impl PaymentConfig {
    /// The default names and the defaults above. `sandbox` is off.
    #[must_use]
    pub fn new() -> Self {
        let names = SchemaNames::default();
        Self {
            user_class: names.user_class,
            log_class: names.log_class,
            order_class: names.order_class,
            // A legal name; `_User` stands in for the error that cannot happen.
            product_class: ClassName::parse("Product").unwrap_or_else(|_| ClassName::user()),
            account_field: names.account,
            frozen_field: names.frozen,
            sandbox: false,
            store_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(12),
            lease: Duration::from_secs(5),
            sweep_every: Duration::from_secs(3),
            closing_delay: Duration::from_millis(10),
            prune_threshold: Some(pruning::THRESHOLD),
            order_expires: Duration::from_secs(30 * 60),
            recharge_expires: Duration::from_secs(24 * 60 * 60),
            claims_max: recovery::CLAIMS_MAX,
        }
    }

    /// The names of classes and fields.
    #[must_use]
    pub fn names(&self) -> Arc<SchemaNames> {
        Arc::new(SchemaNames {
            user_class: self.user_class.clone(),
            log_class: self.log_class.clone(),
            order_class: self.order_class.clone(),
            account: self.account_field.clone(),
            frozen: self.frozen_field.clone(),
        })
    }
}

impl Default for PaymentConfig {
    fn default() -> Self {
        Self::new()
    }
}
