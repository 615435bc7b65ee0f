//! The app's id and keys in the data folder, generated at the first start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::app::durable_file;
use crate::credentials::Credentials;
use crate::environment::Environment;

/// Length of an id or key in characters of an alphabet of 36: more than 120 random bits.
const KEY_LENGTH: usize = 24;

/// Path of the keys of a data folder.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("credentials.json")
}

/// Path of the keys that belong to the backup in `file`.
pub(crate) fn beside_backup(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".credentials.json");
    file.with_file_name(name)
}

/// Content of the file. Absent keys are read as empty, so that the error can name them.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    app_id: String,
    app_key: String,
    master_key: String,
    hook_key: String,
}

/// Reads the keys of `data`; `None` if there is no such file.
///
/// # Errors
/// A file that cannot be read, or in which a key is missing.
pub(crate) fn read(data: &Path) -> Result<Option<Credentials>> {
    let path = path(data);
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("the keys in {shown} cannot be read"));
        }
    };
    warn_if_readable_by_others(&path);
    parse(&text)
        .with_context(|| {
            format!(
                "{shown} is damaged: restore it from a backup, or remove it to get new keys at the next start"
            )
        })
        .map(Some)
}

/// Warns if others than the owner may read the keys: nobody else must have the master key.
fn warn_if_readable_by_others(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            let path = path.display();
            tracing::warn!("{path} is accessible to others than its owner (mode {mode:o}): chmod 600 {path}");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Parses the text of a credentials file.
///
/// # Errors
/// Names the missing keys.
pub(crate) fn parse(text: &str) -> Result<Credentials> {
    let stored: Stored = serde_json::from_str(text).context("it is not a JSON object of strings")?;
    let fields = [
        ("appId", &stored.app_id),
        ("appKey", &stored.app_key),
        ("masterKey", &stored.master_key),
        ("hookKey", &stored.hook_key),
    ];
    let missing: Vec<_> = fields
        .iter()
        .filter(|(_, value)| value.trim().is_empty())
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        bail!("it lacks {}", missing.join(", "));
    }
    Ok(Credentials {
        app_id: stored.app_id,
        app_key: stored.app_key.into(),
        master_key: Some(stored.master_key.into()),
        hook_key: Some(stored.hook_key.into()),
        androidx_key: None,
    })
}

/// Reads the keys of `data`, or generates them if there are none; returns true with generated keys.
///
/// # Errors
/// As [`read`]; a folder that cannot be written.
pub(crate) fn read_or_generate(data: &Path, environment: &Environment) -> Result<(Credentials, bool)> {
    if let Some(credentials) = read(data)? {
        return Ok((credentials, false));
    }
    let credentials = generate(environment);
    let path = path(data);
    durable_file::write_private(&path, text(&credentials)?.as_bytes())
        .with_context(|| format!("the keys cannot be written to {}", path.display()))?;
    Ok((credentials, true))
}

/// Generates keys without storing them.
pub(crate) fn generate(environment: &Environment) -> Credentials {
    let key = || SecretString::from(environment.random_text(KEY_LENGTH));
    Credentials {
        app_id: environment.random_text(KEY_LENGTH),
        app_key: key(),
        master_key: Some(key()),
        hook_key: Some(key()),
        androidx_key: None,
    }
}

/// Formats a credentials file.
///
/// # Errors
/// None in practice.
fn text(credentials: &Credentials) -> Result<String> {
    let secret = |key: &Option<SecretString>| {
        key.as_ref()
            .map(|key| key.expose_secret().to_owned())
            .unwrap_or_default()
    };
    let stored = Stored {
        app_id: credentials.app_id.clone(),
        app_key: credentials.app_key.expose_secret().to_owned(),
        master_key: secret(&credentials.master_key),
        hook_key: secret(&credentials.hook_key),
    };
    Ok(serde_json::to_string_pretty(&stored)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_generated_once() {
        let folder = tempfile::tempdir().unwrap();
        let (made, new) = read_or_generate(folder.path(), &Environment::system()).unwrap();
        assert!(new);
        let (read, new) = read_or_generate(folder.path(), &Environment::system()).unwrap();
        assert!(!new);
        assert_eq!(text(&made).unwrap(), text(&read).unwrap());
        assert_ne!(made.app_key.expose_secret(), made.app_id);
    }

    #[test]
    fn missing_keys_are_named() {
        let error = parse(r#"{"appId": "a", "masterKey": " "}"#).unwrap_err();
        assert_eq!(error.to_string(), "it lacks appKey, masterKey, hookKey");
    }
}
