//! A LeanEngine app in another language, run alongside this one: its definitions, and calls of its functions and hooks
//! over HTTP, with the headers, bodies and time-outs of LeanCloud's platform.

mod discovery;
mod forwarding;
mod hooks;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use secrecy::ExposeSecret;

use crate::credentials::Credentials;
use crate::engine::limits::Limits;
use crate::engine::remote_call::{RemoteCaller, RemoteRequest};
use crate::environment::{Environment, hook_depth};
use crate::model::{CloudError, Document, ErrorCode, Value};

/// Time that an idle connection is kept: less than the five seconds after which Node.js closes it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest response body in bytes.
const RESPONSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The engine of another app. Cheap to clone.
#[derive(Clone)]
pub struct RemoteApp(Arc<Inner>);

struct Inner {
    url: String,
    credentials: Credentials,
    environment: Environment,
    limits: Limits,
    http: reqwest::Client,
    /// Names that the app defines, as in `_ops/metadatas`; `None` until it has been discovered.
    names: RwLock<Option<HashSet<String>>>,
}

impl RemoteApp {
    /// The app at `url`, an origin without a path. Sends nothing: see [`RemoteApp::watch`].
    ///
    /// # Errors
    /// An HTTP client that cannot be built.
    pub fn new(
        url: &str,
        credentials: Credentials,
        environment: Environment,
        limits: Limits,
    ) -> Result<Self, CloudError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("paylog/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy();
        if !url.starts_with("https:") {
            // The machine may have no certificates.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        let http = builder.build().map_err(CloudError::internal)?;
        Ok(Self(Arc::new(Inner {
            url: url.trim_end_matches('/').to_owned(),
            credentials,
            environment,
            limits,
            http,
            names: RwLock::new(None),
        })))
    }

    /// Builds a POST request as the platform sends it, with the app's keys.
    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let Inner {
            http,
            url,
            credentials,
            ..
        } = &*self.0;
        let hook_key = credentials
            .hook_key
            .as_ref()
            .map_or("", ExposeSecret::expose_secret);
        http.post(format!("{url}{path}"))
            .header("x-lc-id", &credentials.app_id)
            .header("x-lc-key", credentials.app_key.expose_secret())
            .header("x-lc-hook-key", hook_key)
            // Official SDKs ignore it; an app written with this library reads it.
            .header(hook_depth::HEADER, hook_depth::current())
    }
}

#[async_trait]
impl RemoteCaller for RemoteApp {
    async fn call(&self, request: RemoteRequest) -> Result<Value, CloudError> {
        let prefix = if request.rpc { "call" } else { "functions" };
        let name = percent_encoding::utf8_percent_encode(&request.name, percent_encoding::NON_ALPHANUMERIC);
        let mut builder = self
            .post(&format!("/1.1/{prefix}/{name}"))
            .timeout(request.timeout)
            .json(&request.params);
        if let Some(token) = &request.session_token {
            builder = builder.header("x-lc-session", token.expose_secret());
        }
        let (status, body) = send(builder).await?;
        if status != 200 {
            return Err(parse_error(status, &body));
        }
        let mut body: Document = serde_json::from_slice(&body).map_err(|error| {
            CloudError::internal(format!("the engine app's response is not JSON: {error}"))
        })?;
        Ok(body.shift_remove("result").unwrap_or_default())
    }
}

/// Sends a request and reads the whole response.
async fn send(request: reqwest::RequestBuilder) -> Result<(u16, Bytes), CloudError> {
    let response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    Ok((status, read_response(response).await?))
}

async fn read_response(mut response: reqwest::Response) -> Result<Bytes, CloudError> {
    let mut body = bytes::BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len().saturating_add(chunk.len()) > RESPONSE_BYTES_MAX {
            return Err(CloudError::internal("the engine app's response is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Error of a call without a response: 503, with code 124 for a time-out.
fn unreachable(error: &reqwest::Error) -> CloudError {
    if error.is_timeout() {
        return CloudError::timed_out();
    }
    tracing::debug!(%error, "the engine app could not be reached");
    let text = "The engine app does not respond. Try again later.";
    CloudError::new(ErrorCode::UNAVAILABLE, text)
}

/// Parses the error in a response of the app.
fn parse_error(status: u16, body: &[u8]) -> CloudError {
    match serde_json::from_slice::<CloudError>(body) {
        Ok(error) => error.with_status(status),
        Err(_) => {
            let status = StatusCode::from_u16(status).map_or(StatusCode::BAD_GATEWAY, |status| status);
            CloudError::other(format!("The engine app responded with {status}."))
                .with_status(status.as_u16().max(400))
        }
    }
}

/// Headers with the client's address, as a load balancer sets them.
fn origin_headers(address: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(address) = address {
        let node = if address.contains(':') {
            format!("for=\"[{address}]\"")
        } else {
            format!("for={address}")
        };
        for (name, value) in [("forwarded", node.as_str()), ("x-real-ip", address)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
    headers
}

impl fmt::Debug for RemoteApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteApp").field(&self.0.url).finish()
    }
}
