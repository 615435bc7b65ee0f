//! Rules of writes to `_File`.

use crate::model::{ClassName, CloudError, Document, KeyPath, ObjectId, Op, Update, Value};
use crate::server::context::Context;
use crate::server::error::read_failed;
use crate::server::files::content_type;
use crate::server::files::keys::unsupported_key;
use crate::server::files::rows::BUCKET;
use crate::store::files::FileKey;

/// Checks a new row. Its key comes from `/fileTokens`, or from the master key. Without a key the bytes are elsewhere, and
/// the row has their address.
///
/// # Errors
/// Code 1.
pub(super) fn check_new(
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

/// True if a new row without an address says that its bytes are elsewhere: one SDK leaves the address out.
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

/// Returns the keys of the files that are kept here, with the ids of their rows.
///
/// # Errors
/// Those of a read.
pub(super) async fn keys(
    context: &Context,
    ids: &[ObjectId],
) -> Result<Vec<(ObjectId, FileKey)>, CloudError> {
    let mut keys = Vec::new();
    for id in ids {
        let row = context.database().get(&ClassName::file(), id).await;
        let row = row.map_err(read_failed)?;
        keys.extend(row.as_ref().and_then(key_of).map(|key| (id.clone(), key)));
    }
    Ok(keys)
}

/// The key of a row whose bytes are kept here.
fn key_of(row: &Document) -> Option<FileKey> {
    FileKey::parse(row.text("key")?).ok()
}
