//! The data folder: its lock, its files, the format of the database in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::storage::sqlite::migration;

/// The database's name in the folder.
pub(super) const DATABASE: &str = "paylog.sqlite3";
const LOCK: &str = "paylog.lock";

/// Marks a database as paylog's (SQLite's `application_id`): "payl".
pub(super) const APPLICATION: i32 = 0x7061_796c;

/// How long a connection waits for another one; only checkpoints and recovery make one wait.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that a connection keeps compiled.
const STATEMENTS: usize = 256;

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be made, read or written.
    #[error("the data folder {} cannot be used: {source}; check that it exists and who may write to it", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the data folder {} is in use by another paylog process; stop it, or use another folder", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no database to be read or restored.
    #[error("there is no paylog database at {}", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a database of paylog's; move it away, or use another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of paylog has written it.
    #[error(
        "{} has data format {found}, and this version of paylog knows formats up to {known}; \
         start a newer paylog, or restore a backup made by this one", path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format known.
        known: i64,
    },
    /// An earlier version has written it, and it is only to be read.
    #[error(
        "{} has data format {found}, and this version of paylog reads format {known}; \
         start `paylog serve` on the folder once, which converts it", path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format that can be read.
        known: i64,
    },
    /// The database is damaged.
    #[error("{} is damaged: {reason}; restore a backup into another folder", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The folder into which a backup is to be restored, or the file that a backup is to be written to, is taken.
    #[error("{} is there already; choose another place", path.display())]
    Occupied {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file cannot be read without writing beside it, and that is not allowed here.
    #[error(
        "{} cannot be used by this user: SQLite must write beside it, even to read it, and may not. Run the command as \
         the user to whom the folder belongs, or copy the folder and name the copy with --data", path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A backup cannot be written where it is wanted.
    #[error("the backup cannot be written to {}: {source}; check that its folder is there and who may write to it", path.display())]
    Target {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite failed otherwise.
    #[error("{} cannot be opened: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(super) fn folder(folder: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let folder = folder.to_owned();
        move |source| Self::Folder {
            folder: folder.clone(),
            source,
        }
    }

    /// A file that cannot be opened: for want of it, or of permission.
    pub(super) fn unreadable(path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Self::Absent {
                path: path.to_owned(),
            };
        }
        Self::folder(path.parent().unwrap_or(path))(source)
    }

    pub(super) fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| match &source {
            rusqlite::Error::SqliteFailure(cause, text) => match cause.code {
                rusqlite::ErrorCode::NotADatabase => Self::Foreign { path: path.clone() },
                rusqlite::ErrorCode::DatabaseCorrupt => Self::Corrupt {
                    path: path.clone(),
                    reason: text.clone().unwrap_or_else(|| cause.to_string()),
                },
                rusqlite::ErrorCode::ReadOnly => Self::ReadOnly { path: path.clone() },
                rusqlite::ErrorCode::CannotOpen => match File::open(&path) {
                    Ok(_) => Self::ReadOnly { path: path.clone() },
                    Err(refused) => Self::unreadable(&path, refused),
                },
                _ => Self::Database {
                    path: path.clone(),
                    source,
                },
            },
            _ => Self::Database {
                path: path.clone(),
                source,
            },
        }
    }
}

/// Held by the one process that writes to a folder; given back when it is dropped.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl FolderLock {
    /// Makes the folder where it is missing, and takes it.
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
    /// Given back in so many words: closing the file does it only once no child process that is being started at this
    /// moment holds a copy of it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Opens the database for the writer, making or converting it where needed.
pub(super) fn open_writer(path: &Path, bytes_max: Option<u64>) -> Result<Connection, OpenError> {
    let failed = OpenError::database(path);
    let is_new = !path.exists();
    if is_new {
        make_private(path).map_err(OpenError::folder(path.parent().unwrap_or(path)))?;
    }
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(&failed)?;
    configure(&connection).map_err(&failed)?;
    migration::bring_up_to_date(&connection, path)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA journal_size_limit = 67108864;
             PRAGMA cache_size = -65536;
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(&failed)?;
    if let Some(bytes) = bytes_max {
        bound(&connection, bytes).map_err(&failed)?;
    }
    if is_new {
        sync_folder(path).map_err(OpenError::folder(path.parent().unwrap_or(path)))?;
    }
    Ok(connection)
}

/// Makes the empty file that SQLite makes a database of. It holds other people's data: nobody but the owner reads it,
/// whatever the folder allows, and SQLite gives its log (`-wal`, `-shm`) the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn bound(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let page: u64 = connection
        .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?
        .into();
    let pages = i64::try_from(bytes / page).unwrap_or(i64::MAX).max(1);
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// Opens the database for reading beside a writer, of this process or another.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&connection)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;")?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // A plan must not depend on the values bound: SQLite would compile a statement anew for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A damaged or hostile file must not run anything of its own.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(())
}

/// Makes a new file's name durable.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Whether the error says that there is no room left on the disk.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(cause, _) if cause.extended_code & 0xff == ffi::SQLITE_FULL
    )
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_child_process_on_its_way_does_not_keep_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
        // What a child has between fork and exec.
        let _copy = lock.0.try_clone().unwrap();
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    /// Who runs the tests may be allowed everything, so the system's answers are given here.
    #[test]
    fn what_is_not_allowed_is_not_taken_for_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        let said = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            OpenError::database(&path)(error)
        };
        assert!(matches!(said(ffi::SQLITE_CANTOPEN), OpenError::Absent { .. }));
        std::fs::write(&path, "").unwrap();
        for code in [ffi::SQLITE_CANTOPEN, ffi::SQLITE_READONLY] {
            assert!(matches!(said(code), OpenError::ReadOnly { .. }), "{code}");
        }
        let denied = OpenError::unreadable(&path, ErrorKind::PermissionDenied.into());
        assert!(matches!(denied, OpenError::Folder { .. }), "{denied}");
    }
}
