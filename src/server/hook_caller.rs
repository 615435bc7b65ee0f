//! Calling class hooks: before hooks in line, and failing closed; after hooks behind the answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::context::Context;
use super::visibility::for_hook;
use crate::credentials::HookSignature;
use crate::environment::hook_depth;
use crate::model::limits::HOOK_DEPTH_MAX;
use crate::model::user_secrets::SESSION_TOKEN;
use crate::model::{
    ClassName, CloudError, Document, ErrorCode, HookCall, HookKind, Hooks, UserHook, UserHookCall, Value,
};

/// After hooks that may run at the same time; a write whose hook finds no place waits for one, so that a flood of
/// writes cannot pile up hooks without end.
const AFTER_HOOKS_MAX: usize = 1024;

/// Before hooks that may run at the same time for writes of another app's engine: whoever shows the hook key, and does not
/// say how deep in hooks it is ([`hook_depth::HEADER`]). The official SDKs never say it. A write inside of a before hook
/// waits for the one that it makes run, so a circle holds one place for each round, and ends where there are none.
const UNTOLD_MAX: usize = 256;

/// How long such a write waits for a place: a burst has some come free by then, a circle has not.
const UNTOLD_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a write waits for a place. After hooks are cut off after three seconds, so one comes free by then, unless
/// the hooks themselves wait for places: then this one is given up.
const PLACE_TIMEOUT: Duration = Duration::from_secs(4);

/// The hooks under way.
pub(super) struct RunningHooks {
    /// The after hooks.
    tasks: TaskTracker,
    places: Arc<Semaphore>,
    /// Places of before hooks for writes of another app's engine.
    untold: Semaphore,
}

impl Default for RunningHooks {
    fn default() -> Self {
        Self {
            tasks: TaskTracker::new(),
            places: Arc::new(Semaphore::new(AFTER_HOOKS_MAX)),
            untold: Semaphore::new(UNTOLD_MAX),
        }
    }
}

impl RunningHooks {
    /// A place for the before hook of a write of another app's engine; `None` for every other write, which needs none.
    ///
    /// # Errors
    /// Where there is none: hooks that call each other hold them all.
    async fn place(&self, context: &Context) -> Result<Option<SemaphorePermit<'_>>, CloudError> {
        if !context.may_be_inside_a_hook() {
            return Ok(None);
        }
        match tokio::time::timeout(UNTOLD_TIMEOUT, self.untold.acquire()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) | Err(_) => Err(CloudError::other(format!(
                "{UNTOLD_MAX} before hooks wait for each other: a save inside of a hook ignores hooks with \
                 __ignore_hooks."
            ))),
        }
    }

    /// Waits for the after hooks under way.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The hooks of one write.
#[derive(Debug)]
pub(super) struct WriteHooks {
    pub(super) class: ClassName,
    /// Those that are not to run.
    ignored: Vec<HookKind>,
}

impl WriteHooks {
    /// Those of a write with this body.
    pub(super) fn of(context: &Context, class: ClassName, body: &Document) -> Self {
        let mut ignored = Vec::new();
        let names = body.get("__ignore_hooks").and_then(Value::as_array);
        if let Some(names) = names.filter(|_| context.may_ignore_hooks()) {
            let names = names.iter().filter_map(Value::as_str);
            ignored.extend(names.filter_map(HookKind::from_name));
        }
        for mark in HookSignature::ALL {
            let Some(shown) = body.text(mark.key()) else {
                continue;
            };
            // Whoever has made it has the master key, or has the object from us.
            let credentials = &context.state().config.credentials;
            if credentials.verify_hook_signature(&mark.name(&class), shown, context.environment().now()) {
                let marked = HookKind::ALL
                    .into_iter()
                    .filter(|kind| HookSignature::of(*kind) == mark);
                ignored.extend(marked);
            }
        }
        Self { class, ignored }
    }

    /// Whoever runs this hook, where there is one and it is not ignored.
    fn find<'a>(&self, context: &'a Context, kind: HookKind) -> Option<&'a Arc<dyn Hooks>> {
        let hooks = context.state().hooks.as_ref()?;
        // Devices report themselves too often for hooks; LeanCloud never calls any for them.
        if self.class.as_str() == "_Installation" {
            return None;
        }
        (!self.ignored.contains(&kind) && hooks.defined(&self.class, kind)).then_some(hooks)
    }

    /// Whether a write that runs one of these may go on: what hooks write runs hooks too, and must come to an end.
    ///
    /// # Errors
    /// 142 where the request comes from too many hooks inside of each other.
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

    /// Whether this hook will run.
    pub(super) fn runs(&self, context: &Context, kind: HookKind) -> bool {
        self.find(context, kind).is_some()
    }

    /// Runs a before hook: its answer, or `None` where there is no such hook.
    ///
    /// # Errors
    /// 142 where it refuses or cannot be reached; 141 where it takes too long. Then nothing must be written.
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
        let answer = async {
            let _place = context.state().running_hooks.place(context).await?;
            deeper(context, hooks.call(call)).await
        };
        match answer.await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => Err(refusal(&self.class, kind.name(), &error)),
        }
    }

    /// Starts an after hook, and does not wait for it. Its failure changes nothing.
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
                tracing::error!(%error, class.name = %self.class, hook = kind.name(), "an after hook was not called");
                return;
            }
        };
        let under_way = &context.state().running_hooks;
        let place = Arc::clone(&under_way.places).acquire_owned();
        let Ok(Ok(place)) = tokio::time::timeout(PLACE_TIMEOUT, place).await else {
            tracing::error!(class.name = %self.class, hook = kind.name(), "an after hook found no place");
            return;
        };
        let class = self.class.clone();
        let depth = context.hook_depth().saturating_add(1);
        under_way.tasks.spawn(async move {
            let _place = place;
            if let Err(error) = hook_depth::at(depth, hooks.call(call)).await {
                tracing::warn!(%error, class.name = %class, hook = kind.name(), "an after hook failed");
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
        // The master key acts for nobody, even beside a session.
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

/// Runs a hook as one level deeper than the request that calls it.
async fn deeper<F: Future>(context: &Context, hook: F) -> F::Output {
    hook_depth::at(context.hook_depth().saturating_add(1), hook).await
}

/// Asks a hook of users: its answer, or `None` where there is no such hook.
///
/// # Errors
/// 142 where it refuses or cannot be reached; 141 where it takes too long.
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
        Ok(answer) => Ok(Some(answer)),
        Err(error) => {
            let (class, name) = hook.path().split_once('/').unwrap_or(("", hook.path()));
            Err(refusal(class, name, &error))
        }
    }
}

/// Tells a hook of users what has happened to `user`, behind the answer.
pub(super) fn tell_user_hook(context: &Context, hook: UserHook, user: &Document) {
    let Some(hooks) = find_user_hook(context, hook).map(Arc::clone) else {
        return;
    };
    let call = user_hook_call(context, hook, Some(user), None);
    let depth = context.hook_depth().saturating_add(1);
    context.state().running_hooks.tasks.spawn(async move {
        if let Err(error) = hook_depth::at(depth, hooks.call_user_hook(call)).await {
            tracing::warn!(%error, hook = hook.path(), "a hook of users failed");
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

/// A user as hooks see the one whom they act for: with the session token.
fn with_session(user: &Document) -> Document {
    let mut shown = for_hook(&ClassName::user(), user.clone());
    if let Some(token) = user.get(SESSION_TOKEN) {
        shown.insert(SESSION_TOKEN.to_owned(), token.clone());
    }
    shown
}

/// What the client is told when a hook of a class does not let something pass.
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
