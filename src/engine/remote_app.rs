//! A LeanEngine app of another language, beside this one: what it defines, and calls of its functions and hooks over
//! HTTP, with the headers, bodies and time-outs that LeanCloud's platform has.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::credentials::{Credentials, HookSignature};
use crate::engine::cloud::{RemoteCaller, RemoteRequest};
use crate::engine::config::Limits;
use crate::engine::hook::result_of;
use crate::engine::registry::{class_hook_name, user_hook_name};
use crate::environment::{Environment, hook_depth};
use crate::http::REQUEST_ID;
use crate::model::{
    ClassName, CloudError, Document, ErrorCode, HookCall, HookKind, Hooks, UserHook, UserHookCall, Value,
};

/// How often the app is asked what it defines: it may have been started anew.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long the app may take to say what it defines.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an idle connection is kept: less than the five seconds after which Node.js closes it.
const IDLE_MAX: Duration = Duration::from_secs(3);

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Headers that are between two neighbours, and those that say who a request comes from or who may read its answer,
/// which are set anew.
const OWN_HEADERS: [&str; 16] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
    "accept-encoding",
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-request-id",
];

/// Another app's engine. Cheap to clone.
#[derive(Clone)]
pub struct RemoteApp(Arc<Inner>);

struct Inner {
    url: String,
    credentials: Credentials,
    environment: Environment,
    limits: Limits,
    http: reqwest::Client,
    /// What it defines, as in `_ops/metadatas`; `None` until it has said so.
    names: RwLock<Option<HashSet<String>>>,
}

impl RemoteApp {
    /// The app at `url`, an origin without a path. Nothing is sent yet: see [`RemoteApp::watch`].
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(
        url: &str,
        credentials: Credentials,
        environment: Environment,
        limits: Limits,
    ) -> Result<Self, CloudError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("paylog/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(IDLE_MAX)
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

    /// Asks the app what it defines, again and again until `stop`, so that an app that was started anew is known.
    /// While it cannot be reached, what it said last holds.
    pub async fn watch(&self, stop: &CancellationToken) {
        let mut reached = true;
        loop {
            let asked = self.discover().await;
            match (&asked, reached) {
                (Err(error), true) => {
                    tracing::warn!(
                        engine = self.0.url,
                        %error,
                        "the engine app does not say what it defines; what it defined last holds"
                    );
                }
                (Ok(()), false) => tracing::info!(engine = self.0.url, "the engine app is there again"),
                _ => {}
            }
            reached = asked.is_ok();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.environment.sleep(ASK_EVERY) => {}
            }
        }
    }

    /// Asks the app once what it defines.
    ///
    /// # Errors
    /// Where it does not answer, or does not know the master key.
    pub async fn discover(&self) -> Result<(), CloudError> {
        // In the words of LeanCloud's own tool. Beside an app key, some SDKs would not look at the master key.
        let Inner {
            http,
            url,
            credentials,
            ..
        } = &*self.0;
        let master_key = credentials.master_key.as_ref();
        let request = http
            .get(format!("{url}/1.1/functions/_ops/metadatas"))
            .header("x-avoscloud-application-id", &credentials.app_id)
            .header(
                "x-avoscloud-master-key",
                master_key.map_or("", ExposeSecret::expose_secret),
            )
            .timeout(ASK_TIMEOUT);
        let (status, body) = exchange(request).await?;
        let names = match serde_json::from_slice::<Document>(&body) {
            Ok(mut body) if status == 200 => body.shift_remove("result"),
            _ => None,
        };
        let names = names
            .and_then(|names| serde_json::from_value::<HashSet<String>>(names).ok())
            .ok_or_else(|| {
                CloudError::other(format!(
                    "the engine app answered {status} when asked what it defines: it must run with the same app id and \
                     keys"
                ))
            })?;
        let mut known = self.0.names.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(&names) {
            tracing::info!(
                engine = self.0.url,
                definitions = names.len(),
                "learned what the engine app defines"
            );
            *known = Some(names);
        }
        Ok(())
    }

    /// Whether it defines this; also where it has not said yet what it defines.
    pub(crate) fn may_define(&self, name: &str) -> bool {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        names.as_ref().is_none_or(|names| names.contains(name))
    }

    /// What it defines, as far as it is known.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().flatten().cloned().collect()
    }

    /// Passes a client's call on as it came, and the answer back.
    ///
    /// # Errors
    /// 503, code 124, where the time is over; 503 where the app cannot be reached.
    pub(crate) async fn pass(
        &self,
        parts: &Parts,
        body: Bytes,
        from: Option<&str>,
        request_id: &str,
        left: Duration,
    ) -> Result<Response, CloudError> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = copied(&parts.headers);
        headers.extend(origin(from));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        let request = self
            .0
            .http
            .request(parts.method.clone(), format!("{}{path}", self.0.url))
            .headers(headers)
            .timeout(left)
            .body(body);
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (answer.status(), copied(answer.headers()));
        let body = read(answer).await?;
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// An error until the app has said what it defines.
    fn check_known(&self) -> Result<(), CloudError> {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        let text = "The engine app has not been reached yet.";
        names
            .is_some()
            .then_some(())
            .ok_or_else(|| CloudError::new(ErrorCode::UNAVAILABLE, text))
    }

    /// What proves to SDKs that know of no hook key where an object comes from.
    fn mark(&self, name: &str) -> Option<Value> {
        let now = self.0.environment.now();
        self.0.credentials.sign_hook(name, now).map(Value::String)
    }

    /// A request of the platform's own, with the app's keys.
    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
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
        http.request(method, format!("{url}{path}"))
            .header("x-lc-id", &credentials.app_id)
            .header("x-lc-key", credentials.app_key.expose_secret())
            .header("x-lc-hook-key", hook_key)
            // An app of the official SDKs does not look at it; one that is written with this library does.
            .header(hook_depth::HEADER, hook_depth::current())
    }
}

/// Sends a request, and reads the whole answer.
async fn exchange(request: reqwest::RequestBuilder) -> Result<(u16, Bytes), CloudError> {
    let answer = request.send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status().as_u16();
    Ok((status, read(answer).await?))
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, CloudError> {
    let mut body = bytes::BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(CloudError::internal("the engine app's answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The error of a call that was not answered.
fn unreachable(error: &reqwest::Error) -> CloudError {
    if error.is_timeout() {
        return CloudError::timed_out();
    }
    tracing::debug!(%error, "the engine app was not reached");
    let text = "The engine app does not answer. Try again later.";
    CloudError::new(ErrorCode::UNAVAILABLE, text)
}

fn copied(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| !OWN_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Who the client is, as a load balancer says it.
fn origin(from: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(from) = from {
        let node = if from.contains(':') {
            format!("for=\"[{from}]\"")
        } else {
            format!("for={from}")
        };
        for (name, value) in [("forwarded", node.as_str()), ("x-real-ip", from)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
    headers
}

/// The error in an answer of the app.
fn error_of(status: u16, body: &[u8]) -> CloudError {
    match serde_json::from_slice::<CloudError>(body) {
        Ok(error) => error.with_status(status),
        Err(_) => {
            let status = StatusCode::from_u16(status).map_or(StatusCode::BAD_GATEWAY, |status| status);
            CloudError::other(format!("The engine app answered {status}."))
                .with_status(status.as_u16().max(400))
        }
    }
}

#[async_trait]
impl RemoteCaller for RemoteApp {
    async fn call(&self, request: RemoteRequest) -> Result<Value, CloudError> {
        let prefix = if request.rpc { "call" } else { "functions" };
        let name = percent_encoding::utf8_percent_encode(&request.name, percent_encoding::NON_ALPHANUMERIC);
        let mut sent = self
            .request(reqwest::Method::POST, &format!("/1.1/{prefix}/{name}"))
            .timeout(request.timeout)
            .json(&request.params);
        if let Some(token) = &request.session_token {
            sent = sent.header("x-lc-session", token.expose_secret());
        }
        let (status, body) = exchange(sent).await?;
        if status != 200 {
            return Err(error_of(status, &body));
        }
        let mut body: Document = serde_json::from_slice(&body)
            .map_err(|error| CloudError::internal(format!("the engine app's answer is no JSON: {error}")))?;
        Ok(body.shift_remove("result").unwrap_or_default())
    }
}

#[async_trait]
impl Hooks for RemoteApp {
    /// Until the app has said what it defines, every before hook counts as defined: a write that it may refuse must
    /// not slip through.
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        match &*names {
            Some(names) => names.contains(&class_hook_name(class.as_str(), kind)),
            None => kind.is_before(),
        }
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        self.check_known()?;
        let mut object = call.object;
        if matches!(call.kind, HookKind::BeforeUpdate | HookKind::AfterUpdate) {
            object.insert("_updatedKeys".to_owned(), json!(call.updated_keys));
        }
        let mark = HookSignature::of(call.kind);
        if let Some(shown) = self.mark(&mark.name(&call.class)) {
            object.insert(mark.key().to_owned(), shown);
        }
        let mut body = json!({ "object": object });
        if let (Some(user), Some(fields)) = (call.user, body.as_object_mut()) {
            fields.insert("user".to_owned(), user.into_value());
        }
        let path = format!("/1.1/functions/{}/{}", call.class, call.kind.name());
        let request = self
            .request(reqwest::Method::POST, &path)
            .headers(origin(call.remote_address.as_deref()))
            .timeout(self.0.limits.of_hook(call.kind))
            .json(&body);
        let (status, body) = exchange(request).await?;
        match (status, call.kind) {
            (200..300, HookKind::BeforeSave) => serde_json::from_slice(&body)
                .map_err(|_| CloudError::other("The engine app's hook answered no object.")),
            (200..300, _) => Ok(Document::new()),
            _ => Err(error_of(status, &body)),
        }
    }

    /// Until the app has said what it defines, every hook that may refuse counts as defined.
    fn user_hook_defined(&self, hook: UserHook) -> bool {
        let names = self.0.names.read().unwrap_or_else(PoisonError::into_inner);
        match &*names {
            Some(names) => names.contains(user_hook_name(hook)),
            None => matches!(hook, UserHook::Login | UserHook::AuthData),
        }
    }

    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        self.check_known()?;
        let mut body = Document::new();
        if let Some(mut user) = call.user {
            // Without these the SDK for PHP would make no user of it.
            user.insert("__type".to_owned(), "Object".into());
            user.insert("className".to_owned(), ClassName::user().as_str().into());
            if let Some(sign) = self.mark(user_hook_name(call.hook)) {
                user.insert("__sign".to_owned(), sign);
            }
            body.insert("object".to_owned(), user.into_value());
        }
        if let Some(auth_data) = call.auth_data {
            body.insert("authData".to_owned(), auth_data.into_value());
        }
        let request = self
            .request(
                reqwest::Method::POST,
                &format!("/1.1/functions/{}", call.hook.path()),
            )
            .headers(origin(call.remote_address.as_deref()))
            .timeout(self.0.limits.other_hook)
            .json(&body);
        let (status, body) = exchange(request).await?;
        match (status, call.hook) {
            (200..300, UserHook::AuthData) => result_of(&body),
            (200..300, _) => Ok(Document::new()),
            _ => Err(error_of(status, &body)),
        }
    }
}

/// The hooks of this app and of the one beside it, as one. Where both have the same hook, that of the app beside runs
/// first, and this one's judges what has become of the object.
pub(crate) struct BothHooks {
    pub(crate) own: Arc<dyn Hooks>,
    pub(crate) beside: RemoteApp,
}

impl fmt::Debug for BothHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BothHooks")
            .field("beside", &self.beside)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Hooks for BothHooks {
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        self.own.defined(class, kind) || self.beside.defined(class, kind)
    }

    async fn call(&self, mut call: HookCall) -> Result<Document, CloudError> {
        let is_own = self.own.defined(&call.class, call.kind);
        if !self.beside.defined(&call.class, call.kind) {
            return self.own.call(call).await;
        }
        if !is_own {
            return Hooks::call(&self.beside, call).await;
        }
        let outcome = Hooks::call(&self.beside, call.clone()).await;
        match outcome {
            Ok(object) if call.kind == HookKind::BeforeSave => call.object = object,
            Ok(_) => {}
            // After hooks do not wait for each other's success.
            Err(error) if !call.kind.is_before() => {
                tracing::warn!(%error, class.name = %call.class, "an after hook of the engine app failed");
            }
            Err(error) => return Err(error),
        }
        self.own.call(call).await
    }

    fn user_hook_defined(&self, hook: UserHook) -> bool {
        self.own.user_hook_defined(hook) || self.beside.user_hook_defined(hook)
    }

    async fn call_user_hook(&self, mut call: UserHookCall) -> Result<Document, CloudError> {
        let is_own = self.own.user_hook_defined(call.hook);
        if !self.beside.user_hook_defined(call.hook) {
            return self.own.call_user_hook(call).await;
        }
        let answer = self.beside.call_user_hook(call.clone()).await?;
        if !is_own {
            return Ok(answer);
        }
        if call.hook == UserHook::AuthData && !answer.is_empty() {
            call.auth_data = Some(answer);
        }
        self.own.call_user_hook(call).await
    }
}

impl fmt::Debug for RemoteApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteApp").field(&self.0.url).finish()
    }
}
