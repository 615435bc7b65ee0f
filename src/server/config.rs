//! What a server is started with.

use std::sync::Arc;

use crate::credentials::Credentials;
use crate::environment::Environment;
use crate::model::Filter;
use crate::store::files::FileStore;

/// The settings of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The app's id and keys, which every request must show.
    pub credentials: Credentials,
    /// Clock and chance.
    pub environment: Environment,
    /// What one password hash costs.
    pub password_cost: PasswordCost,
    /// How many passwords are hashed at the same time, each on a thread of its own. At least 1.
    pub password_threads: usize,
    /// Whether a client's first write to a new class makes it. The master key always may.
    pub clients_create_classes: bool,
    /// Whether the client's address is taken from a proxy's headers, and whether it came by TLS.
    pub trust_proxy: bool,
    /// Where the bytes of files are kept; without it nothing can be uploaded.
    pub files: Option<Arc<dyn FileStore>>,
    /// How large an uploaded file may be, in bytes.
    pub file_bytes_max: u64,
    /// The server's address as clients know it, such as `https://api.example.com`: the addresses of files begin with
    /// it. `None` takes what each request was sent to.
    pub public_url: Option<String>,
    /// How many requests to the storage API may be under way at a time (429 beyond); `None` for any number.
    pub concurrent_requests_max: Option<usize>,
    /// How many requests to the storage API there may be in a second, on average (429 beyond); `None` for any number.
    pub requests_per_second: Option<u32>,
    /// The users whom nobody deletes, the master key neither: those who match. It is part of the delete's own condition.
    /// `None` keeps nobody.
    pub protected_users: Option<Filter>,
    /// Whether each request is logged at level `info`; at `debug` it always is.
    pub request_log: bool,
}

impl ServerConfig {
    /// Bytes of an uploaded file, where nothing else is said: 100 MB, so that a few strangers do not fill the disk.
    pub const FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;

    /// Requests under way at a time, where nothing else is said: far more than an app makes, few enough that a flood of
    /// them does not take the memory of all.
    pub const CONCURRENT_REQUESTS_MAX: usize = 4096;

    /// The defaults: standard password cost on half the machine's cores, clients make classes, no proxy, no files.
    #[must_use]
    pub fn new(credentials: Credentials, environment: Environment) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            credentials,
            environment,
            password_cost: PasswordCost::STANDARD,
            // The other half goes on serving requests while a wave of users logs in.
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

/// What one Argon2id hash costs. A stored hash names its own cost, so it can be changed at any time.
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

    /// As cheap as Argon2 allows: for tests, never for passwords of people.
    pub const CHEAPEST: Self = Self {
        memory_kib: 8,
        iterations: 1,
    };
}
