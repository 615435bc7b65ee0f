//! One HTTP request to the engine: from the wire to a handler and back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::json;

use crate::credentials::Caller;
use crate::engine::call::{Call, Meta};
use crate::engine::encode::Encoding;
use crate::engine::error::{no_function, no_hook};
use crate::engine::handler::HandlerOutput;
use crate::engine::hook_names::OtherHook;
use crate::engine::hook_payload::{HookPayload, session_token};
use crate::engine::registry::{Access, Function};
use crate::engine::remote_app::RemoteApp;
use crate::engine::runtime::{Engine, Runtime};
use crate::http::{IncomingRequest, RemoteAddress, json_response, percent_decode, read_body, remote_address};
use crate::model::{ClassName, CloudError, Document, ErrorCode, HookKind, UserHook, Value};

/// Path prefixes of functions and hooks. Under `call`, parameters and results may hold encoded objects. The last four
/// are also served by the Python SDK.
pub(crate) const PREFIXES: [&str; 8] = [
    "/1.1/functions",
    "/1.1/call",
    "/1/functions",
    "/1/call",
    "/__engine/1.1/functions",
    "/__engine/1.1/call",
    "/__engine/1/functions",
    "/__engine/1/call",
];

/// Handler of one HTTP request to the engine.
pub(crate) struct CallHandler<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) parts: &'a Parts,
    pub(crate) request_id: &'a Arc<str>,
    /// Arrival of the request's head, on the clock of the environment.
    pub(crate) arrived: Duration,
}

/// A request whose keys have been checked.
struct AuthenticatedRequest {
    caller: Caller,
    /// The body as it was received.
    raw: Bytes,
    body: Document,
    remote_address: Option<RemoteAddress>,
}

impl CallHandler<'_> {
    /// Handles the request. A function's own result is a response, even if it is an error.
    ///
    /// # Errors
    /// Those that kept the call from being made.
    pub(crate) async fn handle(&self, body: Body) -> Result<Response, CloudError> {
        let config = &self.runtime().config;
        let body = read_body(body, config.limits.body_bytes_max, config.limits.function).await?;
        let form = is_form(self.parts).then(|| form_as_json(&body)).transpose()?;
        let json = form.as_ref().unwrap_or(&body);
        let incoming =
            IncomingRequest::read(&config.credentials, &self.parts.headers, json).map_err(as_engine_error)?;
        let request = AuthenticatedRequest {
            caller: incoming.caller,
            raw: body,
            body: incoming.body,
            remote_address: remote_address(&self.parts.headers, &self.parts.extensions, config.trust_proxy),
        };
        let path = self.parts.uri.path();
        let (encoding, rest) = PREFIXES
            .into_iter()
            .find_map(|prefix| Some((encoding_of(prefix), path.strip_prefix(prefix)?)))
            .unwrap_or((Encoding::Plain, ""));
        let rest = percent_decode(rest);
        let mut segments = rest.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next(), segments.next()) {
            (None, ..) => {
                let text = format!("No function name or class name: {}", self.parts.uri);
                Err(not_found(text))
            }
            (Some("_ops"), Some("metadatas"), None) => self.metadatas(&request.caller),
            (Some(name), None, _) => self.function(name, encoding, request).await,
            (Some(first), Some(second), None) => match OtherHookPath::parse(first, second) {
                // Boxed, as below, so that the future of every call is no larger than a function call needs.
                Some(path) => Box::pin(self.other_hook(path, request)).await,
                None => Box::pin(self.class_hook(first, second, request)).await,
            },
            (Some(_), Some(_), Some(_)) => Err(not_found(format!("No such cloud function '{rest}'"))),
        }
    }

    fn runtime(&self) -> &Runtime {
        &self.engine.runtime
    }

    /// Facts about a call that has to end within `limit` of the request's arrival.
    fn meta(&self, name: &Arc<str>, limit: Duration, request: &mut AuthenticatedRequest) -> Meta {
        Meta {
            remote_address: request.remote_address.take(),
            session_token: request.caller.session_token.take().map(SecretString::from),
            master: request.caller.master,
            production: request.caller.production,
            ..self
                .runtime()
                .meta(name, self.request_id, self.arrived.saturating_add(limit))
        }
    }

    fn metadatas(&self, caller: &Caller) -> Result<Response, CloudError> {
        if !caller.holds_master_key {
            return Err(CloudError::unauthorized());
        }
        let runtime = self.runtime();
        let mut names: Vec<String> = runtime.names.iter().map(|name| name.to_string()).collect();
        for name in runtime.config.remote_app.iter().flat_map(RemoteApp::names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(json_response(StatusCode::OK, &json!({ "result": names })))
    }

    async fn function(
        &self,
        name: &str,
        encoding: Encoding,
        mut request: AuthenticatedRequest,
    ) -> Result<Response, CloudError> {
        let Some(function) = self.runtime().registry.functions.get(name) else {
            return Box::pin(self.forward(name, request)).await;
        };
        match function.access {
            Access::Client => {}
            Access::Internal if request.caller.master || request.caller.hook => {}
            Access::Internal => return Err(refused("Internal cloud function", &request)),
            Access::Hook => check_hook_key(&request)?,
        }
        let user = self.user(function, &request.caller).await?;
        let limit = self.runtime().config.limits.function;
        let meta = self.meta(&function.entry.name, limit, &mut request);
        let call = Call {
            params: request.body,
            user,
            object: None,
            auth_data: None,
            meta,
            dispatch: self.engine.dispatch(),
            encoding,
        };
        Ok(match self.runtime().run(&function.entry, call).await {
            Ok(HandlerOutput::Body(body)) => json_body(body),
            Ok(HandlerOutput::Object(_) | HandlerOutput::Done) => json_body(Bytes::from_static(b"{}")),
            Err(error) => error.into_response(),
        })
    }

    /// Forwards a call of a function that this app does not define to the remote app.
    async fn forward(&self, name: &str, request: AuthenticatedRequest) -> Result<Response, CloudError> {
        let config = &self.runtime().config;
        let remote_app = config.remote_app.as_ref().filter(|app| app.may_define(name));
        let remote_app = remote_app.ok_or_else(|| no_function(name))?;
        let until = self.arrived.saturating_add(config.limits.function);
        let left = until.saturating_sub(config.environment.elapsed());
        let from = request.remote_address.map(|address| address.to_string());
        remote_app
            .forward(self.parts, request.raw, from.as_deref(), self.request_id, left)
            .await
    }

    /// Owner of the session token, if the function wants the user fetched.
    async fn user(&self, function: &Function, caller: &Caller) -> Result<Option<Arc<Document>>, CloudError> {
        let Some(token) = caller.session_token.as_deref().filter(|_| function.fetch_user) else {
            return Ok(None);
        };
        match self.runtime().config.sessions.user(token).await {
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
        mut request: AuthenticatedRequest,
    ) -> Result<Response, CloudError> {
        check_hook_key(&request)?;
        let (Ok(class), Some(kind)) = (ClassName::parse(class), HookKind::from_name(hook)) else {
            return Err(not_found(format!("No such hook: {hook}")));
        };
        let hook = self.runtime().registry.class_hook(class.as_str(), kind);
        let hook = hook.ok_or_else(|| no_hook(&class, kind))?;
        let (mut object, user) = object_and_user(std::mem::take(&mut request.body))?;
        let updated_keys = match object.shift_remove("_updatedKeys") {
            Some(Value::Array(keys)) => keys
                .iter()
                .filter_map(|key| key.as_str().map(ToOwned::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        // The platform ignores the result of `beforeUpdate`; the SDKs return the object all the same.
        let echo = (kind == HookKind::BeforeUpdate).then(|| object.clone());
        let limit = self.runtime().config.limits.class_hook(kind);
        let mut meta = self.meta(&hook.name, limit, &mut request);
        meta.session_token = session_token(user.as_deref()).or(meta.session_token);
        let call = Call {
            params: Document::new(),
            user,
            object: Some(HookPayload::new(class, object, updated_keys)),
            auth_data: None,
            meta,
            dispatch: self.engine.dispatch(),
            encoding: Encoding::Plain,
        };
        Ok(match (self.runtime().run(hook, call).await, echo) {
            (Err(error), _) => error.into_response(),
            (Ok(HandlerOutput::Object(stored)), _) => json_response(StatusCode::OK, &stored),
            (Ok(_), Some(object)) => json_response(StatusCode::OK, &object),
            (Ok(_), None) if kind.is_before() => json_response(StatusCode::OK, &json!({})),
            (Ok(_), None) => json_response(StatusCode::OK, &json!({"result": "ok"})),
        })
    }

    async fn other_hook(
        &self,
        OtherHookPath { hook, name }: OtherHookPath,
        mut request: AuthenticatedRequest,
    ) -> Result<Response, CloudError> {
        check_hook_key(&request)?;
        let hook = hook.and_then(|hook| self.runtime().registry.other_hooks.get(&hook));
        let hook = hook.ok_or_else(|| not_found(format!("No such hook: {name}")))?;
        let auth_data = match request.body.shift_remove("authData") {
            Some(Value::Object(data)) => Some(Document(data)),
            _ => None,
        };
        let object = match request.body.shift_remove("object") {
            Some(Value::Object(fields)) => Some(Document(fields)),
            _ => None,
        };
        let limit = self.runtime().config.limits.other_hook;
        let mut meta = self.meta(&hook.name, limit, &mut request);
        meta.session_token = session_token(object.as_ref()).or(meta.session_token);
        let call = Call {
            // Those of a finished data query job.
            params: request.body,
            // As on the platform, the object of these hooks is the current user.
            user: object.clone().map(Arc::new),
            object: object.map(|fields| HookPayload::new(ClassName::user(), fields, Vec::new())),
            auth_data,
            meta,
            dispatch: self.engine.dispatch(),
            encoding: Encoding::Plain,
        };
        Ok(match self.runtime().run(hook, call).await {
            Ok(HandlerOutput::Body(body)) => json_body(body),
            Ok(HandlerOutput::Object(_) | HandlerOutput::Done) => {
                json_response(StatusCode::OK, &json!({"result": "ok"}))
            }
            Err(error) => error.into_response(),
        })
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// Response 200 with a serialised JSON body.
fn json_body(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

fn encoding_of(prefix: &str) -> Encoding {
    if prefix.ends_with("call") {
        Encoding::Rpc
    } else {
        Encoding::Plain
    }
}

/// Path of a hook that is not a class hook.
struct OtherHookPath {
    /// The hook; `None` if no hook can be defined on this path.
    hook: Option<OtherHook>,
    /// Name of the hook in errors.
    name: &'static str,
}

impl OtherHookPath {
    /// Parses a path of two segments; `None` for a class hook.
    fn parse(first: &str, second: &str) -> Option<Self> {
        let user = |hook| Some(OtherHook::User(hook));
        let (hook, name) = match (first, second) {
            ("onVerified", "sms") => (user(UserHook::VerifiedSms), "onVerified"),
            ("onVerified", "email") => (user(UserHook::VerifiedEmail), "onVerified"),
            ("onVerified", _) => (None, "onVerified"),
            ("_User", "onLogin") => (user(UserHook::Login), "onLogin"),
            ("_User", "onAuthData") => (user(UserHook::AuthData), "onAuthData"),
            ("BigQuery" | "Insight", "onComplete") => (Some(OtherHook::Complete), "onComplete"),
            _ => return None,
        };
        Some(Self { hook, name })
    }
}

/// Parses the body of a class hook call.
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

/// Refuses a request without the hook key. If no hook key is configured, every request is refused; the official SDKs
/// accept every request then.
fn check_hook_key(request: &AuthenticatedRequest) -> Result<(), CloudError> {
    if request.caller.hook {
        Ok(())
    } else {
        Err(refused("Hook key check failed", request))
    }
}

fn refused(reason: &str, request: &AuthenticatedRequest) -> CloudError {
    let from = request.remote_address.as_ref().map(RemoteAddress::to_string);
    let from = from.as_deref().unwrap_or("an unknown address");
    CloudError::new(ErrorCode::UNAUTHORIZED, format!("{reason}, request from {from}"))
}

fn not_found(text: String) -> CloudError {
    CloudError::other(text).with_status(404)
}

/// Replaces the storage service's code 107 by the engine's code 1.
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

/// Converts a form to a JSON object. `curl -d '{…}'` sends JSON with a form's content type: it is passed unchanged.
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
