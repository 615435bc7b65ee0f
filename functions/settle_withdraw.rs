//! `settleWithdraw`, internal: settles a withdrawal as paid out or not paid out. In the sandbox the operator plays the
//! gateway.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, ObjectId};
use paylog::payment::PaymentService;
use paylog::payment::service::Receipt;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct SettleWithdraw {
    log: ObjectId,
    succeeded: bool,
}

pub(crate) async fn settle_withdraw(
    Params(said): Params<SettleWithdraw>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments.settle_withdraw(&said.log, said.succeeded).await
}
