//! `paylog restore`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::app::{credentials_file, data_folder, durable_file, terminal};
use crate::cli::arguments::DataArguments;
use crate::config::Backend;
use crate::storage::sqlite;

/// `paylog restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArguments {
    /// A file written by `paylog backup`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Creates a data folder from a backup; returns true.
pub(crate) fn run(arguments: &RestoreArguments, backend: &Backend) -> Result<bool> {
    let data = data_folder::require(backend)?;
    let occupied = fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        bail!(
            "the folder {} is not empty, and a backup is restored into an empty one: choose another with --data",
            data.display()
        );
    }
    // Read first: a backup whose keys are damaged is not restored at all.
    let beside = credentials_file::beside_backup(&arguments.file);
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
        terminal::print_line("The backup came without keys: the next start generates new ones.");
    }
    terminal::print_line(format!("Restored into {}.", data.display()));
    Ok(true)
}
