//! Builder of an app: its functions and hooks, before it runs.

use std::fmt;
use std::sync::Arc;

use crate::engine::config::EngineConfig;
use crate::engine::encode::Encoding;
use crate::engine::handler::{
    BeforeSaveReply, FunctionReply, Handler, HandlerOutput, HookReply, UnboundHandler, erase,
};
use crate::engine::hook_names::{OtherHook, class_hook_name};
use crate::engine::hook_payload::HookPayload;
use crate::engine::metrics::Metrics;
use crate::engine::realtime_hook::RealtimeHook;
use crate::engine::registry::{Access, Entry, Function, Registry};
use crate::engine::runtime::Engine;
use crate::model::{ClassName, CloudError, HookKind, UserHook};

/// The functions and hooks of an app whose state is `S`.
///
/// Names and classes are checked by [`App::build`].
pub struct App<S> {
    definitions: Vec<Definition<S>>,
}

struct Definition<S> {
    target: Target,
    handler: UnboundHandler<S>,
}

/// Function or hook that a handler is defined for.
enum Target {
    Function(String, FunctionOptions),
    ClassHook(String, HookKind),
    OtherHook(OtherHook),
}

/// Options of a function. The default is a function for every client, with the user fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionOptions {
    /// True if only holders of the hook key or the master key may call it.
    pub internal: bool,
    /// True if the session token is resolved to a user before the function runs. If false, there is no
    /// [`CurrentUser`](crate::engine::CurrentUser), only the raw token in [`Meta`](crate::engine::Meta).
    pub fetch_user: bool,
    /// True if a call with an invalid session token runs without a user, instead of being refused with 211.
    pub ignore_invalid_session: bool,
    /// True if the function continues after the 503 at its deadline, as on LeanCloud's own runtimes. If false, it is
    /// dropped there. For work that must not stop half way; it has to end by itself.
    pub detached: bool,
}

impl Default for FunctionOptions {
    fn default() -> Self {
        Self {
            internal: false,
            fetch_user: true,
            ignore_invalid_session: false,
            detached: false,
        }
    }
}

/// Error in the definitions of an app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two functions, or two hooks of one kind, have the same name.
    #[error("'{0}' is defined twice; remove or rename one of them")]
    DefinedTwice(String),
    /// A function's name is empty or holds a `/`, which a path cannot carry.
    #[error("'{0}' cannot be the name of a cloud function: it must not be empty or hold '/'")]
    InvalidName(String),
    /// A hook's class name is invalid.
    #[error("the hook {hook} has an invalid class name: {reason}")]
    InvalidClass {
        /// Name as in `_ops/metadatas`.
        hook: String,
        /// Reason why the class name is invalid.
        reason: String,
    },
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// An app without functions.
    #[must_use]
    pub fn new() -> Self {
        Self {
            definitions: Vec::new(),
        }
    }

    /// Adds a cloud function for every client.
    #[must_use]
    pub fn function<H, A>(self, name: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        self.function_with(name, FunctionOptions::default(), handler)
    }

    /// Adds a cloud function for holders of the hook key or the master key.
    #[must_use]
    pub fn internal_function<H, A>(self, name: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        let options = FunctionOptions {
            internal: true,
            ..FunctionOptions::default()
        };
        self.function_with(name, options, handler)
    }

    /// Adds a cloud function. A call needs the hook key if the name is one of the realtime service's
    /// (`_messageReceived` …).
    #[must_use]
    pub fn function_with<H, A>(self, name: &str, options: FunctionOptions, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        let target = Target::Function(name.to_owned(), options);
        self.define(target, erase(handler, body::<H::Output>))
    }

    /// Adds a function that the realtime service calls with the hook key.
    #[must_use]
    pub fn on_realtime<H, A>(self, hook: RealtimeHook, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        self.function(hook.name(), handler)
    }

    /// Adds a hook before the creation of an object of `class`. It may refuse the object or change the stored fields.
    #[must_use]
    pub fn before_save<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: BeforeSaveReply>,
    {
        let target = Target::ClassHook(class.to_owned(), HookKind::BeforeSave);
        let convert = |output: H::Output, object, _| output.into_object(object).map(HandlerOutput::Object);
        self.define(target, erase(handler, convert))
    }

    /// Adds a hook after the creation of an object of `class`.
    #[must_use]
    pub fn after_save<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::AfterSave, handler)
    }

    /// Adds a hook before the update of an object of `class`. It may refuse the update; its own changes to the object
    /// are not stored.
    #[must_use]
    pub fn before_update<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::BeforeUpdate, handler)
    }

    /// Adds a hook after the update of an object of `class`.
    #[must_use]
    pub fn after_update<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::AfterUpdate, handler)
    }

    /// Adds a hook before the deletion of an object of `class`. It may refuse the deletion.
    #[must_use]
    pub fn before_delete<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::BeforeDelete, handler)
    }

    /// Adds a hook after the deletion of an object of `class`.
    #[must_use]
    pub fn after_delete<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::AfterDelete, handler)
    }

    /// Adds a hook before a login. It may refuse the login.
    #[must_use]
    pub fn on_login<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            Target::OtherHook(OtherHook::User(UserHook::Login)),
            erase(handler, done::<H::Output>),
        )
    }

    /// Adds a hook before a login by a platform's `authData`. It returns the `authData` to use.
    #[must_use]
    pub fn on_auth_data<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        self.define(
            Target::OtherHook(OtherHook::User(UserHook::AuthData)),
            erase(handler, body::<H::Output>),
        )
    }

    /// Adds a hook after a data query job. Its [`Params`](crate::engine::Params) are `id`, `status` and `message`.
    #[must_use]
    pub fn on_complete<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            Target::OtherHook(OtherHook::Complete),
            erase(handler, done::<H::Output>),
        )
    }

    /// Adds a hook after the verification of a user's phone number.
    #[must_use]
    pub fn on_verified_sms<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            Target::OtherHook(OtherHook::User(UserHook::VerifiedSms)),
            erase(handler, done::<H::Output>),
        )
    }

    /// Adds a hook after the verification of a user's e-mail address.
    #[must_use]
    pub fn on_verified_email<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            Target::OtherHook(OtherHook::User(UserHook::VerifiedEmail)),
            erase(handler, done::<H::Output>),
        )
    }

    /// Builds the engine of the app.
    ///
    /// # Errors
    /// [`BuildError`]: a name defined twice, or an invalid name.
    pub fn build(self, state: S, config: EngineConfig) -> Result<Engine, BuildError> {
        let mut registry = Registry::default();
        let metrics = Metrics::default();
        let mut names = Vec::with_capacity(self.definitions.len());
        for Definition { target, handler } in self.definitions {
            let name = target.metadata_name()?;
            let entry = Entry {
                name: Arc::clone(&name),
                handler: handler(state.clone()),
                metrics: metrics.of(&name),
                detached: false,
            };
            if !registry.add(target, entry) {
                return Err(BuildError::DefinedTwice(name.to_string()));
            }
            names.push(name);
        }
        Ok(Engine::new(registry, names, metrics, config))
    }

    /// True if a cloud function of that name is defined.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        let mut defined = self.definitions.iter().map(|definition| &definition.target);
        defined.any(|target| matches!(target, Target::Function(defined, _) if defined == name))
    }

    fn class_hook<H, A>(self, class: &str, kind: HookKind, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        let target = Target::ClassHook(class.to_owned(), kind);
        self.define(target, erase(handler, done::<H::Output>))
    }

    fn define(mut self, target: Target, handler: UnboundHandler<S>) -> Self {
        self.definitions.push(Definition { target, handler });
        self
    }
}

fn body<O: FunctionReply>(
    output: O,
    _: Option<HookPayload>,
    encoding: Encoding,
) -> Result<HandlerOutput, CloudError> {
    output.into_body(encoding).map(HandlerOutput::Body)
}

fn done<O: HookReply>(output: O, _: Option<HookPayload>, _: Encoding) -> Result<HandlerOutput, CloudError> {
    output.into_verdict().map(|()| HandlerOutput::Done)
}

impl Target {
    fn metadata_name(&self) -> Result<Arc<str>, BuildError> {
        match self {
            Self::Function(name, _) if name.is_empty() || name.contains('/') => {
                Err(BuildError::InvalidName(name.clone()))
            }
            Self::Function(name, _) => Ok(name.as_str().into()),
            Self::ClassHook(class, kind) => {
                let hook = class_hook_name(class, *kind);
                match ClassName::parse(class) {
                    Ok(_) => Ok(hook.into()),
                    Err(error) => Err(BuildError::InvalidClass {
                        hook,
                        reason: error.message,
                    }),
                }
            }
            Self::OtherHook(hook) => Ok(hook.name().into()),
        }
    }
}

impl Registry {
    /// Adds a definition; returns false if that name is defined already.
    fn add(&mut self, target: Target, entry: Entry) -> bool {
        match target {
            Target::Function(key, options) => {
                let access = if RealtimeHook::ALL.into_iter().any(|hook| hook.name() == key) {
                    Access::Hook
                } else if options.internal {
                    Access::Internal
                } else {
                    Access::Client
                };
                let function = Function {
                    entry: Entry {
                        detached: options.detached,
                        ..entry
                    },
                    access,
                    fetch_user: options.fetch_user,
                    ignore_invalid_session: options.ignore_invalid_session,
                };
                self.functions.insert(key.into(), function).is_none()
            }
            Target::ClassHook(class, kind) => {
                let hooks = self.class_hooks.entry(class.into()).or_default();
                let slot = hooks.get_mut(kind as usize);
                slot.is_some_and(|slot| slot.replace(entry).is_none())
            }
            Target::OtherHook(hook) => self.other_hooks.insert(hook, entry).is_none(),
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Default for App<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .definitions
            .iter()
            .map(|definition| match &definition.target {
                Target::Function(name, _) => name.clone(),
                Target::ClassHook(class, kind) => class_hook_name(class, *kind),
                Target::OtherHook(hook) => hook.name().to_owned(),
            });
        f.debug_list().entries(names).finish()
    }
}
