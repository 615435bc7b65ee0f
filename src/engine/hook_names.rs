//! Names of hooks in `_ops/metadatas`, as LeanEngine's SDKs write them.

use crate::model::{HookKind, UserHook};

/// A hook that is not a class hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OtherHook {
    /// A hook of users.
    User(UserHook),
    /// `onComplete`: a data query job is done.
    Complete,
}

impl OtherHook {
    /// Name in `_ops/metadatas`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User(hook) => user_hook_name(hook),
            Self::Complete => "__on_complete_bigquery_job",
        }
    }
}

/// Name of a class hook.
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

/// Name of a user hook.
pub(crate) fn user_hook_name(hook: UserHook) -> &'static str {
    match hook {
        UserHook::VerifiedSms => "__on_verified_sms",
        UserHook::VerifiedEmail => "__on_verified_email",
        // The class is `_User`, hence the second underscore.
        UserHook::Login => "__on_login__User",
        UserHook::AuthData => "__on_authdata__User",
    }
}
