//! `paylog backup`.
//!
//! A backup is an SQLite database in one file. With `--with-credentials`, the keys are in a second file, named after the
//! first, so that the two can be stored apart.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::app::{credentials_file, data_folder, durable_file, terminal};
use crate::cli::arguments::DataArguments;
use crate::cli::progress_bar;
use crate::config::Backend;
use crate::environment::Environment;
use crate::storage::SqliteStore;

/// `paylog backup`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackupArguments {
    /// The file to write; it must not exist yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the app's id and keys too, into a second file beside it, which holds the master key
    #[arg(long)]
    pub(crate) with_credentials: bool,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
}

/// Writes a consistent copy of the data, also while a server writes to them; returns true.
pub(crate) async fn run(
    arguments: &BackupArguments,
    backend: &Backend,
    environment: &Environment,
) -> Result<bool> {
    let data = data_folder::require(backend)?;
    let store = SqliteStore::open_read_only(data, environment.clone())?;
    let beside = credentials_file::beside_backup(&arguments.file);
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
