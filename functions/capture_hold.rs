//! `captureHold`, internal: takes what was held, in part or in full. The rest is released.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt, present_or_null};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct CaptureHold {
    /// The log of the hold.
    hold: ObjectId,
    /// Without it, all that is held.
    #[serde(default, deserialize_with = "present_or_null")]
    amount: Option<Value>,
    /// Whose account is credited. Without it, the money is the app's.
    #[serde(default, deserialize_with = "present_or_null")]
    payee: Option<ObjectId>,
    key: CallerKey,
}

pub(crate) async fn capture_hold(
    Params(asked): Params<CaptureHold>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    let (amount, payee) = (asked.amount.as_ref(), asked.payee.as_ref());
    payments
        .capture_hold(&asked.hold, amount, payee, &asked.key)
        .await
}
