//! The server of an app whose data are in LeanCloud: functions and hooks alone, as a LeanEngine app.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::context::{ServeContext, ServeOptions};
use super::health::{Health, HealthStore};
use super::{routes, start_checks};
use crate::app::checks::leancloud_probe;
use crate::app::leancloud_functions::LeanCloudFunctions;
use crate::app::payments::{connect_after_payment, metered};
use crate::app::sessions::RemoteSessions;
use crate::app::{leancloud_client, listener, terminal};
use crate::config::ApiServer;
use crate::engine::{Engine, EngineConfig};
use crate::payment::PaymentService;
use crate::store::Store;
use crate::telemetry::Counters;

/// Serves the functions, on the data of `api_server`, until the process is told to stop.
///
/// # Errors
/// A start that is refused; a port that can no longer be listened on.
pub(crate) async fn serve(context: ServeContext<'_>, api_server: &ApiServer) -> Result<()> {
    let ServeContext {
        app,
        options,
        keys,
        payments: config,
        environment,
        variables,
    } = context;
    let credentials = keys.complete()?;
    refuse_embedded_options(&options)?;
    let shutdown = listener::shutdown_signal()?;
    let host = options.host_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let listener = listener::bind(host, options.port).await?;
    let local = listener.local_addr()?;
    start_checks::refuse_own_address_as_storage(api_server, local).await?;
    let builder = leancloud_client::builder(api_server, &credentials, &environment);
    let probed = leancloud_probe::check(&builder.clone().build()?, &config, &environment)
        .await
        .with_context(|| format!("the configuration of {api_server} cannot be checked"))?;
    start_checks::refuse_unsafe(&probed.findings, options.allow_unsafe)?;
    let client = builder.guarded_batches(probed.guarded_batches).build()?;

    let counters = Arc::new(Counters::default());
    let store: Arc<dyn Store> = Arc::new(client.clone());
    let log_class = config.log_class.clone();
    let metered = metered(Arc::clone(&store), &counters, variables)?;
    let payments = PaymentService::new(metered, environment.clone(), config);
    let engine = app.build(
        payments.clone(),
        EngineConfig {
            environment: environment.clone(),
            // LeanEngine's load balancer sets the headers, and nobody else reaches this port.
            trust_proxy: true,
            remote: Some(Arc::new(LeanCloudFunctions(client.clone()))),
            ..EngineConfig::new(credentials.clone(), Arc::new(RemoteSessions(client)))
        },
    )?;
    connect_after_payment(&engine, &payments);
    let health = Arc::new(Health {
        environment,
        credentials,
        counters,
        payments: payments.clone(),
        store: HealthStore::Remote(store, log_class),
        last: Mutex::default(),
    });
    let routes = routes::routes(engine.router(), health);
    terminal::print_line(format!(
        "paylog {} serves the functions on {local}, with the data in {api_server}",
        env!("CARGO_PKG_VERSION")
    ));
    run(listener, routes, shutdown, &engine, payments).await
}

/// Refuses the options of the embedded store.
fn refuse_embedded_options(options: &ServeOptions) -> Result<()> {
    if options.sandbox == Some(true) {
        bail!("--sandbox is for the embedded store: in LeanCloud money is real, and no channel is built in");
    }
    if options.engine.is_some() {
        bail!(
            "--engine is for the embedded store: on LeanCloud, an app's functions run in an engine group of their own"
        );
    }
    if options.cron.is_some() {
        bail!("--cron is for the embedded store: on LeanCloud, timers are set in its console");
    }
    Ok(())
}

/// Serves until `shutdown`, with the background work of the payments; then finishes it in bounded time.
async fn run(
    listener: TcpListener,
    routes: Router,
    shutdown: impl Future<Output = ()>,
    engine: &Engine,
    payments: PaymentService,
) -> Result<()> {
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn({
        let stop = stop.clone();
        async move { payments.run_sweeper(stop).await }
    });
    let served = listener::serve(listener, routes, shutdown).await;
    let ended = async {
        engine.close().await;
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
