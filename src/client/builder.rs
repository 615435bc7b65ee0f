//! The builder of a client: the configuration is checked as a whole before the first request.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::client::config::ClientConfig;
use crate::client::{Authentication, BuildError, Client, HttpTransport, RetryPolicy, Transport};
use crate::environment::Environment;

/// Builder of a [`Client`].
///
/// ```no_run
/// use std::time::Duration;
/// use paylog::client::{Client, RetryPolicy};
///
/// # fn example() -> Result<(), paylog::client::BuildError> {
/// let client = Client::builder("https://api.example.com", "app-id", "app-key")
///     .master_key("master-key")
///     .timeout(Duration::from_secs(10))
///     .retry_policy(RetryPolicy::default().with_guarded_writes())
///     .build()?;
/// # let _ = client; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    server_url: String,
    app_id: String,
    app_key: SecretString,
    master_key: Option<SecretString>,
    hook_key: Option<SecretString>,
    session_token: Option<SecretString>,
    authentication: Authentication,
    production: bool,
    timeout: Duration,
    connect_timeout: Duration,
    retry_policy: RetryPolicy,
    guarded_batches: bool,
    environment: Environment,
    transport: Option<Arc<dyn Transport>>,
}

impl Client {
    /// Begins the configuration of a client. See [`ClientBuilder::new`].
    pub fn builder(
        server_url: impl Into<String>,
        app_id: impl Into<String>,
        app_key: impl Into<SecretString>,
    ) -> ClientBuilder {
        ClientBuilder::new(server_url, app_id, app_key)
    }
}

impl ClientBuilder {
    /// Default time-out of one attempt. Longer than LeanCloud's own limits (10 s for storage, 15 s for a function), so
    /// that the server's response, which says more than a time-out here, can arrive.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(20);
    /// Default time-out of connecting. Enough for a lost SYN and its repetition.
    pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
    /// The longest time-out that can be set.
    const TIMEOUT_MAX: Duration = Duration::from_secs(600);

    /// Starts with the three values that every request needs. `server_url` is the origin (with a path prefix if a proxy
    /// adds one), without `/1.1`.
    pub fn new(
        server_url: impl Into<String>,
        app_id: impl Into<String>,
        app_key: impl Into<SecretString>,
    ) -> Self {
        Self {
            server_url: server_url.into(),
            app_id: app_id.into(),
            app_key: app_key.into(),
            master_key: None,
            hook_key: None,
            session_token: None,
            authentication: Authentication::default(),
            production: true,
            timeout: Self::TIMEOUT_DEFAULT,
            connect_timeout: Self::CONNECT_TIMEOUT_DEFAULT,
            retry_policy: RetryPolicy::default(),
            guarded_batches: true,
            environment: Environment::system(),
            transport: None,
        }
    }

    /// Sets the master key, which has every permission. Only [`Client::as_master`] and the
    /// [`Store`](crate::store::Store) use it.
    pub fn master_key(mut self, key: impl Into<SecretString>) -> Self {
        self.master_key = Some(key.into());
        self
    }

    /// Sets the hook key. It is sent with every request, as the official SDKs do; it allows calls of internal functions
    /// and writes without hooks.
    pub fn hook_key(mut self, key: impl Into<SecretString>) -> Self {
        self.hook_key = Some(key.into());
        self
    }

    /// Sets the session token of the user that the client acts for; see [`Client::with_session`].
    pub fn session_token(mut self, token: impl Into<SecretString>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// Chooses signed requests (the default) or plain keys.
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Chooses functions and hooks of production (the default) or of staging (`X-LC-Prod`).
    pub fn production(mut self, production: bool) -> Self {
        self.production = production;
        self
    }

    /// Sets the time-out of one attempt, from connecting to the end of the response; up to 10 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time-out of connecting; up to 10 minutes.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the policy that decides which requests are repeated, and when.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry_policy = policy;
        self
    }

    /// Allows [`Store::batch`](crate::store::Store::batch) to put conditional writes into one request (the default).
    ///
    /// LeanCloud documents `where` for single requests only. In a batch it is sent as the element's `params.where`, as
    /// for a batched query; no page says that updates honour it there. Test it before you rely on it: a batched update
    /// whose condition cannot match must return 305. If it does not, pass `false`: conditional writes are then sent as
    /// requests of their own.
    pub fn guarded_batches(mut self, allowed: bool) -> Self {
        self.guarded_batches = allowed;
        self
    }

    /// Sets the clock for signatures and delays, and the source of random numbers.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets the transport that sends requests; [`HttpTransport`] by default.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Checks all values and makes the client. Nothing is sent.
    ///
    /// # Errors
    /// [`BuildError`] that names the first wrong field.
    pub fn build(self) -> Result<Client, BuildError> {
        let (base_url, tls) = check_url(&self.server_url)?;
        check_key("app_id", &self.app_id)?;
        check_key("app_key", self.app_key.expose_secret())?;
        for (field, key) in [
            ("master_key", &self.master_key),
            ("hook_key", &self.hook_key),
            ("session_token", &self.session_token),
        ] {
            if let Some(key) = key {
                check_key(field, key.expose_secret())?;
            }
        }
        check_timeout("timeout", self.timeout)?;
        check_timeout("connect_timeout", self.connect_timeout)?;
        self.retry_policy.check()?;
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::new(self.connect_timeout, tls)?),
        };
        let config = ClientConfig {
            base_url,
            app_id: self.app_id,
            app_key: self.app_key,
            master_key: self.master_key,
            hook_key: self.hook_key,
            authentication: self.authentication,
            production: self.production,
            timeout: self.timeout,
            retry_policy: self.retry_policy,
            guarded_batches: self.guarded_batches,
            environment: self.environment,
            transport,
        };
        Ok(Client::new(config, self.session_token))
    }
}

/// Returns the URL without a trailing slash, and `true` if it needs TLS.
fn check_url(text: &str) -> Result<(String, bool), BuildError> {
    let wrong = |reason: &str| BuildError::new("server_url", reason);
    let url: reqwest::Url = text.parse().map_err(|error| {
        wrong(&format!(
            "not a URL ({error}); give something like https://api.example.com"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("must begin with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must hold neither user name nor password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must hold neither a query nor a fragment"));
    }
    let base = url.as_str().trim_end_matches('/');
    if base.ends_with("/1.1") {
        return Err(wrong("give it without /1.1, which is added to every request"));
    }
    Ok((base.to_owned(), url.scheme() == "https"))
}

/// Checks that a header can hold the key. A comma is not allowed: it separates a key from its suffix `,master`.
fn check_key(field: &'static str, key: &str) -> Result<(), BuildError> {
    if key.is_empty() {
        return Err(BuildError::new(field, "is empty"));
    }
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    if !key.bytes().all(legal) || HeaderValue::from_str(key).is_err() {
        return Err(BuildError::new(
            field,
            "holds a blank, a comma, or a character that is not printable ASCII",
        ));
    }
    Ok(())
}

fn check_timeout(field: &'static str, timeout: Duration) -> Result<(), BuildError> {
    if timeout.is_zero() || timeout > ClientBuilder::TIMEOUT_MAX {
        let reason = format!(
            "is {timeout:?}; give more than zero and at most {:?}",
            ClientBuilder::TIMEOUT_MAX
        );
        return Err(BuildError::new(field, reason));
    }
    Ok(())
}
