//! How the payment flow is set up for an app.

use std::sync::Arc;
use std::time::Duration;

use crate::model::ClassName;
use crate::payment::Rules;
use crate::payment::protocol::{pruning, recovery};

/// Names, limits and intervals of the payment flow.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// Accounts. `_User`.
    pub user_class: ClassName,
    /// The records of payments. `Log`; another name where the app has such a class already (`PAYLOG_LOG_CLASS`).
    pub log_class: ClassName,
    /// What is paid for. `Order`; another name where the app has such a class already (`PAYLOG_ORDER_CLASS`).
    pub order_class: ClassName,
    /// What orders are made from. `Product`.
    pub product_class: ClassName,
    /// The field of a user with the spendable balance. `account`.
    pub account_field: String,
    /// The field of a user with the held amount. `frozen`.
    pub frozen_field: String,
    /// Whether the `sandbox` channel takes recharges and withdrawals. No provider stands behind it: whoever holds the
    /// master key (or the hook key) says that money has come or gone, and nobody else can.
    pub sandbox: bool,
    /// How long one call of the store may take before its outcome counts as unknown. 5 s: a store that needs longer
    /// is in trouble, and the caller's own 15 s must leave room for another attempt.
    pub store_timeout: Duration,
    /// How long a cloud function works on a payment before it answers 9010. 12 s: below LeanEngine's 15 s.
    pub deadline: Duration,
    /// How long a worker asks the others to leave its log alone. 5 s.
    pub lease: Duration,
    /// How often the sweeper looks for open logs and expired orders. 3 s.
    pub sweep_every: Duration,
    /// How long closings wait for others to share a batch with. 10 ms.
    pub closing_delay: Duration,
    /// Marks of a document beyond which it is pruned; `None` where an older program without `payEpoch` still runs.
    pub prune_threshold: Option<usize>,
    /// When an order expires unpaid. 30 minutes.
    pub order_expires: Duration,
    /// When a recharge is given up unpaid; money that arrives later is still credited. 24 hours.
    pub recharge_expires: Duration,
    /// How often recovery takes up a log that keeps failing before it leaves it to an operator.
    pub claims_max: i64,
}

impl PaymentConfig {
    /// LeanCloud's and this package's own names, and the defaults above. `sandbox` is off.
    #[must_use]
    pub fn new() -> Self {
        let names = Rules::default();
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
    pub fn names(&self) -> Arc<Rules> {
        Arc::new(Rules {
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
