//! `POST /files/<name>`: older SDKs make the row of an external file so, or upload a small file in the body.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{future, stream};

use super::keys::random_key;
use super::provider::Provider;
use super::rows;
use super::upload_body::put;
use super::upload_session::{NewRow, create_row};
use crate::model::{ClassName, CloudError, Document, ErrorCode, ObjectId, Value};
use crate::server::api_request::ApiRequest;
use crate::server::classes;
use crate::server::context::Context;
use crate::server::error::outcome_unknown;
use crate::server::response::ApiResponse;
use crate::server::write_path;

/// Makes the row of a file. A name in the body counts before the one in the path; `base64` holds the bytes of a file to keep
/// here. These SDKs read name, address and size from the response.
///
/// # Errors
/// As `POST /files`; with `base64` 107 for malformed Base64, and as an upload.
pub(crate) async fn create_by_name(
    context: &Arc<Context>,
    name: &str,
    request: ApiRequest,
) -> Result<ApiResponse, CloudError> {
    let mut body = request.body;
    let mut parameters = request.parameters;
    parameters.insert("fetchWhenSave".to_owned(), true.into());
    let said = body.shift_remove("_ContentType");
    for (key, other) in [("name", Some(name.into())), ("mime_type", said)] {
        let is_given = body.text(key).is_some_and(|text| !text.is_empty());
        if let (false, Some(other)) = (is_given, other) {
            body.insert(key.to_owned(), other);
        }
    }
    match body.shift_remove("base64") {
        Some(Value::String(text)) if !text.is_empty() => {
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(|_| CloudError::new(ErrorCode::INVALID_JSON, "'base64' is no Base64 text."))?;
            store_bytes(context, body, parameters, bytes.into()).await
        }
        _ => {
            let request = ApiRequest {
                body,
                parameters,
                ..request
            };
            let write = classes::create_request(ClassName::file(), request);
            let mut created = Box::pin(write_path::perform(context, write)).await?;
            if let Some(fields) = created.fields_mut() {
                let known = fields.get("metaData").and_then(|data| data.get("size"));
                // One SDK fails without a size, and takes any.
                let size = known.filter(|size| size.is_number()).cloned();
                fields.insert("size".to_owned(), size.unwrap_or_else(|| 0.into()));
            }
            Ok(created)
        }
    }
}

/// Makes the row of a file to keep here, and stores its bytes.
async fn store_bytes(
    context: &Arc<Context>,
    mut body: Document,
    parameters: Document,
    bytes: Bytes,
) -> Result<ApiResponse, CloudError> {
    let files = rows::store(context)?;
    let name = body.text("name").unwrap_or_default().to_owned();
    let key = random_key(context, &name, &mut body)?;
    let row = NewRow {
        key: &key,
        name: &name,
        provider: Provider::S3,
    };
    let (mut created, _) = create_row(context, row, body, parameters).await?;
    let fields = created.fields_mut();
    let id = fields
        .as_ref()
        .and_then(|fields| fields.get("objectId")?.as_str())
        .and_then(|id| ObjectId::parse(id).ok())
        .ok_or_else(|| outcome_unknown("a created file has no id"))?;
    let bytes_max = context.state().config.file_bytes_max;
    let content = Box::pin(stream::once(future::ready(Ok(bytes))));
    match put(files, &key, content, bytes_max).await {
        Ok(size) => {
            if let Some(fields) = fields {
                fields.insert("size".to_owned(), size.into());
            }
            Ok(created)
        }
        Err(error) => {
            rows::take_back(context, &id, &key).await?;
            Err(error)
        }
    }
}
