//! `cancelPayment`, internal: cancels a payment whose money is not secured. `returned` writes off money that arrived with
//! another amount than was requested and was given back at the gateway.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::AdminReport;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct CancelPayment {
    log: ObjectId,
    reason: Option<String>,
    #[serde(default)]
    returned: bool,
}

pub(crate) async fn cancel_payment(
    Params(asked): Params<CancelPayment>,
    State(payments): State<PaymentService>,
) -> Result<AdminReport, CloudError> {
    payments
        .cancel_payment(&asked.log, asked.reason.as_deref(), asked.returned)
        .await
}
