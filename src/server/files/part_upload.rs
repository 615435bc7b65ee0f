//! Uploads in parts, below `/uploads/<token>`, as SDKs send them to Qiniu: a begin, the parts, an end. An upload without an
//! end expires.
//!
//! The token in the path names the file. Neither `Authorization` nor `Host` is read: one SDK leaves the port out.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use futures_util::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::rows;
use super::upload_body::{pieces, put, refused, too_large};
use super::upload_token::UploadToken;
use crate::http::body::BODY_TIMEOUT;
use crate::http::{json_response, parse_object, percent_decode, read_body};
use crate::model::{CloudError, hex};
use crate::server::state::ServerState;
use crate::store::files::FileStore;

/// Parts of one file; Qiniu's number.
const PARTS_MAX: u32 = 10_000;

/// Size of the body that lists all parts, in bytes.
const LIST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The encoding of keys in Qiniu's paths.
const OBJECT_NAME: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// One request of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    /// The bytes of the part of this number.
    Part(u32),
    End,
}

impl Step {
    /// Reads the path behind the token: `buckets/<bucket>/objects/<key>/uploads[/<id>[/<number>]]`.
    fn parse(method: &Method, below: &str, token: &UploadToken) -> Result<Self, CloudError> {
        let names: Vec<&str> = below.split('/').collect();
        let unknown = || CloudError::other("no such uploadId").with_status(404);
        let ["buckets", bucket, "objects", object, "uploads", rest @ ..] = &*names else {
            return Err(unknown());
        };
        let key = OBJECT_NAME.decode(&*percent_decode(object)).ok();
        if *bucket != rows::BUCKET || key.as_deref() != Some(token.key.as_str().as_bytes()) {
            return Err(CloudError::other("the token is for another file").with_status(403));
        }
        match (method, rest) {
            (&Method::POST, []) => Ok(Self::Begin),
            (&Method::POST, [id]) if *id == token.id.as_str() => Ok(Self::End),
            (&Method::PUT, [id, number]) if *id == token.id.as_str() => match number.parse() {
                Ok(number) if (1..=PARTS_MAX).contains(&number) => Ok(Self::Part(number)),
                _ => Err(CloudError::other(format!(
                    "a part has a number from 1 to {PARTS_MAX}"
                ))),
            },
            _ => Err(unknown()),
        }
    }
}

/// Receives one request of the upload of a token. The caller has checked that the file's row exists.
///
/// # Errors
/// 403 for another file than the token's; 404 for an upload that has not begun; 406 for a part with another MD5; 400 for a
/// list that does not name all parts; those of [`put`].
pub(super) async fn receive(
    state: &ServerState,
    files: &Arc<dyn FileStore>,
    token: &UploadToken,
    below: &str,
    request: Request,
) -> Result<Response, CloudError> {
    let body = match Step::parse(request.method(), below, token)? {
        Step::Begin => {
            let now = state.config.environment.now();
            let expires = state.pending_uploads.begin(&token.id, now);
            // An upload has the id of its row, so that a second begin replaces the first.
            json!({"uploadId": token.id.as_str(), "expireAt": expires.as_millis() / 1000})
        }
        Step::Part(number) => keep_part(state, files, token, number, request).await?,
        Step::End => end(state, files, token, request).await?,
    };
    Ok(json_response(StatusCode::OK, &body))
}

/// Stores a part, which replaces an earlier one of its number.
async fn keep_part(
    state: &ServerState,
    files: &Arc<dyn FileStore>,
    token: &UploadToken,
    number: u32,
    request: Request,
) -> Result<Value, CloudError> {
    let bytes_max = state.config.file_bytes_max;
    let room = state.pending_uploads.room(&token.id, number, bytes_max)?;
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > room {
        return Err(too_large(bytes_max));
    }
    let digest = Arc::new(Mutex::new(Md5::new()));
    let seen = Arc::clone(&digest);
    let content = pieces(body).inspect_ok(move |piece| {
        seen.lock().unwrap_or_else(PoisonError::into_inner).update(piece);
    });
    let kept = files.stage(Box::pin(content), room).await;
    let kept = kept.map_err(|error| refused(error, bytes_max))?;
    let md5 = digest.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let md5 = md5.finalize();
    if !is_as_sent(&head.headers, &md5) {
        return Err(CloudError::other("the part has another MD5 than its Content-MD5").with_status(406));
    }
    let etag = hex(&md5);
    state
        .pending_uploads
        .add(&token.id, number, &etag, kept, bytes_max)?;
    Ok(json!({"etag": etag, "md5": etag}))
}

/// True if a part has the MD5 of its header: in base64 (RFC 1864), or in hexadecimal digits (Qiniu); or has no header.
fn is_as_sent(headers: &HeaderMap, md5: &[u8]) -> bool {
    let said = headers.get(CONTENT_MD5).and_then(|said| said.to_str().ok());
    said.is_none_or(|said| said.trim() == STANDARD.encode(md5) || said.trim().eq_ignore_ascii_case(&hex(md5)))
}

/// Joins the parts to the file.
async fn end(
    state: &ServerState,
    files: &Arc<dyn FileStore>,
    token: &UploadToken,
    request: Request,
) -> Result<Value, CloudError> {
    let body = read_body(request.into_body(), LIST_BYTES_MAX, BODY_TIMEOUT).await?;
    let body = parse_object(&body)?;
    let listed = listed(body.get("parts"))?;
    let parts = state.pending_uploads.parts(&token.id, &listed)?;
    let content = stream::iter(parts).flat_map(|part| part.content());
    let size = put(files, &token.key, Box::pin(content), state.config.file_bytes_max).await?;
    state.pending_uploads.forget(&token.id);
    Ok(json!({"hash": format!("{}-{size:x}", token.id), "key": token.key.as_str()}))
}

/// Reads the client's list of parts: their numbers and ETags.
fn listed(parts: Option<&Value>) -> Result<Vec<(u64, &str)>, CloudError> {
    let malformed =
        || CloudError::other(r#"an upload ends with {"parts": [{"partNumber": 1, "etag": "…"}, …]}"#);
    let parts = parts.and_then(Value::as_array).ok_or_else(malformed)?;
    let mut listed = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.get("partNumber").and_then(Value::as_u64);
        let etag = part.get("etag").and_then(Value::as_str);
        listed.push(number.zip(etag).ok_or_else(malformed)?);
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectId;
    use crate::store::files::FileKey;

    #[test]
    fn path_names_step_of_tokens_file() {
        let token = UploadToken {
            id: ObjectId::parse("row").unwrap(),
            key: FileKey::parse("照片/a+b.png").unwrap(),
        };
        let name = OBJECT_NAME.encode(token.key.as_str());
        let at = |rest: &str| format!("buckets/paylog/objects/{name}/uploads{rest}");
        let step =
            |method: Method, below: &str| Step::parse(&method, below, &token).map_err(|error| error.status);
        assert!(name.ends_with('='), "{name}");
        for (method, below, expected) in [
            (Method::POST, at(""), Ok(Step::Begin)),
            (Method::POST, at("").replace('=', ""), Ok(Step::Begin)),
            (Method::POST, at("").replace('=', "%3D"), Ok(Step::Begin)),
            (Method::PUT, at("/row/1"), Ok(Step::Part(1))),
            (Method::PUT, at("/row/10000"), Ok(Step::Part(10_000))),
            (Method::POST, at("/row"), Ok(Step::End)),
            (Method::PUT, at("/row/0"), Err(400)),
            (Method::PUT, at("/row/10001"), Err(400)),
            (Method::PUT, at("/row/-1"), Err(400)),
            (Method::PUT, at("/other/1"), Err(404)),
            (Method::POST, at("/other"), Err(404)),
            (Method::POST, at("/row/1"), Err(404)),
            (Method::PUT, at(""), Err(404)),
            (Method::POST, "buckets".to_owned(), Err(404)),
            (Method::POST, at("").replace("paylog", "other"), Err(403)),
            (Method::POST, at("").replace(&name, "YQ=="), Err(403)),
            (Method::POST, at("").replace(&name, "***"), Err(403)),
        ] {
            assert_eq!(step(method, &below), expected, "{below}");
        }
    }

    #[test]
    fn malformed_list_of_parts_is_refused() {
        let good = json!([{"partNumber": 1, "etag": "a"}, {"partNumber": 2, "etag": "b", "more": 1}]);
        assert_eq!(listed(Some(&good)).unwrap(), [(1, "a"), (2, "b")]);
        assert_eq!(listed(Some(&json!([]))).unwrap(), []);
        for bad in [
            json!({}),
            json!([1]),
            json!([{"partNumber": "1", "etag": "a"}]),
            json!([{"partNumber": 1}]),
        ] {
            assert!(listed(Some(&bad)).is_err(), "{bad}");
        }
        assert!(listed(None).is_err());
    }
}
