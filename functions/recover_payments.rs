//! `recoverPayments`, internal: recovers open payments. The sweeper does the same every few seconds.

use paylog::engine::{Params, State};
use paylog::model::CloudError;
use paylog::payment::PaymentService;
use paylog::payment::service::RecoveryReport;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct RecoverPayments {
    #[serde(default = "hundred")]
    limit: u32,
}

fn hundred() -> u32 {
    100
}

pub(crate) async fn recover_payments(
    Params(asked): Params<RecoverPayments>,
    State(payments): State<PaymentService>,
) -> Result<RecoveryReport, CloudError> {
    payments.recover_payments(asked.limit).await
}
