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

/// Whoever runs class hooks: the engine in the same process, or one over HTTP.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Whether there is such a hook. Without one the write goes on.
    fn defined(&self, class: &ClassName, kind: HookKind) -> bool;

    /// Runs it. `beforeSave` answers the object to be stored; the answer of the others is ignored.
    ///
    /// # Errors
    /// The hook's own refusal, its time-out (124), or that it could not be reached. The caller turns it into 142 or 141.
    async fn call(&self, call: HookCall) -> Result<Document, CloudError>;
}
