//! With the data in a folder: LeanCloud's storage API and the functions in one process, on one port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::health::{Health, HealthStore};
use super::sessions::EmbeddedSessions;
use super::{Setting, banner, connect_after_payment, counted, host, listen, refuse_unsafe};
use crate::cli::arguments::ServeArguments;
use crate::cli::doctor::set_up;
use crate::cli::tasks::{self, StoredTasks};
use crate::cli::{books, credentials_file, cron_file, pull, server_file, terminal};
use crate::config::{ApiServer, Keys};
use crate::credentials::Credentials;
use crate::engine::{EngineConfig, Limits, QueueConfig, RemoteApp};
use crate::environment::Environment;
use crate::payment::{PaymentConfig, Payments, schema};
use crate::server::{self, Server, ServerConfig};
use crate::storage::{FolderFiles, SqliteStore};
use crate::store::Database;
use crate::telemetry::Counters;

/// The folder of the files' bytes, in the data folder.
pub(crate) const FILES: &str = "files";

/// Serves the folder `data` until the process is told to stop.
pub(super) async fn serve(setting: Setting<'_>, data: &Path) -> Result<()> {
    let Setting {
        app,
        arguments,
        keys,
        mut payments,
        environment,
        variables,
    } = setting;
    // Before anything is made: what cannot work leaves nothing behind.
    keys.check_pair()?;
    let jobs = cron_file::read(arguments.cron.as_deref())?;
    if arguments.engine.is_none() {
        cron_file::check(&jobs, arguments.cron.as_deref(), &app)?;
    }
    check_public_url(arguments)?;
    let told_to_stop = listen::told_to_stop()?;
    let listener = listen::bind(host(arguments, IpAddr::V4(Ipv4Addr::LOCALHOST)), arguments.port).await?;
    let local = listener.local_addr()?;
    refuse_own_address(arguments.engine.as_deref(), local)?;
    payments.sandbox = arguments.sandbox.unwrap_or(!SqliteStore::is_in(data));
    let store = open(data, &environment)?;
    pull::refuse_copy(&store, arguments.allow_unsafe).await?;
    prepare(&store, &payments).await?;
    refuse_unsafe(&set_up::check(&store.schema(), &payments), arguments.allow_unsafe)?;
    let credentials = credentials(data, keys, &environment)?;

    let counters = Arc::new(Counters::default());
    let database: Arc<dyn Database> = Arc::new(store.clone());
    let seen = counted(Arc::new(store.clone()), &counters, variables)?;
    let sandbox = payments.sandbox;
    let payments = Payments::new(seen, environment.clone(), payments);
    let sessions = Arc::new(EmbeddedSessions(Arc::clone(&database)));
    let beside = beside(arguments.engine.as_deref(), &credentials, &environment)?;
    let engine = app.build(
        payments.clone(),
        EngineConfig {
            environment: environment.clone(),
            trust_proxy: arguments.trust_proxy,
            remote_app: beside.clone(),
            queue: Some(QueueConfig {
                jobs: jobs.clone(),
                // The folder is locked for others.
                exclusive: true,
                ..QueueConfig::new(Arc::new(StoredTasks::new(Arc::new(store.clone()))?))
            }),
            ..EngineConfig::new(credentials.clone(), sessions)
        },
    )?;
    connect_after_payment(&engine, &payments);
    let config = server_config(arguments, data, &credentials, &environment, payments.config())?;
    let server = Server::new(database, config, Some(engine.hooks()));
    let health = Arc::new(Health {
        environment: environment.clone(),
        credentials: credentials.clone(),
        counters,
        payments: payments.clone(),
        store: HealthStore::Embedded(store.clone(), data.to_owned()),
        last: Mutex::default(),
    });
    let routes = listen::routes(engine.router().merge(server.router()), health);

    let (stop, stop_queue) = (CancellationToken::new(), CancellationToken::new());
    let sweeper = tokio::spawn({
        let (payments, stop) = (payments.clone(), stop.clone());
        async move { payments.run_sweeper(stop).await }
    });
    let queue = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop_queue.clone());
        async move { engine.run_queue(&stop).await }
    });
    if let Some(beside) = beside {
        let stop = stop.clone();
        tokio::spawn(async move { beside.watch(&stop).await });
    }
    let told_to_stop = async {
        told_to_stop.await;
        stop_queue.cancel();
    };
    let published = server_file::publish(data, local)?;
    banner::print(&server_file::local_url(local), data, &credentials, sandbox);
    let served = listen::serve(listener, routes, told_to_stop).await;
    // Nobody is to be sent here any more.
    drop(published);
    stop_queue.cancel();
    let ended = async {
        let _ = queue.await;
        engine.close().await;
        server.close().await;
        stop.cancel();
        let _ = sweeper.await;
    };
    if tokio::time::timeout(listen::END_TIMEOUT, ended).await.is_err() {
        tracing::warn!("payments that were still under way are left to the next start");
    }
    store.close().await;
    served
}

fn check_public_url(arguments: &ServeArguments) -> Result<()> {
    if let Some(url) = &arguments.public_url
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        bail!(
            "--public-url is \"{url}\": it must start with http:// or https://, as in https://api.example.com"
        );
    }
    Ok(())
}

/// The server's settings, with the bytes of files beside the database.
fn server_config(
    arguments: &ServeArguments,
    data: &Path,
    credentials: &Credentials,
    environment: &Environment,
    payments: &PaymentConfig,
) -> Result<ServerConfig> {
    let files = FolderFiles::open(&data.join(FILES), environment.clone()).with_context(|| {
        format!(
            "the folder for files, {}, cannot be used",
            data.join(FILES).display()
        )
    })?;
    Ok(ServerConfig {
        trust_proxy: arguments.trust_proxy,
        files: Some(Arc::new(files)),
        file_bytes_max: arguments.file_bytes_max,
        public_url: arguments.public_url.clone(),
        concurrent_requests_max: Some(arguments.concurrent_requests_max),
        requests_per_second: arguments.requests_per_second,
        protected_users: Some(payments.kept_users()),
        request_log: arguments.request_log,
        ..ServerConfig::new(credentials.clone(), environment.clone())
    })
}

fn refuse_own_address(engine: Option<&str>, local: SocketAddr) -> Result<()> {
    let Some(url) = engine else { return Ok(()) };
    let server = ApiServer::parse("--engine", url)?;
    if server.port() == local.port() && matches!(server.host(), "localhost" | "127.0.0.1" | "[::1]" | "::1") {
        bail!("--engine is {server}, which is paylog's own address: set it to that of the LeanEngine app");
    }
    Ok(())
}

/// The LeanEngine app that is served beside this one, where there is one.
fn beside(
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

/// Opens the store for writing, with errors that name the option to change.
fn open(data: &Path, environment: &Environment) -> Result<SqliteStore> {
    SqliteStore::open(data, environment.clone()).context("paylog cannot start (another folder: --data)")
}

/// Makes the classes that users and payments need.
pub(crate) async fn prepare(store: &SqliteStore, payments: &PaymentConfig) -> Result<()> {
    server::set_up(store)
        .await
        .context("the classes of users and roles cannot be made")?;
    books::check(store, payments).await?;
    for change in schema::changes(&store.schema(), payments)? {
        store
            .define(change)
            .await
            .context("the classes of the payments cannot be made")?;
    }
    // Once they are there: a class that is refused is not kept.
    books::keep(store, payments).await?;
    tasks::prepare(store).await
}

/// The keys of the folder, and in their place those of the environment.
fn credentials(data: &Path, keys: Keys, environment: &Environment) -> Result<Credentials> {
    let (mut credentials, _) = credentials_file::read_or_make(data, environment)?;
    let replaced = keys.replace_in(&mut credentials)?;
    if !replaced.is_empty() {
        terminal::say(format!(
            "Taken from the environment, instead of {}: {}",
            credentials_file::path(data).display(),
            replaced.join(", ")
        ));
    }
    Ok(credentials)
}
