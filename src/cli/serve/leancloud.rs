//! With the data in LeanCloud: the functions and hooks alone, as a LeanEngine app.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::health::{Health, HealthStore};
use super::sessions::RemoteSessions;
use super::{Setting, connect_after_payment, counted, host, listen, refuse_unsafe};
use crate::cli::doctor::probe;
use crate::cli::tasks::LeanCloudFunctions;
use crate::cli::terminal;
use crate::client::{Client, ClientBuilder};
use crate::config::ApiServer;
use crate::credentials::Credentials;
use crate::engine::EngineConfig;
use crate::environment::Environment;
use crate::payment::Payments;
use crate::store::Store;
use crate::telemetry::Counters;

/// Serves the functions, on the data of `api_server`, until the process is told to stop.
pub(super) async fn serve(setting: Setting<'_>, api_server: &ApiServer) -> Result<()> {
    let Setting {
        app,
        arguments,
        keys,
        payments,
        environment,
        variables,
    } = setting;
    let credentials = keys.complete()?;
    if arguments.sandbox == Some(true) {
        bail!("--sandbox is for the embedded store: in LeanCloud money is real, and no channel is built in");
    }
    if arguments.engine.is_some() {
        bail!(
            "--engine is for the embedded store: on LeanCloud, an app's functions run in an engine group of their own"
        );
    }
    if arguments.cron.is_some() {
        bail!("--cron is for the embedded store: on LeanCloud, timers are set in its console");
    }
    let told_to_stop = listen::told_to_stop()?;
    let listener = listen::bind(host(arguments, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), arguments.port).await?;
    let local = listener.local_addr()?;
    refuse_own_address(api_server, local).await?;
    let builder = client(api_server, &credentials, &environment);
    let probed = probe::check(&builder.clone().build()?, &payments, &environment)
        .await
        .with_context(|| format!("the set-up of {api_server} cannot be checked"))?;
    refuse_unsafe(&probed.findings, arguments.allow_unsafe)?;
    let client = builder.guarded_batches(probed.guarded_batches).build()?;

    let counters = Arc::new(Counters::default());
    let store: Arc<dyn Store> = Arc::new(client.clone());
    let log_class = payments.log_class.clone();
    let seen = counted(Arc::clone(&store), &counters, variables)?;
    let payments = Payments::new(seen, environment.clone(), payments);
    let engine = app.build(
        payments.clone(),
        EngineConfig {
            environment: environment.clone(),
            // LeanEngine's load balancer sets the headers, and nobody else gets here.
            trust_proxy: true,
            remote: Some(Arc::new(LeanCloudFunctions(client.clone()))),
            ..EngineConfig::new(credentials.clone(), Arc::new(RemoteSessions(client)))
        },
    )?;
    connect_after_payment(&engine, &payments);
    let health = Arc::new(Health {
        environment: environment.clone(),
        credentials,
        counters,
        payments: payments.clone(),
        store: HealthStore::Remote(store, log_class),
        last: Mutex::default(),
    });
    let routes = listen::routes(engine.router(), health);
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn({
        let stop = stop.clone();
        async move { payments.run_sweeper(stop).await }
    });
    terminal::say(format!(
        "paylog {} serves the functions on {local}, with the data in {api_server}",
        env!("CARGO_PKG_VERSION")
    ));
    let served = listen::serve(listener, routes, told_to_stop).await;
    let ended = async {
        engine.close().await;
        stop.cancel();
        let _ = sweeper.await;
    };
    if tokio::time::timeout(listen::END_TIMEOUT, ended).await.is_err() {
        tracing::warn!("payments that were still under way are left to the next start");
    }
    served
}

/// A client of `api_server`, with all keys.
pub(crate) fn client(
    api_server: &ApiServer,
    credentials: &Credentials,
    environment: &Environment,
) -> ClientBuilder {
    let mut builder = Client::builder(
        api_server.url(),
        credentials.app_id.as_str(),
        credentials.app_key.expose_secret(),
    )
    .environment(environment.clone());
    if let Some(key) = &credentials.master_key {
        builder = builder.master_key(key.expose_secret());
    }
    if let Some(key) = &credentials.hook_key {
        builder = builder.hook_key(key.expose_secret());
    }
    builder
}

/// An engine that asks itself for its data would wait for itself.
async fn refuse_own_address(api_server: &ApiServer, local: SocketAddr) -> Result<()> {
    if api_server.port() != local.port() {
        return Ok(());
    }
    let resolved = tokio::net::lookup_host((api_server.host(), api_server.port()))
        .await
        .with_context(|| format!("LEANCLOUD_API_SERVER is {api_server}, a host that cannot be found"))?;
    for address in resolved {
        // Only an address of this machine can be bound to.
        let is_here = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok();
        if is_here && (local.ip().is_unspecified() || local.ip() == address.ip()) {
            bail!(
                "LEANCLOUD_API_SERVER is {api_server}, which is paylog's own address: set it to the storage service, \
                 or unset it to keep the data in a folder here"
            );
        }
    }
    Ok(())
}
