//! `confirmRecharge`, internal: confirms that a recharge has been paid. In the sandbox the operator plays the gateway.

use paylog::engine::{Params, State};
use paylog::model::{CloudError, Value};
use paylog::payment::service::{Channel, Notice, Receipt};
use paylog::payment::{Amount, PaymentService};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct ConfirmRecharge {
    number: String,
    #[serde(default)]
    amount: Value,
    channel: Channel,
    #[serde(rename = "tradeNo")]
    trade_no: String,
}

pub(crate) async fn confirm_recharge(
    Params(said): Params<ConfirmRecharge>,
    State(payments): State<PaymentService>,
) -> Result<Receipt, CloudError> {
    let notice = Notice {
        number: said.number,
        amount: Amount::from_value(&said.amount)?,
        channel: said.channel,
        trade_no: said.trade_no,
    };
    payments.confirm_recharge(&notice).await
}
