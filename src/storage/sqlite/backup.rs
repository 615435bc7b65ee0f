//! Backup of the database during use, and restore into an empty folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::storage::sqlite::connection::open_reader;
use crate::storage::sqlite::folder::{DATABASE, FolderLock, sync_folder};
use crate::storage::sqlite::migration::{self, FORMAT};
use crate::storage::sqlite::open_error::OpenError;

/// Pages copied between two progress reports: 4 MB.
const PAGES_PER_STEP: i32 = 1024;

/// Progress of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// Copied pages.
    pub done: u64,
    /// Total pages.
    pub total: u64,
}

/// Copies a snapshot of the database at `source` to a new file.
pub(super) fn backup(
    source: &Path,
    target: &Path,
    mut progress: impl FnMut(BackupProgress),
) -> Result<(), OpenError> {
    let not_written = |error| match error {
        OpenError::Folder { source, .. } => OpenError::Target {
            path: target.to_owned(),
            source,
        },
        other => other,
    };
    let partial = Partial::of(target).map_err(not_written)?;
    let from = open_reader(source).map_err(OpenError::database(source))?;
    migration::check(&from, source)?;
    // The snapshot is held throughout: commits meanwhile neither appear nor restart the copy.
    let snapshot = from
        .unchecked_transaction()
        .map_err(OpenError::database(source))?;
    let held: rusqlite::Result<i64> = snapshot.query_row("SELECT count(*) FROM class", [], |row| row.get(0));
    held.map_err(OpenError::database(source))?;
    {
        let failed = OpenError::database(&partial.path);
        let mut into = Connection::open(&partial.path).map_err(&failed)?;
        let backup = Backup::new(&snapshot, &mut into).map_err(&failed)?;
        loop {
            let step = backup.step(PAGES_PER_STEP).map_err(&failed)?;
            let pages = backup.progress();
            let total = u64::try_from(pages.pagecount).unwrap_or(0);
            let rest = u64::try_from(pages.remaining).unwrap_or(0);
            progress(BackupProgress {
                done: total.saturating_sub(rest),
                total,
            });
            match step {
                StepResult::Done => break,
                // No other process knows the new file, and the source is read from a snapshot.
                StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(10)),
                _ => {}
            }
        }
        drop(backup);
        // One file, without a log beside it.
        into.execute_batch("PRAGMA journal_mode = DELETE")
            .map_err(&failed)?;
    }
    drop(snapshot);
    partial.finish(target).map_err(not_written)
}

/// Restores a backup into a folder without a database, creating the folder if it is missing.
///
/// # Errors
/// [`OpenError::Occupied`] if the folder holds a database; [`OpenError::Absent`], [`OpenError::Foreign`],
/// [`OpenError::NewerFormat`] or [`OpenError::Corrupt`] for an unusable backup.
pub fn restore(backup: &Path, folder: &Path) -> Result<(), OpenError> {
    if !backup.exists() {
        return Err(OpenError::Absent {
            path: backup.to_owned(),
        });
    }
    check_backup(backup)?;
    let _lock = FolderLock::take(folder)?;
    let target = folder.join(DATABASE);
    let partial = Partial::of(&target)?;
    std::fs::copy(backup, &partial.path).map_err(OpenError::folder(folder))?;
    partial.finish(&target)
}

fn check_backup(backup: &Path) -> Result<(), OpenError> {
    let failed = OpenError::database(backup);
    let connection =
        Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(&failed)?;
    match migration::inspect(&connection, backup)? {
        migration::Content::Format(found) if found > FORMAT => {
            return Err(OpenError::NewerFormat {
                path: backup.to_owned(),
                found,
                known: FORMAT,
            });
        }
        migration::Content::Format(_) => {}
        migration::Content::Empty => {
            return Err(OpenError::Foreign {
                path: backup.to_owned(),
            });
        }
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(&failed)?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(OpenError::Corrupt {
            path: backup.to_owned(),
            reason: verdict,
        })
    }
}

/// A file under a temporary name until it is complete. Deleted on drop unless finished.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn of(target: &Path) -> Result<Self, OpenError> {
        if target.exists() {
            return Err(OpenError::Occupied {
                path: target.to_owned(),
            });
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = target.with_file_name(name);
        let failed = OpenError::folder(target.parent().unwrap_or(target));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // Personal data: readable by the owner alone from the first byte on.
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(failed)?;
        Ok(Self { path })
    }

    fn finish(self, target: &Path) -> Result<(), OpenError> {
        let failed = OpenError::folder(target.parent().unwrap_or(target));
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.path, target))
            .and_then(|()| sync_folder(target))
            .map_err(failed)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename the name is free already.
        let _ = std::fs::remove_file(&self.path);
    }
}
