//! The server as one value: its database, its settings, its hooks, and the work that outlives a request.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::attempts::LoginAttempts;
use super::config::ServerConfig;
use super::files::PartUploads;
use super::hook_caller::HooksUnderWay;
use super::password::Passwords;
use super::roles::RoleCache;
use super::throttle::Throttle;
use crate::model::Hooks;
use crate::store::Database;

/// A server of LeanCloud's storage API. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub(super) shared: Arc<Shared>,
}

/// What every request works with.
pub(super) struct Shared {
    pub(super) database: Arc<dyn Database>,
    pub(super) config: ServerConfig,
    pub(super) hooks: Option<Arc<dyn Hooks>>,
    pub(super) passwords: Passwords,
    pub(super) login_attempts: LoginAttempts,
    pub(super) roles: RoleCache,
    pub(super) hooks_under_way: HooksUnderWay,
    pub(super) throttle: Throttle,
    pub(super) part_uploads: PartUploads,
    /// Held while a user takes an identity of another platform: of two who want the same one, one is second.
    pub(super) links: Mutex<()>,
    /// Writes that must run to their end although their client has gone.
    pub(super) tasks: TaskTracker,
}

impl Server {
    /// A server over `database`, in which [`set_up`](super::set_up) has been run. With `hooks`, writes call them.
    #[must_use]
    pub fn new(database: Arc<dyn Database>, config: ServerConfig, hooks: Option<Arc<dyn Hooks>>) -> Self {
        let passwords = Passwords::new(config.password_cost, config.password_threads);
        let hooks_under_way = HooksUnderWay::default();
        let throttle = Throttle::new(&config);
        Self {
            shared: Arc::new(Shared {
                database,
                config,
                hooks,
                passwords,
                login_attempts: LoginAttempts::default(),
                roles: RoleCache::default(),
                hooks_under_way,
                throttle,
                part_uploads: PartUploads::default(),
                links: Mutex::default(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Waits for the writes and the after hooks that are under way. To be called once the listener is closed, and
    /// under a deadline: a hook may take its full time.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.hooks_under_way.close().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.shared.config)
            .field("hooks", &self.shared.hooks.is_some())
            .finish_non_exhaustive()
    }
}
