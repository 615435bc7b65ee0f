//! An app: its functions and hooks, before it runs.

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
    what: What,
    handler: UnboundHandler<S>,
}

enum What {
    Function(String, FunctionOptions),
    ClassHook(String, HookKind),
    OtherHook(OtherHook),
}

/// How a function may be called. The default is a function for every client, with the user fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionOptions {
    /// Only with the hook key or the master key.
    pub internal: bool,
    /// Whether a session token is resolved before the function runs. Without it there is no
    /// [`CurrentUser`](crate::engine::CurrentUser), only the raw token in [`Meta`](crate::engine::Meta).
    pub fetch_user: bool,
    /// Whether a call with an invalid session token goes on without a user, instead of being refused with 211.
    pub ignore_invalid_session: bool,
    /// Whether the function goes on behind the 503 at its deadline, as on LeanCloud's own runtimes, instead of being
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

/// Why an app cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two functions, or two hooks of one kind, of the same name. LeanEngine could not tell which is meant.
    #[error("'{0}' is defined twice; remove or rename one of them")]
    DefinedTwice(String),
    /// A function's name is empty, or holds a `/`, which no path can carry.
    #[error("'{0}' cannot be the name of a cloud function: it must not be empty or hold '/'")]
    InvalidName(String),
    /// A hook's class name is not legal.
    #[error("the hook {hook} is for no legal class: {reason}")]
    InvalidClass {
        /// As in `_ops/metadatas`.
        hook: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// An app without any function.
    #[must_use]
    pub fn new() -> Self {
        Self {
            definitions: Vec::new(),
        }
    }

    /// A cloud function for every client.
    #[must_use]
    pub fn function<H, A>(self, name: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        self.function_with(name, FunctionOptions::default(), handler)
    }

    /// A cloud function for holders of the hook key or the master key.
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

    /// A cloud function. Those with a name of the realtime service's (`_messageReceived` …) need the hook key.
    #[must_use]
    pub fn function_with<H, A>(self, name: &str, options: FunctionOptions, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        let what = What::Function(name.to_owned(), options);
        self.define(what, erase(handler, body::<H::Output>))
    }

    /// A function that the realtime service calls, with the hook key.
    #[must_use]
    pub fn on_realtime<H, A>(self, hook: RealtimeHook, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        self.function(hook.name(), handler)
    }

    /// Runs before an object of `class` is created: may refuse it, or change what is stored.
    #[must_use]
    pub fn before_save<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: BeforeSaveReply>,
    {
        let what = What::ClassHook(class.to_owned(), HookKind::BeforeSave);
        let answer = |output: H::Output, object, _| output.into_object(object).map(HandlerOutput::Object);
        self.define(what, erase(handler, answer))
    }

    /// Runs after an object of `class` was created.
    #[must_use]
    pub fn after_save<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::AfterSave, handler)
    }

    /// Runs before an object of `class` is changed: may refuse it. What it changes in the object is not stored.
    #[must_use]
    pub fn before_update<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::BeforeUpdate, handler)
    }

    /// Runs after an object of `class` was changed.
    #[must_use]
    pub fn after_update<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::AfterUpdate, handler)
    }

    /// Runs before an object of `class` is deleted: may refuse it.
    #[must_use]
    pub fn before_delete<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::BeforeDelete, handler)
    }

    /// Runs after an object of `class` was deleted.
    #[must_use]
    pub fn after_delete<H, A>(self, class: &str, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.class_hook(class, HookKind::AfterDelete, handler)
    }

    /// Runs before a user is logged in: may refuse it.
    #[must_use]
    pub fn on_login<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            What::OtherHook(OtherHook::User(UserHook::Login)),
            erase(handler, done::<H::Output>),
        )
    }

    /// Runs before a user is logged in by a platform's `authData`, and answers the `authData` to use.
    #[must_use]
    pub fn on_auth_data<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: FunctionReply>,
    {
        self.define(
            What::OtherHook(OtherHook::User(UserHook::AuthData)),
            erase(handler, body::<H::Output>),
        )
    }

    /// Runs after a job of the data query is done; its [`Params`](crate::engine::Params) are `id`, `status` and
    /// `message`.
    #[must_use]
    pub fn on_complete<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            What::OtherHook(OtherHook::Complete),
            erase(handler, done::<H::Output>),
        )
    }

    /// Runs after a user has verified a phone number.
    #[must_use]
    pub fn on_verified_sms<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            What::OtherHook(OtherHook::User(UserHook::VerifiedSms)),
            erase(handler, done::<H::Output>),
        )
    }

    /// Runs after a user has verified an e-mail address.
    #[must_use]
    pub fn on_verified_email<H, A>(self, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        self.define(
            What::OtherHook(OtherHook::User(UserHook::VerifiedEmail)),
            erase(handler, done::<H::Output>),
        )
    }

    /// Makes an engine of the app.
    ///
    /// # Errors
    /// [`BuildError`]: a name defined twice, or one that cannot be called.
    pub fn build(self, state: S, config: EngineConfig) -> Result<Engine, BuildError> {
        let mut registry = Registry::default();
        let metrics = Metrics::default();
        let mut names = Vec::with_capacity(self.definitions.len());
        for Definition { what, handler } in self.definitions {
            let name = what.metadata_name()?;
            let entry = Entry {
                name: Arc::clone(&name),
                handler: handler(state.clone()),
                metrics: metrics.of(&name),
                detached: false,
            };
            if !registry.add(what, entry) {
                return Err(BuildError::DefinedTwice(name.to_string()));
            }
            names.push(name);
        }
        Ok(Engine::new(registry, names, metrics, config))
    }

    /// Whether a cloud function of that name is defined.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        let mut defined = self.definitions.iter().map(|definition| &definition.what);
        defined.any(|what| matches!(what, What::Function(defined, _) if defined == name))
    }

    fn class_hook<H, A>(self, class: &str, kind: HookKind, handler: H) -> Self
    where
        A: 'static,
        H: Handler<S, A, Output: HookReply>,
    {
        let what = What::ClassHook(class.to_owned(), kind);
        self.define(what, erase(handler, done::<H::Output>))
    }

    fn define(mut self, what: What, handler: UnboundHandler<S>) -> Self {
        self.definitions.push(Definition { what, handler });
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

impl What {
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
    /// Adds a definition; false where there is one of that name already.
    fn add(&mut self, what: What, entry: Entry) -> bool {
        match what {
            What::Function(key, options) => {
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
            What::ClassHook(class, kind) => {
                let hooks = self.class_hooks.entry(class.into()).or_default();
                let place = hooks.get_mut(kind as usize);
                place.is_some_and(|place| place.replace(entry).is_none())
            }
            What::OtherHook(hook) => self.other_hooks.insert(hook, entry).is_none(),
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
        let names = self.definitions.iter().map(|definition| match &definition.what {
            What::Function(name, _) => name.clone(),
            What::ClassHook(class, kind) => class_hook_name(class, *kind),
            What::OtherHook(hook) => hook.name().to_owned(),
        });
        f.debug_list().entries(names).finish()
    }
}
