//! The rows of `_File`.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use super::content_type;
use super::upload_token::UploadToken;
use crate::model::{
    ClassName, CloudError, Document, ErrorCode, Filter, KeyPath, ObjectId, Op, Query, Update, Value,
};
use crate::server::context::Context;
use crate::server::error::{internal, outcome_unknown, read_failed};
use crate::server::response::ApiResponse;
use crate::server::write_path::{self, Change, WriteRequest};
use crate::store::files::{FileKey, FileStore, is_legal_char};
use crate::store::{Write, WriteOutcome};

/// The class of files.
pub(super) fn class() -> ClassName {
    ClassName::file()
}

/// Characters of a key that the server makes: nobody guesses it.
const RANDOM_LENGTH: usize = 32;

/// The longest ending of a key that a client chooses.
const ENDING_LENGTH_MAX: usize = 16;

/// `bucket` of the files that are kept here.
pub(super) const BUCKET: &str = "paylog";

/// The first version of the JavaScript SDK that is known to send to the address that it is given, whoever the provider is.
const NODE_JS_SDK: (u32, u32) = (3, 5);

/// As whose an upload is to be sent: what SDKs choose the form of it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// One PUT.
    S3,
    /// A form, or parts.
    Qiniu,
}

impl Provider {
    /// The name that SDKs know.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Qiniu => "qiniu",
        }
    }

    /// The one that a client can send to. What a mini-program can send is a form, which its SDK sends to Qiniu alone; so
    /// does the JavaScript SDK in Node.js with a stream. The C# SDK fails with S3 where it knows no type of the file; with
    /// Qiniu it sends parts.
    ///
    /// No other client gets Qiniu: the Python SDK, and the JavaScript SDK of old, send to Qiniu's own servers then.
    fn of(context: &Context, body: &Document) -> Self {
        let has_type = body.text("mime_type").is_some();
        let sends_streams = context
            .node_js_sdk()
            .is_some_and(|version| version >= NODE_JS_SDK);
        if context.is_mini_program() || sends_streams || (context.is_c_sharp() && !has_type) {
            Self::Qiniu
        } else {
            Self::S3
        }
    }
}

/// What is escaped in the address of a file; the slashes of a key stay.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// `POST /fileTokens`: makes the row, and answers where the bytes are to be put, in the form of an upload to S3, or to
/// Qiniu for those who can send nothing else.
///
/// The master key chooses any key. SDKs of older versions choose a random one for the app key too.
///
/// # Errors
/// Code 1 where no files are kept, and without the master key for a key that is not random, or is used already; those
/// of a write.
pub(crate) async fn create_token(
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
                clients_key(context, &key).await?
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
        ("provider", provider.name()),
        ("upload_url", &upload_url),
        ("token", &token),
    ] {
        answer.insert(name.to_owned(), value.into());
    }
    if let Some(meta_data) = meta_data {
        answer.insert("metaData".to_owned(), meta_data);
    }
    Ok(ApiResponse::ok(answer.0))
}

/// A file whose bytes are to be kept here.
pub(super) struct NewRow<'a> {
    pub(super) key: &'a FileKey,
    pub(super) name: &'a str,
    pub(super) provider: Provider,
}

/// Makes the row of a file; answers its type too.
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
        class: class(),
        change: Change::NewFile(row.key.clone()),
        body,
        parameters,
    };
    let created = Box::pin(write_path::perform(context, request)).await?;
    Ok((created, mime_type))
}

/// `POST /fileCallback`: how the upload went. What failed is taken back.
///
/// # Errors
/// 107 without a token; code 1, HTTP 403, for one that is not ours.
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

/// Deletes a row and its bytes. Where there is no such row the bytes stay: by now they may be those of another row.
///
/// # Errors
/// Those of a write.
pub(super) async fn take_back(context: &Context, id: &ObjectId, key: &FileKey) -> Result<(), CloudError> {
    let delete = Write::delete(&class(), id, Filter::all());
    context.state().pending_uploads.forget(id);
    match context.database().write(delete).await {
        WriteOutcome::Applied(_) => {
            remove_bytes(context, key).await;
            Ok(())
        }
        WriteOutcome::NotMatched => Ok(()),
        WriteOutcome::Rejected(error) => Err(error),
        WriteOutcome::Unknown(reason) => Err(outcome_unknown(&reason)),
    }
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
    let is_address = |url: String| scheme(&url).is_some();
    if !text(update, "url").map_or_else(|| says_elsewhere(update), is_address) {
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

/// Whether a new row without an address says that the bytes are elsewhere: one SDK leaves the address out.
fn says_elsewhere(update: &Update) -> bool {
    let mut ops = update.ops.iter();
    let has_none = |(path, op): &(KeyPath, Op)| path.column() != "url" || *op == Op::Set(Value::Null);
    let is_external = |(path, op): &(KeyPath, Op)| match op {
        Op::Set(Value::Object(data)) if path.as_str() == "metaData" => {
            data.get("__source").and_then(Value::as_str) == Some("external")
        }
        _ => false,
    };
    ops.clone().all(has_none) && ops.any(is_external)
}

/// The key of a row, where its bytes are kept here.
pub(crate) fn key_of(row: &Document) -> Option<FileKey> {
    FileKey::parse(row.text("key")?).ok()
}

/// Forgets the bytes of a row that is gone. Bytes without a row cost room and nothing else.
pub(crate) async fn remove_bytes(context: &Context, key: &FileKey) {
    let Some(files) = &context.state().config.files else {
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
    let files = context.state().config.files.as_ref();
    files.ok_or_else(|| {
        CloudError::other("This server keeps no files: it was started without a folder for them.")
    })
}

/// What upload tokens are signed with.
fn secret(context: &Context) -> Result<&SecretString, CloudError> {
    let key = context.state().config.credentials.master_key.as_ref();
    key.ok_or_else(|| {
        CloudError::other("This server keeps no files: it has no master key to sign uploads with.")
    })
}

fn unsupported_key() -> CloudError {
    CloudError::other(
        "Unsupported file key: only the master key chooses the key of a file, unless it is a random one.",
    )
}

/// A key that a client has chosen: one that nobody else can mean, and that nothing is kept under. The unique index on
/// `key` lets one of two rows be made that ask for it at the same time.
///
/// # Errors
/// Code 1.
async fn clients_key(context: &Context, key: &str) -> Result<FileKey, CloudError> {
    // A name without an ending leaves some SDKs with a dot at the end.
    let key = key.strip_suffix('.').unwrap_or(key);
    if !is_random(key) {
        return Err(unsupported_key());
    }
    let key = FileKey::parse(key)?;
    let query = Query::new(Filter::all().eq("key", key.as_str())).limit(1);
    let rows = context.database().find(&class(), &query).await;
    let has_row = !rows.map_err(read_failed)?.is_empty();
    // Bytes may be there without a row: those of a row that has been deleted, or is still to be brought.
    if has_row
        || store(context)?
            .is_taken(&key)
            .await
            .map_err(|error| internal(&error))?
    {
        return Err(CloudError::other(
            "Unsupported file key: there is a file under this key already.",
        ));
    }
    Ok(key)
}

/// Whether SDKs make such keys by chance: 20 or 32 hexadecimal digits or a UUID, or 40 letters and digits, and behind it
/// perhaps an ending; or 12 letters and digits with an ending. Names have that form too (`presentation.pdf`), so that of
/// these only those count that have a digit, a capital and a small letter. That leaves out one in eight of those that
/// are made by chance.
fn is_random(key: &str) -> bool {
    let (name, ending) = match key.split_once('.') {
        Some((name, ending)) => (name, Some(ending)),
        None => (key, None),
    };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let groups = name.split('-').map(str::len);
    let is_uuid = || groups.eq([8, 4, 4, 4, 12]) && name.split('-').all(is_hex);
    let is_name = match name.len() {
        20 | 32 => is_hex(name),
        12 => ending.is_some() && is_plain(name) && is_mixed(name),
        36 => is_uuid(),
        40 => is_plain(name),
        _ => false,
    };
    let is_ending = |ending: &str| (1..=ENDING_LENGTH_MAX).contains(&ending.len()) && is_plain(ending);
    is_name && ending.is_none_or(is_ending)
}

fn is_mixed(text: &str) -> bool {
    let has = |is_wanted: fn(&u8) -> bool| text.bytes().any(|byte| is_wanted(&byte));
    has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

/// A key that nobody guesses: under `prefix`, where the client gives one; with the file's name, where that is to be
/// kept, or else with its ending.
pub(super) fn random_key(context: &Context, name: &str, body: &mut Document) -> Result<FileKey, CloudError> {
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
    fn random_keys_of_older_sdks() {
        let plain = "aZ09".repeat(10);
        for random in [
            "0123456789abcdefABCD",
            "0123456789abcdef0123.png",
            "0123456789abcdef0123456789ABCDEF",
            "0123456789abcdef0123456789abcdef.JPEG",
            "9841422d-c041-45a5-b7b3-467179f4f127",
            "9841422D-C041-45A5-B7B3-467179F4F127.mp4",
            &plain,
            &format!("{plain}.webmanifest"),
            "k3TqZ0aPw9Lx.png",
            "aaaaaaaaaaA0.m4a",
        ] {
            assert!(is_random(random), "{random}");
            assert!(FileKey::parse(random).is_ok(), "{random}");
        }
        for chosen in [
            "",
            "robots.txt",
            "0123456789abcdef012",
            "0123456789abcdef0123/a.png",
            "a/0123456789abcdef0123",
            "0123456789abcdef0123.",
            "0123456789abcdef0123.tar.gz",
            "0123456789abcdef0123.a b",
            "0123456789abcdef0123.照片",
            "0123456789abcdef0123.seventeenletterss",
            "0123456789abcdefghij.png",
            "9841422d-c041-45a5-b7b3-467179f4f12",
            "9841422dc-041-45a5-b7b3-467179f4f127",
            "9841422d-c041-45a5-b7b3-467179f4f12g",
            "------------------------------------",
            "presentation.pdf",
            "Presentation.pdf",
            "screenshot12.png",
            "202601011200.jpg",
            "k3TqZ0aPw9Lx",
            "k3TqZ0aPw9Lx.",
            "k3TqZ0aPw9L.png",
            "k3TqZ0aPw9Lxy.png",
            "k3TqZ0aPw9L_.png",
            "k3TqZ0aPw9Lx.a-b",
        ] {
            assert!(!is_random(chosen), "{chosen}");
        }
    }

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
