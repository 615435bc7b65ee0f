//! Errors of opening a data folder.

use std::fs::File;
use std::path::{Path, PathBuf};

/// The failures of opening a data folder, backing it up or restoring it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be created, read or written.
    #[error("the data folder {} cannot be used: {source}; check that it exists and who may write to it", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Another process writes to it.
    #[error("the data folder {} is in use by another paylog process; stop it, or use another folder", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no database to read or restore.
    #[error("there is no paylog database at {}", path.display())]
    Absent {
        /// The expected path.
        path: PathBuf,
    },
    /// The file is not a database of paylog.
    #[error("{} is not a database of paylog's; move it away, or use another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of paylog wrote the database.
    #[error(
        "{} has data format {found}, and this version of paylog knows formats up to {known}; \
         start a newer paylog, or restore a backup made by this one", path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest known format.
        known: i64,
    },
    /// An earlier version wrote the database, and it is opened read-only.
    #[error(
        "{} has data format {found}, and this version of paylog reads format {known}; \
         start `paylog serve` on the folder once, which converts it", path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The readable format.
        known: i64,
    },
    /// The database is damaged.
    #[error("{} is damaged: {reason}; restore a backup into another folder", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
    /// The target folder of a restore, or the target file of a backup, already exists.
    #[error("{} is there already; choose another place", path.display())]
    Occupied {
        /// The file or folder.
        path: PathBuf,
    },
    /// SQLite must write beside the file to read it, and may not.
    #[error(
        "{} cannot be used by this user: SQLite must write beside it, even to read it, and may not. Run the command as \
         the user to whom the folder belongs, or copy the folder and name the copy with --data", path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The target of a backup cannot be written.
    #[error("the backup cannot be written to {}: {source}; check that its folder is there and who may write to it", path.display())]
    Target {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Another error of SQLite.
    #[error("{} cannot be opened: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Error of SQLite.
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

    /// The error for a file that cannot be opened: it is absent, or permission is missing.
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use rusqlite::ffi;

    use super::*;

    /// The tests may run with all permissions, so the system's errors are simulated.
    #[test]
    fn forbidden_file_is_not_reported_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paylog.sqlite3");
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
