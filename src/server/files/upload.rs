//! `PUT /uploads/<token>`: the bytes of a file, as the SDKs send them to S3.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use super::token::UploadToken;
use crate::model::{CloudError, ErrorCode};
use crate::server::error::{internal, read_failed};
use crate::server::service::{Server, Shared};
use crate::store::files::{FileContent, FileError};

/// How long the next piece of a file may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers an upload, and what browsers ask before one.
pub(crate) async fn upload(State(server): State<Server>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        match receive(&server.shared, request).await {
            Ok(()) => StatusCode::OK.into_response(),
            Err(error) => error.into_response(),
        }
    };
    let headers = response.headers_mut();
    let origin = origin.unwrap_or(HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// SDKs let apps add headers of their own to an upload: all are allowed, and none is read.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("PUT, OPTIONS"),
    );
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

async fn receive(shared: &Arc<Shared>, request: Request) -> Result<(), CloudError> {
    let config = &shared.config;
    let (Some(files), Some(secret)) = (&config.files, &config.credentials.master_key) else {
        return Err(CloudError::other("This server keeps no files.").with_status(404));
    };
    if request.method() != Method::PUT {
        return Err(CloudError::other("A file is uploaded by PUT.").with_status(405));
    }
    let token = request.uri().path().rsplit('/').next().unwrap_or_default();
    let token = UploadToken::verify(token, secret, config.environment.now())?;
    let row = shared.database.get(&super::rows::class(), &token.id).await;
    if row.map_err(read_failed)?.is_none() {
        return Err(CloudError::new(
            ErrorCode::NOT_FOUND,
            "The file has been deleted meanwhile.",
        ));
    }
    let body = request.into_body();
    let bytes_max = config.file_bytes_max;
    if body.size_hint().lower() > bytes_max {
        return Err(too_large(bytes_max));
    }
    match files.put(&token.key, pieces(body), bytes_max).await {
        Ok(_) => Ok(()),
        Err(FileError::TooLarge(bytes_max)) => Err(too_large(bytes_max)),
        Err(FileError::Taken) => Err(CloudError::other(
            "The file has been uploaded already, with another content.",
        )
        .with_status(409)),
        Err(FileError::BrokenOff(error)) => {
            tracing::debug!(%error, "an upload broke off");
            Err(CloudError::other("The file did not arrive.").with_status(408))
        }
        Err(FileError::Failed(error)) if is_full(&error) => Err(CloudError::new(
            ErrorCode::UNAVAILABLE,
            "There is no room left for files.",
        )),
        Err(error) => Err(internal(&error)),
    }
}

/// The body, piece by piece, none of which may keep us waiting too long.
fn pieces(body: Body) -> FileContent {
    let pieces = body.into_data_stream();
    Box::pin(stream::unfold(pieces, |mut pieces| async move {
        match tokio::time::timeout(PIECE_TIMEOUT, pieces.next()).await {
            Ok(piece) => Some((piece?.map_err(io::Error::other), pieces)),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), pieces)),
        }
    }))
}

fn too_large(bytes_max: u64) -> CloudError {
    let text = format!("Payload Too Large. A file has at most {bytes_max} bytes here.");
    CloudError::new(ErrorCode::PAYLOAD_TOO_LARGE, text)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
