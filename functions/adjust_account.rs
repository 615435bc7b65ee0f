//! `adjustAccount`, internal: adjusts an account by an operator's correction, with a reason.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt, present_or_null};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct AdjustAccount {
    user: ObjectId,
    /// Amount in minor units; negative to take it.
    #[serde(default)]
    amount: Value,
    /// The lowest balance after it, in minor units; 0 if absent.
    #[serde(default, deserialize_with = "present_or_null")]
    floor: Option<Value>,
    reason: String,
    key: CallerKey,
}

pub(crate) async fn adjust_account(
    Params(asked): Params<AdjustAccount>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    let floor = asked.floor.as_ref();
    payments
        .adjust_account_down_to(&asked.user, &asked.amount, floor, &asked.reason, &asked.key)
        .await
}
