//! What an app has defined, by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::handler::Bound;
use crate::model::HookKind;
pub(crate) use crate::model::UserHook;

/// Who may call a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every client.
    Client,
    /// Holders of the hook key or the master key.
    Internal,
    /// Holders of the hook key: the realtime service.
    Hook,
}

/// A cloud function.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) handler: Bound,
    pub(crate) access: Access,
    pub(crate) fetch_user: bool,
    pub(crate) ignore_invalid_session: bool,
}

/// A hook.
#[derive(Clone)]
pub(crate) struct Hook {
    /// As in `_ops/metadatas`.
    pub(crate) name: Arc<str>,
    pub(crate) handler: Bound,
}

/// Everything defined.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) functions: HashMap<Box<str>, Function>,
    /// By class, then in the order of [`HookKind::ALL`].
    pub(crate) class_hooks: HashMap<Box<str>, [Option<Hook>; 6]>,
    pub(crate) user_hooks: HashMap<UserHook, Hook>,
}

impl Registry {
    pub(crate) fn class_hook(&self, class: &str, kind: HookKind) -> Option<&Hook> {
        self.class_hooks.get(class)?.get(kind as usize)?.as_ref()
    }
}

/// The name of a class hook in `_ops/metadatas`.
pub(crate) fn class_hook_name(class: &str, kind: HookKind) -> String {
    let kind = match kind {
        HookKind::BeforeSave => "before_save",
        HookKind::AfterSave => "after_save",
        HookKind::BeforeUpdate => "before_update",
        HookKind::AfterUpdate => "after_update",
        HookKind::BeforeDelete => "before_delete",
        HookKind::AfterDelete => "after_delete",
    };
    format!("__{kind}_for_{class}")
}

impl UserHook {
    /// The name in `_ops/metadatas`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::VerifiedSms => "__on_verified_sms",
            Self::VerifiedEmail => "__on_verified_email",
            // The class is `_User`, hence the second underscore.
            Self::Login => "__on_login__User",
            Self::AuthData => "__on_authdata__User",
        }
    }
}

/// The functions that the realtime service calls, and nobody else may.
pub(crate) const REALTIME_HOOKS: [&str; 14] = [
    "_messageReceived",
    "_receiversOffline",
    "_messageSent",
    "_messageUpdate",
    "_conversationStart",
    "_conversationStarted",
    "_conversationAdd",
    "_conversationRemove",
    "_conversationAdded",
    "_conversationRemoved",
    "_conversationUpdate",
    "_clientOnline",
    "_clientOffline",
    "_rtmClientSign",
];
