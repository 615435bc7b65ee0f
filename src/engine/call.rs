//! One call on its way to its handler.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::engine::encode::Encoding;
use crate::engine::router::Engine;
use crate::environment::Environment;
use crate::http::RemoteAddress;
use crate::model::{ClassName, Document};

/// One call of a function or a hook: what the extractors take their values from.
pub struct Call {
    /// Functions: the parameters. Empty for hooks.
    pub params: Document,
    /// The user: whom the session token belongs to (functions), who made the request (hooks).
    pub user: Option<Arc<Document>>,
    /// Hooks: the object.
    pub object: Option<HookPayload>,
    /// `onAuthData`: what the platforms said.
    pub auth_data: Option<Document>,
    /// About the call itself.
    pub meta: Meta,
    pub(crate) engine: Engine,
    /// How the result travels.
    pub(crate) encoding: Encoding,
}

/// The object of a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct HookPayload {
    /// Its class.
    pub class: ClassName,
    /// Its fields.
    pub fields: Document,
    /// Update hooks: the keys that the request changes.
    pub updated_keys: Vec<String>,
}

/// About a call itself. An extractor.
#[derive(Clone)]
pub struct Meta {
    /// The name of the function, or that of the hook in `_ops/metadatas`.
    pub name: Arc<str>,
    /// Stands in every log line about the call, in the answer's `X-Request-Id`, and in the text of an internal error.
    pub request_id: Arc<str>,
    /// The client's address, where it is known.
    pub remote_address: Option<RemoteAddress>,
    /// The raw session token, also where the user is not fetched. In hooks, that of the user who made the request.
    pub session_token: Option<SecretString>,
    /// The caller holds the master key.
    pub master: bool,
    /// `X-LC-Prod`: false for staging.
    pub production: bool,
    /// When the caller is answered with a time-out, on the clock of [`Environment::elapsed`]. The handler is dropped
    /// then, at the point where it waits for something, unless it
    /// [runs on](crate::engine::FunctionOptions::detached).
    pub deadline: Duration,
    pub(crate) environment: Environment,
}

impl Meta {
    /// How long the caller still waits; zero from the deadline on.
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
        // Parameters and objects are private to their users: they never get into a log by way of `Debug`.
        f.debug_struct("Call")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
