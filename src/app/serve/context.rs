//! The parts and the options that a server is built from.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::{Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::{PaymentConfig, PaymentService};

/// Everything that a server is built from, apart from its backend.
pub(crate) struct ServeContext<'a> {
    pub(crate) app: App<PaymentService>,
    pub(crate) options: ServeOptions,
    pub(crate) keys: Keys,
    pub(crate) payments: PaymentConfig,
    pub(crate) environment: Environment,
    pub(crate) variables: &'a Variables,
}

/// Options of `paylog serve`.
pub(crate) struct ServeOptions {
    /// Address to listen on; `None` is the default of the backend.
    pub(crate) host: Option<IpAddr>,
    /// Port to listen on; 0 takes any free one.
    pub(crate) port: u16,
    /// Address of a LeanEngine app whose functions and hooks are served too.
    pub(crate) engine: Option<String>,
    /// File with the cron jobs; `None` is `cron.yaml`, if it exists.
    pub(crate) cron: Option<PathBuf>,
    /// True if the channel "sandbox" accepts recharges; `None` is true for a folder without a database.
    pub(crate) sandbox: Option<bool>,
    /// True to start although a check says that clients could write money.
    pub(crate) allow_unsafe: bool,
    /// True to take the caller's address from the proxy's headers.
    pub(crate) trust_proxy: bool,
    /// Address of the server as clients know it; `None` is the address that they have called.
    pub(crate) public_url: Option<String>,
    /// Maximum size of an uploaded file, in bytes.
    pub(crate) file_bytes_max: u64,
    /// Maximum number of concurrent requests to the storage API.
    pub(crate) concurrent_requests_max: usize,
    /// Maximum average rate of requests to the storage API; `None` and 0 are unlimited.
    pub(crate) requests_per_second: Option<u32>,
    /// True to log each request to the storage API.
    pub(crate) request_log: bool,
}

impl ServeOptions {
    /// Returns the address to listen on.
    pub(crate) fn host_or(&self, default: IpAddr) -> IpAddr {
        self.host.unwrap_or(default)
    }
}
