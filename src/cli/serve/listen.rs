//! The port, the routes around those of the engine and the server, and how it all ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use super::health::{self, Health};
use crate::cli::terminal;
use crate::engine::{self, ServeOptions};
use crate::environment::Environment;
use crate::http::{REQUEST_ID, json_response, new_request_id};
use crate::model::CloudError;
use crate::telemetry::Counters;

/// LeanEngine gives a stopping instance ten seconds: so long for the requests under way …
const STOP_TIMEOUT: Duration = Duration::from_secs(7);

/// … and so long for what goes on behind the answers.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes the port.
///
/// # Errors
/// A port that is taken, or not ours to take.
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

/// `inner`, the health check, a word for whoever looks at `/`, and an answer for every other path.
pub(super) fn routes(inner: Router, health: Arc<Health>) -> Router {
    let around = Around {
        environment: health.environment.clone(),
        counters: Arc::clone(&health.counters),
    };
    let own = Router::new()
        .route("/health", get(health::answer))
        .with_state(health)
        .route("/", get(hello));
    inner
        .merge(own)
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(around, counted))
}

#[derive(Clone)]
struct Around {
    environment: Environment,
    counters: Arc<Counters>,
}

/// Counts the request, and gives the answer an id where it has none yet.
async fn counted(State(around): State<Around>, request: Request, next: Next) -> Response {
    around.counters.request();
    let mut response = next.run(request).await;
    if !response.headers().contains_key(REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(new_request_id(&around.environment))
    {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn hello() -> Response {
    let body = json!({"name": "paylog", "version": env!("CARGO_PKG_VERSION"), "health": "/health"});
    json_response(axum::http::StatusCode::OK, &body)
}

async fn nothing_here() -> Response {
    CloudError::other("There is nothing at this path.")
        .with_status(404)
        .into_response()
}

/// Serves until told to stop, and then for as long as the requests under way need, at most [`STOP_TIMEOUT`].
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    told_to_stop: impl Future<Output = ()>,
) -> Result<()> {
    let options = ServeOptions {
        stop_timeout: STOP_TIMEOUT,
        ..ServeOptions::default()
    };
    let stopping = async {
        told_to_stop.await;
        terminal::warn("stopping");
    };
    engine::serve_with(listener, routes, options, stopping)
        .await
        .context("the port can no longer be listened on")
}

/// Listens for SIGTERM and SIGINT from now on; what it answers waits for one of them. To be called first, so that no
/// signal finds the program half started.
///
/// # Errors
/// A system that gives no notice of signals.
pub(crate) fn told_to_stop() -> Result<impl Future<Output = ()>> {
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
