//! What a server is started with.

use crate::credentials::Credentials;
use crate::environment::Environment;

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
    /// Whether the client's address is taken from a proxy's headers.
    pub trust_proxy: bool,
}

impl ServerConfig {
    /// The defaults: standard password cost on half the machine's cores, clients make classes, no proxy.
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
