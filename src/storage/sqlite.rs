//! Documents in an SQLite database in one folder. Acknowledged writes are durable.
//!
//! One thread writes, and commits waiting requests together (`writer`). Readers work beside it on snapshots
//! (`reader`). The model defines operations and filters (`transaction`); SQL only finds rows (`storage::sql`).

mod backup;
mod catalogue;
mod checkpoint;
mod connection;
mod folder;
mod loading;
mod migration;
mod open_error;
mod plan;
mod prepared_insert;
mod reader;
mod row;
mod sql_error;
mod transaction;
mod write_counter;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::environment::Environment;
use crate::model::{
    ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Pointer, Principal, Query, Schema,
    SchemaChange,
};
use crate::storage::change::check_resolved;
use crate::storage::sqlite::catalogue::{Catalogue, Table};
use crate::storage::sqlite::checkpoint::Checkpointer;
use crate::storage::sqlite::folder::{DATABASE, FolderLock};
use crate::storage::sqlite::plan::Plan;
use crate::storage::sqlite::prepared_insert::PreparedInsert;
use crate::storage::sqlite::reader::Readers;
use crate::storage::sqlite::sql_error::{SqlError, unavailable};
use crate::storage::sqlite::write_counter::WriteCounters;
use crate::storage::sqlite::writer::{Counters, QUEUE_MAX, Request, Writer};
use crate::store::load::{Link, LoadBatch, LoadOutcome, Loader};
use crate::store::{
    AtomicStore, CommitOutcome, Database, Found, LastModified, ReadError, Store, Write, WriteOutcome,
};

pub use backup::{BackupProgress, restore};
pub use open_error::OpenError;

/// Documents in an SQLite database. Clones share it. The folder is released when the last clone is dropped, or by
/// [`SqliteStore::close`].
#[derive(Clone, Debug)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    catalogue: Arc<RwLock<Arc<Catalogue>>>,
    readers: Arc<Readers>,
    environment: Environment,
    /// `None` if the store is read-only.
    writer: Option<WriterHandle>,
    calls: AtomicU64,
    counters: Arc<Counters>,
    write_counters: Arc<WriteCounters>,
}

#[derive(Debug)]
struct WriterHandle {
    /// `None` only during the drop.
    requests: Option<mpsc::Sender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // Dropping the last sender ends the writer. The folder must be released on return.
        self.requests = None;
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Counters since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Calls of the ports: reads and writes.
    pub calls: u64,
    /// Write requests that changed something.
    pub requests: u64,
    /// Durable commits of these requests.
    pub commits: u64,
}

impl SqliteStore {
    /// Opens the folder for reading and writing, creating it if it is missing. Ids and times come from
    /// `environment`.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Locked`] while another process writes there.
    pub fn open(folder: &Path, environment: Environment) -> Result<Self, OpenError> {
        Self::open_bounded(folder, environment, None)
    }

    /// As [`SqliteStore::open`], but limits the database to about `bytes_max`, its log not counted. Beyond that,
    /// writes are refused with 503, as on a full disk, until something is deleted.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_bounded(
        folder: &Path,
        environment: Environment,
        bytes_max: Option<u64>,
    ) -> Result<Self, OpenError> {
        let lock = FolderLock::take(folder)?;
        let path = folder.join(DATABASE);
        let mut connection = connection::open_writer(&path, bytes_max)?;
        let checkpointer = Checkpointer::start(&mut connection, &path)?;
        let catalogue = usable_catalogue(Catalogue::load_and_complete(&connection), &path)?;
        let published = Arc::new(RwLock::new(Arc::clone(&catalogue)));
        let counters = Arc::new(Counters::default());
        let write_counters = Arc::new(WriteCounters::default());
        let (sender, requests) = mpsc::channel(QUEUE_MAX);
        let writer = Writer {
            connection,
            checkpointer,
            environment: environment.clone(),
            catalogue,
            published: Arc::clone(&published),
            counters: Arc::clone(&counters),
            write_counters: Arc::clone(&write_counters),
            requests,
            closing: Vec::new(),
            lock,
        };
        let thread = std::thread::Builder::new()
            .name("paylog-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::folder(folder))?;
        let readers = Readers::new(path.clone(), environment);
        Ok(Self::assemble(
            path,
            readers,
            published,
            counters,
            write_counters,
            Some(WriterHandle {
                requests: Some(sender),
                thread: Mutex::new(Some(thread)),
            }),
        ))
    }

    /// True if the folder holds a database file of any kind.
    #[must_use]
    pub fn exists_in(folder: &Path) -> bool {
        folder.join(DATABASE).exists()
    }

    /// Opens the folder read-only; another process may write to it. Writes are refused with 503.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::OlderFormat`] if it must be converted first.
    pub fn open_read_only(folder: &Path, environment: Environment) -> Result<Self, OpenError> {
        let (path, _, catalogue) = open_existing(folder)?;
        let readers = Readers::new(path.clone(), environment);
        let published = Arc::new(RwLock::new(catalogue));
        Ok(Self::assemble(
            path,
            readers,
            published,
            Arc::default(),
            Arc::default(),
            None,
        ))
    }

    /// As [`SqliteStore::open_read_only`], but all reads see the moment of the opening. Reads run one at a time; a
    /// concurrent one is refused with 503.
    ///
    /// # Errors
    /// As [`SqliteStore::open_read_only`].
    pub fn open_snapshot(folder: &Path, environment: Environment) -> Result<Self, OpenError> {
        let (path, connection, catalogue) = open_existing(folder)?;
        let failed = OpenError::database(&path);
        let readers = Readers::snapshot(path.clone(), connection, environment).map_err(&failed)?;
        let published = Arc::new(RwLock::new(catalogue));
        Ok(Self::assemble(
            path,
            readers,
            published,
            Arc::default(),
            Arc::default(),
            None,
        ))
    }

    fn assemble(
        path: PathBuf,
        readers: Readers,
        catalogue: Arc<RwLock<Arc<Catalogue>>>,
        counters: Arc<Counters>,
        write_counters: Arc<WriteCounters>,
        writer: Option<WriterHandle>,
    ) -> Self {
        let environment = readers.environment().clone();
        let readers = Arc::new(readers);
        let calls = AtomicU64::new(0);
        let inner = Inner {
            path,
            catalogue,
            readers,
            environment,
            writer,
            calls,
            counters,
            write_counters,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Counters since the store was opened.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics {
            calls: self.inner.calls.load(Ordering::Relaxed),
            requests: self.inner.counters.requests.load(Ordering::Relaxed),
            commits: self.inner.counters.commits.load(Ordering::Relaxed),
        }
    }

    /// Executes waiting writes, checkpoints the WAL and releases the folder. Later writes are refused with 503;
    /// reads work until the store is dropped. Idempotent.
    pub async fn close(&self) {
        if let Some(writer) = &self.inner.writer
            && let Some(requests) = &writer.requests
        {
            self.inner.readers.close();
            let (answer, closed) = oneshot::channel();
            if requests.send(Request::Close { answer }).await.is_ok() {
                let _ = closed.await;
            }
        }
    }

    /// Writes a consistent copy of the database to `target` during normal operation, and reports its progress.
    ///
    /// # Errors
    /// [`OpenError::Occupied`] if `target` exists; otherwise the [`OpenError`] of the failure.
    pub async fn backup(
        &self,
        target: &Path,
        progress: impl FnMut(BackupProgress) + Send + 'static,
    ) -> Result<(), OpenError> {
        let (source, target) = (self.inner.path.clone(), target.to_owned());
        let copied = tokio::task::spawn_blocking(move || backup::backup(&source, &target, progress));
        match copied.await {
            Ok(outcome) => outcome,
            Err(error) => Err(OpenError::folder(&self.inner.path)(std::io::Error::other(error))),
        }
    }

    /// SQLite's query plan, a line for each step, for tests of indexes and for diagnosis. For a client, the plan
    /// after too many rows that the client may not read.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn explain(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Vec<String>, ReadError> {
        let Some(table) = self.table(class)? else {
            return Ok(Vec::new());
        };
        let plan = Plan::of(query, &table);
        self.inner
            .readers
            .inline(|connection| plan.explain(connection, &table, query, principal))
    }

    fn count_call(&self) {
        self.inner.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        let catalogue = self
            .inner
            .catalogue
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&catalogue)
    }

    /// The table of a class. A read-only store first loads the classes that the writing process has created
    /// meanwhile.
    fn table(&self, class: &ClassName) -> Result<Option<Arc<Table>>, ReadError> {
        if self.inner.writer.is_none() {
            self.refresh()?;
        }
        Ok(self.catalogue().tables.get(class).map(Arc::clone))
    }

    fn refresh(&self) -> Result<(), ReadError> {
        let catalogue = self
            .inner
            .readers
            .inline(|connection| Catalogue::load(connection))?;
        let mut published = self
            .inner
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *published = Arc::new(catalogue);
        Ok(())
    }

    async fn query(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Found, ReadError> {
        self.count_call();
        check_resolved(&query.filter)?;
        let Some(table) = self.table(class)? else {
            return Ok(Found {
                results: Vec::new(),
                count: query.count.then_some(0),
            });
        };
        let plan = Plan::of(query, &table);
        if plan.is_point {
            return self
                .inner
                .readers
                .inline(|connection| plan.run(connection, &table, query, principal, &|| false));
        }
        let brief = self
            .inner
            .readers
            .brief(|connection, is_late| plan.run(connection, &table, query, principal, is_late))?;
        if let Some(found) = brief {
            return Ok(found);
        }
        let (query, principal) = (query.clone(), principal.clone());
        self.inner
            .readers
            .blocking(move |connection, is_late| plan.run(connection, &table, &query, &principal, is_late))
            .await
    }

    /// Sends a request to the writer. `Err` if the writer is closed or there is none; `None` if it ended without a
    /// reply.
    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<Option<T>, CloudError> {
        self.count_call();
        let Some(writer) = &self.inner.writer else {
            return Err(unavailable("The store is open for reading only."));
        };
        let (answer, answered) = oneshot::channel();
        let stopping = || unavailable("The store is stopping.");
        let requests = writer.requests.as_ref().ok_or_else(stopping)?;
        requests.send(request(answer)).await.map_err(|_| stopping())?;
        Ok(answered.await.ok())
    }

    fn prepare(&self, writes: &[Write]) -> Vec<Option<PreparedInsert>> {
        PreparedInsert::of_all(writes, &self.catalogue(), &self.inner.environment)
    }

    async fn write_all(&self, writes: Vec<Write>, principal: Principal) -> Vec<WriteOutcome> {
        let count = writes.len();
        if count == 0 {
            return Vec::new();
        }
        let prepared = self.prepare(&writes);
        let request = |answer| Request::Batch {
            writes,
            prepared,
            principal,
            answer,
        };
        match self.request(request).await {
            Ok(Some((outcomes, _))) => outcomes,
            Ok(None) => vec![WriteOutcome::Unknown(WRITER_GONE.to_owned()); count],
            Err(error) => vec![WriteOutcome::Rejected(error); count],
        }
    }
}

const WRITER_GONE: &str = "the writer ended without a reply";

/// Opens an existing database for reading.
fn open_existing(folder: &Path) -> Result<(PathBuf, rusqlite::Connection, Arc<Catalogue>), OpenError> {
    let path = folder.join(DATABASE);
    std::fs::File::open(&path).map_err(|error| OpenError::unreadable(&path, error))?;
    let connection = connection::open_reader(&path).map_err(OpenError::database(&path))?;
    migration::check(&connection, &path)?;
    let catalogue = usable_catalogue(Catalogue::load(&connection), &path)?;
    Ok((path, connection, catalogue))
}

fn usable_catalogue(
    catalogue: Result<Catalogue, SqlError>,
    path: &Path,
) -> Result<Arc<Catalogue>, OpenError> {
    match catalogue {
        Ok(catalogue) => Ok(Arc::new(catalogue)),
        Err(SqlError::Database(source)) => Err(OpenError::database(path)(source)),
        Err(error) => Err(OpenError::Corrupt {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.count_call();
        let Some(table) = self.table(class)? else {
            return Ok(None);
        };
        self.inner
            .readers
            .inline(|connection| reader::get(connection, &table, id))
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        Ok(self.query(class, query, &Principal::Master).await?.results)
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        let query = Query {
            count: true,
            ..Query::new(filter.clone()).limit(0)
        };
        let found = self.query(class, &query, &Principal::Master).await?;
        Ok(found.count.unwrap_or_default())
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        let mut outcomes = self.write_all(vec![write], Principal::Master).await;
        let nothing = || WriteOutcome::Unknown(WRITER_GONE.to_owned());
        outcomes.pop().unwrap_or_else(nothing)
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.write_all(writes, Principal::Master).await
    }

    fn atomic(&self) -> Option<&dyn AtomicStore> {
        Some(self)
    }
}

#[async_trait]
impl AtomicStore for SqliteStore {
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let prepared = self.prepare(&writes);
        let request = |answer| Request::Commit {
            writes,
            prepared,
            answer,
        };
        match self.request(request).await {
            Ok(Some((outcome, _))) => outcome,
            Ok(None) => CommitOutcome::Unknown(WRITER_GONE.to_owned()),
            Err(error) => CommitOutcome::Refused {
                index: 0,
                outcome: WriteOutcome::Rejected(error),
            },
        }
    }
}

#[async_trait]
impl Database for SqliteStore {
    fn schema(&self) -> Arc<Schema> {
        if self.inner.writer.is_none()
            && let Err(error) = self.refresh()
        {
            tracing::warn!(error = %error, "class catalogue could not be refreshed");
        }
        Arc::clone(&self.catalogue().schema)
    }

    async fn define(&self, change: SchemaChange) -> Result<Arc<Schema>, CloudError> {
        let change = Box::new(change);
        match self.request(|answer| Request::Define { change, answer }).await? {
            Some(outcome) => outcome,
            None => Err(CloudError::new(ErrorCode::STORAGE_FAILED, WRITER_GONE)),
        }
    }

    fn last_modified(&self, class: &ClassName) -> Option<LastModified> {
        // The writes of another process are unknown here.
        self.inner.writer.as_ref()?;
        if let Some(modified) = self.inner.write_counters.of(class) {
            return Some(modified);
        }
        let last = match self.table(class).ok()? {
            None => None,
            Some(table) => {
                let readers = &self.inner.readers;
                let last = readers.inline(|connection| reader::last_write(connection, &table));
                last.ok()?
            }
        };
        Some(self.inner.write_counters.begin(class, last))
    }

    async fn get_as(
        &self,
        class: &ClassName,
        id: &ObjectId,
        principal: &Principal,
    ) -> Result<Option<Document>, ReadError> {
        let document = self.get(class, id).await?;
        Ok(document.filter(|document| principal.may_read(document)))
    }

    async fn find_as(
        &self,
        class: &ClassName,
        query: &Query,
        principal: &Principal,
    ) -> Result<Found, ReadError> {
        self.query(class, query, principal).await
    }

    async fn write_as(&self, writes: Vec<Write>, principal: &Principal) -> Vec<WriteOutcome> {
        self.write_all(writes, principal.clone()).await
    }

    async fn related(&self, owner: &Pointer, key: &str) -> Result<Vec<Pointer>, ReadError> {
        self.count_call();
        let Some(table) = self.table(&owner.class_name)? else {
            return Ok(Vec::new());
        };
        let (owner, key) = (owner.object_id.clone(), key.to_owned());
        self.inner
            .readers
            .blocking(move |connection, _| reader::related(connection, &table, &owner, &key))
            .await
    }

    async fn owners(
        &self,
        class: &ClassName,
        key: &str,
        targets: &[Pointer],
    ) -> Result<Vec<ObjectId>, ReadError> {
        self.count_call();
        let Some(table) = self.table(class)? else {
            return Ok(Vec::new());
        };
        let (key, targets) = (key.to_owned(), targets.to_vec());
        self.inner
            .readers
            .blocking(move |connection, _| reader::owners(connection, &table, &key, &targets))
            .await
    }
}

#[async_trait]
impl Loader for SqliteStore {
    fn load(&self, batch: LoadBatch) -> BoxFuture<'static, Result<Vec<LoadOutcome>, CloudError>> {
        let prepared = Box::new(loading::PreparedLoad::of(batch, &self.catalogue()));
        let store = self.clone();
        Box::pin(async move {
            // The batch is freed here, since the writer's time is shared.
            match store.request(|answer| Request::Load { prepared, answer }).await? {
                Some((outcome, _)) => outcome,
                None => Err(CloudError::new(ErrorCode::STORAGE_FAILED, WRITER_GONE)),
            }
        })
    }

    async fn note(&self, name: &str) -> Result<Option<String>, ReadError> {
        self.inner
            .readers
            .inline(|connection| loading::note(connection, name))
    }

    async fn exist(&self, pointers: &[Pointer]) -> Result<Vec<bool>, ReadError> {
        self.count_call();
        let mut wanted = Vec::with_capacity(pointers.len());
        for pointer in pointers {
            wanted.push((self.table(&pointer.class_name)?, pointer.object_id.clone()));
        }
        self.inner
            .readers
            .blocking(move |connection, _| loading::exist(connection, &wanted))
            .await
    }

    async fn links(
        &self,
        class: &ClassName,
        key: &str,
        after: Option<&Link>,
        limit: u32,
    ) -> Result<Vec<Link>, ReadError> {
        self.count_call();
        let Some(table) = self.table(class)? else {
            return Ok(Vec::new());
        };
        let (class, key, after) = (class.clone(), key.to_owned(), after.cloned());
        self.inner
            .readers
            .blocking(move |connection, _| {
                loading::links(connection, (&class, &table), &key, after.as_ref(), limit)
            })
            .await
    }
}
