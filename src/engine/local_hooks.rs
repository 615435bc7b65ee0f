//! Hooks called by a storage service in the same process, without HTTP in between.

use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::call::{Call, Meta};
use crate::engine::chained_hooks::ChainedHooks;
use crate::engine::encode::Encoding;
use crate::engine::error::no_hook;
use crate::engine::handler::HandlerOutput;
use crate::engine::hook_names::OtherHook;
use crate::engine::hook_payload::{HookPayload, MARKERS, parse_result, session_token};
use crate::engine::runtime::Engine;
use crate::http::RemoteAddress;
use crate::model::{ClassName, CloudError, Document, HookCall, HookKind, Hooks, UserHook, UserHookCall};

/// Hooks of an engine in the same process.
#[derive(Debug)]
struct LocalHooks(Engine);

impl Engine {
    /// Returns the hooks, for a storage service in the same process. Hooks of the remote app are included.
    /// Time-outs are those of [`Limits`](crate::engine::Limits); a panic is an error of the hook.
    #[must_use]
    pub fn hooks(&self) -> Arc<dyn Hooks> {
        let local = Arc::new(LocalHooks(self.clone()));
        match &self.runtime.config.remote_app {
            Some(remote) => Arc::new(ChainedHooks {
                local,
                remote: remote.clone(),
            }),
            None => local,
        }
    }
}

#[async_trait]
impl Hooks for LocalHooks {
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        let registry = &self.0.runtime.registry;
        registry.class_hook(class.as_str(), kind).is_some()
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        let runtime = &self.0.runtime;
        let Some(hook) = runtime.registry.class_hook(call.class.as_str(), call.kind) else {
            return Err(no_hook(&call.class, call.kind));
        };
        let deadline = runtime
            .config
            .environment
            .elapsed()
            .saturating_add(runtime.config.limits.class_hook(call.kind));
        let meta = Meta {
            remote_address: call.remote_address.map(RemoteAddress::Reported),
            session_token: session_token(call.user.as_ref()),
            ..runtime.meta(&hook.name, &runtime.new_request_id(), deadline)
        };
        let call = Call {
            params: Document::new(),
            user: call.user.map(Arc::new),
            object: Some(HookPayload::new(call.class, call.object, call.updated_keys)),
            auth_data: None,
            meta,
            dispatch: self.0.dispatch(),
            encoding: Encoding::Plain,
        };
        match runtime.run(hook, call).await? {
            HandlerOutput::Object(mut object) => {
                object.retain(|key, _| !MARKERS.contains(&key.as_str()));
                Ok(object)
            }
            HandlerOutput::Body(_) | HandlerOutput::Done => Ok(Document::new()),
        }
    }

    fn user_hook_defined(&self, hook: UserHook) -> bool {
        let hooks = &self.0.runtime.registry.other_hooks;
        hooks.contains_key(&OtherHook::User(hook))
    }

    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        let runtime = &self.0.runtime;
        let Some(hook) = runtime.registry.other_hooks.get(&OtherHook::User(call.hook)) else {
            let text = format!("No such hook: {}", call.hook.path());
            return Err(CloudError::other(text).with_status(404));
        };
        let config = &runtime.config;
        let deadline = config
            .environment
            .elapsed()
            .saturating_add(config.limits.other_hook);
        let meta = Meta {
            remote_address: call.remote_address.map(RemoteAddress::Reported),
            session_token: session_token(call.user.as_ref()),
            ..runtime.meta(&hook.name, &runtime.new_request_id(), deadline)
        };
        let call = Call {
            params: Document::new(),
            // As on the platform, the object of these hooks is the current user.
            user: call.user.clone().map(Arc::new),
            object: call
                .user
                .map(|user| HookPayload::new(ClassName::user(), user, Vec::new())),
            auth_data: call.auth_data,
            meta,
            dispatch: self.0.dispatch(),
            encoding: Encoding::Plain,
        };
        match runtime.run(hook, call).await? {
            HandlerOutput::Body(body) => parse_result(&body),
            HandlerOutput::Object(_) | HandlerOutput::Done => Ok(Document::new()),
        }
    }
}
