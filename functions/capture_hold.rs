//! `captureHold`, internal: captures a hold, in part or in full. The rest is released.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt, present_or_null};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct CaptureHold {
    /// Id of the hold's log.
    hold: ObjectId,
    /// Amount in minor units; all that is held if absent.
    #[serde(default, deserialize_with = "present_or_null")]
    amount: Option<Value>,
    /// The user to be credited; the app keeps the money if absent.
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
