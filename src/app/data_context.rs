//! The data that a command works on, and the settings to open them with.

use crate::config::{Backend, Variables};
use crate::environment::Environment;
use crate::payment::PaymentConfig;

/// A backend, with the settings of the payments in it.
pub(crate) struct DataContext {
    /// Location of the data.
    pub(crate) backend: Backend,
    pub(crate) payments: PaymentConfig,
    /// Variables of the process, which may hold keys.
    pub(crate) variables: Variables,
    pub(crate) environment: Environment,
}
