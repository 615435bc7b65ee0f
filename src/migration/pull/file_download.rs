//! Download of the files' contents, from the URLs in their objects into the store of this server.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::client::FileDownloader;
use crate::model::Document;
use crate::store::files::{FileError, FileKey, FileStore};

/// Downloads files into a file store.
#[derive(Clone, Debug)]
pub struct FileDownload {
    store: Arc<dyn FileStore>,
    downloader: FileDownloader,
    bytes_max: u64,
}

/// Outcome of the download of one file.
#[derive(Debug)]
pub(super) enum DownloadOutcome {
    /// The store contains the file.
    Stored,
    /// The file is hosted elsewhere and stays there: its object has no `key`.
    External,
    /// The file cannot be downloaded; the reason.
    Failed(String),
}

impl FileDownload {
    /// Downloads into `store`, files of at most `bytes_max` bytes.
    #[must_use]
    pub fn new(store: Arc<dyn FileStore>, downloader: FileDownloader, bytes_max: u64) -> Self {
        Self {
            store,
            downloader,
            bytes_max,
        }
    }

    /// Downloads the file of an object, unless the store has it: a file under a key never changes.
    pub(super) async fn download(&self, row: &Document) -> DownloadOutcome {
        let (Some(key), Some(url)) = (row.text("key"), row.text("url")) else {
            return DownloadOutcome::External;
        };
        let key = match FileKey::parse(key) {
            Ok(key) => key,
            Err(error) => return DownloadOutcome::Failed(error.message),
        };
        match self.store.size(&key).await {
            Ok(Some(_)) => return DownloadOutcome::Stored,
            Ok(None) => {}
            Err(error) => return DownloadOutcome::Failed(error.to_string()),
        }
        let content = match self.downloader.get(url).await {
            Ok(Some(content)) => content,
            Ok(None) => return DownloadOutcome::Failed("there is no file at its address".to_owned()),
            Err(error) => return DownloadOutcome::Failed(error.to_string()),
        };
        let content = content.map(|chunk| chunk.map_err(io::Error::other));
        match self.store.put(&key, Box::pin(content), self.bytes_max).await {
            Ok(_) | Err(FileError::KeyTaken) => DownloadOutcome::Stored,
            Err(error) => DownloadOutcome::Failed(error.to_string()),
        }
    }
}
