//! The transport: the seam between the client's decisions (signing, retries, outcomes) and the HTTP library.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};

use crate::client::BuildError;

/// Largest response body in bytes. Above LeanCloud's own limits (6 MB for a list, 16 MB for one object); a broken or
/// hostile server cannot exhaust the memory.
pub(super) const RESPONSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Longest time that an idle connection is kept. Short: if the server closes a connection while a write is sent on it,
/// the outcome of that write is unknown.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// A request as it is sent.
pub struct HttpRequest {
    /// The HTTP method.
    pub method: Method,
    /// The full URL, already encoded.
    pub url: String,
    /// All headers except those that HTTP itself needs; keys and tokens are marked as sensitive.
    pub headers: HeaderMap,
    /// The JSON text, if there is a body.
    pub body: Option<Bytes>,
    /// Time-out of connecting, sending and receiving together.
    pub timeout: Duration,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may contain search terms and the body passwords: neither is shown.
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &url)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// A complete response.
#[derive(Clone)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Failure to get a complete response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No byte of the request was sent: connection refused, name not found, TLS not agreed. A repetition is always safe.
    #[error("the request was not sent: {0}")]
    NeverSent(String),
    /// The request may have reached the server: time-out, lost connection, response cut off or too large.
    #[error("no answer: {0}")]
    MaybeSent(String),
}

/// Sends HTTP requests; never repeats one, never follows a redirect.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends the request and reads the complete response.
    ///
    /// # Errors
    /// [`TransportError::NeverSent`] only if it is certain; otherwise [`TransportError::MaybeSent`].
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError>;
}

/// HTTP over TCP or TLS with a connection pool.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// Makes the pool. With `tls` the machine's certificates are read; without it the machine may have none.
    ///
    /// # Errors
    /// [`BuildError`] if the machine's certificates cannot be read.
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
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let mut sent = self
            .client
            .request(request.method, request.url)
            .headers(request.headers)
            .timeout(request.timeout);
        if let Some(body) = request.body {
            sent = sent.body(body);
        }
        let mut response = sent.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len().saturating_add(chunk.len()) > RESPONSE_BYTES_MAX {
                return Err(TransportError::MaybeSent(format!(
                    "the answer is larger than {RESPONSE_BYTES_MAX} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

/// The `User-Agent` header of the client.
pub(super) fn user_agent() -> &'static str {
    concat!("paylog/", env!("CARGO_PKG_VERSION"))
}

/// The error of a request without a response. It is certainly unsent only if no connection was established.
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

/// The text of an error and its causes; the outermost text alone seldom helps.
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
