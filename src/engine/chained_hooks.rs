//! Hooks of this app and of the remote app, as one.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::remote_app::RemoteApp;
use crate::model::{ClassName, CloudError, Document, HookCall, HookKind, Hooks, UserHook, UserHookCall};

/// Hooks of this app and of the remote app. If both define a hook, the remote app's runs first, and this app's gets its
/// result.
pub(crate) struct ChainedHooks {
    pub(crate) local: Arc<dyn Hooks>,
    pub(crate) remote: RemoteApp,
}

impl fmt::Debug for ChainedHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainedHooks")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Hooks for ChainedHooks {
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        self.local.defined(class, kind) || self.remote.defined(class, kind)
    }

    async fn call(&self, mut call: HookCall) -> Result<Document, CloudError> {
        let is_local = self.local.defined(&call.class, call.kind);
        if !self.remote.defined(&call.class, call.kind) {
            return self.local.call(call).await;
        }
        if !is_local {
            return Hooks::call(&self.remote, call).await;
        }
        let outcome = Hooks::call(&self.remote, call.clone()).await;
        match outcome {
            Ok(object) if call.kind == HookKind::BeforeSave => call.object = object,
            Ok(_) => {}
            // An after hook runs even if the other one failed.
            Err(error) if !call.kind.is_before() => {
                tracing::warn!(%error, class.name = %call.class, "an after hook of the engine app failed");
            }
            Err(error) => return Err(error),
        }
        self.local.call(call).await
    }

    fn user_hook_defined(&self, hook: UserHook) -> bool {
        self.local.user_hook_defined(hook) || self.remote.user_hook_defined(hook)
    }

    async fn call_user_hook(&self, mut call: UserHookCall) -> Result<Document, CloudError> {
        let is_local = self.local.user_hook_defined(call.hook);
        if !self.remote.user_hook_defined(call.hook) {
            return self.local.call_user_hook(call).await;
        }
        let result = self.remote.call_user_hook(call.clone()).await?;
        if !is_local {
            return Ok(result);
        }
        if call.hook == UserHook::AuthData && !result.is_empty() {
            call.auth_data = Some(result);
        }
        self.local.call_user_hook(call).await
    }
}
