//! Who is told how far a pull is.

use std::fmt;

use crate::model::{ClassName, ObjectId};

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A class begins; how many objects the source has, where that was asked for.
    ClassStarted {
        /// Which class.
        class: &'a ClassName,
        /// How many objects.
        total: Option<u64>,
    },
    /// So many more of its objects were read.
    RowsRead {
        /// Which class.
        class: &'a ClassName,
        /// How many objects.
        rows: usize,
    },
    /// A class has ended.
    ClassFinished {
        /// Which class.
        class: &'a ClassName,
    },
    /// An object of the source that cannot be loaded.
    RowRefused {
        /// Its class.
        class: &'a ClassName,
        /// Its id.
        id: &'a ObjectId,
        /// Why.
        reason: &'a str,
    },
    /// Something that a person should know.
    Notice(&'a str),
}

/// Is told.
pub trait Observer: Send + Sync + fmt::Debug {
    /// What happened.
    fn on_event(&self, event: Event<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on_event(&self, _: Event<'_>) {}
}
