//! `refundOrder`, internal: refunds an order, in part or in full.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt, present_or_null};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct RefundOrder {
    order: ObjectId,
    /// Amount in minor units; all that is left if absent.
    #[serde(default, deserialize_with = "present_or_null")]
    amount: Option<Value>,
    reason: Option<String>,
    key: CallerKey,
}

pub(crate) async fn refund_order(
    Params(asked): Params<RefundOrder>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    let (amount, reason) = (asked.amount.as_ref(), asked.reason.as_deref());
    payments
        .refund_order(&asked.order, amount, reason, &asked.key)
        .await
}
