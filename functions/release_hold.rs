//! `releaseHold`, internal: releases a hold.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Receipt};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct ReleaseHold {
    /// Id of the hold's log.
    hold: ObjectId,
    key: CallerKey,
}

pub(crate) async fn release_hold(
    Params(asked): Params<ReleaseHold>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments.release_hold(&asked.hold, &asked.key).await
}
