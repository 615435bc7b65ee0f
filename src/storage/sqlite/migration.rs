//! The format of a database, and its migration from older formats.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::storage::sqlite::folder::{DATABASE, sync_folder};
use crate::storage::sqlite::open_error::OpenError;

/// Converts a database to the next format, inside a transaction.
type Migration = fn(&Connection) -> rusqlite::Result<()>;

/// Migration `n` converts format `n` to `n + 1`. An empty file has format 0.
const MIGRATIONS: &[Migration] = &[first_format, second_format];

/// Identifies paylog's databases (SQLite's `application_id`): "payl".
const APPLICATION_ID: i32 = 0x7061_796c;

/// The format written by this version (SQLite's `user_version`).
pub(super) const FORMAT: i64 = 2;

const _: () = assert!(MIGRATIONS.len() as u64 == FORMAT.unsigned_abs());

fn first_format(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE class (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            entry TEXT NOT NULL
        );
        CREATE TABLE relation (
            class INTEGER NOT NULL,
            owner TEXT NOT NULL,
            key TEXT NOT NULL,
            target_class TEXT NOT NULL,
            target TEXT NOT NULL,
            PRIMARY KEY (class, owner, key, target, target_class)
        ) WITHOUT ROWID;
        CREATE INDEX relation_target ON relation (target, target_class, class, key, owner);",
    )
}

/// Adds the index of readers of private documents. Loading the classes fills it, and the columns that belong to it,
/// for existing documents.
fn second_format(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE reader (
            class INTEGER NOT NULL,
            reader TEXT NOT NULL,
            id TEXT NOT NULL,
            PRIMARY KEY (class, reader, id)
        ) WITHOUT ROWID;",
    )
}

/// Content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    Format(i64),
}

/// Determines the content of a file.
pub(super) fn inspect(connection: &Connection, path: &Path) -> Result<Content, OpenError> {
    let failed = OpenError::database(path);
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(&failed)?;
    let format = number("user_version").map_err(&failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    if application == i64::from(APPLICATION_ID) {
        return Ok(Content::Format(format));
    }
    if application == 0 && format == 0 && tables == 0 {
        return Ok(Content::Empty);
    }
    Err(OpenError::Foreign {
        path: path.to_owned(),
    })
}

/// Refuses a database of another format.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match inspect(connection, path)? {
        Content::Format(FORMAT) => Ok(()),
        Content::Format(found) if found < FORMAT => Err(OpenError::OlderFormat {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        Content::Format(found) => Err(newer(path, found, FORMAT)),
        Content::Empty => Err(OpenError::Absent {
            path: path.to_owned(),
        }),
    }
}

/// Converts an empty or older database to the current format. Copies an older one first.
pub(super) fn migrate_to_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    migrate(connection, path, MIGRATIONS)
}

fn newer(path: &Path, found: i64, known: i64) -> OpenError {
    OpenError::NewerFormat {
        path: path.to_owned(),
        found,
        known,
    }
}

fn migrate(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<(), OpenError> {
    let failed = OpenError::database(path);
    let target = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = match inspect(connection, path)? {
        Content::Empty => 0,
        Content::Format(format) if format > target => return Err(newer(path, format, target)),
        Content::Format(format) => format,
    };
    if found == target {
        return Ok(());
    }
    if found > 0 {
        let copy = copy_name(path, found);
        tracing::info!(from = found, to = target, copy = %copy.display(), "converting the database to a newer format");
        copy_database(connection, path, &copy)?;
    }
    let transaction = connection.unchecked_transaction().map_err(&failed)?;
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(0)) {
        migration(&transaction).map_err(&failed)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(&failed)?;
    transaction
        .pragma_update(None, "user_version", target)
        .map_err(&failed)?;
    transaction.commit().map_err(&failed)
}

/// Path of the copy of an older database: beside it.
fn copy_name(path: &Path, format: i64) -> PathBuf {
    path.with_file_name(format!("{DATABASE}.format-{format}"))
}

/// Copies the database, including its write-ahead log. An existing copy stems from an earlier attempt that failed,
/// since the database would have another format otherwise; it is replaced.
fn copy_database(connection: &Connection, path: &Path, copy: &Path) -> Result<(), OpenError> {
    let failed = OpenError::database(path);
    let folder = OpenError::folder(path.parent().unwrap_or(path));
    let partial = copy.with_extension("partial");
    for stale in [&partial, copy] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(folder(error)),
            _ => {}
        }
    }
    connection
        .execute("VACUUM INTO ?1", [partial.to_string_lossy()])
        .map_err(&failed)?;
    std::fs::File::open(&partial)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&partial, copy))
        .and_then(|()| sync_folder(copy))
        .map_err(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn third_format(connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch("CREATE TABLE added (number INTEGER); INSERT INTO added VALUES (7);")
    }

    fn failing(connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch("CREATE TABLE half (number INTEGER); SELECT no_such_function();")
    }

    /// An older database is copied, then converted. A failed conversion leaves it unchanged.
    #[test]
    fn older_format_is_copied_and_converted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        let connection = Connection::open(&path).unwrap();
        migrate(&connection, &path, MIGRATIONS).unwrap();
        connection
            .execute("INSERT INTO class (entry) VALUES ('x')", [])
            .unwrap();

        migrate(&connection, &path, &[first_format, second_format, failing]).unwrap_err();
        assert_eq!(inspect(&connection, &path).unwrap(), Content::Format(2));
        connection
            .query_row("SELECT number FROM half", [], |_| Ok(()))
            .unwrap_err();

        migrate(&connection, &path, &[first_format, second_format, third_format]).unwrap();
        assert_eq!(inspect(&connection, &path).unwrap(), Content::Format(3));
        let added: i64 = connection
            .query_row("SELECT number FROM added", [], |row| row.get(0))
            .unwrap();
        assert_eq!(added, 7);

        let copy_path = folder.path().join("paylog.sqlite3.format-2");
        let copy = Connection::open(&copy_path).unwrap();
        assert_eq!(inspect(&copy, &copy_path).unwrap(), Content::Format(2));
        let entries: i64 = copy
            .query_row("SELECT count(*) FROM class", [], |row| row.get(0))
            .unwrap();
        assert_eq!(entries, 1);

        let refused = migrate(&connection, &path, MIGRATIONS).unwrap_err();
        assert!(
            matches!(
                refused,
                OpenError::NewerFormat {
                    found: 3,
                    known: 2,
                    ..
                }
            ),
            "{refused}"
        );
    }
}
