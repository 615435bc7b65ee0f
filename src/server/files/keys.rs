//! The keys of files: made by the server, or chosen by a client.

use super::content_type;
use super::rows::store;
use crate::model::{ClassName, CloudError, Document, Filter, Query, Value};
use crate::server::context::Context;
use crate::server::error::{internal, read_failed};
use crate::store::files::{FileKey, is_legal_char};

/// Random characters of a key that the server makes.
const RANDOM_LENGTH: usize = 32;

/// Length of the extension of a key that a client chooses, in bytes.
const EXTENSION_LENGTH_MAX: usize = 16;

/// Code 1: a key that the client may not choose.
pub(in crate::server) fn unsupported_key() -> CloudError {
    CloudError::other(
        "Unsupported file key: only the master key chooses the key of a file, unless it is a random one.",
    )
}

/// Reads a key that a client has chosen: a random one, under which nothing is kept. Of two rows that ask for it at the same
/// time, the unique index on `key` refuses one.
///
/// # Errors
/// Code 1.
pub(super) async fn client_key(context: &Context, key: &str) -> Result<FileKey, CloudError> {
    // Some SDKs leave a dot at the end of a name without an extension.
    let key = key.strip_suffix('.').unwrap_or(key);
    if !is_random(key) {
        return Err(unsupported_key());
    }
    let key = FileKey::parse(key)?;
    let query = Query::new(Filter::all().eq("key", key.as_str())).limit(1);
    let rows = context.database().find(&ClassName::file(), &query).await;
    let has_row = !rows.map_err(read_failed)?.is_empty();
    // Bytes may be there without a row: the row has been deleted, or is still to come.
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

/// True if SDKs make such keys at random: 20 or 32 hexadecimal digits, a UUID, or 40 letters and digits, each with an
/// optional extension; or 12 letters and digits with an extension. File names have the last form too
/// (`presentation.pdf`), so it needs a digit, a capital and a small letter. One in eight random keys has not all three.
fn is_random(key: &str) -> bool {
    let (name, extension) = match key.split_once('.') {
        Some((name, extension)) => (name, Some(extension)),
        None => (key, None),
    };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let groups = name.split('-').map(str::len);
    let is_uuid = || groups.eq([8, 4, 4, 4, 12]) && name.split('-').all(is_hex);
    let is_name = match name.len() {
        20 | 32 => is_hex(name),
        12 => extension.is_some() && is_plain(name) && is_mixed(name),
        36 => is_uuid(),
        40 => is_plain(name),
        _ => false,
    };
    let is_extension =
        |extension: &str| (1..=EXTENSION_LENGTH_MAX).contains(&extension.len()) && is_plain(extension);
    is_name && extension.is_none_or(is_extension)
}

fn is_mixed(text: &str) -> bool {
    let has = |is_wanted: fn(&u8) -> bool| text.bytes().any(|byte| is_wanted(&byte));
    has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

/// Makes a key that nobody guesses: under the client's `prefix`, if any; with the file's name if `keep_file_name` is set,
/// or else with its extension.
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

/// Makes a name fit for a key: illegal characters become `_`.
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
    fn client_key_is_accepted_if_random() {
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
    fn illegal_characters_of_a_name_are_replaced() {
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
