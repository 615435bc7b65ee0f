//! Payment providers: through which channel money comes in, and what a client hands to the provider's SDK.
//!
//! The sandbox is the only one that is built in: it stands for any provider whose word somebody brings who holds the
//! master key. A gateway moves no money here. What it says, once verified, is given to
//! [`PaymentService::confirm_recharge`](crate::payment::PaymentService::confirm_recharge).

pub mod sandbox;

use serde::Deserialize;

use crate::model::{CloudError, ErrorCode, Value};
use crate::payment::Refusal;
use crate::payment::protocol::money::Amount;

/// Through whom money comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Value")]
pub enum Channel {
    /// Test money; the operator plays the provider.
    Sandbox,
    /// WeChat Pay. A name in logs and parameters: no gateway for it is built in, and it is refused (9008).
    Wechat,
    /// Alipay. As [`Channel::Wechat`].
    Alipay,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sandbox, Self::Wechat, Self::Alipay];

    /// The name in parameters and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
        }
    }

    /// Reads a channel that came from outside.
    ///
    /// # Errors
    /// 107.
    pub fn from_value(value: &Value) -> Result<Self, CloudError> {
        let name = value.as_str();
        let found = Self::ALL.into_iter().find(|channel| Some(channel.name()) == name);
        found.ok_or_else(|| {
            CloudError::new(
                ErrorCode::INVALID_JSON,
                "'channel' is one of sandbox, wechat and alipay.",
            )
        })
    }
}

impl TryFrom<Value> for Channel {
    type Error = CloudError;

    fn try_from(value: Value) -> Result<Self, CloudError> {
        Self::from_value(&value)
    }
}

/// What is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gateways {
    /// Whether the sandbox takes recharges.
    pub sandbox: bool,
}

impl Gateways {
    /// What the client hands to the provider's SDK for the recharge `number`.
    ///
    /// # Errors
    /// 9008 for a channel that is off or not built in.
    pub fn pay(&self, channel: Channel, number: &str, amount: Amount) -> Result<Value, Refusal> {
        // The sandbox is the only channel that passes.
        self.configured(channel)?;
        Ok(sandbox::pay(number, amount))
    }

    /// Whether money can be paid out through the channel. In the sandbox the operator plays the provider.
    ///
    /// # Errors
    /// 9008 for a channel that is off or not built in.
    pub fn pays_out(&self, channel: Channel) -> Result<(), Refusal> {
        self.configured(channel)
    }

    fn configured(&self, channel: Channel) -> Result<(), Refusal> {
        match channel {
            Channel::Sandbox if self.sandbox => Ok(()),
            Channel::Sandbox => Err(refused(
                "The sandbox is off: start the embedded server with --sandbox for test money.",
            )),
            Channel::Wechat | Channel::Alipay => Err(refused(&format!(
                "The channel {} is not built in: the only one is sandbox.",
                channel.name()
            ))),
        }
    }
}

fn refused(text: &str) -> Refusal {
    Refusal::new(ErrorCode::GATEWAY_REFUSED, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sandbox_passes_and_nothing_else_is_a_matter_of_configuration() {
        for sandbox in [false, true] {
            let gateways = Gateways { sandbox };
            assert_eq!(gateways.pays_out(Channel::Sandbox).is_ok(), sandbox);
            for channel in [Channel::Wechat, Channel::Alipay] {
                let refused = gateways.pays_out(channel).unwrap_err();
                assert_eq!(refused.code, ErrorCode::GATEWAY_REFUSED);
                let text = &refused.text;
                assert!(
                    text.contains(channel.name()) && text.contains("not built in"),
                    "{text}"
                );
                assert!(!text.contains("configured"), "{text}");
            }
        }
    }
}
