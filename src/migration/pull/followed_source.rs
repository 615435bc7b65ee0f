//! The store's record of the source that it follows.

use serde::{Deserialize, Serialize};

use crate::migration::pull::PullError;
use crate::model::Timestamp;
use crate::store::load::{LoadBatch, Loader};

/// Name of the note that holds the record.
const NOTE_NAME: &str = "pull";

/// The source that a store follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowedSource {
    /// URL of the source.
    pub server: String,
    /// Id of the app.
    pub app_id: String,
    /// True if the app has moved; from then on nothing is pulled from the source.
    pub moved: bool,
    /// Time at which the copies were opened here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<String>,
}

impl FollowedSource {
    /// Reads the record of the store; `None` if nothing was ever pulled into it.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn read(store: &dyn Loader) -> Result<Option<Self>, PullError> {
        let Some(text) = store.note(NOTE_NAME).await? else {
            return Ok(None);
        };
        let read = serde_json::from_str(&text);
        read.map(Some)
            .map_err(|error| PullError::Refused(format!("the store's note about its source: {error}")))
    }

    /// Writes the record, durably.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn write(&self, store: &dyn Loader) -> Result<(), PullError> {
        let text = serde_json::to_string(self).map_err(|error| PullError::Refused(error.to_string()))?;
        store
            .load(LoadBatch::with_note(Vec::new(), NOTE_NAME, &text))
            .await?;
        Ok(())
    }

    /// Time at which the copies were opened here.
    #[must_use]
    pub fn moved_at(&self) -> Option<Timestamp> {
        Timestamp::parse(self.moved_at.as_deref()?).ok()
    }
}
