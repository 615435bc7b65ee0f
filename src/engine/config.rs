//! What an engine is run with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::credentials::Credentials;
use crate::engine::queue::QueueConfig;
use crate::engine::{RemoteApp, RemoteCaller, Sessions};
use crate::environment::Environment;
use crate::model::HookKind;
use crate::model::limits::BODY_BYTES_MAX;

/// What an engine is run with.
#[derive(Clone)]
pub struct EngineConfig {
    /// The app's id and keys. Without a hook key every hook call over HTTP is refused.
    pub credentials: Credentials,
    /// Clock and chance.
    pub environment: Environment,
    /// Who resolves session tokens.
    pub sessions: Arc<dyn Sessions>,
    /// Whether `Forwarded`, `X-Real-IP`, `X-Forwarded-For` and `X-Request-Id` are believed. True behind a load
    /// balancer that sets them (LeanEngine's does), false where clients connect directly.
    pub trust_proxy: bool,
    /// Who calls the functions that this app does not define; `None` where nobody does.
    pub remote: Option<Arc<dyn RemoteCaller>>,
    /// An app of another language beside this one, to which clients' calls of its functions are passed, and whose class
    /// hooks run too.
    pub remote_app: Option<RemoteApp>,
    /// The queue of this process; `None` where it keeps no tasks.
    pub queue: Option<QueueConfig>,
    /// Time-outs and sizes.
    pub limits: Limits,
}

/// Time-outs and sizes. The defaults are LeanCloud's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the arrival of a function call's head to its answer.
    pub function: Duration,
    /// A before hook.
    pub before_hook: Duration,
    /// Every other hook.
    pub other_hook: Duration,
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Calls that run at a time, those included whose client has been answered with a time-out; more are refused
    /// with 503, before they can exhaust the memory.
    pub calls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            function: Duration::from_secs(15),
            before_hook: Duration::from_secs(10),
            other_hook: Duration::from_secs(3),
            body_bytes_max: BODY_BYTES_MAX,
            calls_max: 10_000,
        }
    }
}

impl Limits {
    /// The time of a class hook.
    pub(crate) fn of_hook(&self, kind: HookKind) -> Duration {
        if kind.is_before() {
            self.before_hook
        } else {
            self.other_hook
        }
    }
}

impl EngineConfig {
    /// The system's clock, no proxy, LeanCloud's limits.
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
