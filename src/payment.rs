//! The payment flow: money moves exactly once on a store that offers nothing but conditional updates of single
//! documents.
//!
//! [`protocol`] is pure: it imports the data model only, and what it needs of time and names is an argument.
//! [`protocol::machine::step`] decides; [`driver`] does; [`service`] answers the cloud functions.

pub mod protocol;

pub mod audit;
pub mod config;
pub mod driver;
pub mod gateway;
pub mod hooks;
pub mod policy;
pub mod relocation;
pub mod schema;
pub mod service;
mod sync;
pub mod worker;

pub use config::PaymentConfig;
pub use policy::{AllowAll, PaymentPolicy};
pub use protocol::error::{ProtocolError, Refusal};
pub use protocol::kind::Kind;
pub use protocol::money::{Amount, Balance, Delta};
pub use protocol::names::SchemaNames;
pub use service::PaymentService;
