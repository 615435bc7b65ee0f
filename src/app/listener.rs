//! The port: binding, serving, and stopping within the time that LeanEngine allows.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use tokio::net::TcpListener;

use crate::app::terminal;
use crate::engine::{self, ServeOptions};

/// Maximum time for requests in progress after the stop signal. LeanEngine gives an instance 10 s in all.
const STOP_TIMEOUT: Duration = Duration::from_secs(7);

/// Maximum time for background work after the last response.
pub(crate) const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(2);

/// Binds the port.
///
/// # Errors
/// A port in use; a port that needs other rights.
pub(crate) async fn bind(host: IpAddr, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "port {port} of {host} is taken, maybe by another paylog: stop the program that listens there, or choose \
             another port with --port"
        ),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!("port {port} needs rights that this user does not have: choose one above 1023 with --port")
        }
        Err(error) => Err(error).with_context(|| format!("{address} cannot be listened on (--host, --port)")),
    }
}

/// Serves until `shutdown`, then finishes the requests in progress within [`STOP_TIMEOUT`].
///
/// # Errors
/// A listener that fails.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let options = ServeOptions {
        stop_timeout: STOP_TIMEOUT,
        ..ServeOptions::default()
    };
    let stopping = async {
        shutdown.await;
        terminal::eprint_line("stopping");
    };
    engine::serve_with(listener, routes, options, stopping)
        .await
        .context("the port can no longer be listened on")
}

/// Listens for SIGTERM and SIGINT from now on, and returns a future that completes at the first. To be called early, so
/// that no signal finds the program half started.
///
/// # Errors
/// A system that does not deliver signals.
pub(crate) fn shutdown_signal() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
