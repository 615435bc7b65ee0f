//! Errors of opening a data folder.

use std::fs::File;
use std::path::{Path, PathBuf};

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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use rusqlite::ffi;

    use super::*;

    /// Who runs the tests may be allowed everything, so the system's answers are given here.
    #[test]
    fn what_is_not_allowed_is_not_taken_for_absent() {
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
