//! The sandbox: test money that the holder of the master key confirms.

use serde_json::json;

use crate::model::Value;
use crate::payment::gateway::channel::Channel;
use crate::payment::protocol::money::Amount;

/// The call that confirms a sandbox recharge: `confirmRecharge`, with the master key and these parameters. `tradeNo`
/// stands for the provider's own number: any text, another one for each payment.
#[must_use]
pub fn pay(number: &str, amount: Amount) -> Value {
    json!({
        "channel": Channel::Sandbox.name(),
        "call": "confirmRecharge",
        "with": "the master key",
        "parameters": {
            "number": number,
            "amount": amount,
            "channel": Channel::Sandbox.name(),
            "tradeNo": format!("sandbox-{number}"),
        },
    })
}
