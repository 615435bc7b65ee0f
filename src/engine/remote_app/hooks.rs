//! Calls of the remote app's hooks.

use async_trait::async_trait;
use serde_json::json;

use super::{RemoteApp, origin_headers, parse_error, send};
use crate::credentials::HookSignature;
use crate::engine::hook_names::{class_hook_name, user_hook_name};
use crate::engine::hook_payload::parse_result;
use crate::model::{
    ClassName, CloudError, Document, HookCall, HookKind, Hooks, UserHook, UserHookCall, Value,
};

impl RemoteApp {
    /// Signature of an object's origin, for SDKs that know no hook key.
    fn signature(&self, name: &str) -> Option<Value> {
        let now = self.0.environment.now();
        self.0.credentials.sign_hook(name, now).map(Value::String)
    }
}

#[async_trait]
impl Hooks for RemoteApp {
    /// Until the app has been discovered, every before hook counts as defined: a write that the app may refuse must not
    /// slip through.
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool {
        self.defines(&class_hook_name(class.as_str(), kind))
            .unwrap_or_else(|| kind.is_before())
    }

    async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
        self.check_discovered()?;
        let mut object = call.object;
        if matches!(call.kind, HookKind::BeforeUpdate | HookKind::AfterUpdate) {
            object.insert("_updatedKeys".to_owned(), json!(call.updated_keys));
        }
        let signature = HookSignature::of(call.kind);
        if let Some(value) = self.signature(&signature.name(&call.class)) {
            object.insert(signature.key().to_owned(), value);
        }
        let mut body = json!({ "object": object });
        if let (Some(user), Some(fields)) = (call.user, body.as_object_mut()) {
            fields.insert("user".to_owned(), user.into_value());
        }
        let path = format!("/1.1/functions/{}/{}", call.class, call.kind.name());
        let request = self
            .post(&path)
            .headers(origin_headers(call.remote_address.as_deref()))
            .timeout(self.0.limits.class_hook(call.kind))
            .json(&body);
        let (status, body) = send(request).await?;
        match (status, call.kind) {
            (200..300, HookKind::BeforeSave) => serde_json::from_slice(&body)
                .map_err(|_| CloudError::other("The engine app's hook did not return an object.")),
            (200..300, _) => Ok(Document::new()),
            _ => Err(parse_error(status, &body)),
        }
    }

    /// Until the app has been discovered, every hook that may refuse counts as defined.
    fn user_hook_defined(&self, hook: UserHook) -> bool {
        self.defines(user_hook_name(hook))
            .unwrap_or(matches!(hook, UserHook::Login | UserHook::AuthData))
    }

    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        self.check_discovered()?;
        let mut body = Document::new();
        if let Some(mut user) = call.user {
            // Without these the PHP SDK would not make a user of it.
            user.insert("__type".to_owned(), "Object".into());
            user.insert("className".to_owned(), ClassName::user().as_str().into());
            if let Some(signature) = self.signature(user_hook_name(call.hook)) {
                user.insert("__sign".to_owned(), signature);
            }
            body.insert("object".to_owned(), user.into_value());
        }
        if let Some(auth_data) = call.auth_data {
            body.insert("authData".to_owned(), auth_data.into_value());
        }
        let request = self
            .post(&format!("/1.1/functions/{}", call.hook.path()))
            .headers(origin_headers(call.remote_address.as_deref()))
            .timeout(self.0.limits.other_hook)
            .json(&body);
        let (status, body) = send(request).await?;
        match (status, call.hook) {
            (200..300, UserHook::AuthData) => parse_result(&body),
            (200..300, _) => Ok(Document::new()),
            _ => Err(parse_error(status, &body)),
        }
    }
}
