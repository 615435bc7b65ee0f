//! The handle that sends requests: signing, attempts, and what came of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use crate::client::answer::{Outcome, Reply, judge};
use crate::client::request::Request;
use crate::client::{
    Authentication, ClientBuilder, ClientError, Decision, Exchange, Failure, Objects, RetryPolicy, Transport,
    TransportError,
};
use crate::credentials;
use crate::environment::{Environment, hook_depth};
use crate::model::{ClassName, CloudError, ErrorCode};

/// A request that fails so often is worth a line in the log.
const ATTEMPTS_QUIET: u32 = 3;

/// What every view of one client has in common.
pub(super) struct Shared {
    pub(super) base_url: String,
    pub(super) app_id: String,
    pub(super) app_key: SecretString,
    pub(super) master_key: Option<SecretString>,
    pub(super) hook_key: Option<SecretString>,
    pub(super) authentication: Authentication,
    pub(super) production: bool,
    pub(super) timeout: Duration,
    pub(super) retry_policy: RetryPolicy,
    pub(super) guarded_batches: bool,
    pub(super) environment: Environment,
    pub(super) transport: Arc<dyn Transport>,
}

/// A handle on one app of one server, for one user, for nobody, or for the master. Cheap to clone; the views share
/// connections and configuration.
///
/// Dropping the future of a write that has begun leaves its outcome unknown.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) session_token: Option<SecretString>,
    pub(super) master: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_url", &self.shared.base_url)
            .field("app_id", &self.shared.app_id)
            .field("master", &self.master)
            .field("session", &self.session_token.is_some())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(shared: Shared, session_token: Option<SecretString>) -> Self {
        Self {
            shared: Arc::new(shared),
            session_token,
            master: false,
        }
    }

    /// Begins the configuration of a client. See [`ClientBuilder::new`].
    pub fn builder(
        server_url: impl Into<String>,
        app_id: impl Into<String>,
        app_key: impl Into<SecretString>,
    ) -> ClientBuilder {
        ClientBuilder::new(server_url, app_id, app_key)
    }

    /// This client, acting for the user of that session token. The token is not checked; [`Client::me`] does.
    #[must_use]
    pub fn with_session(&self, token: impl Into<SecretString>) -> Self {
        Self {
            session_token: Some(token.into()),
            ..self.clone()
        }
    }

    /// This client without a user: the token is dropped here and stays valid on the server, which knows no log-out.
    /// [`Client::refresh_session_token`] makes it invalid.
    #[must_use]
    pub fn log_out(&self) -> Self {
        Self {
            session_token: None,
            ..self.clone()
        }
    }

    /// This client with the master key: every permission is passed.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] where no master key was configured.
    pub fn as_master(&self) -> Result<Self, ClientError> {
        if self.shared.master_key.is_none() {
            return Err(ClientError::Invalid(MASTER_KEY_MISSING.to_owned()));
        }
        Ok(Self {
            master: true,
            ..self.clone()
        })
    }

    /// The objects of a class.
    #[must_use]
    pub fn objects<'a>(&'a self, class: &'a ClassName) -> Objects<'a> {
        Objects { client: self, class }
    }

    /// Whether this view acts for a user.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session_token.is_some()
    }

    /// Sends a request as often as the policy allows.
    #[tracing::instrument(level = "debug", skip_all, fields(http.method = %request.method, http.path = %request.path))]
    pub(super) async fn send(&self, request: &Request) -> Outcome {
        let environment = &self.shared.environment;
        let started = environment.elapsed();
        let mut doubt = None;
        let mut attempt = 1;
        loop {
            let (reply, failure) = match self.attempt(request).await {
                Ok(judged) => judged,
                Err(error) => (Reply::Impossible(error), Some(Failure::Refused)),
            };
            let Some(failure) = failure else {
                return Outcome { reply, doubt };
            };
            let elapsed = environment.elapsed().saturating_sub(started);
            let chance = u32::from_be_bytes(environment.random());
            let decision =
                self.shared
                    .retry_policy
                    .decide(request.idempotent, failure, attempt, elapsed, chance);
            let Decision::After(delay) = decision else {
                return Outcome { reply, doubt };
            };
            if let Some(reason) = reply.open_effect() {
                doubt = Some(reason);
            }
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            if attempt < ATTEMPTS_QUIET {
                tracing::debug!(attempt, ?failure, delay_ms, "a request is sent again");
            } else {
                // Whoever waits is to know what for.
                tracing::warn!(
                    attempt,
                    delay_ms,
                    reason = reply.reason(),
                    "{} does not answer as it should: the request is sent again",
                    self.shared.base_url
                );
            }
            environment.sleep(delay).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// Signs and sends a request once. `Err`: it cannot be sent at all.
    async fn attempt(&self, request: &Request) -> Result<(Reply, Option<Failure>), CloudError> {
        let body = request.body_text()?;
        let exchange = Exchange {
            method: request.method.clone(),
            url: request.url(&self.shared.base_url)?,
            headers: self.headers(request, body.is_some())?,
            body,
            timeout: self.shared.timeout,
        };
        Ok(match self.shared.transport.exchange(exchange).await {
            Ok(answer) => judge(&answer, self.shared.environment.now()),
            Err(TransportError::NeverSent(reason)) => (Reply::NotSent(reason), Some(Failure::NotSent)),
            Err(TransportError::MaybeSent(reason)) => (Reply::Lost(reason), Some(Failure::Lost)),
        })
    }

    fn headers(&self, request: &Request, has_body: bool) -> Result<HeaderMap, CloudError> {
        let shared = &*self.shared;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if has_body {
            let json = HeaderValue::from_static("application/json;charset=UTF-8");
            headers.insert(header::CONTENT_TYPE, json);
        }
        let mut insert = |name: &'static str, value: &str, sensitive: bool| {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                CloudError::other(format!(
                    "The value of {name} holds characters that no header may hold."
                ))
            })?;
            value.set_sensitive(sensitive);
            headers.insert(HeaderName::from_static(name), value);
            Ok::<_, CloudError>(())
        };
        insert("x-lc-id", &shared.app_id, false)?;
        insert("x-lc-prod", if shared.production { "1" } else { "0" }, false)?;
        let master_key = if self.master || request.master {
            let missing = || CloudError::new(ErrorCode::UNAUTHORIZED, MASTER_KEY_MISSING);
            Some(shared.master_key.as_ref().ok_or_else(missing)?)
        } else {
            None
        };
        let now = shared.environment.now();
        match (shared.authentication, master_key) {
            (Authentication::Sign, None) => {
                insert("x-lc-sign", &credentials::sign(&shared.app_key, now), true)?;
            }
            (Authentication::Sign, Some(key)) => {
                insert("x-lc-sign", &credentials::sign_master(key, now), true)?;
            }
            (Authentication::Key, None) => insert("x-lc-key", shared.app_key.expose_secret(), true)?,
            (Authentication::Key, Some(key)) => {
                insert("x-lc-key", &format!("{},master", key.expose_secret()), true)?;
            }
        }
        if let Some(token) = &self.session_token {
            insert("x-lc-session", token.expose_secret(), true)?;
        }
        let depth = hook_depth::current();
        if let Some(key) = &shared.hook_key {
            insert("x-lc-hook-key", key.expose_secret(), true)?;
        }
        // Whoever holds the hook key may be inside of a hook, and says so, or that it is not.
        if depth > 0 || shared.hook_key.is_some() {
            insert(hook_depth::HEADER, &depth.to_string(), false)?;
        }
        Ok(headers)
    }
}

const MASTER_KEY_MISSING: &str = "This needs the master key: give it to ClientBuilder::master_key.";
