//! One HTTP exchange: the seam between what is decided here (signing, retries, outcomes) and the HTTP library.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};

use crate::client::BuildError;

/// Bytes of an answer that are read at most: above LeanCloud's own limits (6 MB for a list, 16 MB for one object), so
/// that a broken or hostile server cannot exhaust the memory.
pub(super) const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long an idle connection is kept. Short, because a connection that the server closes while a write is being
/// sent on it leaves the outcome of that write unknown.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// A request as it goes over the wire.
pub struct Exchange {
    /// The HTTP method.
    pub method: Method,
    /// The whole URL, already encoded.
    pub url: String,
    /// Every header but those that HTTP itself needs; keys and tokens are marked as sensitive.
    pub headers: HeaderMap,
    /// The JSON text, where there is one.
    pub body: Option<Bytes>,
    /// How long connecting, sending and receiving may take together.
    pub timeout: Duration,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may hold anything that is searched for, the body passwords: neither is shown.
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Exchange")
            .field("method", &self.method)
            .field("url", &url)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What a server answered, complete.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no complete answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No byte of the request left: connection refused, name not found, TLS not agreed. Sending again is always safe.
    #[error("the request was not sent: {0}")]
    NeverSent(String),
    /// The request may have reached the server: time-out, connection lost, answer cut off or too large.
    #[error("no answer: {0}")]
    MaybeSent(String),
}

/// Performs one HTTP exchange; never repeats it, never follows a redirect.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// [`TransportError::NeverSent`] only where it is certain; otherwise [`TransportError::MaybeSent`].
    async fn exchange(&self, exchange: Exchange) -> Result<Answer, TransportError>;
}

/// HTTP over TCP or TLS, with a pool of connections.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// Makes the pool. `tls` says whether certificates are needed: without it the machine may have none.
    ///
    /// # Errors
    /// Where the machine's certificates cannot be read.
    pub fn new(connect_timeout: Duration, tls: bool) -> Result<Self, BuildError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent())
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(IDLE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy();
        if !tls {
            builder = builder.tls_certs_only(std::iter::empty());
        }
        let client = builder.build().map_err(|error| {
            BuildError::new("server_url", format!("TLS is not available: {}", causes(&error)))
        })?;
        Ok(Self { client })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn exchange(&self, exchange: Exchange) -> Result<Answer, TransportError> {
        let mut request = self
            .client
            .request(exchange.method, exchange.url)
            .headers(exchange.headers)
            .timeout(exchange.timeout);
        if let Some(body) = exchange.body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(TransportError::MaybeSent(format!(
                    "the answer is larger than {ANSWER_BYTES_MAX} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

/// How we introduce ourselves.
pub(super) fn user_agent() -> &'static str {
    concat!("paylog/", env!("CARGO_PKG_VERSION"))
}

/// A request that was not answered: only one whose connection never stood is certainly unsent.
fn failed(error: reqwest::Error) -> TransportError {
    if error.is_connect() || error.is_builder() {
        TransportError::NeverSent(causes(&error.without_url()))
    } else {
        lost(error)
    }
}

fn lost(error: reqwest::Error) -> TransportError {
    let text = if error.is_timeout() {
        "the time-out has passed".to_owned()
    } else {
        causes(&error.without_url())
    };
    TransportError::MaybeSent(text)
}

/// An error and its causes; the outermost text alone seldom says anything.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
