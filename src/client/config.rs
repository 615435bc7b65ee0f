//! The checked configuration that all views of one client share.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::client::{RetryPolicy, Transport};
use crate::environment::Environment;

/// Proof of a request that it comes from the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// `X-LC-Sign`: a digest of the time and the key; the key itself is never sent.
    #[default]
    Sign,
    /// `X-LC-Key`: the key itself; the master key with the suffix `,master`.
    Key,
}

/// Configuration of a client, checked by [`ClientBuilder::build`](crate::client::ClientBuilder::build).
pub(super) struct ClientConfig {
    pub(super) base_url: String,
    pub(super) app_id: String,
    pub(super) app_key: SecretString,
    pub(super) master_key: Option<SecretString>,
    pub(super) hook_key: Option<SecretString>,
    pub(super) authentication: Authentication,
    pub(super) production: bool,
    pub(super) timeout: Duration,
    pub(super) retry_policy: RetryPolicy,
    pub(super) guarded_batches: bool,
    pub(super) environment: Environment,
    pub(super) transport: Arc<dyn Transport>,
}
