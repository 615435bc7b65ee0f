//! Files in a folder. The path of a file is its key.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::environment::Environment;
use crate::store::files::{FileContent, FileError, FileKey, FileStore, StagedContent};

/// Subfolder of files until all their bytes have arrived. No key begins with a dot.
const UNFINISHED: &str = ".unfinished";

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Files in a folder. Only one process may use the folder.
#[derive(Clone, Debug)]
pub struct FolderFiles {
    folder: PathBuf,
    environment: Environment,
}

impl FolderFiles {
    /// Opens the folder, creating it if it is missing. Deletes the unfinished files of earlier processes.
    ///
    /// # Errors
    /// A folder that can be neither read nor created.
    pub fn open(folder: &Path, environment: Environment) -> io::Result<Self> {
        let unfinished = folder.join(UNFINISHED);
        match std::fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&unfinished)?;
        Ok(Self {
            folder: folder.to_owned(),
            environment,
        })
    }

    /// Writes a file that has no key yet.
    async fn receive(&self, mut content: FileContent, bytes_max: u64) -> Result<Received, FileError> {
        let unfinished = Unfinished {
            path: self
                .folder
                .join(UNFINISHED)
                .join(self.environment.random_text(24)),
        };
        let mut file = fs::File::create_new(&unfinished.path).await?;
        let mut bytes = 0_u64;
        while let Some(piece) = content.next().await {
            let piece = piece.map_err(FileError::Interrupted)?;
            bytes = bytes.saturating_add(piece.len() as u64);
            if bytes > bytes_max {
                return Err(FileError::TooLarge(bytes_max));
            }
            file.write_all(&piece).await?;
        }
        Ok(Received {
            file,
            unfinished,
            bytes,
        })
    }

    fn path(&self, key: &FileKey) -> PathBuf {
        let mut path = self.folder.clone();
        path.extend(key.names());
        path
    }
}

/// A completely written file without a key.
struct Received {
    file: fs::File,
    unfinished: Unfinished,
    bytes: u64,
}

/// An unfinished file. Deleted on drop.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "unfinished file could not be deleted; the next start deletes it");
        }
    }
}

/// Staged content.
#[derive(Debug)]
struct Part {
    unfinished: Unfinished,
    bytes: u64,
}

impl StagedContent for Part {
    fn size(&self) -> u64 {
        self.bytes
    }

    fn content(self: Arc<Self>) -> FileContent {
        let pieces = async move {
            let file = fs::File::open(&self.unfinished.path).await?;
            let state = ((file, self.bytes), self);
            io::Result::Ok(stream::try_unfold(state, |(left, part)| async move {
                let piece = next_piece(left).await?;
                Ok(piece.map(|(piece, left)| (piece, (left, part))))
            }))
        };
        Box::pin(stream::once(pieces).try_flatten())
    }
}

#[async_trait]
impl FileStore for FolderFiles {
    async fn put(&self, key: &FileKey, content: FileContent, bytes_max: u64) -> Result<u64, FileError> {
        let Received {
            file,
            unfinished,
            bytes,
        } = self.receive(content, bytes_max).await?;
        file.sync_all().await?;
        drop(file);
        let path = self.path(key);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).await?;
        // A link, unlike a rename, never replaces another file.
        match fs::hard_link(&unfinished.path, &path).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !are_equal(&unfinished.path, &path).await? {
                    return Err(FileError::KeyTaken);
                }
            }
            other => other?,
        }
        for folder in parent
            .ancestors()
            .take_while(|folder| folder.starts_with(&self.folder))
        {
            fs::File::open(folder).await?.sync_all().await?;
        }
        Ok(bytes)
    }

    async fn stage(&self, content: FileContent, bytes_max: u64) -> Result<Arc<dyn StagedContent>, FileError> {
        let mut received = self.receive(content, bytes_max).await?;
        // The last write may still be pending.
        received.file.flush().await?;
        Ok(Arc::new(Part {
            unfinished: received.unfinished,
            bytes: received.bytes,
        }))
    }

    async fn size(&self, key: &FileKey) -> Result<Option<u64>, FileError> {
        match fs::metadata(self.path(key)).await {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Ok(None),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_taken(&self, key: &FileKey) -> Result<bool, FileError> {
        match fs::symlink_metadata(self.path(key)).await {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, key: &FileKey, range: Range<u64>) -> Result<FileContent, FileError> {
        let mut file = fs::File::open(self.path(key)).await?;
        if range.start > 0 {
            file.seek(io::SeekFrom::Start(range.start)).await?;
        }
        let left = range.end.saturating_sub(range.start);
        Ok(Box::pin(stream::try_unfold((file, left), next_piece)))
    }

    async fn remove(&self, key: &FileKey) -> Result<(), FileError> {
        match fs::remove_file(self.path(key)).await {
            Err(error) if !is_absent(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

async fn next_piece((mut file, left): (fs::File, u64)) -> io::Result<Option<(Bytes, (fs::File, u64))>> {
    let wanted = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    if wanted == 0 {
        return Ok(None);
    }
    let mut piece = BytesMut::with_capacity(wanted);
    let read = (&mut file).take(wanted as u64).read_buf(&mut piece).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((piece.freeze(), (file, left - read as u64))))
}

/// True if two files have equal contents.
async fn are_equal(first: &Path, second: &Path) -> io::Result<bool> {
    if fs::metadata(first).await?.len() != fs::metadata(second).await?.len() {
        return Ok(false);
    }
    let (mut first, mut second) = (fs::File::open(first).await?, fs::File::open(second).await?);
    let (mut a, mut b) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let read = first.read(&mut a).await?;
        let (Some(a), Some(b)) = (a.get(..read), b.get_mut(..read)) else {
            return Ok(false);
        };
        if read == 0 {
            return Ok(true);
        }
        second.read_exact(b).await?;
        if a != b {
            return Ok(false);
        }
    }
}

/// True if the file is absent, or if a parent of its path is a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pieces: &'static [&'static [u8]]) -> FileContent {
        Box::pin(stream::iter(
            pieces.iter().map(|piece| Ok(Bytes::from_static(piece))),
        ))
    }

    async fn read_all(files: &FolderFiles, key: &FileKey, range: Range<u64>) -> Vec<u8> {
        let mut content = files.read(key, range).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        bytes
    }

    fn unfinished(folder: &Path) -> usize {
        std::fs::read_dir(folder.join(UNFINISHED)).unwrap().count()
    }

    #[tokio::test]
    async fn stored_file_is_readable_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let files = FolderFiles::open(folder.path(), Environment::system()).unwrap();
        let key = FileKey::parse("a/b.txt").unwrap();
        assert_eq!(files.size(&key).await.unwrap(), None);
        let bytes = files
            .put(&key, content(&[b"hello ", b"world"]), 100)
            .await
            .unwrap();
        assert_eq!((bytes, files.size(&key).await.unwrap()), (11, Some(11)));
        assert_eq!(read_all(&files, &key, 0..11).await, b"hello world");
        assert_eq!(read_all(&files, &key, 4..7).await, b"o w");
        // Again is fine, another is not.
        files.put(&key, content(&[b"hello world"]), 100).await.unwrap();
        const OTHERS: [&[&[u8]]; 2] = [&[b"hello earth"], &[b"hello"]];
        for other in OTHERS {
            let refused = files.put(&key, content(other), 100).await.unwrap_err();
            assert!(matches!(refused, FileError::KeyTaken), "{refused}");
        }
        let refused = files
            .put(&FileKey::parse("c").unwrap(), content(&[b"123", b"456"]), 5)
            .await;
        assert!(matches!(refused, Err(FileError::TooLarge(5))), "{refused:?}");
        assert_eq!(unfinished(folder.path()), 0);
        assert_eq!(read_all(&files, &key, 0..11).await, b"hello world");

        // The folder of another key is taken, and a key below it is not.
        for (text, taken) in [
            ("a/b.txt", true),
            ("a", true),
            ("a/c.txt", false),
            ("b.txt", false),
        ] {
            let key = FileKey::parse(text).unwrap();
            assert_eq!(files.is_taken(&key).await.unwrap(), taken, "{text}");
        }

        files.remove(&key).await.unwrap();
        files.remove(&key).await.unwrap();
        assert_eq!(files.size(&key).await.unwrap(), None);
        assert_eq!(files.size(&FileKey::parse("a").unwrap()).await.unwrap(), None);
        assert_eq!(
            files.size(&FileKey::parse("a/b.txt/c").unwrap()).await.unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn staged_content_lives_until_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let files = FolderFiles::open(folder.path(), Environment::system()).unwrap();
        let key = FileKey::parse("a").unwrap();
        let first = files.stage(content(&[b"hello", b" "]), 6).await.unwrap();
        let second = files.stage(content(&[b"world"]), 6).await.unwrap();
        let refused = files.stage(content(&[b"1234", b"567"]), 6).await;
        assert!(matches!(refused, Err(FileError::TooLarge(6))), "{refused:?}");
        assert_eq!(
            (first.size(), second.size(), unfinished(folder.path())),
            (6, 5, 2)
        );
        let parts = [Arc::clone(&first), second];
        let whole = stream::iter(parts).flat_map(|part| part.content());
        assert_eq!(files.put(&key, Box::pin(whole), 11).await.unwrap(), 11);
        assert_eq!(read_all(&files, &key, 0..11).await, b"hello world");
        assert_eq!(unfinished(folder.path()), 1);
        drop(first);
        assert_eq!(unfinished(folder.path()), 0);
    }

    #[tokio::test]
    async fn interrupted_content_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = FolderFiles::open(folder.path(), Environment::system()).unwrap();
        let key = FileKey::parse("a").unwrap();
        let broken = stream::iter([
            Ok(Bytes::from_static(b"half")),
            Err(io::ErrorKind::ConnectionReset.into()),
        ]);
        let failed = files.put(&key, Box::pin(broken), 100).await;
        assert!(matches!(failed, Err(FileError::Interrupted(_))), "{failed:?}");
        assert_eq!(
            (files.size(&key).await.unwrap(), unfinished(folder.path())),
            (None, 0)
        );
        // A process that died has left something; the next one clears it away.
        std::fs::write(folder.path().join(UNFINISHED).join("x"), b"half").unwrap();
        FolderFiles::open(folder.path(), Environment::system()).unwrap();
        assert_eq!(unfinished(folder.path()), 0);
    }
}
