//! The puller: a source, a destination, and the position in each class.

use std::sync::Arc;

use crate::migration::pull::{Event, FileDownload, Observer, PullError, Source};
use crate::model::{ClassName, CloudError, Timestamp};
use crate::store::load::{LoadBatch, LoadOutcome, LoadStep, Loader, Note};

/// Pulls one app from one source into one store.
#[derive(Clone, Debug)]
pub struct Puller {
    pub(super) source: Source,
    pub(super) store: Arc<dyn Loader>,
    /// Download of the files' contents, if they are copied.
    pub(super) files: Option<FileDownload>,
    pub(super) observer: Arc<dyn Observer>,
    /// Classes that are not pulled.
    pub(super) excluded: Vec<ClassName>,
}

impl Puller {
    /// A puller from `source` into `store`.
    #[must_use]
    pub fn new(source: Source, store: Arc<dyn Loader>, observer: Arc<dyn Observer>) -> Self {
        Self {
            source,
            store,
            files: None,
            observer,
            excluded: Vec::new(),
        }
    }

    /// Also copies the contents of files.
    #[must_use]
    pub fn with_files(mut self, files: FileDownload) -> Self {
        self.files = Some(files);
        self
    }

    /// Excludes these classes.
    #[must_use]
    pub fn without(mut self, classes: Vec<ClassName>) -> Self {
        self.excluded = classes;
        self
    }

    /// Time up to which a class was read; `None` before the first round.
    pub(super) async fn position(&self, class: &ClassName) -> Result<Option<Timestamp>, PullError> {
        let text = self.store.note(&position_name(class)).await?;
        Ok(text.and_then(|text| Timestamp::parse(&text).ok()))
    }

    /// Loads steps and notes in one commit.
    pub(super) async fn load_batch(
        &self,
        steps: Vec<LoadStep>,
        notes: Vec<Note>,
    ) -> Result<Vec<LoadOutcome>, CloudError> {
        let make_notes = Box::new(move |_: &[LoadOutcome]| Ok(notes.clone()));
        self.store.load(LoadBatch { steps, make_notes }).await
    }

    /// Passes a notice to the observer.
    pub(super) fn notice(&self, text: &str) {
        self.observer.on_event(Event::Notice(text));
    }
}

/// Name of the note that holds the position in a class.
fn position_name(class: &ClassName) -> String {
    format!("pull {class}")
}

/// The note that a class was read up to this time.
pub(super) fn position_note(class: &ClassName, reached: Timestamp) -> Note {
    Note {
        name: position_name(class),
        text: Some(reached.to_string()),
    }
}
