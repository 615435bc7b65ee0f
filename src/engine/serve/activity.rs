//! State of a connection and its time-outs.
//!
//! One rule holds for HTTP/1 and HTTP/2, from the first byte. Hyper's own time-out for a request's head starts only once
//! the client's version of HTTP is known, and does not distinguish a late head from an idle connection.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ServeOptions;

/// Phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The head of a request is awaited: from the start, and from the first byte after an idle phase.
    Head,
    /// This number of requests is in flight.
    Serving(u32),
    /// The connection is kept for the next request.
    Idle,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    /// Start of the phase; while idle, the time at which the last bytes of a response left.
    since: Instant,
    /// True for HTTP/2. It has traffic of its own: a byte does not mean that a request starts.
    http2: bool,
}

/// The time-out that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimedOut {
    /// The head of a request was not complete in time.
    Head,
    /// The connection was idle for too long.
    Idle,
}

/// State of a connection, shared by its socket, its requests and its timer.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

impl Activity {
    /// State of a newly accepted connection.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            phase: Phase::Head,
            since: Instant::now(),
            http2: false,
        })))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn received(&self) {
        self.change(|state| {
            if state.phase == Phase::Idle && !state.http2 {
                state.phase = Phase::Head;
                state.since = Instant::now();
            }
        });
    }

    fn sent(&self) {
        self.change(|state| {
            if state.phase == Phase::Idle {
                state.since = Instant::now();
            }
        });
    }

    /// Records a complete request head. The request is in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: hyper::Version) -> InFlight {
        self.change(|state| {
            state.http2 = version == hyper::Version::HTTP_2;
            state.phase = match state.phase {
                Phase::Serving(count) => Phase::Serving(count.saturating_add(1)),
                Phase::Head | Phase::Idle => Phase::Serving(1),
            };
        });
        InFlight(Arc::clone(self))
    }

    fn end(&self) {
        self.change(|state| match state.phase {
            Phase::Serving(count) if count > 1 => state.phase = Phase::Serving(count - 1),
            Phase::Serving(_) | Phase::Head | Phase::Idle => {
                state.phase = Phase::Idle;
                state.since = Instant::now();
            }
        });
    }

    /// Completes once the connection has had no request in flight, and sent no byte of a response, for `time`.
    pub(super) async fn quiet(&self, time: Duration) {
        loop {
            tokio::time::sleep_until(Instant::now() + time).await;
            let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_serving = matches!(state.phase, Phase::Serving(_));
            if !is_serving && state.since.elapsed() >= time {
                return;
            }
        }
    }

    /// Completes at a time-out.
    pub(super) async fn timed_out(&self, options: &ServeOptions) -> TimedOut {
        // A phase that starts during the sleep cannot time out before the next check.
        let step = options.header_read_timeout.min(options.idle_timeout);
        loop {
            let now = Instant::now();
            let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let allowed = match state.phase {
                Phase::Head => Some((options.header_read_timeout, TimedOut::Head)),
                Phase::Serving(_) => None,
                Phase::Idle => Some((options.idle_timeout, TimedOut::Idle)),
            };
            let left = match allowed {
                None => step,
                Some((limit, timed_out)) => {
                    let left = limit.saturating_sub(now.saturating_duration_since(state.since));
                    if left.is_zero() {
                        return timed_out;
                    }
                    left.min(step)
                }
            };
            // At least a millisecond: the resolution of the timer.
            tokio::time::sleep_until(now + left.max(Duration::from_millis(1))).await;
        }
    }
}

/// Guard of a request in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Body of a response. The request is in flight until hyper has taken the whole body.
pub(super) struct TrackedBody {
    body: Body,
    _in_flight: InFlight,
}

impl TrackedBody {
    pub(super) fn new(body: Body, in_flight: InFlight) -> Self {
        Self {
            body,
            _in_flight: in_flight,
        }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// First bytes of an HTTP/2 connection.
const HTTP_2_PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket that reports its traffic, and detects the client's version of HTTP by its first bytes.
///
/// hyper-util can detect the version too, but passes the inspected bytes to hyper in a read of their own: every
/// connection would then hold a buffer of twice the size.
#[derive(Debug)]
pub(super) struct TrackedSocket<S> {
    socket: S,
    activity: Arc<Activity>,
    /// Bytes inspected but not read yet.
    first: [u8; HTTP_2_PREFACE.len()],
    unread: Range<usize>,
}

impl<S> TrackedSocket<S> {
    pub(super) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self {
            socket,
            activity,
            first: [0; HTTP_2_PREFACE.len()],
            unread: 0..0,
        }
    }

    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.activity.sent();
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> TrackedSocket<S> {
    /// Returns true if the client speaks HTTP/2. To be called before the first read.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub(super) async fn is_http2(&mut self) -> io::Result<bool> {
        loop {
            let (seen, rest) = self.first.split_at_mut(self.unread.end);
            if !HTTP_2_PREFACE.starts_with(seen) {
                return Ok(false);
            }
            if rest.is_empty() {
                return Ok(true);
            }
            match self.socket.read(rest).await? {
                0 => return Ok(false),
                read => self.unread.end += read,
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TrackedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        if let Some(unread) = this
            .first
            .get(this.unread.clone())
            .filter(|unread| !unread.is_empty())
        {
            let fitting = unread.len().min(buffer.remaining());
            let (now, _) = unread.split_at(fitting);
            buffer.put_slice(now);
            this.unread.start += fitting;
        }
        // Together with the following bytes, in one read.
        let outcome = Pin::new(&mut this.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.activity.received();
            return Poll::Ready(Ok(()));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TrackedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
