//! Payment gateways: the channels through which money comes in and goes out.
//!
//! Only the sandbox is built in: the holder of the master key plays the provider. A gateway moves no money here. Its
//! notices, once verified, are passed to
//! [`PaymentService::confirm_recharge`](crate::payment::PaymentService::confirm_recharge).

mod channel;
pub mod sandbox;

use crate::model::{ErrorCode, Value};
use crate::payment::Refusal;
use crate::payment::protocol::money::Amount;

pub use channel::Channel;

/// The gateways that are enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gateways {
    /// True if the sandbox is enabled.
    pub sandbox: bool,
}

impl Gateways {
    /// The value that the client passes to the provider's SDK for the recharge `number`.
    ///
    /// # Errors
    /// 9008 for a channel that is off or not built in.
    pub fn pay(&self, channel: Channel, number: &str, amount: Amount) -> Result<Value, Refusal> {
        // The sandbox is the only channel that passes.
        self.configured(channel)?;
        Ok(sandbox::pay(number, amount))
    }

    /// Checks that the channel can pay out. In the sandbox the operator plays the provider.
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
    fn other_channels_than_the_sandbox_are_refused() {
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
