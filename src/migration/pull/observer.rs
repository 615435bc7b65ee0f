//! The observer of a pull: receives its progress and its notices.

use std::fmt;

use crate::model::{ClassName, ObjectId};

/// An event of a pull or a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A class begins.
    ClassStarted {
        /// The class.
        class: &'a ClassName,
        /// Number of objects at the source, if it was counted.
        total: Option<u64>,
    },
    /// Objects of the class were read.
    RowsRead {
        /// The class.
        class: &'a ClassName,
        /// Number of objects read since the last event.
        rows: usize,
    },
    /// A class is finished.
    ClassFinished {
        /// The class.
        class: &'a ClassName,
    },
    /// An object of the source cannot be loaded.
    RowRefused {
        /// The class.
        class: &'a ClassName,
        /// The object.
        id: &'a ObjectId,
        /// The reason.
        reason: &'a str,
    },
    /// A notice to a person.
    Notice(&'a str),
}

/// Receives the events of a pull.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Receives one event.
    fn on_event(&self, event: Event<'_>);
}

/// An observer that ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&self, _: Event<'_>) {}
}
