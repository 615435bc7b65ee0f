//! One HTTP/1.1 connection to the server under test, with as little around it as possible.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::credentials::Credentials;
use crate::telemetry::counters::Counted;

/// The server under test and the headers that open it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: String,
    client: HeaderMap,
    master: HeaderMap,
}

/// Who a request is from.
#[derive(Clone, Debug)]
pub(super) enum As<'a> {
    /// A program with the app key.
    Client,
    /// A user, by the headers of [`Target::session`].
    User(&'a HeaderMap),
    /// The operator.
    Master,
}

impl Target {
    pub(super) fn new(host: &str, port: u16, credentials: &Credentials) -> Result<Self> {
        let address = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let mut client = HeaderMap::new();
        client.insert(HOST, HeaderValue::from_str(&address)?);
        client.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        client.insert("x-lc-id", HeaderValue::from_str(&credentials.app_id)?);
        let mut master = client.clone();
        let master_key = credentials
            .master_key
            .as_ref()
            .context("the master key is missing")?;
        let with_mark = format!("{},master", master_key.expose_secret());
        master.insert("x-lc-key", HeaderValue::from_str(&with_mark)?);
        client.insert(
            "x-lc-key",
            HeaderValue::from_str(credentials.app_key.expose_secret())?,
        );
        Ok(Self {
            address,
            client,
            master,
        })
    }

    /// The headers of a user's requests.
    pub(super) fn session(&self, token: &str) -> Result<HeaderMap> {
        let mut headers = self.client.clone();
        headers.insert("x-lc-session", HeaderValue::from_str(token)?);
        Ok(headers)
    }

    /// Opens a connection. It must be used from the runtime that opened it.
    pub(super) async fn connect(&self) -> Result<Connection<'_>> {
        let stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("no connection to {}", self.address))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Its end shows in the next request.
            let _ = connection.await;
        });
        Ok(Connection { target: self, sender })
    }

    /// The server's counters.
    pub(super) async fn counters(&self) -> Result<Counted> {
        let mut connection = self.connect().await?;
        let answer = connection
            .ask(Method::GET, "/health", As::Master, Bytes::new())
            .await?;
        serde_json::from_value(answer.get("counters").cloned().unwrap_or_default())
            .context("/health shows no counters")
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    target: &'a Target,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection<'_> {
    /// Sends a request and reads the answer to its end.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        from: As<'_>,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let headers = match from {
            As::Client => &self.target.client,
            As::User(headers) => headers,
            As::Master => &self.target.master,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse()?;
        *request.headers_mut() = headers.clone();
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// Sends a request and reads the answer as JSON.
    ///
    /// # Errors
    /// No answer, or one that is no success; its text is in the error.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        from: As<'_>,
        body: Bytes,
    ) -> Result<Value> {
        let (status, bytes) = self.send(method, path, from, body).await?;
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Calls a cloud function and answers its result.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn call(&mut self, function: &str, from: As<'_>, parameters: &Value) -> Result<Value> {
        let path = format!("/1.1/functions/{function}");
        let body = Bytes::from(serde_json::to_vec(parameters)?);
        let mut answer = self.ask(Method::POST, &path, from, body).await?;
        Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
    }
}
