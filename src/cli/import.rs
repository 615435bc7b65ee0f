//! `paylog import`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::app::data_context::DataContext;
use crate::app::{class_names_lock, terminal};
use crate::cli::arguments::{self, DataArguments};
use crate::cli::progress_bar::ImportProgressBar;
use crate::config::Backend;
use crate::migration::{ImportError, ImportOptions, ImportSummary, ReadableExport, import};
use crate::model::SchemaChange;
use crate::payment::{PaymentConfig, schema};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Database;

/// `paylog import`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportArguments {
    /// The export: a folder, an archive (.tar.gz) or a file (.jsonl, .json, .csv, .bson, each also with .gz)
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Class of all objects in SOURCE [default: from the name of each file, such as Post.0.jsonl]
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Report of the records left out, one JSON object a line
    #[arg(long, value_name = "FILE", default_value = "paylog-import-report.jsonl")]
    pub(crate) report: PathBuf,
    /// Import into an empty, temporary store: reports everything, changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Imports an export; returns false if a record was left out.
pub(crate) async fn run(arguments: &ImportArguments, context: &DataContext) -> Result<bool> {
    let environment = &context.environment;
    let Backend::Embedded(data) = &context.backend else {
        bail!(
            "an import goes into the embedded store: unset LEANCLOUD_API_SERVER, or name a folder with --data; \
             LeanCloud's console imports into LeanCloud"
        );
    };
    let options = ImportOptions {
        source: arguments.source.clone(),
        class: arguments
            .class
            .as_deref()
            .map(arguments::class_name)
            .transpose()?,
        report: arguments.report.clone(),
    };
    let dry_run = arguments
        .dry_run
        .then(tempfile::tempdir)
        .transpose()
        .context("a temporary folder for the dry run cannot be created")?;
    let folder = dry_run.as_ref().map_or(data.as_path(), tempfile::TempDir::path);
    std::fs::metadata(&options.source)
        .with_context(|| format!("{} cannot be read", options.source.display()))?;
    // Before the folder is created.
    let readable = match ReadableExport::open(options) {
        Err(error @ ImportError::File(_)) => {
            return Err(error).with_context(|| {
                format!(
                    "{} cannot be read to its end: download it again",
                    arguments.source.display()
                )
            });
        }
        opened => opened?,
    };
    let store = match SqliteStore::open(folder, environment.clone()) {
        Err(error @ OpenError::Locked { .. }) => {
            return Err(error).context("an import cannot run beside a server on the same data");
        }
        opened => opened?,
    };
    let mut shown = ImportProgressBar::new(environment.clone());
    let done = import(Arc::new(store.clone()), environment, readable, |progress| {
        shown.update(progress);
    })
    .await;
    shown.clear();
    let done = match done {
        Ok(summary) => secure(&store, &context.payments, &summary)
            .await
            .map(|()| summary),
        Err(error) => Err(error).context("the import was interrupted; the same command continues it"),
    };
    store.close().await;
    let summary = done?;
    if arguments.json {
        terminal::print_json(&summary)?;
    } else {
        print_summary(&summary, arguments.dry_run, data);
    }
    Ok(summary.is_complete())
}

/// Configures the payments' classes that the import has created, as a server does: an export holds no permissions.
async fn secure(store: &SqliteStore, config: &PaymentConfig, summary: &ImportSummary) -> Result<()> {
    let changes = schema::adoption_changes(&store.schema(), config, &summary.made);
    let mut secured = BTreeSet::new();
    for change in changes {
        if let SchemaChange::SetPermissions(class, _) = &change
            && *class != config.user_class
        {
            secured.insert(class.as_str().to_owned());
        }
        store.define(change).await.context(
            "the data are imported, but the classes of the payments could not be configured as a server needs them",
        )?;
    }
    class_names_lock::lock_classes(store, config, &|class| secured.contains(class.as_str())).await?;
    if !secured.is_empty() {
        let classes = Vec::from_iter(secured).join(", ");
        terminal::eprint_line(format!(
            "Created for payments, so that only the master key writes them: {classes}."
        ));
    }
    Ok(())
}

fn print_summary(summary: &ImportSummary, dry_run: bool, data: &Path) {
    if summary.resumed {
        terminal::print_line("Continued an interrupted import; the numbers cover both runs.");
    }
    terminal::print_line(format!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "class", "new", "replaced", "there", "kept", "left out", "links"
    ));
    for (class, counts) in &summary.classes {
        terminal::print_line(format!(
            "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            class.as_str(),
            counts.created,
            counts.replaced,
            counts.unchanged,
            counts.kept,
            counts.left_out,
            counts.links_created.saturating_add(counts.links_unchanged),
        ));
    }
    if summary.left_out > 0 {
        let records = if summary.left_out == 1 {
            "record was"
        } else {
            "records were"
        };
        terminal::print_line(format!("{} {records} left out.", summary.left_out));
    }
    if summary.dangling > 0 {
        terminal::print_line(format!(
            "{} pointers or ends of relations refer to missing objects; they were imported unchanged.",
            summary.dangling
        ));
    }
    if let Some(report) = &summary.report {
        terminal::print_line(format!(
            "The report, with file, line and reason of each, is in {}.",
            report.display()
        ));
    }
    if dry_run {
        terminal::print_line("This was a dry run on an empty store: nothing was imported.");
    } else {
        terminal::print_line(format!("Imported into {}.", data.display()));
    }
}
