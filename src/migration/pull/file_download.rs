//! The bytes of files, from where their rows say they are into the store that this server serves.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::client::FileDownloader;
use crate::model::Document;
use crate::store::files::{FileError, FileKey, FileStore};

/// Where the bytes of files go.
#[derive(Clone, Debug)]
pub struct FileDownload {
    store: Arc<dyn FileStore>,
    downloads: FileDownloader,
    bytes_max: u64,
}

/// What became of a file.
#[derive(Debug)]
pub(super) enum DownloadOutcome {
    /// Its bytes are here.
    Here,
    /// They are elsewhere, and stay there: the row has no `key`.
    Elsewhere,
    /// They could not be had.
    Failed(String),
}

impl FileDownload {
    /// Into `store`, files of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(store: Arc<dyn FileStore>, downloads: FileDownloader, bytes_max: u64) -> Self {
        Self {
            store,
            downloads,
            bytes_max,
        }
    }

    /// Fetches the bytes of a row, unless they are here: a file under a key never changes.
    pub(super) async fn fetch(&self, row: &Document) -> DownloadOutcome {
        let (Some(key), Some(url)) = (row.text("key"), row.text("url")) else {
            return DownloadOutcome::Elsewhere;
        };
        let key = match FileKey::parse(key) {
            Ok(key) => key,
            Err(error) => return DownloadOutcome::Failed(error.message),
        };
        match self.store.size(&key).await {
            Ok(Some(_)) => return DownloadOutcome::Here,
            Ok(None) => {}
            Err(error) => return DownloadOutcome::Failed(error.to_string()),
        }
        let content = match self.downloads.get(url).await {
            Ok(Some(content)) => content,
            Ok(None) => return DownloadOutcome::Failed("there is no file at its address".to_owned()),
            Err(error) => return DownloadOutcome::Failed(error.to_string()),
        };
        let content = content.map(|piece| piece.map_err(io::Error::other));
        match self.store.put(&key, Box::pin(content), self.bytes_max).await {
            Ok(_) | Err(FileError::KeyTaken) => DownloadOutcome::Here,
            Err(error) => DownloadOutcome::Failed(error.to_string()),
        }
    }
}
