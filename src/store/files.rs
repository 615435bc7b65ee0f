//! The port for the bytes of files.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use crate::model::CloudError;

/// The bytes of a file as a stream.
pub type FileContent = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A store for the bytes of files, by key.
#[async_trait]
pub trait FileStore: Send + Sync + fmt::Debug {
    /// Stores `content` under `key`. Returns its size in bytes. **Atomicity**: the file; it is absent until
    /// complete. **Idempotency**: repeating the same content is safe; other content never replaces an existing file.
    ///
    /// # Errors
    /// [`FileError`].
    async fn put(&self, key: &FileKey, content: FileContent, bytes_max: u64) -> Result<u64, FileError>;

    /// Stores `content` without a key, to become a part of a file by [`FileStore::put`]. It is deleted once the
    /// result is dropped or the process ends.
    ///
    /// # Errors
    /// [`FileError`], except [`FileError::KeyTaken`].
    async fn stage(&self, content: FileContent, bytes_max: u64) -> Result<Arc<dyn StagedContent>, FileError>;

    /// The size in bytes; `None` if there is no file.
    ///
    /// # Errors
    /// [`FileError::Failed`].
    async fn size(&self, key: &FileKey) -> Result<Option<u64>, FileError>;

    /// True if the key is taken: by a file, or as a folder of other keys. Only the identical file can still be put
    /// there.
    ///
    /// # Errors
    /// [`FileError::Failed`].
    async fn is_taken(&self, key: &FileKey) -> Result<bool, FileError>;

    /// Reads a range, which lies within the size. The content ends early if the file is removed meanwhile.
    ///
    /// # Errors
    /// [`FileError::Failed`], also if there is no file.
    async fn read(&self, key: &FileKey, range: Range<u64>) -> Result<FileContent, FileError>;

    /// Deletes a file. Does nothing if it is absent.
    ///
    /// # Errors
    /// [`FileError::Failed`].
    async fn remove(&self, key: &FileKey) -> Result<(), FileError>;
}

/// Stored content that is not yet a file.
pub trait StagedContent: Send + Sync + fmt::Debug {
    /// The size in bytes.
    fn size(&self) -> u64;

    /// The bytes. They stay stored until the stream ends.
    fn content(self: Arc<Self>) -> FileContent;
}

/// A failure of a file operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The content exceeds the allowed size.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// Another file has this key.
    #[error("there is another file under this key")]
    KeyTaken,
    /// The content ended with an error.
    #[error("the file's content did not arrive: {0}")]
    Interrupted(io::Error),
    /// Reading or writing failed.
    #[error("the file could not be read or written: {0}")]
    Failed(#[from] io::Error),
}

/// The key of a file: a path of one to eight names, such as `k3j9….png` or `2026/avatar.png`.
///
/// A name consists of letters, digits and some signs, and neither starts nor ends with a dot or a blank. So a key is
/// a safe path below any folder: without `..`, hidden or empty names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey(Arc<str>);

impl FileKey {
    /// Maximum length of a key in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// Maximum length of a name in bytes: the limit of file systems, less a prefix.
    pub const NAME_LENGTH_MAX: usize = 200;

    /// Parses a key from a request.
    ///
    /// # Errors
    /// Code 1.
    pub fn parse(text: &str) -> Result<Self, CloudError> {
        let names = text.split('/');
        if text.len() <= Self::LENGTH_MAX && names.clone().count() <= 8 && names.clone().all(is_legal_name) {
            return Ok(Self(text.into()));
        }
        Err(CloudError::other(
            "Unsupported file key: one to eight names joined by '/', of letters, digits and -_.()+@=, and blanks.",
        ))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

/// True if the text can be a name in a [`FileKey`].
#[must_use]
pub fn is_legal_name(name: &str) -> bool {
    let edge = |c: char| c == '.' || c == ' ';
    (1..=FileKey::NAME_LENGTH_MAX).contains(&name.len())
        && !name.starts_with(edge)
        && !name.ends_with(edge)
        && name.chars().all(is_legal_char)
}

/// True if the character can occur in a name of a [`FileKey`].
#[must_use]
pub fn is_legal_char(c: char) -> bool {
    c.is_alphanumeric() || "-_.()+@=, ".contains(c)
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_key_is_safe_path() {
        for good in ["a", "a.png", "robots.txt", "2026/照片 (1).jpg", "x/y/z-_+@=,.w"] {
            assert!(FileKey::parse(good).is_ok(), "{good}");
        }
        let long = "x".repeat(FileKey::NAME_LENGTH_MAX + 1);
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            ".hidden",
            "a/.hidden",
            "a\\b",
            "a\0b",
            "a\nb",
            "a.",
            " a",
            "a ",
            "c:d",
            "a%2fb",
            "a?b",
            "a#b",
            "1/2/3/4/5/6/7/8/9",
            &long,
        ] {
            assert!(FileKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
