//! The beginning and the end of an upload: `/fileTokens` makes the row, `/fileCallback` reports the result.

use std::sync::Arc;

use secrecy::SecretString;

use super::content_type;
use super::keys::{client_key, random_key};
use super::provider::Provider;
use super::rows::{BUCKET, store, take_back, url};
use super::upload_token::UploadToken;
use crate::model::{ClassName, CloudError, Document, ErrorCode, Value};
use crate::server::context::Context;
use crate::server::error::outcome_unknown;
use crate::server::response::ApiResponse;
use crate::server::write_path::{self, Change, WriteRequest};
use crate::store::files::FileKey;

/// `POST /fileTokens`: makes the row, and returns the address for the bytes, in the form of an upload to S3, or to Qiniu for
/// clients that can send nothing else.
///
/// The master key may choose any key. Older SDKs choose a random key, also with the app key.
///
/// # Errors
/// Code 1 if the server keeps no files, and without the master key for a key that is not random or is used already; those
/// of a write.
pub(crate) async fn begin_upload(
    context: &Arc<Context>,
    mut body: Document,
) -> Result<ApiResponse, CloudError> {
    store(context)?;
    let uploads = &context.state().pending_uploads;
    uploads.forget_expired(context.environment().now());
    let name = match body.shift_remove("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        _ => "file".to_owned(),
    };
    let key = match body.shift_remove("key") {
        Some(Value::String(key)) if !key.is_empty() => {
            if context.is_master() {
                FileKey::parse(&key)?
            } else {
                client_key(context, &key).await?
            }
        }
        _ => random_key(context, &name, &mut body)?,
    };
    let meta_data = body.get("metaData").cloned();
    let provider = Provider::of(context, &body);
    let row = NewRow {
        key: &key,
        name: &name,
        provider,
    };
    let (created, mime_type) = create_row(context, row, body, Document::new()).await?;
    let mut response = match created.into_success() {
        Value::Object(fields) => Document(fields),
        _ => Document::new(),
    };
    let id = response
        .object_id()
        .ok_or_else(|| outcome_unknown("a created file has no id"))?;
    let token = UploadToken { id, key: key.clone() };
    let token = token.sign(secret(context)?, context.environment().now());
    let upload_url = format!("{}/uploads/{token}", context.base_url());
    for (name, value) in [
        ("key", key.as_str()),
        ("url", &url(context, key.as_str())),
        ("mime_type", &mime_type),
        ("bucket", BUCKET),
        ("provider", provider.name()),
        ("upload_url", &upload_url),
        ("token", &token),
    ] {
        response.insert(name.to_owned(), value.into());
    }
    if let Some(meta_data) = meta_data {
        response.insert("metaData".to_owned(), meta_data);
    }
    Ok(ApiResponse::ok(response.0))
}

/// The row of a file whose bytes are to be kept here.
pub(super) struct NewRow<'a> {
    pub(super) key: &'a FileKey,
    pub(super) name: &'a str,
    pub(super) provider: Provider,
}

/// Makes the row of a file, and returns its type too.
///
/// # Errors
/// Those of a write.
pub(super) async fn create_row(
    context: &Arc<Context>,
    row: NewRow<'_>,
    mut body: Document,
    parameters: Document,
) -> Result<(ApiResponse, String), CloudError> {
    let mime_type = content_type::of(body.text("mime_type"), row.name);
    for parameter in ["keep_file_name", "prefix", "url", "provider", "mime_type"] {
        body.shift_remove(parameter);
    }
    for (key, value) in [
        ("name", row.name),
        ("mime_type", &mime_type),
        ("provider", row.provider.name()),
    ] {
        body.insert(key.to_owned(), value.into());
    }
    let request = WriteRequest {
        class: ClassName::file(),
        change: Change::NewFile(row.key.clone()),
        body,
        parameters,
    };
    let created = Box::pin(write_path::perform(context, request)).await?;
    Ok((created, mime_type))
}

/// `POST /fileCallback`: the client reports the result of an upload. A failed one is taken back.
///
/// # Errors
/// 107 without a token; code 1, HTTP 403, for a forged or expired one.
pub(crate) async fn close_upload(context: &Context, body: &Document) -> Result<ApiResponse, CloudError> {
    store(context)?;
    let token = body
        .text("token")
        .ok_or_else(|| CloudError::new(ErrorCode::INVALID_JSON, "'token' is missing."))?;
    let token = UploadToken::verify(token, secret(context)?, context.environment().now())?;
    let succeeded = match body.get("result") {
        Some(Value::Bool(succeeded)) => *succeeded,
        Some(Value::String(text)) => text == "true",
        _ => true,
    };
    if !succeeded {
        take_back(context, &token.id, &token.key).await?;
    }
    Ok(ApiResponse::ok(serde_json::Map::new()))
}

/// The key that signs upload tokens.
///
/// # Errors
/// Code 1 if the server has no master key.
fn secret(context: &Context) -> Result<&SecretString, CloudError> {
    let key = context.state().config.credentials.master_key.as_ref();
    key.ok_or_else(|| {
        CloudError::other("This server stores no files: it has no master key to sign uploads with.")
    })
}
