//! Hooks as they travel between the storage service and the functions of an app.

use async_trait::async_trait;

use crate::model::{ClassName, CloudError, Document};

/// When a class hook runs.
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

    /// The name in a path and in `__ignore_hooks`.
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

    /// The hook of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the write waits for it, and fails with it.
    #[must_use]
    pub fn is_before(self) -> bool {
        matches!(self, Self::BeforeSave | Self::BeforeUpdate | Self::BeforeDelete)
    }
}

/// A class hook to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct HookCall {
    /// The class of the object.
    pub class: ClassName,
    /// Which hook.
    pub kind: HookKind,
    /// The object: what is to be stored (before), what was stored (after).
    pub object: Document,
    /// Update hooks: the columns that the request changes.
    pub updated_keys: Vec<String>,
    /// The requesting user with `sessionToken`; `None` for anonymous and master requests.
    pub user: Option<Document>,
    /// The client's address.
    pub remote_address: Option<String>,
}

/// The hooks that are no class hooks: what happens to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserHook {
    /// A phone number has been verified. Nothing waits for it.
    VerifiedSms,
    /// An e-mail address has been verified. Nothing waits for it.
    VerifiedEmail,
    /// A user logs in; may refuse.
    Login,
    /// Somebody logs in, or links a user, with `authData`; may refuse, and answers the `authData` to be used.
    AuthData,
}

impl UserHook {
    /// The name in a path.
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

/// A [`UserHook`] to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct UserHookCall {
    /// Which hook.
    pub hook: UserHook,
    /// The user with `sessionToken`, where there is one; `None` where `authData` leads to nobody yet.
    pub user: Option<Document>,
    /// [`UserHook::AuthData`]: what the platforms said, by platform.
    pub auth_data: Option<Document>,
    /// The client's address.
    pub remote_address: Option<String>,
}

/// Whoever runs hooks: the engine in the same process, or one over HTTP.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Whether there is such a hook. Without one the write goes on.
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool;

    /// Runs it. `beforeSave` answers the object to be stored; the answer of the others is ignored.
    ///
    /// # Errors
    /// The hook's own refusal, its time-out ([`CloudError::timed_out`]), or that it could not be reached. The caller turns it
    /// into 142 or 141.
    async fn call(&self, call: HookCall) -> Result<Document, CloudError>;

    /// Whether there is such a hook of users. Without one there is nothing to ask.
    fn user_hook_defined(&self, hook: UserHook) -> bool {
        let _ = hook;
        false
    }

    /// Runs a hook of users. [`UserHook::AuthData`] answers the `authData` to be used, or nothing for what was given;
    /// the answer of the others is ignored.
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
    fn hooks_by_name() {
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
    fn who_has_class_hooks_alone_has_none_of_users() {
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
