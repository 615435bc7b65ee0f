//! Names that an app can change where it has a class of the usual name already.

use crate::config::variables::{SettingError, Variables};
use crate::model::ClassName;

/// The variable with the name of the payments' records.
pub const LOG_CLASS: &str = "PAYLOG_LOG_CLASS";
/// The variable with the name of what is paid for.
pub const ORDER_CLASS: &str = "PAYLOG_ORDER_CLASS";

/// The classes of the payment flow, where they are not the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassNames {
    /// `PAYLOG_LOG_CLASS`, instead of `Log`.
    pub log: Option<ClassName>,
    /// `PAYLOG_ORDER_CLASS`, instead of `Order`.
    pub order: Option<ClassName>,
}

impl ClassNames {
    /// Reads them.
    ///
    /// # Errors
    /// A name that no class can have.
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
