//! `recharge`: requests a recharge through a channel. Nothing is credited before the channel confirms it.

use paylog::engine::{CurrentUser, Params, State};
use paylog::model::{CloudError, Value};
use paylog::payment::PaymentService;
use paylog::payment::service::{CallerKey, Channel, Receipt};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Recharge {
    #[serde(default)]
    amount: Value,
    channel: Channel,
    key: CallerKey,
}

pub(crate) async fn recharge(
    Params(asked): Params<Recharge>,
    user: CurrentUser,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    payments
        .recharge(user.id(), &asked.amount, asked.channel, &asked.key)
        .await
}
