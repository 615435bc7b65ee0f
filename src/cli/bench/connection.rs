//! One HTTP/1.1 connection to the server under test, written and read by hand: load and server share the machine, and
//! what the load takes of it is missing in what is measured.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use hyper::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::credentials::Credentials;
use crate::telemetry::counters::CounterSnapshot;

/// Headers that an answer may have.
const HEADERS_MAX: usize = 32;

/// Room for what is read at once.
const READ_BYTES: usize = 16 * 1024;

/// The server under test and the headers that open it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: String,
    client: Headers,
    master: Headers,
}

/// The headers of a request that do not change, as they are sent.
#[derive(Clone, Debug)]
pub(super) struct Headers(String);

impl Headers {
    /// With one more.
    fn with(&self, name: &str, value: &str) -> Result<Self> {
        ensure!(
            !value.contains(|letter: char| letter.is_ascii_control()),
            "the value of {name} cannot be sent in a header"
        );
        Ok(Self(format!("{}{name}: {value}\r\n", self.0)))
    }
}

/// Who a request is from.
#[derive(Clone, Copy, Debug)]
pub(super) enum As<'a> {
    /// A program with the app key.
    Client,
    /// A user, by the headers of [`Target::session`].
    User(&'a Headers),
    /// The operator.
    Master,
}

impl Target {
    pub(super) fn new(host: &str, port: u16, credentials: &Credentials) -> Result<Self> {
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
    pub(super) fn session(&self, token: &str) -> Result<Headers> {
        self.client.with("X-LC-Session", token)
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Connection<'_>> {
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
    pub(super) async fn counters(&self) -> Result<CounterSnapshot> {
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
    stream: TcpStream,
    request: Vec<u8>,
    received: BytesMut,
}

/// The head of an answer.
struct Head {
    status: StatusCode,
    /// Bytes of the head itself, and of the body after it.
    head: usize,
    body: usize,
}

impl Head {
    /// `None` where it is not complete.
    fn read(received: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(received)? else {
            return Ok(None);
        };
        let length = answer
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        Ok(Some(Self {
            status: StatusCode::from_u16(answer.code.unwrap_or(0))?,
            head,
            body: length.context("an answer does not say how long it is")?,
        }))
    }
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
        let Headers(headers) = match from {
            As::Client => &self.target.client,
            As::User(headers) => headers,
            As::Master => &self.target.master,
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
                "the server hung up"
            );
            if let Some(Head { status, head, body }) = Head::read(&self.received)?
                && self.received.len() >= head + body
            {
                self.received.advance(head);
                return Ok((status, self.received.split_to(body).freeze()));
            }
        }
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
