//! Reading beside the writer.
//!
//! Every read sees one snapshot, the latest commit at its start; readers never wait for the writer, nor it for them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::Semaphore;

use crate::environment::Environment;
use crate::model::{CloudError, Document, ObjectId, OrderKey, Pointer, Principal, Query, Timestamp};
use crate::storage::sql::{self, Condition};
use crate::storage::sqlite::catalogue::Table;
use crate::storage::sqlite::failure::{Failure, too_slow, unavailable};
use crate::storage::sqlite::folder::open_reader;
use crate::storage::sqlite::row;
use crate::store::{Found, ReadError};

/// How long a query may run: LeanCloud's bound.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// Queries that run at the same time; further ones wait.
const QUERIES_MAX: usize = 8;

/// Idle connections that are kept.
const IDLE_MAX: usize = 16;

/// Steps of SQLite's machine between two looks at the clock, about a millisecond.
const STEPS_PER_LOOK: i32 = 20_000;

/// Rows that the evaluator confirms between two looks at the clock.
const ROWS_PER_LOOK: usize = 64;

const SNAPSHOT_BUSY: &str = "A snapshot is read by one at a time.";

/// Connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    queries: Arc<Semaphore>,
    environment: Environment,
    /// All reads see what the one connection saw at its first.
    is_snapshot: bool,
}

/// When a query must end: its time is over, or nobody waits for it any more.
#[derive(Clone, Debug)]
struct Deadline {
    environment: Environment,
    at: Duration,
    abandoned: Arc<AtomicBool>,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || self.environment.elapsed() >= self.at
    }
}

/// Says that nobody waits any more, when it is dropped.
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
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            environment,
            is_snapshot: false,
        }
    }

    /// What the store takes time and chance from.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Every read, one at a time, sees what `connection` sees now.
    pub(super) fn snapshot(
        path: PathBuf,
        connection: Connection,
        environment: Environment,
    ) -> rusqlite::Result<Self> {
        // The transaction begins with its first read, and ends with the connection.
        connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
        Ok(Self {
            idle: Mutex::new(vec![connection]),
            queries: Arc::new(Semaphore::new(1)),
            is_snapshot: true,
            ..Self::new(path, environment)
        })
    }

    /// Reads on this thread: for what takes microseconds.
    pub(super) fn inline<T>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        self.with_connection(read).map_err(Failure::into_read_error)
    }

    /// Reads on a thread that may be blocked, until the deadline.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection, &dyn Fn() -> bool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ReadError> {
        let deadline = Deadline {
            environment: self.environment.clone(),
            at: self.environment.elapsed() + QUERY_TIME_MAX,
            abandoned: Arc::default(),
        };
        let _abandon = Abandon(Arc::clone(&deadline.abandoned));
        let stopping = |_| ReadError::Rejected(unavailable("The store is stopping."));
        let permit = Arc::clone(&self.queries)
            .acquire_owned()
            .await
            .map_err(stopping)?;
        let readers = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with_connection(|connection| {
                let limit = deadline.clone();
                connection.progress_handler(STEPS_PER_LOOK, Some(move || limit.has_passed()))?;
                let answer = read(connection, &|| deadline.has_passed());
                connection.progress_handler(0, None::<fn() -> bool>)?;
                answer
            })
        });
        match read.await {
            Ok(answer) => answer.map_err(Failure::into_read_error),
            Err(error) => Err(ReadError::Unavailable(format!("the query did not end: {error}"))),
        }
    }

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None if self.is_snapshot => return Err(Failure::Refused(unavailable(SNAPSHOT_BUSY))),
            None => open_reader(&self.path)?,
        };
        let answer = read(&mut connection);
        // After a failure of SQLite the next reader gets a fresh connection.
        if !matches!(answer, Err(Failure::Database(_))) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
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

/// One document by its id.
pub(super) fn get(
    connection: &Connection,
    table: &Table,
    id: &ObjectId,
) -> Result<Option<Document>, Failure> {
    let mut select = connection.prepare_cached(&table.select_one)?;
    let mut rows = select.query([id.as_str()])?;
    rows.next()?.map(row::document).transpose()
}

/// When the youngest document of a class was written.
pub(super) fn last_write(connection: &Connection, table: &Table) -> Result<Option<Timestamp>, Failure> {
    let sql = format!("SELECT max(updated) FROM c{}", table.number);
    let millis: Option<i64> = connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    Ok(millis.map(Timestamp::from_millis))
}

/// How a query is answered.
#[derive(Debug)]
pub(super) struct Plan {
    condition: Condition,
    /// `None` where the evaluator must sort.
    order: Option<String>,
    /// Whether it asks for one document, by a unique key.
    pub(super) is_point: bool,
}

impl Plan {
    pub(super) fn of(query: &Query, table: &Table) -> Self {
        let keys = table.keys();
        let condition = sql::condition(&query.filter, &keys);
        Self {
            order: sql::order_by(&query.order, &keys, &condition),
            condition,
            is_point: sql::is_point(&query.filter, &keys),
        }
    }

    fn select(&self, table: &Table) -> String {
        let condition = &self.condition.sql;
        match &self.order {
            Some(order) => format!("{} WHERE {condition} ORDER BY {order}", table.select),
            None => format!("{} WHERE {condition}", table.select),
        }
    }

    /// How SQLite would find the rows.
    pub(super) fn explain(&self, connection: &Connection, table: &Table) -> Result<Vec<String>, Failure> {
        let sql = format!("EXPLAIN QUERY PLAN {}", self.select(table));
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(&self.condition.parameters), |row| row.get(3))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether SQL alone says which rows `principal` gets.
    fn is_exact(&self, principal: &Principal) -> bool {
        self.condition.exact && principal.is_master()
    }

    /// Answers the query.
    pub(super) fn run(
        &self,
        connection: &Connection,
        table: &Table,
        query: &Query,
        principal: &Principal,
        is_late: &dyn Fn() -> bool,
    ) -> Result<Found, Failure> {
        if !(self.is_exact(principal) && self.order.is_some()) {
            return self.run_with_evaluator(connection, table, query, principal, is_late);
        }
        // Rows and count are two statements, which must see one snapshot.
        let snapshot = if query.count && connection.is_autocommit() {
            Some(connection.unchecked_transaction()?)
        } else {
            None
        };
        let found = self.run_in_sql(connection, table, query)?;
        if let Some(snapshot) = snapshot {
            snapshot.commit()?;
        }
        Ok(found)
    }

    fn run_in_sql(&self, connection: &Connection, table: &Table, query: &Query) -> Result<Found, Failure> {
        let mut results = Vec::new();
        if query.limit > 0 {
            let sql = format!("{} LIMIT ? OFFSET ?", self.select(table));
            let mut statement = connection.prepare_cached(&sql)?;
            let window = [
                SqlValue::Integer(query.limit.into()),
                SqlValue::Integer(query.skip.into()),
            ];
            let mut rows =
                statement.query(params_from_iter(self.condition.parameters.iter().chain(&window)))?;
            while let Some(row) = rows.next()? {
                results.push(row::document(row)?);
            }
        }
        let count = if query.count {
            Some(self.count(connection, table)?)
        } else {
            None
        };
        Ok(Found { results, count })
    }

    fn count(&self, connection: &Connection, table: &Table) -> Result<u64, Failure> {
        let sql = format!(
            "SELECT count(*) FROM c{} WHERE {}",
            table.number, self.condition.sql
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let count: i64 =
            statement.query_row(params_from_iter(&self.condition.parameters), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Asks the evaluator about every row that SQL finds.
    fn run_with_evaluator(
        &self,
        connection: &Connection,
        table: &Table,
        query: &Query,
        principal: &Principal,
        is_late: &dyn Fn() -> bool,
    ) -> Result<Found, Failure> {
        let wanted = (query.skip as usize).saturating_add(query.limit as usize);
        let mut statement = connection.prepare_cached(&self.select(table))?;
        let mut rows = statement.query(params_from_iter(&self.condition.parameters))?;
        let mut results: Vec<Document> = Vec::new();
        let (mut matching, mut seen) = (0_usize, 0_usize);
        while let Some(row) = rows.next()? {
            seen += 1;
            if seen.is_multiple_of(ROWS_PER_LOOK) && is_late() {
                return Err(Failure::Refused(too_slow()));
            }
            let document = row::document(row)?;
            let confirmed =
                self.condition.exact || query.filter.matches(&document).map_err(Failure::Refused)?;
            if !confirmed || !principal.may_read(&document) {
                continue;
            }
            matching += 1;
            if self.order.is_none() {
                results.push(document);
                if results.len() > wanted.saturating_mul(2).saturating_add(1000) {
                    sort(&mut results, &query.order);
                    results.truncate(wanted);
                }
                continue;
            }
            if matching > query.skip as usize && results.len() < query.limit as usize {
                results.push(document);
            }
            if !query.count && matching >= wanted {
                break;
            }
        }
        if self.order.is_none() {
            sort(&mut results, &query.order);
            results = results
                .into_iter()
                .skip(query.skip as usize)
                .take(query.limit as usize)
                .collect();
        }
        Ok(Found {
            results,
            count: query.count.then_some(matching as u64),
        })
    }
}

/// By the keys, then by id.
fn sort(documents: &mut [Document], order: &[OrderKey]) {
    documents.sort_by(|a, b| {
        OrderKey::compare(order, a, b).then_with(|| a.text("objectId").cmp(&b.text("objectId")))
    });
}

/// The targets of a relation, by id.
pub(super) fn related(
    connection: &Connection,
    table: &Table,
    owner: &ObjectId,
    key: &str,
) -> Result<Vec<Pointer>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT target_class, target FROM relation WHERE class = ? AND owner = ? AND key = ?
         ORDER BY target, target_class",
    )?;
    let mut rows = statement.query((table.number, owner.as_str(), key))?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        let unreadable = |error: CloudError| Failure::Unreadable(error.message);
        targets.push(Pointer {
            class_name: row.get::<_, String>(0)?.try_into().map_err(unreadable)?,
            object_id: row.get::<_, String>(1)?.try_into().map_err(unreadable)?,
        });
    }
    Ok(targets)
}

/// The owners whose relation holds a target, by id.
pub(super) fn owners(
    connection: &Connection,
    table: &Table,
    key: &str,
    target: &Pointer,
) -> Result<Vec<ObjectId>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT owner FROM relation WHERE target = ? AND target_class = ? AND class = ? AND key = ?
         ORDER BY owner",
    )?;
    let mut rows = statement.query((
        target.object_id.as_str(),
        target.class_name.as_str(),
        table.number,
        key,
    ))?;
    let mut owners = Vec::new();
    while let Some(row) = rows.next()? {
        let owner: String = row.get(0)?;
        owners.push(
            owner
                .try_into()
                .map_err(|error: CloudError| Failure::Unreadable(error.message))?,
        );
    }
    Ok(owners)
}
