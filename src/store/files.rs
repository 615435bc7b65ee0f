//! The port behind which the bytes of files are kept.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use crate::model::CloudError;

/// The bytes of a file, piece by piece.
pub type FileContent = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Where the bytes of files are kept, by key.
#[async_trait]
pub trait FileStore: Send + Sync + fmt::Debug {
    /// Keeps `content` under `key`, and answers its size in bytes. **Atomicity**: until all of it is there, nothing is.
    /// **Idempotency**: the same content may come again; a file that is there is never replaced by another.
    ///
    /// # Errors
    /// [`FileError`].
    async fn put(&self, key: &FileKey, content: FileContent, bytes_max: u64) -> Result<u64, FileError>;

    /// Keeps `content` without a key, so that it can become a part of a file by [`FileStore::put`]. It is gone once what
    /// is answered is dropped, or the process has ended.
    ///
    /// # Errors
    /// [`FileError`], but for [`FileError::KeyTaken`].
    async fn stage(&self, content: FileContent, bytes_max: u64) -> Result<Arc<dyn StagedContent>, FileError>;

    /// How many bytes there are under `key`; `None` where there is no file.
    ///
    /// # Errors
    /// [`FileError::Failed`].
    async fn size(&self, key: &FileKey) -> Result<Option<u64>, FileError>;

    /// Whether a file cannot be put under `key`, unless it is the very one that is there: a file is, or the key is the
    /// beginning of other keys.
    ///
    /// # Errors
    /// [`FileError::Failed`].
    async fn is_taken(&self, key: &FileKey) -> Result<bool, FileError>;

    /// The bytes of a range, which lies within the size. The content ends early where the file goes meanwhile.
    ///
    /// # Errors
    /// [`FileError::Failed`], also where there is no file.
    async fn read(&self, key: &FileKey, range: Range<u64>) -> Result<FileContent, FileError>;

    /// Forgets a file; nothing happens where there is none.
    ///
    /// # Errors
    /// [`FileError::Failed`].
    async fn remove(&self, key: &FileKey) -> Result<(), FileError>;
}

/// Bytes that are kept, and are no file yet.
pub trait StagedContent: Send + Sync + fmt::Debug {
    /// How many they are.
    fn size(&self) -> u64;

    /// They themselves. They stay until the content has been read.
    fn content(self: Arc<Self>) -> FileContent;
}

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The content has more bytes than are allowed.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// There is another file under the key.
    #[error("there is another file under this key")]
    KeyTaken,
    /// The content broke off.
    #[error("the file's content did not arrive: {0}")]
    Interrupted(io::Error),
    /// Reading or writing failed.
    #[error("the file could not be read or written: {0}")]
    Failed(#[from] io::Error),
}

/// The key of a file: a path of one to eight names, such as `k3j9….png` or `2026/avatar.png`.
///
/// A name has letters, digits and some signs, and neither starts nor ends with a dot or a blank. So a key is a safe
/// path below any folder: there is no `..`, nothing hidden, nothing empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey(Arc<str>);

impl FileKey {
    /// The longest key, in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// The longest name in a key, in bytes: what file systems take, less what is put before it while it is written.
    pub const NAME_LENGTH_MAX: usize = 200;

    /// Reads a key that came from outside.
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

/// Whether the text can be one of the names of a [`FileKey`].
#[must_use]
pub fn is_legal_name(name: &str) -> bool {
    let edge = |c: char| c == '.' || c == ' ';
    (1..=FileKey::NAME_LENGTH_MAX).contains(&name.len())
        && !name.starts_with(edge)
        && !name.ends_with(edge)
        && name.chars().all(is_legal_char)
}

/// Whether the character can be in a name of a [`FileKey`].
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
    fn a_key_is_a_safe_path() {
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
