//! Class hooks in the process of the storage service, without HTTP in between.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::engine::call::{Call, HookPayload, Meta};
use crate::engine::encode::Encoding;
use crate::engine::handler::Answer;
use crate::engine::registry::OtherHook;
use crate::engine::remote_app::BothHooks;
use crate::engine::router::Engine;
use crate::http::RemoteAddress;
use crate::model::{
    ClassName, CloudError, Document, ErrorCode, HookCall, HookKind, Hooks, UserHook, UserHookCall, Value,
};

/// What older SDKs put into objects to recognise each other's saves, and what the object of a user's hook says of its own
/// type. User code has no business with them.
const MARKERS: [&str; 6] = [
    "_updatedKeys",
    "__before",
    "__after",
    "__sign",
    "__type",
    "className",
];

/// The hooks of an engine in the same process.
#[derive(Debug)]
struct LocalHooks(Engine);

impl Engine {
    /// The hooks, those of an app beside this one included, to be called by a storage service in the same process.
    /// Time-outs are those of [`Limits`](crate::engine::Limits); a panic is an error of the hook.
    #[must_use]
    pub fn hooks(&self) -> Arc<dyn Hooks> {
        let own = Arc::new(LocalHooks(self.clone()));
        match &self.shared.config.remote_app {
            Some(beside) => Arc::new(BothHooks {
                own,
                beside: beside.clone(),
            }),
            None => own,
        }
    }
}

#[async_trait]
impl Hooks for LocalHooks {
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        let registry = &self.0.shared.registry;
        registry.class_hook(class.as_str(), kind).is_some()
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        let shared = &self.0.shared;
        let Some(hook) = shared.registry.class_hook(call.class.as_str(), call.kind) else {
            return Err(no_hook(&call.class, call.kind));
        };
        let deadline = shared
            .config
            .environment
            .elapsed()
            .saturating_add(shared.config.limits.of_hook(call.kind));
        let meta = Meta {
            remote_address: call.remote_address.map(RemoteAddress::Reported),
            session_token: session_token(call.user.as_ref()),
            ..shared.meta(&hook.name, &shared.new_request_id(), deadline)
        };
        let call = Call {
            params: Document::new(),
            user: call.user.map(Arc::new),
            object: Some(object_of_hook(call.class, call.object, call.updated_keys)),
            auth_data: None,
            meta,
            engine: self.0.clone(),
            encoding: Encoding::Plain,
        };
        match shared.run(hook, call).await? {
            Answer::Object(mut object) => {
                object.retain(|key, _| !MARKERS.contains(&key.as_str()));
                Ok(object)
            }
            Answer::Body(_) | Answer::Done => Ok(Document::new()),
        }
    }

    fn user_hook_defined(&self, hook: UserHook) -> bool {
        let hooks = &self.0.shared.registry.other_hooks;
        hooks.contains_key(&OtherHook::User(hook))
    }

    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        let shared = &self.0.shared;
        let Some(hook) = shared.registry.other_hooks.get(&OtherHook::User(call.hook)) else {
            let text = format!("No such hook: {}", call.hook.path());
            return Err(CloudError::other(text).with_status(404));
        };
        let config = &shared.config;
        let deadline = config
            .environment
            .elapsed()
            .saturating_add(config.limits.other_hook);
        let meta = Meta {
            remote_address: call.remote_address.map(RemoteAddress::Reported),
            session_token: session_token(call.user.as_ref()),
            ..shared.meta(&hook.name, &shared.new_request_id(), deadline)
        };
        let call = Call {
            params: Document::new(),
            // As on the platform, the object of these hooks is the current user.
            user: call.user.clone().map(Arc::new),
            object: call
                .user
                .map(|user| object_of_hook(ClassName::user(), user, Vec::new())),
            auth_data: call.auth_data,
            meta,
            engine: self.0.clone(),
            encoding: Encoding::Plain,
        };
        match shared.run(hook, call).await? {
            Answer::Body(body) => result_of(&body),
            Answer::Object(_) | Answer::Done => Ok(Document::new()),
        }
    }
}

/// The object under `result`.
pub(crate) fn result_of(body: &[u8]) -> Result<Document, CloudError> {
    let unreadable = |what: String| CloudError::other(format!("The hook's answer: {what}")).with_status(500);
    let mut body: Document = serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
    match body.shift_remove("result") {
        None | Some(Value::Null) => Ok(Document::new()),
        Some(Value::Object(result)) => Ok(Document(result)),
        Some(_) => Err(unreadable("'result' is no object.".to_owned())),
    }
}

/// That of the user who made the request, which the storage service tells the hook.
pub(crate) fn session_token(user: Option<&Document>) -> Option<SecretString> {
    user?.text("sessionToken").map(SecretString::from)
}

/// The object without the markers.
pub(crate) fn object_of_hook(
    class: ClassName,
    mut fields: Document,
    updated_keys: Vec<String>,
) -> HookPayload {
    for marker in MARKERS {
        fields.shift_remove(marker);
    }
    HookPayload {
        class,
        fields,
        updated_keys,
    }
}

/// 404, code 1.
pub(crate) fn no_hook(class: &ClassName, kind: HookKind) -> CloudError {
    CloudError::new(ErrorCode::OTHER, format!("No {} hook of '{class}'", kind.name())).with_status(404)
}
