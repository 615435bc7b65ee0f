//! `holdFunds`, internal: holds money of a user, to be captured or released.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt, present_or_null};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct HoldFunds {
    user: ObjectId,
    #[serde(default)]
    amount: Value,
    /// Seconds; 7 days if absent.
    #[serde(rename = "expiresIn", default, deserialize_with = "present_or_null")]
    expires_in: Option<Value>,
    key: CallerKey,
}

pub(crate) async fn hold_funds(
    Params(asked): Params<HoldFunds>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments
        .hold_funds(&asked.user, &asked.amount, asked.expires_in.as_ref(), &asked.key)
        .await
}
