//! Request and response headers of our own.

use axum::http::HeaderName;

/// The request header that asks why a write had no effect; any value but `0` and `false` does.
pub(super) const EXPLAIN: HeaderName = HeaderName::from_static("x-paylog-explain");

/// The response header with the reason: `absent`, or `condition:` and the first key whose test fails.
pub(super) const REASON: HeaderName = HeaderName::from_static("x-paylog-reason");
