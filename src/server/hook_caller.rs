//! Calls of hooks. A before hook that fails stops the write; an after hook runs behind the response.

use std::fmt;
use std::sync::Arc;

use super::context::Context;
use super::visibility::for_hook;
use crate::credentials::HookSignature;
use crate::environment::hook_depth;
use crate::model::limits::HOOK_DEPTH_MAX;
use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{
    ClassName, CloudError, Document, ErrorCode, HookCall, HookKind, Hooks, UserHook, UserHookCall, Value,
};

/// The hooks of one write.
#[derive(Debug)]
pub(super) struct WriteHooks {
    pub(super) class: ClassName,
    /// The kinds that are not to run.
    ignored: Vec<HookKind>,
}

impl WriteHooks {
    /// No hooks at all.
    pub(super) fn none(class: ClassName) -> Self {
        Self {
            class,
            ignored: HookKind::ALL.to_vec(),
        }
    }

    /// The hooks of a write with this body.
    pub(super) fn of(context: &Context, class: ClassName, body: &Document) -> Self {
        let mut ignored = Vec::new();
        let names = body.get("__ignore_hooks").and_then(Value::as_array);
        if let Some(names) = names.filter(|_| context.may_ignore_hooks()) {
            let names = names.iter().filter_map(Value::as_str);
            ignored.extend(names.filter_map(HookKind::from_name));
        }
        for signature in HookSignature::ALL {
            let Some(shown) = body.text(signature.key()) else {
                continue;
            };
            // Its maker has the master key, or has the object from this server.
            let credentials = &context.state().config.credentials;
            if credentials.verify_hook_signature(&signature.name(&class), shown, context.environment().now())
            {
                let signed = HookKind::ALL
                    .into_iter()
                    .filter(|kind| HookSignature::of(*kind) == signature);
                ignored.extend(signed);
            }
        }
        Self { class, ignored }
    }

    /// Returns the port of this hook, if it is defined and not ignored.
    fn find<'a>(&self, context: &'a Context, kind: HookKind) -> Option<&'a Arc<dyn Hooks>> {
        let hooks = context.state().hooks.as_ref()?;
        (!self.ignored.contains(&kind) && hooks.defined(&self.class, kind)).then_some(hooks)
    }

    /// Checks the depth of a write that runs one of these hooks: hooks write, and their writes run hooks.
    ///
    /// # Errors
    /// 142 if the request comes from too many hooks inside of each other.
    pub(super) fn check_depth(&self, context: &Context, kinds: [HookKind; 2]) -> Result<(), CloudError> {
        if context.hook_depth() < HOOK_DEPTH_MAX || !kinds.iter().any(|kind| self.runs(context, *kind)) {
            return Ok(());
        }
        let text = format!(
            "hooks call each other more than {HOOK_DEPTH_MAX} levels deep; a save inside of a hook ignores hooks with \
             __ignore_hooks."
        );
        Err(refusal(&self.class, "", &CloudError::other(text)))
    }

    /// True if this hook will run.
    pub(super) fn runs(&self, context: &Context, kind: HookKind) -> bool {
        self.find(context, kind).is_some()
    }

    /// Runs a before hook, and returns its object; `None` without such a hook.
    ///
    /// # Errors
    /// 142 if it refuses or cannot be reached; 141 if it takes too long. Then nothing must be written.
    pub(super) async fn before(
        &self,
        context: &Context,
        kind: HookKind,
        object: Document,
        updated_keys: Vec<String>,
    ) -> Result<Option<Document>, CloudError> {
        let Some(hooks) = self.find(context, kind) else {
            return Ok(None);
        };
        let call = self.call(context, kind, object, updated_keys).await?;
        let result = async {
            let running = &context.state().running_hooks;
            let _permit = if context.may_be_inside_a_hook() {
                Some(running.unknown_depth_permit().await?)
            } else {
                None
            };
            deeper(context, hooks.call(call)).await
        };
        match result.await {
            Ok(object) => Ok(Some(object)),
            Err(error) => Err(refusal(&self.class, kind.name(), &error)),
        }
    }

    /// Starts an after hook, and does not wait for its end. Its failure changes nothing.
    pub(super) async fn after(
        &self,
        context: &Context,
        kind: HookKind,
        object: Document,
        updated_keys: Vec<String>,
    ) {
        let Some(hooks) = self.find(context, kind).map(Arc::clone) else {
            return;
        };
        let call = match self.call(context, kind, object, updated_keys).await {
            Ok(call) => call,
            Err(error) => {
                tracing::error!(%error, class.name = %self.class, hook = kind.name(), "calling an after hook failed");
                return;
            }
        };
        let running = &context.state().running_hooks;
        let Some(permit) = running.after_permit().await else {
            tracing::error!(class.name = %self.class, hook = kind.name(), "too many after hooks run: one was not called");
            return;
        };
        let class = self.class.clone();
        let depth = context.hook_depth().saturating_add(1);
        running.tasks.spawn(async move {
            let _permit = permit;
            if let Err(error) = hook_depth::at(depth, hooks.call(call)).await {
                tracing::warn!(%error, class.name = %class, hook = kind.name(), "after hook failed");
            }
        });
    }

    async fn call(
        &self,
        context: &Context,
        kind: HookKind,
        object: Document,
        updated_keys: Vec<String>,
    ) -> Result<HookCall, CloudError> {
        // The master key acts for no user, even beside a session.
        let session = if context.is_master() {
            None
        } else {
            context.session().await?
        };
        let user = session.map(with_session);
        Ok(HookCall {
            class: self.class.clone(),
            kind,
            object: for_hook(&self.class, object),
            updated_keys,
            user,
            remote_address: context.remote_address().map(|address| address.to_string()),
        })
    }
}

/// Runs a hook one level deeper than the request that calls it.
async fn deeper<F: Future>(context: &Context, hook: F) -> F::Output {
    hook_depth::at(context.hook_depth().saturating_add(1), hook).await
}

/// Runs a hook of users, and returns its result; `None` without such a hook.
///
/// # Errors
/// 142 if it refuses or cannot be reached; 141 if it takes too long.
pub(super) async fn ask_user_hook(
    context: &Context,
    hook: UserHook,
    user: Option<&Document>,
    auth_data: Option<Document>,
) -> Result<Option<Document>, CloudError> {
    let Some(hooks) = find_user_hook(context, hook) else {
        return Ok(None);
    };
    let call = user_hook_call(context, hook, user, auth_data);
    match deeper(context, hooks.call_user_hook(call)).await {
        Ok(result) => Ok(Some(result)),
        Err(error) => {
            let (class, name) = hook.path().split_once('/').unwrap_or(("", hook.path()));
            Err(refusal(class, name, &error))
        }
    }
}

/// Starts a hook of users behind the response: it is notified of what has happened to `user`.
pub(super) fn notify_user_hook(context: &Context, hook: UserHook, user: &Document) {
    let Some(hooks) = find_user_hook(context, hook).map(Arc::clone) else {
        return;
    };
    let call = user_hook_call(context, hook, Some(user), None);
    let depth = context.hook_depth().saturating_add(1);
    context.state().running_hooks.tasks.spawn(async move {
        if let Err(error) = hook_depth::at(depth, hooks.call_user_hook(call)).await {
            tracing::warn!(%error, hook = hook.path(), "user hook failed");
        }
    });
}

fn find_user_hook(context: &Context, hook: UserHook) -> Option<&Arc<dyn Hooks>> {
    let hooks = context.state().hooks.as_ref();
    hooks.filter(|hooks| hooks.user_hook_defined(hook))
}

fn user_hook_call(
    context: &Context,
    hook: UserHook,
    user: Option<&Document>,
    auth_data: Option<Document>,
) -> UserHookCall {
    UserHookCall {
        hook,
        user: user.map(with_session),
        auth_data,
        remote_address: context.remote_address().map(|address| address.to_string()),
    }
}

/// The user for whom a hook acts, as the hook sees them: with the session token.
fn with_session(user: &Document) -> Document {
    let mut shown = for_hook(&ClassName::user(), user.clone());
    if let Some(token) = user.get(SESSION_TOKEN) {
        shown.insert(SESSION_TOKEN.to_owned(), token.clone());
    }
    shown
}

/// The error for the client when a hook refuses or fails.
fn refusal(class: impl fmt::Display, hook: &str, error: &CloudError) -> CloudError {
    if error.is_timed_out() {
        let text = format!("LeanEngine request timeout. ({class} {hook})");
        return CloudError::new(ErrorCode::HOOK_TIMEOUT, text);
    }
    CloudError::new(
        ErrorCode::HOOK_REFUSED,
        format!("Cloud Code validation failed. Error detail : {}", error.message),
    )
}
