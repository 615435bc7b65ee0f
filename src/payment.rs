//! The payment flow: money moves exactly once on a store that offers nothing but conditional updates of single
//! documents.
//!
//! All but [`driver`], and what is built on it, is pure: it imports the data model only, and what it needs of time and
//! names is an argument. [`machine::step`] decides; [`driver`] does; [`service`] answers the cloud functions.

#[cfg(feature = "runtime")]
pub mod audit;
pub mod config;
#[cfg(feature = "runtime")]
pub mod driver;
pub mod effect;
pub mod error;
#[cfg(feature = "runtime")]
pub mod gateway;
pub mod hooks;
pub mod invariant;
pub mod kind;
pub mod leg;
pub mod log;
pub mod machine;
pub mod mark;
pub mod money;
pub mod moving;
pub mod order;
#[cfg(feature = "runtime")]
pub mod policy;
pub mod prune;
pub mod recovery;
#[cfg(feature = "runtime")]
pub mod relocation;
pub mod rules;
#[cfg(feature = "runtime")]
pub mod schema;
#[cfg(feature = "runtime")]
pub mod service;
#[cfg(feature = "runtime")]
pub mod worker;

pub use config::PaymentConfig;
pub use error::{ProtocolError, Refusal};
pub use kind::Kind;
pub use money::{Amount, Balance, Delta};
#[cfg(feature = "runtime")]
pub use policy::{AllowAll, PaymentPolicy};
pub use rules::Rules;
#[cfg(feature = "runtime")]
pub use service::Payments;
