//! The client's handle: its views, and the loop that sends a request until the retry policy gives up.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;

use crate::client::config::ClientConfig;
use crate::client::headers::{Caller, MASTER_KEY_MISSING, request_headers};
use crate::client::outcome::SendOutcome;
use crate::client::request::ApiRequest;
use crate::client::response::{AttemptResult, classify};
use crate::client::{AttemptFailure, ClientError, HttpRequest, RetryDecision, TransportError};
use crate::model::CloudError;

/// Failed attempts of one request before the log warns of it.
const ATTEMPTS_QUIET: u32 = 3;

/// A handle to one app on one server, for one user, for no user, or for the master. Cheap to clone; all views share
/// connections and configuration.
///
/// If the future of a write is dropped after it began, the outcome of that write is unknown.
#[derive(Clone)]
pub struct Client {
    pub(super) config: Arc<ClientConfig>,
    pub(super) session_token: Option<SecretString>,
    pub(super) master: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_url", &self.config.base_url)
            .field("app_id", &self.config.app_id)
            .field("master", &self.master)
            .field("session", &self.session_token.is_some())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(config: ClientConfig, session_token: Option<SecretString>) -> Self {
        Self {
            config: Arc::new(config),
            session_token,
            master: false,
        }
    }

    /// Returns a view that acts for the user of that session token. The token is not checked; [`Client::me`] checks
    /// it.
    #[must_use]
    pub fn with_session(&self, token: impl Into<SecretString>) -> Self {
        Self {
            session_token: Some(token.into()),
            ..self.clone()
        }
    }

    /// Returns a view without a user. The token is dropped here and stays valid on the server, which has no log-out;
    /// [`Client::refresh_session_token`] makes it invalid.
    #[must_use]
    pub fn log_out(&self) -> Self {
        Self {
            session_token: None,
            ..self.clone()
        }
    }

    /// Returns a view with the master key, which has every permission.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if no master key is configured.
    pub fn as_master(&self) -> Result<Self, ClientError> {
        if self.config.master_key.is_none() {
            return Err(ClientError::Invalid(MASTER_KEY_MISSING.to_owned()));
        }
        Ok(Self {
            master: true,
            ..self.clone()
        })
    }

    /// True if this view acts for a user.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session_token.is_some()
    }

    /// Sends a request, as often as the policy allows.
    #[tracing::instrument(level = "debug", skip_all, fields(http.method = %request.method, http.path = %request.path))]
    pub(super) async fn send(&self, request: &ApiRequest) -> SendOutcome {
        let environment = &self.config.environment;
        let started = environment.elapsed();
        let mut doubt = None;
        let mut attempt = 1;
        loop {
            let (result, failure) = match self.attempt(request).await {
                Ok(classified) => classified,
                Err(error) => (AttemptResult::Impossible(error), Some(AttemptFailure::Refused)),
            };
            let Some(failure) = failure else {
                return SendOutcome { result, doubt };
            };
            let elapsed = environment.elapsed().saturating_sub(started);
            let random = u32::from_be_bytes(environment.random());
            let decision =
                self.config
                    .retry_policy
                    .decide(request.idempotent, failure, attempt, elapsed, random);
            let RetryDecision::After(delay) = decision else {
                return SendOutcome { result, doubt };
            };
            if let Some(reason) = result.possible_effect() {
                doubt = Some(reason);
            }
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            if attempt < ATTEMPTS_QUIET {
                tracing::debug!(attempt, ?failure, delay_ms, "request failed, retrying");
            } else {
                // Somebody is waiting: say why.
                tracing::warn!(
                    attempt,
                    delay_ms,
                    reason = result.reason(),
                    "request to {} failed, retrying",
                    self.config.base_url
                );
            }
            environment.sleep(delay).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// Signs a request and sends it once.
    ///
    /// # Errors
    /// The reason why the request cannot be sent at all.
    async fn attempt(
        &self,
        request: &ApiRequest,
    ) -> Result<(AttemptResult, Option<AttemptFailure>), CloudError> {
        let body = request.body_text()?;
        let caller = Caller {
            master: self.master || request.master,
            session_token: self.session_token.as_ref(),
        };
        let http_request = HttpRequest {
            method: request.method.clone(),
            url: request.url(&self.config.base_url)?,
            headers: request_headers(&self.config, &caller, body.is_some())?,
            body,
            timeout: self.config.timeout,
        };
        Ok(match self.config.transport.send(http_request).await {
            Ok(response) => classify(&response, self.config.environment.now()),
            Err(TransportError::NeverSent(reason)) => {
                (AttemptResult::NotSent(reason), Some(AttemptFailure::NotSent))
            }
            Err(TransportError::MaybeSent(reason)) => {
                (AttemptResult::Lost(reason), Some(AttemptFailure::Lost))
            }
        })
    }
}
