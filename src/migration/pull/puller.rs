//! What pulls: a source, a store, and what is remembered between two runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::migration::pull::{FileDownload, Observer, PullError, Source};
use crate::model::{ClassName, CloudError, Timestamp};
use crate::store::load::{LoadBatch, Loader, Note};

/// The name of the note about the whole pull.
const FOLLOWING: &str = "pull";

/// Pulls one app from one source into one store.
#[derive(Clone, Debug)]
pub struct Puller {
    pub(in crate::migration) source: Source,
    pub(in crate::migration) store: Arc<dyn Loader>,
    /// Where the bytes of files go, if they are to come along.
    pub(in crate::migration) files: Option<FileDownload>,
    pub(in crate::migration) observer: Arc<dyn Observer>,
    /// Classes that are left where they are.
    pub(in crate::migration) left_out: Vec<ClassName>,
}

/// Whom a store follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowedSource {
    /// The address of the source.
    pub server: String,
    /// Its app.
    pub app_id: String,
    /// Whether the app has moved: from then on nothing comes from there any more.
    pub moved: bool,
    /// When the copies were opened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<String>,
}

impl FollowedSource {
    /// What the store says; `None` where nothing was ever pulled into it.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn read(store: &dyn Loader) -> Result<Option<Self>, PullError> {
        let Some(text) = store.note(FOLLOWING).await? else {
            return Ok(None);
        };
        let read = serde_json::from_str(&text);
        read.map(Some)
            .map_err(|error| PullError::Refused(format!("the store's note about its source: {error}")))
    }

    /// Writes it down, durably.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn write(&self, store: &dyn Loader) -> Result<(), PullError> {
        let text = serde_json::to_string(self).map_err(|error| PullError::Refused(error.to_string()))?;
        store
            .load(LoadBatch::with_note(Vec::new(), FOLLOWING, &text))
            .await?;
        Ok(())
    }

    /// When the copies were opened here.
    #[must_use]
    pub fn moved_at(&self) -> Option<Timestamp> {
        Timestamp::parse(self.moved_at.as_deref()?).ok()
    }
}

impl Puller {
    /// From `source` into `store`.
    #[must_use]
    pub fn new(source: Source, store: Arc<dyn Loader>, observer: Arc<dyn Observer>) -> Self {
        Self {
            source,
            store,
            files: None,
            observer,
            left_out: Vec::new(),
        }
    }

    /// The bytes of files come along.
    #[must_use]
    pub fn with_files(mut self, files: FileDownload) -> Self {
        self.files = Some(files);
        self
    }

    /// These classes are left where they are.
    #[must_use]
    pub fn without(mut self, classes: Vec<ClassName>) -> Self {
        self.left_out = classes;
        self
    }

    /// Up to which time a class was read; `None` where it was not begun.
    pub(super) async fn position(&self, class: &ClassName) -> Result<Option<Timestamp>, PullError> {
        let text = self.store.note(&position_name(class)).await?;
        Ok(text.and_then(|text| Timestamp::parse(&text).ok()))
    }
}

/// The name of the note about how far a class was read.
fn position_name(class: &ClassName) -> String {
    format!("pull {class}")
}

/// The note that a class was read up to this time.
pub(super) fn position_note(class: &ClassName, reached: Timestamp) -> Result<Vec<Note>, CloudError> {
    Ok(vec![Note {
        name: position_name(class),
        text: Some(reached.to_string()),
    }])
}
