//! One request: from the wire to a handler and back.

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
use crate::engine::cloud::no_function;
use crate::engine::encode::Encoding;
use crate::engine::handler::Answer;
use crate::engine::hook::{no_hook, object_of_hook, session_token};
use crate::engine::registry::{Access, Function, OtherHook};
use crate::engine::remote_app::RemoteApp;
use crate::engine::router::{Engine, PREFIXES, Shared};
use crate::http::{IncomingRequest, RemoteAddress, json_response, percent_decode, read_body, remote_address};
use crate::model::{ClassName, CloudError, Document, ErrorCode, HookKind, UserHook, Value};

/// One HTTP request to the engine.
pub(crate) struct Exchange<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) parts: &'a Parts,
    pub(crate) request_id: &'a Arc<str>,
    /// When its head was there, on the clock of the environment.
    pub(crate) arrived: Duration,
}

/// A request whose caller is known.
struct Authenticated {
    caller: Caller,
    /// As it came.
    raw: Bytes,
    body: Document,
    remote_address: Option<RemoteAddress>,
}

impl Exchange<'_> {
    /// Answers it.
    ///
    /// # Errors
    /// What kept the call from being made. What the function itself answers, errors too, is a response.
    pub(crate) async fn answer(&self, body: Body) -> Result<Response, CloudError> {
        let config = &self.shared().config;
        let body = read_body(body, config.limits.body_bytes_max, config.limits.function).await?;
        let form = is_form(self.parts).then(|| form_as_json(&body)).transpose()?;
        let json = form.as_ref().unwrap_or(&body);
        let incoming =
            IncomingRequest::read(&config.credentials, &self.parts.headers, json).map_err(as_engine_error)?;
        let request = Authenticated {
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
        let place = (segments.next(), segments.next(), segments.next());
        match place {
            (None, ..) => {
                let text = format!("No function name or class name: {}", self.parts.uri);
                Err(not_found(text))
            }
            (Some("_ops"), Some("metadatas"), None) => self.metadatas(&request.caller),
            (Some(name), None, _) => self.function(name, encoding, request).await,
            (Some(first), Some(second), None) => match other_hook(first, second) {
                // Boxed, as below: what every call must hold is what a function's call needs.
                Some((hook, name)) => Box::pin(self.other_hook(hook, name, request)).await,
                None => Box::pin(self.class_hook(first, second, request)).await,
            },
            (Some(_), Some(_), Some(_)) => Err(not_found(format!("No such cloud function '{rest}'"))),
        }
    }

    fn shared(&self) -> &Shared {
        &self.engine.shared
    }

    /// About a call that must have ended `limit` after the request has arrived.
    fn meta(&self, name: &Arc<str>, limit: Duration, request: &mut Authenticated) -> Meta {
        Meta {
            remote_address: request.remote_address.take(),
            session_token: request.caller.session_token.take().map(SecretString::from),
            master: request.caller.master,
            production: request.caller.production,
            ..self
                .shared()
                .meta(name, self.request_id, self.arrived.saturating_add(limit))
        }
    }

    fn metadatas(&self, caller: &Caller) -> Result<Response, CloudError> {
        if !caller.holds_master_key {
            return Err(CloudError::unauthorized());
        }
        let shared = self.shared();
        let mut names: Vec<String> = shared.names.iter().map(|name| name.to_string()).collect();
        for name in shared.config.remote_app.iter().flat_map(RemoteApp::names) {
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
        mut request: Authenticated,
    ) -> Result<Response, CloudError> {
        let Some(function) = self.shared().registry.functions.get(name) else {
            return Box::pin(self.pass(name, request)).await;
        };
        match function.access {
            Access::Client => {}
            Access::Internal if request.caller.master || request.caller.hook => {}
            Access::Internal => return Err(refused("Internal cloud function", &request)),
            Access::Hook => check_hook_key(&request)?,
        }
        let user = self.user(function, &request.caller).await?;
        let limit = self.shared().config.limits.function;
        let meta = self.meta(&function.entry.name, limit, &mut request);
        let call = Call {
            params: request.body,
            user,
            object: None,
            auth_data: None,
            meta,
            engine: self.engine.clone(),
            encoding,
        };
        Ok(match self.shared().run(&function.entry, call).await {
            Ok(Answer::Body(body)) => json_body(body),
            Ok(Answer::Object(_) | Answer::Done) => json_body(Bytes::from_static(b"{}")),
            Err(error) => error.into_response(),
        })
    }

    /// Passes a call of a function that is not of this app to the app beside it.
    async fn pass(&self, name: &str, request: Authenticated) -> Result<Response, CloudError> {
        let config = &self.shared().config;
        let beside = config.remote_app.as_ref().filter(|app| app.may_define(name));
        let beside = beside.ok_or_else(|| no_function(name))?;
        let until = self.arrived.saturating_add(config.limits.function);
        let left = until.saturating_sub(config.environment.elapsed());
        let from = request.remote_address.map(|address| address.to_string());
        beside
            .pass(self.parts, request.raw, from.as_deref(), self.request_id, left)
            .await
    }

    /// Whom the session token belongs to.
    async fn user(&self, function: &Function, caller: &Caller) -> Result<Option<Arc<Document>>, CloudError> {
        let Some(token) = caller.session_token.as_deref().filter(|_| function.fetch_user) else {
            return Ok(None);
        };
        match self.shared().config.sessions.user(token).await {
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
        mut request: Authenticated,
    ) -> Result<Response, CloudError> {
        check_hook_key(&request)?;
        let (Ok(class), Some(kind)) = (ClassName::parse(class), HookKind::from_name(hook)) else {
            return Err(not_found(format!("No such hook: {hook}")));
        };
        let hook = self.shared().registry.class_hook(class.as_str(), kind);
        let hook = hook.ok_or_else(|| no_hook(&class, kind))?;
        let (mut object, user) = object_and_user(std::mem::take(&mut request.body))?;
        let updated_keys = match object.shift_remove("_updatedKeys") {
            Some(Value::Array(keys)) => keys
                .iter()
                .filter_map(|key| key.as_str().map(ToOwned::to_owned))
                .collect(),
            _ => Vec::new(),
        };
        // The platform ignores what `beforeUpdate` answers; the SDKs answer the object all the same.
        let echo = (kind == HookKind::BeforeUpdate).then(|| object.clone());
        let limit = self.shared().config.limits.of_hook(kind);
        let mut meta = self.meta(&hook.name, limit, &mut request);
        meta.session_token = session_token(user.as_deref()).or(meta.session_token);
        let call = Call {
            params: Document::new(),
            user,
            object: Some(object_of_hook(class, object, updated_keys)),
            auth_data: None,
            meta,
            engine: self.engine.clone(),
            encoding: Encoding::Plain,
        };
        Ok(match (self.shared().run(hook, call).await, echo) {
            (Err(error), _) => error.into_response(),
            (Ok(Answer::Object(stored)), _) => json_response(StatusCode::OK, &stored),
            (Ok(_), Some(object)) => json_response(StatusCode::OK, &object),
            (Ok(_), None) if kind.is_before() => json_response(StatusCode::OK, &json!({})),
            (Ok(_), None) => json_response(StatusCode::OK, &json!({"result": "ok"})),
        })
    }

    async fn other_hook(
        &self,
        which: Option<OtherHook>,
        name: &str,
        mut request: Authenticated,
    ) -> Result<Response, CloudError> {
        check_hook_key(&request)?;
        let hook = which.and_then(|which| self.shared().registry.other_hooks.get(&which));
        let hook = hook.ok_or_else(|| not_found(format!("No such hook: {name}")))?;
        let auth_data = match request.body.shift_remove("authData") {
            Some(Value::Object(data)) => Some(Document(data)),
            _ => None,
        };
        let object = match request.body.shift_remove("object") {
            Some(Value::Object(fields)) => Some(Document(fields)),
            _ => None,
        };
        let limit = self.shared().config.limits.other_hook;
        let mut meta = self.meta(&hook.name, limit, &mut request);
        meta.session_token = session_token(object.as_ref()).or(meta.session_token);
        let call = Call {
            // What a done job of the data query says.
            params: request.body,
            // As on the platform, the object of these hooks is the current user.
            user: object.clone().map(Arc::new),
            object: object.map(|fields| object_of_hook(ClassName::user(), fields, Vec::new())),
            auth_data,
            meta,
            engine: self.engine.clone(),
            encoding: Encoding::Plain,
        };
        Ok(match self.shared().run(hook, call).await {
            Ok(Answer::Body(body)) => json_body(body),
            Ok(Answer::Object(_) | Answer::Done) => json_response(StatusCode::OK, &json!({"result": "ok"})),
            Err(error) => error.into_response(),
        })
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// 200 with JSON that is written already.
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

/// The hook at a path of two segments that is not for a class, with the name that errors give it; `Some(None)` where
/// there cannot be such a hook.
fn other_hook(first: &str, second: &str) -> Option<(Option<OtherHook>, &'static str)> {
    Some(match (first, second) {
        ("onVerified", "sms") => (Some(OtherHook::User(UserHook::VerifiedSms)), "onVerified"),
        ("onVerified", "email") => (Some(OtherHook::User(UserHook::VerifiedEmail)), "onVerified"),
        ("onVerified", _) => (None, "onVerified"),
        ("_User", "onLogin") => (Some(OtherHook::User(UserHook::Login)), "onLogin"),
        ("_User", "onAuthData") => (Some(OtherHook::User(UserHook::AuthData)), "onAuthData"),
        ("BigQuery" | "Insight", "onComplete") => (Some(OtherHook::Complete), "onComplete"),
        _ => return None,
    })
}

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

/// Never lets anybody in where no hook key is configured; the official SDKs let everybody in then.
fn check_hook_key(request: &Authenticated) -> Result<(), CloudError> {
    if request.caller.hook {
        Ok(())
    } else {
        Err(refused("Hook key check failed", request))
    }
}

fn refused(why: &str, request: &Authenticated) -> CloudError {
    let from = request.remote_address.as_ref().map(RemoteAddress::to_string);
    let from = from.as_deref().unwrap_or("an unknown address");
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
