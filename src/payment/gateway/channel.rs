//! Channels through which money comes in and goes out.

use serde::Deserialize;

use crate::model::{CloudError, ErrorCode, Value};

/// Channel of a recharge or withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Value")]
pub enum Channel {
    /// Test money: the operator plays the provider.
    Sandbox,
    /// WeChat Pay. Only a name in logs and parameters: not built in, and refused (9008).
    Wechat,
    /// Alipay. As [`Channel::Wechat`].
    Alipay,
}

impl Channel {
    /// All channels.
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

    /// Reads a channel from a request.
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
