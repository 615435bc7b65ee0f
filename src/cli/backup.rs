//! `paylog backup` and `paylog restore`.
//!
//! A backup is an SQLite database in one file. The keys, where they are asked for, are in a file beside it, named
//! after it, so that the two can be kept apart.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::app::{credentials_file, durable_file, terminal};
use crate::cli::arguments::{BackupArguments, RestoreArguments};
use crate::cli::progress_bar;
use crate::config::Backend;
use crate::environment::Environment;
use crate::storage::{SqliteStore, sqlite};

/// The keys that belong to a backup.
fn credentials_beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".credentials.json");
    file.with_file_name(name)
}

/// Writes a consistent copy of the data, also while a server writes to them.
pub(crate) async fn backup(
    arguments: &BackupArguments,
    home: &Backend,
    environment: &Environment,
) -> Result<bool> {
    let data = embedded(home)?;
    let store = SqliteStore::open_read_only(data, environment.clone())?;
    let beside = credentials_beside(&arguments.file);
    for file in [&arguments.file, &beside] {
        if file.exists() {
            bail!(
                "{} exists already: choose another name for the backup",
                file.display()
            );
        }
    }
    let bar = progress_bar::progress("copying", 0);
    let shown = bar.clone();
    store
        .backup(&arguments.file, move |progress| {
            shown.set_length(progress.total);
            shown.set_position(progress.done);
        })
        .await?;
    bar.finish_and_clear();
    terminal::print_line(format!("The data are in {}.", arguments.file.display()));
    if arguments.with_credentials {
        let keys = credentials_file::path(data);
        let text =
            fs::read(&keys).with_context(|| format!("the keys in {} cannot be read", keys.display()))?;
        durable_file::write_private(&beside, &text)
            .with_context(|| format!("the keys cannot be written to {}", beside.display()))?;
        terminal::print_line(format!("The keys are in {}: keep them secret.", beside.display()));
    } else {
        terminal::print_line("The keys are not in it (--with-credentials).");
    }
    Ok(true)
}

/// Makes a data folder of a backup.
pub(crate) fn restore(arguments: &RestoreArguments, home: &Backend) -> Result<bool> {
    let data = embedded(home)?;
    let occupied = fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        bail!(
            "the folder {} is not empty, and a backup is restored into an empty one: choose another with --data",
            data.display()
        );
    }
    // Read first: without its keys, a backup that has some is restored not at all.
    let beside = credentials_beside(&arguments.file);
    let keys = match fs::read_to_string(&beside) {
        Ok(text) => {
            credentials_file::parse(&text).with_context(|| format!("{} is damaged", beside.display()))?;
            Some(text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", beside.display())),
    };
    sqlite::restore(&arguments.file, data).context("the backup cannot be restored")?;
    if let Some(keys) = keys {
        let path = credentials_file::path(data);
        durable_file::write_private(&path, keys.as_bytes())
            .with_context(|| format!("the keys cannot be written to {}", path.display()))?;
        terminal::print_line("The keys are those of the backup.");
    } else {
        terminal::print_line("The backup came without keys: the next start makes new ones.");
    }
    terminal::print_line(format!("Restored into {}.", data.display()));
    Ok(true)
}

fn embedded(home: &Backend) -> Result<&Path> {
    match home {
        Backend::Embedded(data) => Ok(data),
        Backend::LeanCloud(_) => {
            bail!("this is for the embedded store: unset LEANCLOUD_API_SERVER, or name a folder with --data")
        }
    }
}
