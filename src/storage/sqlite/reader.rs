//! Readers beside the writer.
//!
//! Every read sees one snapshot: the latest commit at its start. Readers and the writer never wait for each other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::environment::Environment;
use crate::model::{CloudError, Document, ObjectId, Pointer, Timestamp};
use crate::storage::sqlite::catalogue::Table;
use crate::storage::sqlite::connection::open_reader;
use crate::storage::sqlite::row;
use crate::storage::sqlite::sql_error::{SqlError, unavailable};
use crate::store::ReadError;

/// Maximum duration of a query: LeanCloud's limit.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// Maximum duration of a query on the caller's thread. Most queries take less than a handover to another thread.
const BRIEF_QUERY_TIME_MAX: Duration = Duration::from_millis(2);

/// Maximum number of concurrent queries on blocking threads; further ones wait.
const CONCURRENT_QUERIES_MAX: usize = 8;

/// Maximum number of idle connections.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// SQLite's virtual-machine steps between two checks of the deadline, about a millisecond.
const STEPS_PER_DEADLINE_CHECK: i32 = 20_000;

const SNAPSHOT_BUSY: &str = "A snapshot allows one read at a time.";

/// A pool of reading connections.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    queries: Arc<Semaphore>,
    environment: Environment,
    /// True if all reads see the snapshot of one connection.
    is_snapshot: bool,
}

/// The end of a query: its time is over, or its caller is gone.
#[derive(Clone, Debug)]
struct Deadline {
    environment: Environment,
    at: Duration,
    abandoned: Arc<AtomicBool>,
    /// True once it was found to have passed.
    passed: Arc<AtomicBool>,
}

impl Deadline {
    fn after(environment: &Environment, time: Duration) -> Self {
        Self {
            environment: environment.clone(),
            at: environment.elapsed() + time,
            abandoned: Arc::default(),
            passed: Arc::default(),
        }
    }

    fn has_passed(&self) -> bool {
        let passed = self.abandoned.load(Ordering::Relaxed) || self.environment.elapsed() >= self.at;
        if passed {
            self.passed.store(true, Ordering::Relaxed);
        }
        passed
    }

    /// Reads until the deadline.
    fn limit<T>(
        &self,
        connection: &mut Connection,
        read: impl FnOnce(&Connection, &dyn Fn() -> bool) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let limit = self.clone();
        connection.progress_handler(STEPS_PER_DEADLINE_CHECK, Some(move || limit.has_passed()))?;
        let answer = read(connection, &|| self.has_passed());
        connection.progress_handler(0, None::<fn() -> bool>)?;
        answer
    }
}

/// Marks the query as abandoned on drop.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Readers {
    pub(super) fn new(path: PathBuf, environment: Environment) -> Self {
        Self {
            path,
            idle: Mutex::default(),
            queries: Arc::new(Semaphore::new(CONCURRENT_QUERIES_MAX)),
            environment,
            is_snapshot: false,
        }
    }

    /// The source of time and randomness.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Readers of one snapshot: what `connection` sees now. One read at a time.
    pub(super) fn snapshot(
        path: PathBuf,
        connection: Connection,
        environment: Environment,
    ) -> rusqlite::Result<Self> {
        // The transaction begins with its first read and ends with the connection.
        connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
        Ok(Self {
            idle: Mutex::new(vec![connection]),
            queries: Arc::new(Semaphore::new(1)),
            is_snapshot: true,
            ..Self::new(path, environment)
        })
    }

    /// Reads on this thread. For reads of microseconds.
    pub(super) fn inline<T>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqlError>,
    ) -> Result<T, ReadError> {
        self.with_connection(read).map_err(SqlError::into_read_error)
    }

    /// Reads on this thread for a short time; `None` if that does not suffice.
    pub(super) fn brief<T>(
        &self,
        read: impl FnOnce(&Connection, &dyn Fn() -> bool) -> Result<T, SqlError>,
    ) -> Result<Option<T>, ReadError> {
        let deadline = Deadline::after(&self.environment, BRIEF_QUERY_TIME_MAX);
        let answer = self.with_connection(|connection| match deadline.limit(connection, read) {
            // Any error: the deadline interrupted it.
            Err(_) if deadline.passed.load(Ordering::Relaxed) => Ok(None),
            answer => answer.map(Some),
        });
        answer.map_err(SqlError::into_read_error)
    }

    /// Reads on a blocking thread until the deadline.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection, &dyn Fn() -> bool) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let deadline = Deadline::after(&self.environment, QUERY_TIME_MAX);
        let _abandon = Abandon(Arc::clone(&deadline.abandoned));
        let stopping = |_| ReadError::Rejected(unavailable("The store is stopping."));
        let permit = Arc::clone(&self.queries)
            .acquire_owned()
            .await
            .map_err(stopping)?;
        let readers = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with_connection(|connection| deadline.limit(connection, read))
        });
        match read.await {
            Ok(answer) => answer.map_err(SqlError::into_read_error),
            Err(error) => Err(ReadError::Unavailable(format!("the query did not end: {error}"))),
        }
    }

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None if self.is_snapshot => return Err(SqlError::Refused(unavailable(SNAPSHOT_BUSY))),
            None => open_reader(&self.path)?,
        };
        let answer = read(&mut connection);
        // After a failure of SQLite the next reader gets a fresh connection.
        if !matches!(answer, Err(SqlError::Database(_))) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CONNECTIONS_MAX {
                idle.push(connection);
            }
        }
        answer
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Reads a document by its id.
pub(super) fn get(
    connection: &Connection,
    table: &Table,
    id: &ObjectId,
) -> Result<Option<Document>, SqlError> {
    let mut select = connection.prepare_cached(&table.select_one)?;
    let mut rows = select.query([id.as_str()])?;
    rows.next()?.map(row::document).transpose()
}

/// Time of the latest write among the documents of a class.
pub(super) fn last_write(connection: &Connection, table: &Table) -> Result<Option<Timestamp>, SqlError> {
    let sql = format!("SELECT max(updated) FROM c{}", table.number);
    let millis: Option<i64> = connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    Ok(millis.map(Timestamp::from_millis))
}

/// The targets of a relation, sorted by id.
pub(super) fn related(
    connection: &Connection,
    table: &Table,
    owner: &ObjectId,
    key: &str,
) -> Result<Vec<Pointer>, SqlError> {
    let mut statement = connection.prepare_cached(
        "SELECT target_class, target FROM relation WHERE class = ? AND owner = ? AND key = ?
         ORDER BY target, target_class",
    )?;
    let mut rows = statement.query((table.number, owner.as_str(), key))?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        let unreadable = |error: CloudError| SqlError::Unreadable(error.message);
        targets.push(Pointer {
            class_name: row.get::<_, String>(0)?.try_into().map_err(unreadable)?,
            object_id: row.get::<_, String>(1)?.try_into().map_err(unreadable)?,
        });
    }
    Ok(targets)
}

/// The owners whose relation contains one of the targets, sorted by id.
pub(super) fn owners(
    connection: &Connection,
    table: &Table,
    key: &str,
    targets: &[Pointer],
) -> Result<Vec<ObjectId>, SqlError> {
    // One search of the index per target: CROSS JOIN makes the list the outer loop.
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT owner FROM json_each(?) AS wanted CROSS JOIN relation
         ON target = wanted.value ->> 0 AND target_class = wanted.value ->> 1 AND class = ? AND relation.key = ?
         ORDER BY owner",
    )?;
    let targets: Vec<[&str; 2]> = targets
        .iter()
        .map(|target| [target.object_id.as_str(), target.class_name.as_str()])
        .collect();
    let targets = serde_json::to_string(&targets).map_err(|error| SqlError::Unreadable(error.to_string()))?;
    let mut rows = statement.query((targets, table.number, key))?;
    let mut owners = Vec::new();
    while let Some(row) = rows.next()? {
        let owner: String = row.get(0)?;
        owners.push(
            owner
                .try_into()
                .map_err(|error: CloudError| SqlError::Unreadable(error.message))?,
        );
    }
    Ok(owners)
}
