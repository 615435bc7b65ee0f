//! The server as one value: its database, settings, hooks, and the work that outlives a request.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::config::ServerConfig;
use super::files::PendingUploads;
use super::login_limiter::LoginLimiter;
use super::password::Passwords;
use super::rate_limit::RateLimit;
use super::role_cache::RoleCache;
use super::running_hooks::RunningHooks;
use crate::model::Hooks;
use crate::store::Database;

/// A server of LeanCloud's storage API. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(super) state: Arc<ServerState>,
}

/// The state that all requests share.
pub(super) struct ServerState {
    pub(super) database: Arc<dyn Database>,
    pub(super) config: ServerConfig,
    pub(super) hooks: Option<Arc<dyn Hooks>>,
    pub(super) passwords: Passwords,
    pub(super) login_limiter: LoginLimiter,
    pub(super) roles: RoleCache,
    pub(super) running_hooks: RunningHooks,
    pub(super) rate_limit: RateLimit,
    pub(super) pending_uploads: PendingUploads,
    /// Held while a user takes an identity of another platform, so that two users cannot take the same one.
    pub(super) links: Mutex<()>,
    /// Writes that must run to their end even if their client leaves.
    pub(super) tasks: TaskTracker,
}

impl Server {
    /// Makes a server over `database`, in which [`set_up`](super::set_up) has run. Writes call `hooks`, if given.
    #[must_use]
    pub fn new(database: Arc<dyn Database>, config: ServerConfig, hooks: Option<Arc<dyn Hooks>>) -> Self {
        let passwords = Passwords::new(config.password_cost, config.password_threads);
        let running_hooks = RunningHooks::default();
        let rate_limit = RateLimit::new(&config);
        Self {
            state: Arc::new(ServerState {
                database,
                config,
                hooks,
                passwords,
                login_limiter: LoginLimiter::default(),
                roles: RoleCache::default(),
                running_hooks,
                rate_limit,
                pending_uploads: PendingUploads::default(),
                links: Mutex::default(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Waits for running writes and after hooks. The caller closes the listener first, and sets a deadline: a hook may take
    /// its full time.
    pub async fn close(&self) {
        self.state.tasks.close();
        self.state.tasks.wait().await;
        self.state.running_hooks.close().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.state.config)
            .field("hooks", &self.state.hooks.is_some())
            .finish_non_exhaustive()
    }
}
