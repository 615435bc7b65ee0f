//! The settings of a server.

use std::sync::Arc;

use crate::credentials::Credentials;
use crate::environment::Environment;
use crate::model::Filter;
use crate::store::files::FileStore;

/// The settings of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The app's id and keys, which every request must have.
    pub credentials: Credentials,
    /// The clock and the source of randomness.
    pub environment: Environment,
    /// The cost of one password hash.
    pub password_cost: PasswordCost,
    /// Passwords hashed at the same time, each on a thread of its own. At least 1.
    pub password_threads: usize,
    /// True if a client's first write to a new class creates it. The master key always may.
    pub clients_create_classes: bool,
    /// True if a proxy's headers tell the client's address and if it came by TLS.
    pub trust_proxy: bool,
    /// The store of the bytes of files; `None` refuses uploads.
    pub files: Option<Arc<dyn FileStore>>,
    /// Size of an uploaded file, in bytes.
    pub file_bytes_max: u64,
    /// The server's address as clients know it, such as `https://api.example.com`, for the addresses of files. `None` takes
    /// the address of each request.
    pub public_url: Option<String>,
    /// Requests to the storage API at a time (429 beyond); `None` for any number.
    pub concurrent_requests_max: Option<usize>,
    /// Requests to the storage API per second, on average (429 beyond); `None` for any number.
    pub requests_per_second: Option<u32>,
    /// A filter for users that cannot be deleted, not even with the master key; part of the condition of each deletion.
    /// `None` protects no user.
    pub protected_users: Option<Filter>,
    /// True if each request is logged at level `info`; level `debug` always logs it.
    pub request_log: bool,
}

impl ServerConfig {
    /// Default size of an uploaded file, in bytes: 100 MB, so that a few strangers do not fill the disk.
    pub const FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;

    /// Default of requests at a time: far more than an app makes, few enough that a flood does not take all memory.
    pub const CONCURRENT_REQUESTS_MAX: usize = 4096;

    /// The defaults: standard password cost on half the machine's cores, clients may create classes, no proxy, no files.
    #[must_use]
    pub fn new(credentials: Credentials, environment: Environment) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            credentials,
            environment,
            password_cost: PasswordCost::STANDARD,
            // The other half serves requests while many users log in.
            password_threads: cores.div_ceil(2),
            clients_create_classes: true,
            trust_proxy: false,
            files: None,
            file_bytes_max: Self::FILE_BYTES_MAX,
            public_url: None,
            concurrent_requests_max: Some(Self::CONCURRENT_REQUESTS_MAX),
            requests_per_second: None,
            protected_users: None,
            request_log: false,
        }
    }
}

/// The cost of one Argon2id hash. A stored hash has its own cost, so that this one can change at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB; at least 8.
    pub memory_kib: u32,
    /// Passes over the memory; at least 1.
    pub iterations: u32,
}

impl PasswordCost {
    /// 19 MiB and two passes: the first of OWASP's equivalent choices for Argon2id with one lane, about 15 ms.
    pub const STANDARD: Self = Self {
        memory_kib: 19 * 1024,
        iterations: 2,
    };

    /// The lowest cost that Argon2 allows: for tests only.
    pub const CHEAPEST: Self = Self {
        memory_kib: 8,
        iterations: 1,
    };
}
