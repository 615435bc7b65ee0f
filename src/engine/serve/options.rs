//! Time-outs of the HTTP server.

use std::time::Duration;

/// Time-outs of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Time for the head of a request, from its first byte; for the first request, from the start of the connection. A
    /// client that sends one byte a second, or none, is disconnected then. 60 s.
    pub header_read_timeout: Duration,
    /// Time for which an idle connection is kept. 120 s: longer than the connection pools of usual clients (90 s), so
    /// that the client closes first, and no request is sent into a closing connection.
    pub idle_timeout: Duration,
    /// Time for requests in flight to finish after the start of a stop. 10 s: LeanEngine kills an instance 10 s after
    /// SIGTERM at the earliest.
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
