//! `PUT /uploads/<token>`: the bytes of a file, as the SDKs send them to S3; `POST` of a form that holds them, as
//! mini-programs send it to Qiniu; below it their parts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use super::upload_token::UploadToken;
use super::{form, part_upload};
use crate::http::json_response;
use crate::model::{CloudError, ErrorCode};
use crate::server::error::{internal, read_failed};
use crate::server::state::{Server, ServerState};
use crate::store::files::{FileContent, FileError, FileKey, FileStore};

/// How long the next piece of a file may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers an upload, and what browsers ask before one.
pub(crate) async fn upload(State(server): State<Server>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        let refuse = match (request.method(), place(request.uri().path())) {
            (_, (_, Some(_))) => qiniu_error,
            (&Method::PUT, _) => s3_error,
            _ => |error: &CloudError| error.clone().into_response(),
        };
        let received = receive(&server.state, request).await;
        received.unwrap_or_else(|error| refuse(&error))
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
        HeaderValue::from_static("PUT, POST, OPTIONS"),
    );
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The token in the path of an upload, and what stands behind it where the file comes in parts.
fn place(path: &str) -> (&str, Option<&str>) {
    let path = path.strip_prefix("/uploads/").unwrap_or(path);
    match path.split_once('/') {
        Some((token, below)) => (token, Some(below)),
        None => (path, None),
    }
}

async fn receive(state: &Arc<ServerState>, request: Request) -> Result<Response, CloudError> {
    let config = &state.config;
    let (Some(files), Some(secret)) = (&config.files, &config.credentials.master_key) else {
        return Err(CloudError::other("This server keeps no files.").with_status(404));
    };
    if !matches!(*request.method(), Method::PUT | Method::POST) {
        return Err(CloudError::other("A file is uploaded by PUT, or as a form by POST.").with_status(405));
    }
    let (token, below) = place(request.uri().path());
    let token = UploadToken::verify(token, secret, config.environment.now())?;
    let row = state.database.get(&super::rows::class(), &token.id).await;
    if row.map_err(read_failed)?.is_none() {
        return Err(CloudError::new(
            ErrorCode::NOT_FOUND,
            "The file has been deleted meanwhile.",
        ));
    }
    if let Some(below) = below.map(ToOwned::to_owned) {
        return part_upload::receive(state, files, &token, &below, request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes_max = config.file_bytes_max;
    let length = body.size_hint().lower();
    if parts.method == Method::PUT {
        if length > bytes_max {
            return Err(too_large(bytes_max));
        }
        put(files, &token.key, pieces(body), bytes_max).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let boundary = content_type
        .and_then(|said| form::boundary(said.to_str().ok()?))
        .ok_or_else(|| CloudError::other("A POST brings a file as multipart/form-data, with a boundary."))?;
    if length > bytes_max.saturating_add(2 * form::OTHER_BYTES_MAX as u64) {
        return Err(too_large(bytes_max));
    }
    let content = form::file(pieces(body), boundary)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                CloudError::other(format!("The form needs a field 'file': {error}."))
            }
            _ => broken_off(&error),
        })?;
    let size = put(files, &token.key, content, bytes_max).await?;
    let answer = serde_json::json!({"hash": format!("{}-{size:x}", token.id), "key": token.key.as_str()});
    Ok(json_response(StatusCode::OK, &answer))
}

/// An error in the words of Qiniu.
fn qiniu_error(error: &CloudError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_response(status, &serde_json::json!({"error": error.message}))
}

/// An error in the words of S3: SDKs that PUT a file read no others.
fn s3_error(error: &CloudError) -> Response {
    let code = match error.status {
        403 => "AccessDenied",
        404 => "NoSuchUpload",
        408 => "RequestTimeout",
        409 => "PreconditionFailed",
        413 => "EntityTooLarge",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "InvalidRequest",
    };
    let message = error
        .message
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn broken_off(error: &io::Error) -> CloudError {
    tracing::debug!(%error, "an upload broke off");
    CloudError::other("The file did not arrive.").with_status(408)
}

/// Keeps the bytes of a file, and answers how many they are.
///
/// # Errors
/// 413; code 1, HTTP 409, where the key has other bytes, and HTTP 408 for bytes that do not arrive; 503.
pub(super) async fn put(
    files: &Arc<dyn FileStore>,
    key: &FileKey,
    content: FileContent,
    bytes_max: u64,
) -> Result<u64, CloudError> {
    let kept = files.put(key, content, bytes_max).await;
    kept.map_err(|error| refused(error, bytes_max))
}

/// What a client hears of bytes that are not kept.
pub(super) fn refused(error: FileError, bytes_max: u64) -> CloudError {
    match error {
        FileError::TooLarge(_) => too_large(bytes_max),
        FileError::KeyTaken => {
            CloudError::other("The file has been uploaded already, with another content.").with_status(409)
        }
        FileError::Interrupted(error) => broken_off(&error),
        FileError::Failed(error) if is_full(&error) => {
            CloudError::new(ErrorCode::UNAVAILABLE, "There is no room left for files.")
        }
        error @ FileError::Failed(_) => internal(&error),
    }
}

/// The body, piece by piece, none of which may keep us waiting too long.
pub(super) fn pieces(body: Body) -> FileContent {
    let pieces = body.into_data_stream();
    Box::pin(stream::unfold(pieces, |mut pieces| async move {
        match tokio::time::timeout(PIECE_TIMEOUT, pieces.next()).await {
            Ok(piece) => Some((piece?.map_err(io::Error::other), pieces)),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), pieces)),
        }
    }))
}

pub(super) fn too_large(bytes_max: u64) -> CloudError {
    let text = format!("Payload Too Large. A file has at most {bytes_max} bytes here.");
    CloudError::new(ErrorCode::PAYLOAD_TOO_LARGE, text)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
