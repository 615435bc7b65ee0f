//! What an app has defined, by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::handler::Bound;
use crate::engine::metrics::CallMetrics;
use crate::model::{HookKind, UserHook};

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

/// A handler under its name.
#[derive(Clone)]
pub(crate) struct Entry {
    /// As in `_ops/metadatas`.
    pub(crate) name: Arc<str>,
    pub(crate) handler: Bound,
    pub(crate) metrics: Arc<CallMetrics>,
    /// Whether it goes on after its deadline.
    pub(crate) detached: bool,
}

/// A cloud function.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) entry: Entry,
    pub(crate) access: Access,
    pub(crate) fetch_user: bool,
    pub(crate) ignore_invalid_session: bool,
}

/// The hooks that are no class hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OtherHook {
    /// Of users.
    User(UserHook),
    /// A job of the data query is done.
    Complete,
}

/// Everything defined.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) functions: HashMap<Box<str>, Function>,
    /// By class, then in the order of [`HookKind::ALL`].
    pub(crate) class_hooks: HashMap<Box<str>, [Option<Entry>; 6]>,
    pub(crate) other_hooks: HashMap<OtherHook, Entry>,
}

impl Registry {
    pub(crate) fn class_hook(&self, class: &str, kind: HookKind) -> Option<&Entry> {
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

impl OtherHook {
    /// The name in `_ops/metadatas`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User(hook) => user_hook_name(hook),
            Self::Complete => "__on_complete_bigquery_job",
        }
    }
}

/// The name of a hook of users in `_ops/metadatas`.
pub(crate) fn user_hook_name(hook: UserHook) -> &'static str {
    match hook {
        UserHook::VerifiedSms => "__on_verified_sms",
        UserHook::VerifiedEmail => "__on_verified_email",
        // The class is `_User`, hence the second underscore.
        UserHook::Login => "__on_login__User",
        UserHook::AuthData => "__on_authdata__User",
    }
}

/// A function that the realtime service calls, and nobody else may. Its parameters and the keys of its result are in
/// LeanCloud's guide to instant messaging; the type of a handler's [`Params`](crate::engine::Params) names those it
/// wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "LeanCloud's names of its hooks")]
pub enum RealtimeHook {
    MessageReceived,
    ReceiversOffline,
    MessageSent,
    MessageUpdate,
    ConversationStart,
    ConversationStarted,
    ConversationAdd,
    ConversationRemove,
    ConversationAdded,
    ConversationRemoved,
    ConversationUpdate,
    ClientOnline,
    ClientOffline,
    RtmClientSign,
}

impl RealtimeHook {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::MessageReceived,
        Self::ReceiversOffline,
        Self::MessageSent,
        Self::MessageUpdate,
        Self::ConversationStart,
        Self::ConversationStarted,
        Self::ConversationAdd,
        Self::ConversationRemove,
        Self::ConversationAdded,
        Self::ConversationRemoved,
        Self::ConversationUpdate,
        Self::ClientOnline,
        Self::ClientOffline,
        Self::RtmClientSign,
    ];

    /// The function's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageReceived => "_messageReceived",
            Self::ReceiversOffline => "_receiversOffline",
            Self::MessageSent => "_messageSent",
            Self::MessageUpdate => "_messageUpdate",
            Self::ConversationStart => "_conversationStart",
            Self::ConversationStarted => "_conversationStarted",
            Self::ConversationAdd => "_conversationAdd",
            Self::ConversationRemove => "_conversationRemove",
            Self::ConversationAdded => "_conversationAdded",
            Self::ConversationRemoved => "_conversationRemoved",
            Self::ConversationUpdate => "_conversationUpdate",
            Self::ClientOnline => "_clientOnline",
            Self::ClientOffline => "_clientOffline",
            Self::RtmClientSign => "_rtmClientSign",
        }
    }
}
