//! One call on its way to its handler.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::engine::dispatch::Dispatch;
use crate::engine::encode::Encoding;
use crate::engine::hook_payload::HookPayload;
use crate::environment::Environment;
use crate::http::RemoteAddress;
use crate::model::Document;

/// One call of a function or a hook. Extractors take their values from it.
pub struct Call {
    /// Functions: the parameters. Empty for hooks.
    pub params: Document,
    /// Functions: owner of the session token. Hooks: the user who made the request.
    pub user: Option<Arc<Document>>,
    /// Hooks: the object.
    pub object: Option<HookPayload>,
    /// `onAuthData`: `authData` of the platforms.
    pub auth_data: Option<Document>,
    /// Facts about the call itself.
    pub meta: Meta,
    /// Functions and queue of the engine that runs the call.
    pub(crate) dispatch: Arc<dyn Dispatch>,
    /// Encoding of the result.
    pub(crate) encoding: Encoding,
}

/// Facts about a call itself. An extractor.
#[derive(Clone)]
pub struct Meta {
    /// Name of the function, or of the hook as in `_ops/metadatas`.
    pub name: Arc<str>,
    /// Id of the request. It is in every log line about the call, in the response's `X-Request-Id`, and in the text of
    /// an internal error.
    pub request_id: Arc<str>,
    /// The client's address, if it is known.
    pub remote_address: Option<RemoteAddress>,
    /// The raw session token, even if the user is not fetched. Hooks: that of the user who made the request.
    pub session_token: Option<SecretString>,
    /// True if the caller holds the master key.
    pub master: bool,
    /// `X-LC-Prod`: false for staging.
    pub production: bool,
    /// Time at which the caller gets a time-out, on the clock of [`Environment::elapsed`]. The handler is dropped then,
    /// at its current await point, unless it is [detached](crate::engine::FunctionOptions::detached).
    pub deadline: Duration,
    pub(crate) environment: Environment,
}

impl Meta {
    /// Time left until the deadline; zero afterwards.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.environment.elapsed())
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("name", &self.name)
            .field("request_id", &self.request_id)
            .field("remote_address", &self.remote_address)
            .field("master", &self.master)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parameters and objects are private to their users: `Debug` must not bring them into a log.
        f.debug_struct("Call")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
