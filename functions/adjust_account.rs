//! `adjustAccount`, internal: an operator's correction of an account, with a reason.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt, present_or_null};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct AdjustAccount {
    user: ObjectId,
    /// Below 0 to take as much.
    #[serde(default)]
    amount: Value,
    /// How low the balance may fall; 0 without it.
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
