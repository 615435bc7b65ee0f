//! `withdraw`: holds money until it is paid out. `settleWithdraw` records the result.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Channel, Receipt};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Withdraw {
    #[serde(default)]
    amount: Value,
    channel: Channel,
    /// The receiver, as the channel knows them.
    payee: String,
    key: CallerKey,
}

pub(crate) async fn withdraw(
    Params(asked): Params<Withdraw>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments
        .withdraw(user.id(), &asked.amount, asked.channel, &asked.payee, &asked.key)
        .await
}
