//! `PUT /uploads/<token>`: the bytes of a file, as SDKs send them to S3; `POST`: a form with the bytes, as mini-programs
//! send it to Qiniu; the paths below: parts.

use std::io;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::upload_body::{broken_off, pieces, put, too_large};
use super::upload_token::UploadToken;
use super::{form, part_upload};
use crate::http::json_response;
use crate::model::{ClassName, CloudError, ErrorCode};
use crate::server::error::read_failed;
use crate::server::state::{Server, ServerState};

/// Responds to an upload, and to the preflight of a browser.
pub(crate) async fn upload(State(server): State<Server>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        preflight(request.headers())
    } else {
        let refuse = match (request.method(), split_path(request.uri().path())) {
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

/// The response to a preflight. Apps may add headers of their own to an upload: all are allowed, and none is read.
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

/// Splits the path of an upload into the token, and the rest for an upload in parts.
fn split_path(path: &str) -> (&str, Option<&str>) {
    let path = path.strip_prefix("/uploads/").unwrap_or(path);
    match path.split_once('/') {
        Some((token, below)) => (token, Some(below)),
        None => (path, None),
    }
}

/// Receives the bytes of one request.
///
/// # Errors
/// 403 for a forged or expired token; 404; 405; code 1 for a form without a file; those of [`put`].
async fn receive(state: &Arc<ServerState>, request: Request) -> Result<Response, CloudError> {
    let config = &state.config;
    let (Some(files), Some(secret)) = (&config.files, &config.credentials.master_key) else {
        return Err(CloudError::other("This server stores no files.").with_status(404));
    };
    if !matches!(*request.method(), Method::PUT | Method::POST) {
        return Err(CloudError::other("A file is uploaded by PUT, or as a form by POST.").with_status(405));
    }
    let (token, below) = split_path(request.uri().path());
    let token = UploadToken::verify(token, secret, config.environment.now())?;
    let row = state.database.get(&ClassName::file(), &token.id).await;
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
        .and_then(|value| form::boundary(value.to_str().ok()?))
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
    let body = serde_json::json!({"hash": format!("{}-{size:x}", token.id), "key": token.key.as_str()});
    Ok(json_response(StatusCode::OK, &body))
}

/// An error in Qiniu's form.
fn qiniu_error(error: &CloudError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json_response(status, &serde_json::json!({"error": error.message}))
}

/// An error in S3's form: SDKs that PUT a file read no other.
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
