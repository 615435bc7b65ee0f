//! Reading the body of a request within bounds.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::model::{CloudError, ErrorCode};

/// Bytes beyond the limit that are read and discarded, so that the client can read the refusal instead of a reset
/// connection. A longer body is cut off.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Time in which a client must send a body, whatever its size.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a body of at most `limit` bytes within `timeout`.
///
/// # Errors
/// 413 for a larger body; 408 (code 1) if the client stopped sending, or was too slow.
pub async fn read_body(body: Body, limit: usize, timeout: Duration) -> Result<Bytes, CloudError> {
    let late = || CloudError::other("The request's body did not arrive in time.").with_status(408);
    tokio::time::timeout(timeout, read(body, limit))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn read(mut body: Body, limit: usize) -> Result<Bytes, CloudError> {
    let too_large = || CloudError::new(ErrorCode::PAYLOAD_TOO_LARGE, "Payload Too Large.");
    let declared = body.size_hint().lower();
    if declared > (limit + DISCARDED_BYTES_MAX) as u64 {
        return Err(too_large());
    }
    // Most bodies come in one piece, which is returned without a copy.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut read = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "request body broke off");
            CloudError::other("The request's body did not arrive.").with_status(408)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read > limit + DISCARDED_BYTES_MAX {
            return Err(too_large());
        }
        if read > limit {
            first = Bytes::new();
            rest = BytesMut::new();
        } else if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
    }
    if read > limit {
        return Err(too_large());
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
