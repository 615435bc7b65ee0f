//! Class names of the payment flow. An app changes them if it already has a class of the default name.

use crate::config::variables::{SettingError, Variables};
use crate::model::ClassName;

/// Variable with the name of the class of payment logs.
pub const LOG_CLASS: &str = "PAYLOG_LOG_CLASS";
/// Variable with the name of the class of orders.
pub const ORDER_CLASS: &str = "PAYLOG_ORDER_CLASS";

/// Class names of the payment flow; `None` for the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassNames {
    /// `PAYLOG_LOG_CLASS`, instead of `Log`.
    pub log: Option<ClassName>,
    /// `PAYLOG_ORDER_CLASS`, instead of `Order`.
    pub order: Option<ClassName>,
}

impl ClassNames {
    /// Reads the variables.
    ///
    /// # Errors
    /// An invalid class name.
    pub fn read(variables: &Variables) -> Result<Self, SettingError> {
        let class = |name| {
            let Some(text) = variables.get(name)? else {
                return Ok(None);
            };
            ClassName::parse(text).map(Some).map_err(|error| {
                SettingError::Contradiction(format!("{name} is \"{text}\": {}", error.message))
            })
        };
        Ok(Self {
            log: class(LOG_CLASS)?,
            order: class(ORDER_CLASS)?,
        })
    }
}
