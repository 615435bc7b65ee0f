//! One HTTP/1.1 connection to the server under test, written and read by hand: load and server share the machine, so
//! the load must cost little.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use hyper::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::credentials::Credentials;
use crate::telemetry::counters::CounterSnapshot;

/// Maximum number of headers of a response.
const HEADERS_MAX: usize = 32;

/// Buffer space reserved for one read.
const READ_BYTES: usize = 16 * 1024;

/// The server under test, and the headers of each sender.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: String,
    client: Headers,
    master: Headers,
}

/// Constant headers of a request, as they are sent.
#[derive(Clone, Debug)]
pub(crate) struct Headers(String);

impl Headers {
    /// Returns these headers and one more.
    fn with(&self, name: &str, value: &str) -> Result<Self> {
        ensure!(
            !value.contains(|letter: char| letter.is_ascii_control()),
            "the value of {name} cannot be sent in a header"
        );
        Ok(Self(format!("{}{name}: {value}\r\n", self.0)))
    }
}

/// Sender of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender<'a> {
    /// A program with the app key.
    Client,
    /// A user, by the headers of [`Target::session`].
    User(&'a Headers),
    /// The operator.
    Master,
}

impl Target {
    pub(crate) fn new(host: &str, port: u16, credentials: &Credentials) -> Result<Self> {
        let address = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let app = Headers(String::new())
            .with("Host", &address)?
            .with("Content-Type", "application/json")?
            .with("X-LC-Id", &credentials.app_id)?;
        let master_key = credentials
            .master_key
            .as_ref()
            .context("the master key is missing")?;
        let with_mark = format!("{},master", master_key.expose_secret());
        Ok(Self {
            client: app.with("X-LC-Key", credentials.app_key.expose_secret())?,
            master: app.with("X-LC-Key", &with_mark)?,
            address,
        })
    }

    /// The headers of a user's requests.
    pub(crate) fn session(&self, token: &str) -> Result<Headers> {
        self.client.with("X-LC-Session", token)
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection<'_>> {
        let stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("no connection to {}", self.address))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            target: self,
            stream,
            request: Vec::new(),
            received: BytesMut::new(),
        })
    }

    /// The server's counters.
    pub(crate) async fn counters(&self) -> Result<CounterSnapshot> {
        let mut connection = self.connect().await?;
        let answer = connection
            .ask(Method::GET, "/health", Sender::Master, Bytes::new())
            .await?;
        serde_json::from_value(answer.get("counters").cloned().unwrap_or_default())
            .context("/health shows no counters")
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection<'a> {
    target: &'a Target,
    stream: TcpStream,
    request: Vec<u8>,
    received: BytesMut,
}

/// The head of a response.
struct Head {
    status: StatusCode,
    /// Length of the head in bytes; `body` is that of the body after it.
    head: usize,
    body: usize,
}

impl Head {
    /// Parses the head; `None` if it is incomplete.
    fn read(received: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(received)? else {
            return Ok(None);
        };
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        Ok(Some(Self {
            status: StatusCode::from_u16(response.code.unwrap_or(0))?,
            head,
            body: length.context("a response without Content-Length")?,
        }))
    }
}

impl Connection<'_> {
    /// Sends a request and reads the whole response.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        from: Sender<'_>,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let Headers(headers) = match from {
            Sender::Client => &self.target.client,
            Sender::User(headers) => headers,
            Sender::Master => &self.target.master,
        };
        let length = body.len();
        self.request.clear();
        let head = format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(&body);
        self.stream.write_all(&self.request).await?;
        loop {
            self.received.reserve(READ_BYTES);
            ensure!(
                self.stream.read_buf(&mut self.received).await? > 0,
                "the server closed the connection"
            );
            if let Some(Head { status, head, body }) = Head::read(&self.received)?
                && self.received.len() >= head + body
            {
                self.received.advance(head);
                return Ok((status, self.received.split_to(body).freeze()));
            }
        }
    }

    /// Sends a request and reads the response as JSON.
    ///
    /// # Errors
    /// No response, or one that is no success; its text is in the error.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        from: Sender<'_>,
        body: Bytes,
    ) -> Result<Value> {
        let (status, bytes) = self.send(method, path, from, body).await?;
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Calls a cloud function and returns its result.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) async fn call(
        &mut self,
        function: &str,
        from: Sender<'_>,
        parameters: &Value,
    ) -> Result<Value> {
        let path = format!("/1.1/functions/{function}");
        let body = Bytes::from(serde_json::to_vec(parameters)?);
        let mut answer = self.ask(Method::POST, &path, from, body).await?;
        Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
    }
}
