//! From the wire to a handler and back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::credentials::Caller;
use crate::engine::call::{Call, Meta};
use crate::engine::config::EngineConfig;
use crate::engine::handler::{Answer, Bound};
use crate::engine::hook::{no_hook, object_of_hook};
use crate::engine::registry::{Access, Function, Registry, UserHook};
use crate::engine::run::{run, timed_out, within};
use crate::http::{
    Incoming, REQUEST_ID, cors_layer, json_response, new_request_id, percent_decode, read_body,
    remote_address, request_id,
};
use crate::model::{ClassName, CloudError, Document, ErrorCode, HookKind, Value};

/// An app that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What every call works with.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) config: EngineConfig,
    /// Calls under way, those included whose client has been answered with a time-out.
    pub(crate) tasks: TaskTracker,
    names: Vec<Arc<str>>,
    slots: Arc<Semaphore>,
}

/// The prefixes of all routes; under `call`, results and parameters may hold encoded objects.
const PREFIXES: [&str; 4] = ["/1.1/functions", "/1.1/call", "/1/functions", "/1/call"];

impl Engine {
    pub(crate) fn new(registry: Registry, names: Vec<Arc<str>>, config: EngineConfig) -> Self {
        let slots = Arc::new(Semaphore::new(config.limits.calls_max));
        Self {
            shared: Arc::new(Shared {
                registry,
                config,
                tasks: TaskTracker::new(),
                names,
                slots,
            }),
        }
    }

    /// The engine's routes: functions and hooks under `/1.1` and `/1`, and the health check `/__engine/1/ping`.
    pub fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/__engine/1/ping", any(ping))
            .route("/__engine/1.1/ping", any(ping));
        for prefix in PREFIXES {
            router = router
                .route(prefix, any(handle))
                .route(&format!("{prefix}/"), any(handle))
                .route(&format!("{prefix}/{{*path}}"), any(handle));
        }
        router.layer(cors_layer()).with_state(self.clone())
    }

    /// Everything defined, as in `_ops/metadatas`.
    #[must_use]
    pub fn metadata(&self) -> &[Arc<str>] {
        &self.shared.names
    }

    /// How many calls are running, those included whose client has been answered with a time-out.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.shared.tasks.len()
    }

    /// Waits for the calls under way. To be called once the listener is closed, and under a deadline.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("names", &self.shared.names)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Runs a handler, unless too many are running.
    pub(crate) async fn run(&self, handler: &Bound, call: Call) -> Result<Answer, CloudError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let text = "Too many calls are under way. Try again later.";
            return Err(CloudError::new(ErrorCode::UNAVAILABLE, text));
        };
        run(&self.tasks, slot, handler, call).await
    }

    pub(crate) fn new_request_id(&self) -> Arc<str> {
        new_request_id(&self.config.environment).into()
    }

    pub(crate) fn meta(&self, name: &Arc<str>, request_id: &Arc<str>, limit: Duration) -> Meta {
        let environment = self.config.environment.clone();
        Meta {
            name: Arc::clone(name),
            request_id: Arc::clone(request_id),
            remote_address: None,
            session_token: None,
            master: false,
            production: true,
            deadline: environment.elapsed().saturating_add(limit),
            environment,
        }
    }
}

async fn ping() -> Response {
    let body = json!({"runtime": "rust", "version": env!("CARGO_PKG_VERSION")});
    json_response(StatusCode::OK, &body)
}

async fn handle(State(engine): State<Engine>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let shared = &engine.shared;
    let id: Arc<str> = request_id(&parts.headers, &shared.config.environment).into();
    let request = Exchange {
        shared,
        parts: &parts,
        request_id: &id,
    };
    // The clock covers everything from here: a slow body and a slow session store count too.
    let answered = within(shared.config.limits.function, request.answer(body)).await;
    let mut response = match answered.unwrap_or_else(|| Err(timed_out())) {
        Ok(response) => response,
        Err(error) => {
            if error.status >= 500 {
                tracing::warn!(request.id = %id, http.path = parts.uri.path(), %error, "a call was answered with an error");
            }
            error.into_response()
        }
    };
    if let Ok(id) = HeaderValue::try_from(&*id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// One HTTP request to the engine.
struct Exchange<'a> {
    shared: &'a Shared,
    parts: &'a Parts,
    request_id: &'a Arc<str>,
}

/// A request whose caller is known.
struct Authenticated {
    caller: Caller,
    body: Document,
    remote_address: Option<String>,
}

impl Exchange<'_> {
    async fn answer(&self, body: Body) -> Result<Response, CloudError> {
        let config = &self.shared.config;
        let body = read_body(body, config.limits.body_bytes_max, config.limits.function).await?;
        let body = if is_form(self.parts) {
            form_as_json(&body)?
        } else {
            body
        };
        let incoming =
            Incoming::read(&config.credentials, &self.parts.headers, &body).map_err(as_engine_error)?;
        let request = Authenticated {
            caller: incoming.caller,
            body: incoming.body,
            remote_address: remote_address(&self.parts.headers, &self.parts.extensions, config.trust_proxy),
        };
        let path = self.parts.uri.path();
        let (rpc, rest) = PREFIXES
            .into_iter()
            .find_map(|prefix| Some((prefix.ends_with("call"), path.strip_prefix(prefix)?)))
            .unwrap_or((false, ""));
        let rest = percent_decode(rest);
        let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
        match *segments {
            [] => Err(not_found(format!(
                "No function name or class name: {}",
                self.parts.uri
            ))),
            ["_ops", "metadatas"] => self.metadatas(&request.caller),
            [name] => self.function(name, rpc, request).await,
            ["onVerified", kind] => self.user_hook(verified_hook(kind), "onVerified", request).await,
            ["_User", "onLogin"] => self.user_hook(Some(UserHook::Login), "onLogin", request).await,
            ["_User", "onAuthData"] => {
                self.user_hook(Some(UserHook::AuthData), "onAuthData", request)
                    .await
            }
            [class, hook] => self.class_hook(class, hook, request).await,
            _ => Err(not_found(format!("No such cloud function '{rest}'"))),
        }
    }

    fn metadatas(&self, caller: &Caller) -> Result<Response, CloudError> {
        if !caller.master {
            return Err(CloudError::unauthorized());
        }
        let names: Vec<&str> = self.shared.names.iter().map(|name| &**name).collect();
        Ok(json_response(StatusCode::OK, &json!({ "result": names })))
    }

    async fn function(&self, name: &str, rpc: bool, request: Authenticated) -> Result<Response, CloudError> {
        let function = self.shared.registry.functions.get(name);
        let function = function.ok_or_else(|| not_found(format!("No such cloud function '{name}'")))?;
        match function.access {
            Access::Client => {}
            Access::Internal if request.caller.master || request.caller.hook => {}
            Access::Internal => {
                return Err(refused("Internal cloud function", &request));
            }
            Access::Hook => check_hook_key(&request)?,
        }
        let mut meta = self.shared.meta(
            &function.name,
            self.request_id,
            self.shared.config.limits.function,
        );
        let user = self.user(function, &request.caller).await?;
        meta.remote_address = request.remote_address;
        meta.session_token = request.caller.session_token.map(SecretString::from);
        meta.master = request.caller.master;
        meta.production = request.caller.production;
        let call = Call {
            params: request.body,
            user,
            object: None,
            auth_data: None,
            meta,
        };
        let body = match self.shared.run(&function.handler, call).await? {
            // Clients of `call` decode whatever comes under `result`, and expect it to be there.
            Answer::Body(body) if rpc && &*body == b"{}" => Bytes::from_static(br#"{"result":{}}"#),
            Answer::Body(body) => body,
            Answer::Object(_) | Answer::Done => Bytes::from_static(b"{}"),
        };
        Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
    }

    /// Whom the session token belongs to.
    async fn user(&self, function: &Function, caller: &Caller) -> Result<Option<Arc<Document>>, CloudError> {
        let Some(token) = caller.session_token.as_deref().filter(|_| function.fetch_user) else {
            return Ok(None);
        };
        match self.shared.config.sessions.user(token).await {
            Ok(user) => Ok(Some(Arc::new(user))),
            Err(error) if error.code == ErrorCode::USER_NOT_FOUND => {
                if function.ignore_invalid_session {
                    return Ok(None);
                }
                let text = format!(
                    "Verify sessionToken failed, maybe login expired: {}",
                    error.message
                );
                Err(CloudError::new(ErrorCode::USER_NOT_FOUND, text).with_status(401))
            }
            Err(error) => Err(error.with_status(500)),
        }
    }

    async fn class_hook(
        &self,
        class: &str,
        hook: &str,
        request: Authenticated,
    ) -> Result<Response, CloudError> {
        check_hook_key(&request)?;
        let (Ok(class), Some(kind)) = (ClassName::parse(class), HookKind::from_name(hook)) else {
            return Err(not_found(format!("No such hook: {hook}")));
        };
        let hook = self.shared.registry.class_hook(class.as_str(), kind);
        let hook = hook.ok_or_else(|| no_hook(&class, kind))?;
        let (mut object, user) = object_and_user(request.body)?;
        let updated_keys = match object.shift_remove("_updatedKeys") {
            Some(Value::Array(keys)) => keys
                .iter()
                .filter_map(|key| key.as_str().map(ToOwned::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        let limits = &self.shared.config.limits;
        let limit = if kind.is_before() {
            limits.before_hook
        } else {
            limits.other_hook
        };
        let mut meta = self.shared.meta(&hook.name, self.request_id, limit);
        meta.remote_address = request.remote_address;
        meta.production = request.caller.production;
        let call = Call {
            params: Document::new(),
            user,
            object: Some(object_of_hook(class, object.clone(), updated_keys)),
            auth_data: None,
            meta,
        };
        Ok(match (self.shared.run(&hook.handler, call).await?, kind) {
            (Answer::Object(stored), _) => json_response(StatusCode::OK, &stored),
            (_, HookKind::BeforeUpdate) => json_response(StatusCode::OK, &object),
            (_, HookKind::BeforeDelete) => json_response(StatusCode::OK, &json!({})),
            _ => json_response(StatusCode::OK, &json!({"result": "ok"})),
        })
    }

    async fn user_hook(
        &self,
        which: Option<UserHook>,
        name: &str,
        mut request: Authenticated,
    ) -> Result<Response, CloudError> {
        check_hook_key(&request)?;
        let hook = which.and_then(|which| self.shared.registry.user_hooks.get(&which));
        let hook = hook.ok_or_else(|| not_found(format!("No such hook: {name}")))?;
        let auth_data = match request.body.shift_remove("authData") {
            Some(Value::Object(data)) => Some(Document(data)),
            _ => None,
        };
        let object = match request.body.shift_remove("object") {
            Some(Value::Object(fields)) => Some(Document(fields)),
            _ => None,
        };
        let mut meta = self
            .shared
            .meta(&hook.name, self.request_id, self.shared.config.limits.other_hook);
        meta.remote_address = request.remote_address;
        let call = Call {
            params: Document::new(),
            // As on the platform, the object of these hooks is the current user.
            user: object.clone().map(Arc::new),
            object: object.map(|fields| object_of_hook(ClassName::user(), fields, Vec::new())),
            auth_data,
            meta,
        };
        match self.shared.run(&hook.handler, call).await? {
            Answer::Body(body) => Ok(([(header::CONTENT_TYPE, JSON)], body).into_response()),
            Answer::Object(_) | Answer::Done => Ok(json_response(StatusCode::OK, &json!({"result": "ok"}))),
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";

/// The body of a class hook.
fn object_and_user(mut body: Document) -> Result<(Document, Option<Arc<Document>>), CloudError> {
    let Some(Value::Object(object)) = body.shift_remove("object") else {
        return Err(CloudError::other("A hook call needs an 'object'."));
    };
    let user = match body.shift_remove("user") {
        Some(Value::Object(user)) => Some(Arc::new(Document(user))),
        _ => None,
    };
    Ok((Document(object), user))
}

fn verified_hook(kind: &str) -> Option<UserHook> {
    match kind {
        "sms" => Some(UserHook::VerifiedSms),
        "email" => Some(UserHook::VerifiedEmail),
        _ => None,
    }
}

/// Never lets anybody in where no hook key is configured; the official SDKs let everybody in then.
fn check_hook_key(request: &Authenticated) -> Result<(), CloudError> {
    if request.caller.hook {
        Ok(())
    } else {
        Err(refused("Hook key check failed", request))
    }
}

fn refused(why: &str, request: &Authenticated) -> CloudError {
    let from = request.remote_address.as_deref().unwrap_or("an unknown address");
    CloudError::new(ErrorCode::UNAUTHORIZED, format!("{why}, request from {from}"))
}

fn not_found(text: String) -> CloudError {
    CloudError::other(text).with_status(404)
}

/// The engine answers code 1 where the storage service says 107.
fn as_engine_error(error: CloudError) -> CloudError {
    if error.code == ErrorCode::INVALID_JSON {
        CloudError::other(error.message)
    } else {
        error
    }
}

fn is_form(parts: &Parts) -> bool {
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// A form as the JSON object that it stands for. `curl -d '{…}'` sends JSON under a form's name: it is let through.
fn form_as_json(body: &Bytes) -> Result<Bytes, CloudError> {
    if body.trim_ascii_start().starts_with(b"{") {
        return Ok(body.clone());
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body)
        .map_err(|error| CloudError::other(format!("The form is malformed: {error}")))?;
    let fields: Document = pairs
        .into_iter()
        .map(|(key, value)| (key, Value::String(value)))
        .collect();
    serde_json::to_vec(&fields)
        .map(Bytes::from)
        .map_err(|error| CloudError::other(format!("The form is malformed: {error}")))
}
