//! HTTP server: serves a router over TCP, with time-outs against slow clients and a graceful stop.

mod activity;
mod options;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub use options::ServeOptions;

use activity::{Activity, TimedOut, TrackedBody, TrackedSocket};

/// Time for a client to notice the end of a kept connection, and for a request's head that arrives during the stop.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Serves `router` until `shutdown` completes, then stops accepting, finishes the requests in flight, and returns.
///
/// # Errors
/// Failure of the listener itself; a failing connection is only logged.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(listener, router, ServeOptions::default(), shutdown).await
}

/// Serves `router` like [`serve`], with options.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let abort = CancellationToken::new();
    let connections = Connections {
        builders: builders(),
        router,
        options,
        tasks: TaskTracker::new(),
        stop: abort.child_token(),
        abort: abort.clone(),
    };
    // No connection outlives this function, however it ends.
    let _abort = abort.drop_guard();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => connections.spawn(stream, address),
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    // Most likely out of file descriptors: other connections will be closed.
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>()).await.ok();
                }
            },
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    connections.stop.cancel();
    connections.tasks.close();
    if tokio::time::timeout(options.stop_timeout, connections.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
    Ok(())
}

/// Connection builders of hyper for HTTP/1 and HTTP/2. Hyper's own time-outs are off: [`Activity`] covers the whole life
/// of a connection.
fn builders() -> [Arc<Builder<TokioExecutor>>; 2] {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None);
    [
        Arc::new(builder.clone().http1_only()),
        Arc::new(builder.http2_only()),
    ]
}

/// Connections of a server, and the signals that end them.
struct Connections {
    builders: [Arc<Builder<TokioExecutor>>; 2],
    router: Router,
    options: ServeOptions,
    tasks: TaskTracker,
    /// Signal to finish the requests in flight.
    stop: CancellationToken,
    /// Signal to end at once.
    abort: CancellationToken,
}

impl Connections {
    /// Serves a connection in a task of its own.
    fn spawn(&self, stream: TcpStream, address: SocketAddr) {
        // Small responses must not wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let activity = Activity::new();
        let service = service_fn({
            let (activity, router) = (Arc::clone(&activity), self.router.clone());
            move |request: hyper::Request<Incoming>| {
                let in_flight = activity.begin(request.version());
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(address));
                router.clone().oneshot(request).map(|result| {
                    let response = result.unwrap_or_else(|never| match never {});
                    Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, in_flight)))
                })
            }
        });
        let (stop, abort, options) = (self.stop.clone(), self.abort.clone(), self.options);
        let [http1, http2] = self.builders.each_ref().map(Arc::clone);
        self.tasks.spawn(async move {
            let mut socket = TrackedSocket::new(stream, Arc::clone(&activity));
            let builder = tokio::select! {
                seen = socket.is_http2() => match seen {
                    Ok(true) => http2,
                    Ok(false) => http1,
                    Err(error) => return tracing::debug!(%error, "a connection broke"),
                },
                () = stop.cancelled() => return,
                _ = activity.timed_out(&options) => return tracing::debug!("a request's head did not arrive in time"),
            };
            let connection = builder.serve_connection(TokioIo::new(socket), service);
            let mut connection = std::pin::pin!(connection);
            let ended = |outcome: Result<(), _>| {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection broke");
                }
            };
            tokio::select! {
                outcome = connection.as_mut() => return ended(outcome),
                () = stop.cancelled() => {}
                timed_out = activity.timed_out(&options) => match timed_out {
                    TimedOut::Head => return tracing::debug!("a request's head did not arrive in time"),
                    TimedOut::Idle => {}
                },
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => ended(outcome),
                () = abort.cancelled() => {}
                () = activity.quiet(CLOSE_GRACE) => {}
            }
        });
    }
}

/// True if an error of `accept` concerns one connection and not the listener.
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Completes on SIGTERM or SIGINT.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "signal handler could not be installed; stop the process with SIGKILL");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
