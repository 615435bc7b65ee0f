//! What a connection is doing, and by when it must have done something else.
//!
//! One rule for HTTP/1 and HTTP/2, from the first byte on: hyper's own time-out for a request's head begins only once
//! it knows which of the two a client speaks, and does not tell a late head from a kept connection that rests.

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

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The head of a request is awaited: from the beginning, and from the first byte after a rest.
    Head,
    /// So many requests are being answered.
    Answering(u32),
    /// Kept for the next request.
    Resting,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    /// When the phase began, or, while it rests, when the last bytes of an answer left.
    since: Instant,
    /// HTTP/2 has traffic of its own: a byte does not mean that a request begins.
    http2: bool,
}

/// Why a connection is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request was not complete in time.
    Head,
    /// Nobody asked for anything.
    Rest,
}

/// Shared by a connection's socket, its requests and its watch.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

impl Activity {
    /// Of a connection that has just been accepted.
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
            if state.phase == Phase::Resting && !state.http2 {
                state.phase = Phase::Head;
                state.since = Instant::now();
            }
        });
    }

    fn sent(&self) {
        self.change(|state| {
            if state.phase == Phase::Resting {
                state.since = Instant::now();
            }
        });
    }

    /// A request's head is there. The request is under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: hyper::Version) -> UnderWay {
        self.change(|state| {
            state.http2 = version == hyper::Version::HTTP_2;
            state.phase = match state.phase {
                Phase::Answering(count) => Phase::Answering(count.saturating_add(1)),
                Phase::Head | Phase::Resting => Phase::Answering(1),
            };
        });
        UnderWay(Arc::clone(self))
    }

    fn end(&self) {
        self.change(|state| match state.phase {
            Phase::Answering(count) if count > 1 => state.phase = Phase::Answering(count - 1),
            Phase::Answering(_) | Phase::Head | Phase::Resting => {
                state.phase = Phase::Resting;
                state.since = Instant::now();
            }
        });
    }

    /// Completes once the connection has answered nothing, and no byte of an answer has left, for `time`.
    pub(super) async fn quiet(&self, time: Duration) {
        loop {
            tokio::time::sleep_until(Instant::now() + time).await;
            let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_answering = matches!(state.phase, Phase::Answering(_));
            if !is_answering && state.since.elapsed() >= time {
                return;
            }
        }
    }

    /// Completes once the connection is overdue.
    pub(super) async fn overdue(&self, options: &ServeOptions) -> Overdue {
        // A phase that begins while this sleeps is over after the next look at the earliest.
        let step = options.header_read_timeout.min(options.idle_timeout);
        loop {
            let now = Instant::now();
            let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let allowed = match state.phase {
                Phase::Head => Some((options.header_read_timeout, Overdue::Head)),
                Phase::Answering(_) => None,
                Phase::Resting => Some((options.idle_timeout, Overdue::Rest)),
            };
            let left = match allowed {
                None => step,
                Some((limit, overdue)) => {
                    let left = limit.saturating_sub(now.saturating_duration_since(state.since));
                    if left.is_zero() {
                        return overdue;
                    }
                    left.min(step)
                }
            };
            // At least a millisecond: the timer knows nothing finer.
            tokio::time::sleep_until(now + left.max(Duration::from_millis(1))).await;
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// An answer's body. The request is under way until hyper has taken all of it.
pub(super) struct Answering {
    body: Body,
    _under_way: UnderWay,
}

impl Answering {
    pub(super) fn new(body: Body, under_way: UnderWay) -> Self {
        Self {
            body,
            _under_way: under_way,
        }
    }
}

impl HttpBody for Answering {
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

/// What a client of HTTP/2 begins with.
const HTTP_2_PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket that reports what passes through it, and knows by its first bytes which version of HTTP a client speaks.
///
/// hyper-util looks for that too, and gives hyper the bytes that it has looked at in a read of their own: every
/// connection then holds a buffer of twice the size.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
    /// What has been looked at, and not been read yet.
    first: [u8; HTTP_2_PREFACE.len()],
    unread: Range<usize>,
}

impl<S> Watched<S> {
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

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Whether the client speaks HTTP/2. To be asked before anything is read.
    ///
    /// # Errors
    /// Where the socket cannot be read.
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

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
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
        // With what follows, in one read.
        let outcome = Pin::new(&mut this.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.activity.received();
            return Poll::Ready(Ok(()));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
