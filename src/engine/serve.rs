//! Serving a router over TCP: time-outs against slow clients, and a stop that finishes what is under way.

mod activity;

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

use activity::{Activity, Answering, Overdue, Watched};

/// How connections are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// How long a client may take for the head of a request, from its first byte on; for the first request, from the
    /// beginning of the connection. A client that sends a byte a second, or none, is cut off then. 60 s.
    pub header_read_timeout: Duration,
    /// How long a connection is kept without a request. 120 s: longer than the pools of usual clients keep theirs
    /// (90 s), so that it is the client who closes, and no request is sent into a closing connection.
    pub idle_timeout: Duration,
    /// How long requests under way may still take once the server is told to stop. LeanEngine kills an instance
    /// 10 s after SIGTERM at the earliest.
    pub stop_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Time for a client to take note of the end of a kept connection, and for the head of a request that is arriving
/// while the server stops.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves `router` until `shutdown` completes, then stops accepting, finishes what is under way, and returns.
///
/// # Errors
/// Where the listener itself fails; a failing connection is only logged.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(listener, router, ServeOptions::default(), shutdown).await
}

/// As [`serve`], with options.
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
    // However this ends, no connection outlives it.
    let _abort = abort.drop_guard();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => connections.spawn(stream, address),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: others will be closed.
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
        tracing::warn!("some requests did not end in time and are cut off");
    }
    Ok(())
}

/// How hyper reads requests of HTTP/1 and of HTTP/2. Its own time-outs are off: [`Activity`] covers the whole life of a
/// connection.
fn builders() -> [Arc<Builder<TokioExecutor>>; 2] {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None);
    [
        Arc::new(builder.clone().http1_only()),
        Arc::new(builder.http2_only()),
    ]
}

/// All connections of a server, and what ends them.
struct Connections {
    builders: [Arc<Builder<TokioExecutor>>; 2],
    router: Router,
    options: ServeOptions,
    tasks: TaskTracker,
    /// Finish what is under way.
    stop: CancellationToken,
    /// Finish nothing.
    abort: CancellationToken,
}

impl Connections {
    fn spawn(&self, stream: TcpStream, address: SocketAddr) {
        // Small answers must not wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let activity = Activity::new();
        let service = service_fn({
            let (activity, router) = (Arc::clone(&activity), self.router.clone());
            move |request: hyper::Request<Incoming>| {
                let under_way = activity.begin(request.version());
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(address));
                router.clone().oneshot(request).map(|answer| {
                    let response = answer.unwrap_or_else(|never| match never {});
                    Ok::<_, Infallible>(response.map(|body| Answering::new(body, under_way)))
                })
            }
        });
        let (stop, abort, options) = (self.stop.clone(), self.abort.clone(), self.options);
        let [http1, http2] = self.builders.each_ref().map(Arc::clone);
        self.tasks.spawn(async move {
            let mut socket = Watched::new(stream, Arc::clone(&activity));
            let builder = tokio::select! {
                seen = socket.is_http2() => match seen {
                    Ok(true) => http2,
                    Ok(false) => http1,
                    Err(error) => return tracing::debug!(%error, "a connection broke off"),
                },
                () = stop.cancelled() => return,
                _ = activity.overdue(&options) => return tracing::debug!("a request's head did not arrive in time"),
            };
            let connection = builder.serve_connection(TokioIo::new(socket), service);
            let mut connection = std::pin::pin!(connection);
            let ended = |outcome: Result<(), _>| {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection broke off");
                }
            };
            tokio::select! {
                outcome = connection.as_mut() => return ended(outcome),
                () = stop.cancelled() => {}
                overdue = activity.overdue(&options) => match overdue {
                    Overdue::Head => return tracing::debug!("a request's head did not arrive in time"),
                    Overdue::Rest => {}
                },
            }
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = connection.as_mut() => ended(outcome),
                () = abort.cancelled() => {}
                () = activity.quiet(LAST_WORD) => {}
            }
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Completes at SIGTERM or SIGINT.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "signals cannot be received; stop the process by SIGKILL");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
