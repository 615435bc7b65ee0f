//! The payment flow: money moves exactly once on a store that offers nothing but conditional updates of single
//! documents.
//!
//! [`protocol`] is pure: it imports the data model only, and what it needs of time and names is an argument.
//! [`protocol::machine::step`] decides; [`driver`] does; [`service`] answers the cloud functions.

pub mod protocol;

#[cfg(feature = "runtime")]
pub mod audit;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
pub mod driver;
#[cfg(feature = "runtime")]
pub mod gateway;
#[cfg(feature = "runtime")]
pub mod hooks;
#[cfg(feature = "runtime")]
pub mod policy;
#[cfg(feature = "runtime")]
pub mod relocation;
#[cfg(feature = "runtime")]
pub mod schema;
#[cfg(feature = "runtime")]
pub mod service;
#[cfg(feature = "runtime")]
mod sync;
#[cfg(feature = "runtime")]
pub mod worker;

#[cfg(feature = "runtime")]
pub use config::PaymentConfig;
#[cfg(feature = "runtime")]
pub use policy::{AllowAll, PaymentPolicy};
pub use protocol::error::{ProtocolError, Refusal};
pub use protocol::kind::Kind;
pub use protocol::money::{Amount, Balance, Delta};
pub use protocol::names::SchemaNames;
#[cfg(feature = "runtime")]
pub use service::PaymentService;
