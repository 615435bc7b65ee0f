//! The data folder: its lock and its files.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::storage::sqlite::open_error::OpenError;

/// File name of the database.
pub(super) const DATABASE: &str = "paylog.sqlite3";
const LOCK: &str = "paylog.lock";

/// The lock of the one process that writes to a folder. Released on drop.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl FolderLock {
    /// Locks the folder, creating it if it is missing.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let failed = OpenError::folder(folder);
        if !folder.exists() {
            let mut builder = std::fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.recursive(true).create(folder).map_err(&failed)?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK))
            .map_err(&failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                folder: folder.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for FolderLock {
    /// Unlocks explicitly: closing the file releases the lock only once no child process, being started at this
    /// moment, holds a copy of it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Makes the name of a new file durable.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_lock_is_released_despite_copy_in_child_process() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
        // As in a child process between fork and exec.
        let _copy = lock.0.try_clone().unwrap();
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }
}
