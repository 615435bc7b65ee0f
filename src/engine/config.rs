//! Configuration of an engine.

use std::fmt;
use std::sync::Arc;

use crate::credentials::Credentials;
use crate::engine::limits::Limits;
use crate::engine::queue::QueueConfig;
use crate::engine::remote_app::RemoteApp;
use crate::engine::remote_call::RemoteCaller;
use crate::engine::session::Sessions;
use crate::environment::Environment;

/// Configuration of an engine.
#[derive(Clone)]
pub struct EngineConfig {
    /// The app's id and keys. Without a hook key, every hook call over HTTP is refused.
    pub credentials: Credentials,
    /// Clock and randomness.
    pub environment: Environment,
    /// Resolver of session tokens.
    pub sessions: Arc<dyn Sessions>,
    /// True if `Forwarded`, `X-Real-IP`, `X-Forwarded-For` and `X-Request-Id` are trusted. Set it behind a load
    /// balancer that sets these headers (LeanEngine's does), not if clients connect directly.
    pub trust_proxy: bool,
    /// Caller of functions that this app does not define; `None` if there is none.
    pub remote: Option<Arc<dyn RemoteCaller>>,
    /// An app in another language, run alongside this one. Clients' calls of its functions are forwarded to it, and its
    /// class hooks run too.
    pub remote_app: Option<RemoteApp>,
    /// The task queue of this process; `None` if it has no queue.
    pub queue: Option<QueueConfig>,
    /// Time-outs and size limits.
    pub limits: Limits,
}

impl EngineConfig {
    /// A configuration with the system clock, no proxy, and LeanCloud's limits.
    #[must_use]
    pub fn new(credentials: Credentials, sessions: Arc<dyn Sessions>) -> Self {
        Self {
            credentials,
            environment: Environment::system(),
            sessions,
            trust_proxy: false,
            remote: None,
            remote_app: None,
            queue: None,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("credentials", &self.credentials)
            .field("trust_proxy", &self.trust_proxy)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
