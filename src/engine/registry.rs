//! Handlers of an app by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::handler::BoundHandler;
use crate::engine::hook_names::OtherHook;
use crate::engine::metrics::CallMetrics;
use crate::model::HookKind;

/// Callers admitted to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every client.
    Client,
    /// Holders of the hook key or the master key.
    Internal,
    /// Holders of the hook key: the realtime service.
    Hook,
}

/// A named handler.
#[derive(Clone)]
pub(crate) struct Entry {
    /// Name as in `_ops/metadatas`.
    pub(crate) name: Arc<str>,
    pub(crate) handler: BoundHandler,
    pub(crate) metrics: Arc<CallMetrics>,
    /// True if it continues after its deadline.
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

/// Handlers of an app.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) functions: HashMap<Box<str>, Function>,
    /// Class hooks by class, then in the order of [`HookKind::ALL`].
    pub(crate) class_hooks: HashMap<Box<str>, [Option<Entry>; 6]>,
    pub(crate) other_hooks: HashMap<OtherHook, Entry>,
}

impl Registry {
    pub(crate) fn class_hook(&self, class: &str, kind: HookKind) -> Option<&Entry> {
        self.class_hooks.get(class)?.get(kind as usize)?.as_ref()
    }
}
