//! Connections to the database: one that writes, and those that read.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::storage::sqlite::folder::sync_folder;
use crate::storage::sqlite::migration;
use crate::storage::sqlite::open_error::OpenError;

/// Time-out for locks of another connection. Only checkpoints and recovery hold any.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Compiled statements cached per connection.
const CACHED_STATEMENTS_MAX: usize = 256;

/// Opens the database for the writer, creating or converting it if needed.
pub(super) fn open_writer(path: &Path, bytes_max: Option<u64>) -> Result<Connection, OpenError> {
    let failed = OpenError::database(path);
    let is_new = !path.exists();
    if is_new {
        create_private_file(path).map_err(OpenError::folder(path.parent().unwrap_or(path)))?;
    }
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(&failed)?;
    configure(&connection).map_err(&failed)?;
    migration::migrate_to_current(&connection, path)?;
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
        limit_size(&connection, bytes).map_err(&failed)?;
    }
    if is_new {
        sync_folder(path).map_err(OpenError::folder(path.parent().unwrap_or(path)))?;
    }
    Ok(connection)
}

/// Creates the empty file of a new database. It will hold personal data: only the owner may read it, whatever the
/// folder's mode. SQLite gives `-wal` and `-shm` the same mode.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn limit_size(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let page: u64 = connection
        .pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?
        .into();
    let pages = i64::try_from(bytes / page).unwrap_or(i64::MAX).max(1);
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// Opens the database for reading beside a writer of this process or another.
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
    // Plans must not depend on bound values: SQLite would recompile statements for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS_MAX);
    // A damaged or hostile file must not execute code of its own.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(())
}

/// True if the disk is full.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(cause, _) if cause.extended_code & 0xff == ffi::SQLITE_FULL
    )
}
