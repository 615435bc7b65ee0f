//! The configuration of a client, checked as a whole before the first request.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::client::handle::Shared;
use crate::client::{Client, HttpTransport, RetryPolicy, Transport};
use crate::environment::Environment;

/// How requests prove that they come from the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// `X-LC-Sign`: a digest of the time and the key; the key itself never travels.
    #[default]
    Sign,
    /// `X-LC-Key`: the key itself, `,master` appended to the master key.
    Key,
}

/// A part of the configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client configuration, {field}: {reason}")]
pub struct BuildError {
    /// The builder's method whose value is wrong.
    pub field: &'static str,
    /// What is wrong with it; never holds a secret.
    pub reason: String,
}

impl BuildError {
    pub(super) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self {
            field,
            reason: reason.into(),
        }
    }
}

/// Collects the configuration of a [`Client`].
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

impl ClientBuilder {
    /// Longer than LeanCloud's own limits (10 s for storage, 15 s for a function), so that its answer, which says more
    /// than a time-out here, has a chance to arrive.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(20);
    /// Enough for a lost SYN and its repetition.
    pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
    /// A request that takes longer than this is not waited for by anybody.
    const TIMEOUT_MAX: Duration = Duration::from_secs(600);

    /// The three that every request needs. `server_url` is the origin (and path prefix, where a proxy adds one)
    /// without `/1.1`.
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

    /// Passes every permission; used by [`Client::as_master`] and by the [`Store`](crate::store::Store) alone.
    pub fn master_key(mut self, key: impl Into<SecretString>) -> Self {
        self.master_key = Some(key.into());
        self
    }

    /// Sent with every request, as the official SDKs do; lets internal functions be called and hooks be left out.
    pub fn hook_key(mut self, key: impl Into<SecretString>) -> Self {
        self.hook_key = Some(key.into());
        self
    }

    /// Acts for a user from the start; see [`Client::with_session`].
    pub fn session_token(mut self, token: impl Into<SecretString>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// Signed requests (the default) or plain keys.
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// `X-LC-Prod`: whether functions and hooks of production (the default) or of staging run.
    pub fn production(mut self, production: bool) -> Self {
        self.production = production;
        self
    }

    /// How long one attempt may take, from connecting to the end of the answer; up to 10 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long connecting may take; up to 10 minutes.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Which requests are repeated, and when.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry_policy = policy;
        self
    }

    /// Whether [`Store::batch`](crate::store::Store::batch) may put conditional writes into one request (the default).
    ///
    /// LeanCloud documents `where` for single requests only. In a batch it travels as the element's `params.where`,
    /// the place where a batched query carries it; no page says that updates honour it there. Whoever relies on it
    /// proves it first: a batched update whose condition cannot hold must answer 305. Where it does not, say `false`
    /// here, and conditional writes are sent one after the other.
    pub fn guarded_batches(mut self, allowed: bool) -> Self {
        self.guarded_batches = allowed;
        self
    }

    /// The clock that signs and measures, and the chance of the delays.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Another way to perform exchanges, instead of [`HttpTransport`].
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Checks everything and makes the client. Nothing is sent.
    ///
    /// # Errors
    /// [`BuildError`] naming the first field that is wrong.
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
        let shared = Shared {
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
        Ok(Client::new(shared, self.session_token))
    }
}

/// The URL without a slash at its end, and whether it needs TLS.
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

/// A key must survive in a header, and a comma would part it from its own suffix.
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
