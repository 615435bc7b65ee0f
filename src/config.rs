//! Settings from the environment and the command line: read once, validated at once, and passed on as values.
//!
//! Nothing else in the crate reads the environment. Secrets are `SecretString`s, so that no log shows them.

pub mod backend;
pub mod class_names;
pub mod instance;
pub mod keys;
pub mod variables;

pub use backend::{ApiServer, Backend};
pub use class_names::{ClassNames, LOG_CLASS, ORDER_CLASS};
pub use instance::Instance;
pub use keys::Keys;
pub use variables::{SettingError, Variables};
