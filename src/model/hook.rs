//! Hook calls between the storage service and an app's functions.

use async_trait::async_trait;

use crate::model::{ClassName, CloudError, Document};

/// The kinds of class hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "LeanCloud's names of its hooks")]
pub enum HookKind {
    BeforeSave,
    AfterSave,
    BeforeUpdate,
    AfterUpdate,
    BeforeDelete,
    AfterDelete,
}

impl HookKind {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::BeforeSave,
        Self::AfterSave,
        Self::BeforeUpdate,
        Self::AfterUpdate,
        Self::BeforeDelete,
        Self::AfterDelete,
    ];

    /// Name in paths and in `__ignore_hooks`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeSave => "beforeSave",
            Self::AfterSave => "afterSave",
            Self::BeforeUpdate => "beforeUpdate",
            Self::AfterUpdate => "afterUpdate",
            Self::BeforeDelete => "beforeDelete",
            Self::AfterDelete => "afterDelete",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// True if the write waits for the hook and fails with it.
    #[must_use]
    pub fn is_before(self) -> bool {
        matches!(self, Self::BeforeSave | Self::BeforeUpdate | Self::BeforeDelete)
    }
}

/// A call of a class hook.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    /// The class of the object.
    pub class: ClassName,
    /// The hook.
    pub kind: HookKind,
    /// The object: to be stored (before hooks), or as stored (after hooks).
    pub object: Document,
    /// Update hooks only: the columns changed by the request.
    pub updated_keys: Vec<String>,
    /// The requesting user with `sessionToken`. `None` for anonymous and master requests.
    pub user: Option<Document>,
    /// The client's address.
    pub remote_address: Option<String>,
}

/// Hooks on events of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserHook {
    /// A phone number was verified. Runs in the background.
    VerifiedSms,
    /// An e-mail address was verified. Runs in the background.
    VerifiedEmail,
    /// A user logs in. May refuse.
    Login,
    /// Someone logs in with `authData`, or links it to a user. May refuse, and returns the `authData` to use.
    AuthData,
}

impl UserHook {
    /// Name in paths.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::VerifiedSms => "onVerified/sms",
            Self::VerifiedEmail => "onVerified/email",
            Self::Login => "_User/onLogin",
            Self::AuthData => "_User/onAuthData",
        }
    }
}

/// A call of a [`UserHook`].
#[derive(Clone, Debug, PartialEq)]
pub struct UserHookCall {
    /// The hook.
    pub hook: UserHook,
    /// The user with `sessionToken`; `None` if no user has this `authData` yet.
    pub user: Option<Document>,
    /// [`UserHook::AuthData`] only: the `authData` by platform.
    pub auth_data: Option<Document>,
    /// The client's address.
    pub remote_address: Option<String>,
}

/// Runs hooks: the engine in the same process, or a remote one over HTTP.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// True if the hook is defined. Undefined hooks are skipped.
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool;

    /// Runs a class hook. `beforeSave` returns the object to store; the result of other hooks is ignored.
    ///
    /// # Errors
    /// The hook's refusal, its time-out ([`CloudError::timed_out`]), or a connection error. The caller maps it to
    /// 142 or 141.
    async fn call(&self, call: HookCall) -> Result<Document, CloudError>;

    /// True if the user hook is defined. Undefined hooks are skipped.
    fn user_hook_defined(&self, hook: UserHook) -> bool {
        let _ = hook;
        false
    }

    /// Runs a user hook. [`UserHook::AuthData`] returns the `authData` to use, or nothing to keep the given one; the
    /// result of other hooks is ignored.
    ///
    /// # Errors
    /// As [`Hooks::call`].
    async fn call_user_hook(&self, call: UserHookCall) -> Result<Document, CloudError> {
        let text = format!("No such hook: {}", call.hook.path());
        Err(CloudError::other(text).with_status(404))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hook_kind_has_name() {
        let names = HookKind::ALL.map(HookKind::name);
        assert_eq!(
            names,
            [
                "beforeSave",
                "afterSave",
                "beforeUpdate",
                "afterUpdate",
                "beforeDelete",
                "afterDelete"
            ]
        );
        for kind in HookKind::ALL {
            assert_eq!(HookKind::from_name(kind.name()), Some(kind));
            // A write waits for what comes before it.
            assert_eq!(kind.is_before(), kind.name().starts_with("before"));
        }
        assert_eq!(HookKind::from_name("BeforeSave"), None);
    }

    struct ClassHooks;

    #[async_trait]
    impl Hooks for ClassHooks {
        fn defined(&self, _: &ClassName, _: HookKind) -> bool {
            true
        }

        async fn call(&self, call: HookCall) -> Result<Document, CloudError> {
            Ok(call.object)
        }
    }

    #[test]
    fn user_hooks_are_undefined_by_default() {
        for (hook, path) in [
            (UserHook::VerifiedSms, "onVerified/sms"),
            (UserHook::VerifiedEmail, "onVerified/email"),
            (UserHook::Login, "_User/onLogin"),
            (UserHook::AuthData, "_User/onAuthData"),
        ] {
            assert_eq!(hook.path(), path);
            assert!(!ClassHooks.user_hook_defined(hook));
            let call = UserHookCall {
                hook,
                user: None,
                auth_data: None,
                remote_address: None,
            };
            let mut waits = std::task::Context::from_waker(std::task::Waker::noop());
            let answer = ClassHooks.call_user_hook(call).as_mut().poll(&mut waits);
            let std::task::Poll::Ready(Err(error)) = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(
                (error.status, error.message),
                (404, format!("No such hook: {path}"))
            );
        }
    }
}
