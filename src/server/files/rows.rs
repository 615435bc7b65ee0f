//! The rows of `_File`.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use super::content_type;
use super::token::UploadToken;
use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, KeyPath, Op, Update, Value};
use crate::server::context::Context;
use crate::server::error::outcome_unknown;
use crate::server::reply::Reply;
use crate::server::write_path::{self, Change, WriteRequest};
use crate::store::files::{FileKey, FileStore, is_legal_char};
use crate::store::{Write, WriteOutcome};

/// The class of files.
pub(super) fn class() -> ClassName {
    ClassName::file()
}

/// Characters of a key that the server makes: nobody guesses it.
const RANDOM_LENGTH: usize = 32;

/// `bucket` of the files that are kept here.
const BUCKET: &str = "paylog";

/// What is escaped in the address of a file; the slashes of a key stay.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// `POST /fileTokens`: makes the row, and answers where the bytes are to be put, in the form of an upload to S3.
///
/// # Errors
/// Code 1 where no files are kept, and for a key of one's own without the master key; those of a write.
pub(crate) async fn create_token(context: &Arc<Context>, mut body: Document) -> Result<Reply, CloudError> {
    store(context)?;
    let name = match body.shift_remove("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        _ => "file".to_owned(),
    };
    let key = match body.shift_remove("key") {
        Some(Value::String(key)) if !key.is_empty() => {
            if !context.is_master() {
                return Err(unsupported_key());
            }
            FileKey::parse(&key)?
        }
        _ => random_key(context, &name, &mut body)?,
    };
    let mime_type = content_type::of(body.text("mime_type"), &name);
    for parameter in ["keep_file_name", "prefix", "url", "provider", "mime_type"] {
        body.shift_remove(parameter);
    }
    body.insert("name".to_owned(), name.into());
    body.insert("mime_type".to_owned(), mime_type.as_str().into());
    let meta_data = body.get("metaData").cloned();
    let request = WriteRequest {
        class: class(),
        change: Change::NewFile(key.clone()),
        body,
        parameters: Document::new(),
    };
    let created = Box::pin(write_path::perform(context, request)).await?;
    let mut answer = match created.into_success() {
        Value::Object(fields) => Document(fields),
        _ => Document::new(),
    };
    let id = answer
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
        ("provider", "s3"),
        ("upload_url", &upload_url),
        ("token", &token),
    ] {
        answer.insert(name.to_owned(), value.into());
    }
    if let Some(meta_data) = meta_data {
        answer.insert("metaData".to_owned(), meta_data);
    }
    Ok(Reply::ok(answer.0))
}

/// `POST /fileCallback`: how the upload went. What failed is taken back.
///
/// # Errors
/// 107 without a token; code 1, HTTP 403, for one that is not ours.
pub(crate) async fn close_upload(context: &Context, body: &Document) -> Result<Reply, CloudError> {
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
        let delete = Write::delete(&class(), &token.id, Filter::all());
        match context.database().write(delete).await {
            WriteOutcome::Applied(_) | WriteOutcome::NotMatched => {}
            WriteOutcome::Rejected(error) => return Err(error),
            WriteOutcome::Unknown(reason) => return Err(outcome_unknown(&reason)),
        }
        remove_bytes(context, &token.key).await;
    }
    Ok(Reply::ok(serde_json::Map::new()))
}

/// Checks a new row. Its key comes from `/fileTokens`, or from the master key; without one the bytes are elsewhere, and
/// the row says where.
///
/// # Errors
/// Code 1.
pub(crate) fn check_new(
    context: &Context,
    update: &mut Update,
    key: Option<&FileKey>,
) -> Result<(), CloudError> {
    let text = |update: &Update, name: &str| {
        let given = update.ops.iter().find(|(path, _)| path.as_str() == name);
        match given {
            Some((_, Op::Set(Value::String(text)))) => Some(text.clone()),
            _ => None,
        }
    };
    let is_given = |update: &Update, name: &str| update.ops.iter().any(|(path, _)| path.column() == name);
    if let Some(key) = key {
        for (name, value) in [("key", key.as_str()), ("bucket", BUCKET)] {
            update.ops.retain(|(path, _)| path.column() != name);
            update.ops.push((KeyPath::new(name), Op::Set(value.into())));
        }
        return Ok(());
    }
    if is_given(update, "key") {
        if !context.is_master() {
            return Err(unsupported_key());
        }
        if let Some(key) = text(update, "key") {
            FileKey::parse(&key)?;
            return Ok(());
        }
    }
    let scheme = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        let known = ["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        (known && !rest.is_empty()).then_some(())
    };
    if text(update, "url").and_then(|url| scheme(&url)).is_none() {
        return Err(CloudError::other(
            "A file needs a 'url' that starts with http:// or https://; to upload one, begin with /fileTokens.",
        ));
    }
    if text(update, "mime_type").is_none_or(|said| said.is_empty()) {
        let name = text(update, "name").or_else(|| text(update, "url"));
        let mime_type = content_type::of(None, &name.unwrap_or_default());
        update.ops.retain(|(path, _)| path.column() != "mime_type");
        update
            .ops
            .push((KeyPath::new("mime_type"), Op::Set(mime_type.into())));
    }
    Ok(())
}

/// The key of a row, where its bytes are kept here.
pub(crate) fn key_of(row: &Document) -> Option<FileKey> {
    FileKey::parse(row.text("key")?).ok()
}

/// Forgets the bytes of a row that is gone. Bytes without a row cost room and nothing else.
pub(crate) async fn remove_bytes(context: &Context, key: &FileKey) {
    let Some(files) = &context.shared().config.files else {
        return;
    };
    if let Err(error) = files.remove(key).await {
        tracing::warn!(%error, file.key = %key, "the bytes of a deleted file stay");
    }
}

/// The address of a file that is kept here.
pub(super) fn url(context: &Context, key: &str) -> String {
    format!(
        "{}/files/{}",
        context.base_url(),
        utf8_percent_encode(key, ESCAPED)
    )
}

/// Where the bytes are kept.
///
/// # Errors
/// Code 1 where nowhere.
pub(super) fn store(context: &Context) -> Result<&Arc<dyn FileStore>, CloudError> {
    let files = context.shared().config.files.as_ref();
    files.ok_or_else(|| {
        CloudError::other("This server keeps no files: it was started without a folder for them.")
    })
}

/// What upload tokens are signed with.
fn secret(context: &Context) -> Result<&SecretString, CloudError> {
    let key = context.shared().config.credentials.master_key.as_ref();
    key.ok_or_else(|| {
        CloudError::other("This server keeps no files: it has no master key to sign uploads with.")
    })
}

fn unsupported_key() -> CloudError {
    CloudError::other("Unsupported file key: only the master key chooses the key of a file.")
}

/// A key that nobody guesses: under `prefix`, where the client gives one; with the file's name, where that is to be
/// kept, or else with its ending.
fn random_key(context: &Context, name: &str, body: &mut Document) -> Result<FileKey, CloudError> {
    let random = context.environment().random_text(RANDOM_LENGTH);
    let keeps_name = matches!(body.get("keep_file_name"), Some(Value::Bool(true)))
        || body.text("keep_file_name") == Some("true");
    let own = if keeps_name {
        format!("{random}/{}", safe_name(name))
    } else {
        match content_type::extension(name) {
            Some(extension) => format!("{random}.{extension}"),
            None => random,
        }
    };
    match body.text("prefix").map(|prefix| prefix.trim_matches('/')) {
        Some(prefix) if !prefix.is_empty() => FileKey::parse(&format!("{prefix}/{own}")),
        _ => FileKey::parse(&own),
    }
}

/// A name as it can stand in a key: what cannot is replaced by `_`.
fn safe_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let mut safe = String::with_capacity(name.len());
    for c in name.chars() {
        if safe.len() + c.len_utf8() > FileKey::NAME_LENGTH_MAX {
            break;
        }
        safe.push(if is_legal_char(c) { c } else { '_' });
    }
    let safe = safe.trim_matches(['.', ' ']);
    if safe.is_empty() {
        "file".to_owned()
    } else {
        safe.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_safe_one() {
        for (name, safe) in [
            ("照片.png", "照片.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\a b.txt", "a b.txt"),
            ("...", "file"),
            ("a<script>.html", "a_script_.html"),
            (".hidden", "hidden"),
            ("", "file"),
        ] {
            assert_eq!(safe_name(name), safe, "{name}");
            assert!(FileKey::parse(&safe_name(name)).is_ok(), "{name}");
        }
        let long = safe_name(&"é".repeat(500));
        assert!(FileKey::parse(&long).is_ok());
    }
}
