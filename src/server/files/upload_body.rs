//! The bytes of an upload: reading them from the request, and storing them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::{StreamExt, stream};

use crate::model::{CloudError, ErrorCode};
use crate::server::error::internal;
use crate::store::files::{FileContent, FileError, FileKey, FileStore};

/// Time that the next piece of a file may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Code 1, HTTP 408: the bytes did not arrive.
pub(super) fn broken_off(error: &io::Error) -> CloudError {
    tracing::debug!(%error, "upload broke off");
    CloudError::other("The file did not arrive.").with_status(408)
}

/// Stores the bytes of a file, and returns their number.
///
/// **Idempotency**: the same bytes may come again.
///
/// # Errors
/// 413; code 1, HTTP 409, if the key has other bytes, and HTTP 408 if bytes do not arrive; 503.
pub(super) async fn put(
    files: &Arc<dyn FileStore>,
    key: &FileKey,
    content: FileContent,
    bytes_max: u64,
) -> Result<u64, CloudError> {
    let kept = files.put(key, content, bytes_max).await;
    kept.map_err(|error| refused(error, bytes_max))
}

/// The error for the client when bytes cannot be stored.
pub(super) fn refused(error: FileError, bytes_max: u64) -> CloudError {
    match error {
        FileError::TooLarge(_) => too_large(bytes_max),
        FileError::KeyTaken => {
            CloudError::other("The file has been uploaded already, with another content.").with_status(409)
        }
        FileError::Interrupted(error) => broken_off(&error),
        FileError::Failed(error) if is_full(&error) => {
            CloudError::new(ErrorCode::UNAVAILABLE, "There is no space left for files.")
        }
        error @ FileError::Failed(_) => internal(&error),
    }
}

/// The body as a stream of pieces, each within 60 seconds.
pub(super) fn pieces(body: Body) -> FileContent {
    let pieces = body.into_data_stream();
    Box::pin(stream::unfold(pieces, |mut pieces| async move {
        match tokio::time::timeout(PIECE_TIMEOUT, pieces.next()).await {
            Ok(piece) => Some((piece?.map_err(io::Error::other), pieces)),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), pieces)),
        }
    }))
}

/// 413: the file has more than `bytes_max` bytes.
pub(super) fn too_large(bytes_max: u64) -> CloudError {
    let text = format!("Payload Too Large. A file has at most {bytes_max} bytes here.");
    CloudError::new(ErrorCode::PAYLOAD_TOO_LARGE, text)
}

/// True if the disk is full.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
