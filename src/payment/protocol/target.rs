//! Targets: the documents that a payment touches.

use std::fmt;

use crate::model::write::{Action, Write};
use crate::model::{ClassName, Filter, ObjectId, Update};

/// The name of one document: its class and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The class.
    pub class: ClassName,
    /// The id within the class.
    pub id: ObjectId,
}

impl Target {
    /// The document `id` of `class`.
    #[must_use]
    pub fn new(class: &ClassName, id: &ObjectId) -> Self {
        Self {
            class: class.clone(),
            id: id.clone(),
        }
    }

    /// The document that a write changes or deletes; `None` for a create, whose document has no id yet.
    #[must_use]
    pub fn of(write: &Write) -> Option<Self> {
        match &write.action {
            Action::Create { .. } => None,
            Action::Update { id, .. } | Action::Delete { id, .. } => Some(Self::new(&write.class, id)),
        }
    }

    /// The write that changes this document if it matches `precondition`.
    #[must_use]
    pub fn update(&self, precondition: Filter, update: Update) -> Write {
        Write::update(&self.class, &self.id, precondition, update)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.class, self.id)
    }
}
