//! The server of a data folder: LeanCloud's storage API and the functions in one process, on one port.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::context::{ServeContext, ServeOptions};
use super::health::{Health, HealthStore};
use super::{banner, routes, start_checks};
use crate::app::checks::embedded_schema;
use crate::app::payments::{connect_after_payment, metered};
use crate::app::server_file::Published;
use crate::app::sessions::EmbeddedSessions;
use crate::app::task_store::StoredTasks;
use crate::app::{credentials_file, cron_file, data_folder, listener, server_file, terminal};
use crate::config::{ApiServer, Keys};
use crate::credentials::Credentials;
use crate::engine::{CronJob, Engine, EngineConfig, Limits, QueueConfig, RemoteApp};
use crate::environment::Environment;
use crate::payment::{PaymentConfig, PaymentService};
use crate::server::{Server, ServerConfig};
use crate::storage::{FolderFiles, SqliteStore};
use crate::store::Database;
use crate::telemetry::Counters;

/// Serves the folder `data` until the process is told to stop.
///
/// # Errors
/// A start that is refused; a port that can no longer be listened on.
pub(crate) async fn serve(context: ServeContext<'_>, data: &Path) -> Result<()> {
    // Before anything is created: a refused start leaves nothing behind.
    context.keys.check_pair()?;
    let jobs = cron_jobs(&context)?;
    start_checks::check_public_url(context.options.public_url.as_deref())?;
    let shutdown = listener::shutdown_signal()?;
    let host = context.options.host_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let listener = listener::bind(host, context.options.port).await?;
    let local = listener.local_addr()?;
    start_checks::refuse_own_address_as_engine(context.options.engine.as_deref(), local)?;
    let payments = PaymentConfig {
        sandbox: context.options.sandbox.unwrap_or(!SqliteStore::exists_in(data)),
        ..context.payments.clone()
    };
    let sandbox = payments.sandbox;
    let store = open_checked(data, &payments, &context).await?;
    let credentials = credentials(data, context.keys.clone(), &context.environment)?;
    let services = Services::build(context, payments, &credentials, jobs, &store, data)?;
    let published = server_file::publish(data, local)?;
    banner::print(&server_file::local_url(local), data, &credentials, sandbox);
    let served = services.run(listener, shutdown, published).await;
    store.close().await;
    served
}

/// Reads the cron jobs. Their functions are checked unless a LeanEngine app may define them.
fn cron_jobs(context: &ServeContext<'_>) -> Result<Vec<CronJob>> {
    let file = context.options.cron.as_deref();
    let jobs = cron_file::read(file)?;
    if context.options.engine.is_none() {
        cron_file::check(&jobs, file, &context.app)?;
    }
    Ok(jobs)
}

/// Opens and prepares the store; refuses a copy of a live app, and classes that clients could write money to.
async fn open_checked(
    data: &Path,
    payments: &PaymentConfig,
    context: &ServeContext<'_>,
) -> Result<SqliteStore> {
    let allow_unsafe = context.options.allow_unsafe;
    // Errors name the option to change.
    let store = SqliteStore::open(data, context.environment.clone())
        .context("paylog cannot start (another folder: --data)")?;
    start_checks::refuse_copy(&store, allow_unsafe).await?;
    data_folder::prepare(&store, payments).await?;
    let findings = embedded_schema::check(&store.schema(), payments);
    start_checks::refuse_unsafe(&findings, allow_unsafe)?;
    Ok(store)
}

/// The services on one data folder, and their routes.
struct Services {
    payments: PaymentService,
    engine: Engine,
    server: Server,
    remote_app: Option<RemoteApp>,
    routes: Router,
}

impl Services {
    fn build(
        context: ServeContext<'_>,
        config: PaymentConfig,
        credentials: &Credentials,
        jobs: Vec<CronJob>,
        store: &SqliteStore,
        data: &Path,
    ) -> Result<Self> {
        let ServeContext {
            app,
            options,
            environment,
            variables,
            ..
        } = context;
        let counters = Arc::new(Counters::default());
        let database: Arc<dyn Database> = Arc::new(store.clone());
        let metered = metered(Arc::new(store.clone()), &counters, variables)?;
        let payments = PaymentService::new(metered, environment.clone(), config);
        let sessions = Arc::new(EmbeddedSessions(Arc::clone(&database)));
        let remote_app = remote_app(options.engine.as_deref(), credentials, &environment)?;
        let engine = app.build(
            payments.clone(),
            EngineConfig {
                environment: environment.clone(),
                trust_proxy: options.trust_proxy,
                remote_app: remote_app.clone(),
                queue: Some(QueueConfig {
                    jobs,
                    // The folder is locked, so no other process takes tasks.
                    exclusive: true,
                    ..QueueConfig::new(Arc::new(StoredTasks::new(Arc::new(store.clone()))?))
                }),
                ..EngineConfig::new(credentials.clone(), sessions)
            },
        )?;
        connect_after_payment(&engine, &payments);
        let config = server_config(&options, data, credentials, &environment, payments.config())?;
        let server = Server::new(database, config, Some(engine.hooks()));
        let health = Arc::new(Health {
            environment,
            credentials: credentials.clone(),
            counters,
            payments: payments.clone(),
            store: HealthStore::Embedded(store.clone(), data.to_owned()),
            last: Mutex::default(),
        });
        let routes = routes::routes(engine.router().merge(server.router()), health);
        Ok(Self {
            payments,
            engine,
            server,
            remote_app,
            routes,
        })
    }

    /// Serves until `shutdown`, with the background work of all services; then finishes it in bounded time.
    async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        published: Published,
    ) -> Result<()> {
        let Self {
            payments,
            engine,
            server,
            remote_app,
            routes,
        } = self;
        let (stop, stop_queue) = (CancellationToken::new(), CancellationToken::new());
        let sweeper = tokio::spawn({
            let stop = stop.clone();
            async move { payments.run_sweeper(stop).await }
        });
        let queue = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop_queue.clone());
            async move { engine.run_queue(&stop).await }
        });
        if let Some(remote_app) = remote_app {
            let stop = stop.clone();
            tokio::spawn(async move { remote_app.watch(&stop).await });
        }
        let shutdown = async {
            shutdown.await;
            stop_queue.cancel();
        };
        let served = listener::serve(listener, routes, shutdown).await;
        // Commands must not find this server any more.
        drop(published);
        stop_queue.cancel();
        let ended = async {
            let _ = queue.await;
            engine.close().await;
            server.close().await;
            stop.cancel();
            let _ = sweeper.await;
        };
        if tokio::time::timeout(listener::BACKGROUND_TIMEOUT, ended)
            .await
            .is_err()
        {
            tracing::warn!("unfinished payments are left to the next start");
        }
        served
    }
}

/// Returns the settings of the storage API; the bytes of files lie beside the database.
fn server_config(
    options: &ServeOptions,
    data: &Path,
    credentials: &Credentials,
    environment: &Environment,
    payments: &PaymentConfig,
) -> Result<ServerConfig> {
    let files =
        FolderFiles::open(&data.join(data_folder::FILES), environment.clone()).with_context(|| {
            format!(
                "the folder for files, {}, cannot be used",
                data.join(data_folder::FILES).display()
            )
        })?;
    Ok(ServerConfig {
        trust_proxy: options.trust_proxy,
        files: Some(Arc::new(files)),
        file_bytes_max: options.file_bytes_max,
        public_url: options.public_url.clone(),
        concurrent_requests_max: Some(options.concurrent_requests_max),
        requests_per_second: options.requests_per_second,
        protected_users: Some(payments.undeletable_users()),
        request_log: options.request_log,
        ..ServerConfig::new(credentials.clone(), environment.clone())
    })
}

/// Returns the LeanEngine app that is served too, if there is one.
fn remote_app(
    url: Option<&str>,
    credentials: &Credentials,
    environment: &Environment,
) -> Result<Option<RemoteApp>> {
    let Some(url) = url else { return Ok(None) };
    let server = ApiServer::parse("--engine", url)?;
    let app = RemoteApp::new(
        server.url(),
        credentials.clone(),
        environment.clone(),
        Limits::default(),
    )
    .context("--engine cannot be used")?;
    Ok(Some(app))
}

/// Returns the keys of the folder, replaced by those of the environment.
fn credentials(data: &Path, keys: Keys, environment: &Environment) -> Result<Credentials> {
    let (mut credentials, _) = credentials_file::read_or_generate(data, environment)?;
    let replaced = keys.replace_in(&mut credentials)?;
    if !replaced.is_empty() {
        terminal::print_line(format!(
            "Taken from the environment, instead of {}: {}",
            credentials_file::path(data).display(),
            replaced.join(", ")
        ));
    }
    Ok(credentials)
}
