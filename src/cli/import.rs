//! `paylog import`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::cli::arguments::ImportArguments;
use crate::cli::{books, terminal};
use crate::config::Backend;
use crate::environment::Environment;
use crate::migration::{ImportError, ImportOptions, ImportProgress, ImportSummary, Readable, import};
use crate::model::{ClassName, SchemaChange};
use crate::payment::{PaymentConfig, schema};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Database;

/// Between two lines that say how far the import is, where there is no bar.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Brings an export in; `false` where something was left out.
pub(crate) async fn run(
    arguments: &ImportArguments,
    home: &Backend,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<bool> {
    let Backend::Embedded(data) = home else {
        bail!(
            "an import goes into the embedded store: unset LEANCLOUD_API_SERVER, or name a folder with --data; \
             LeanCloud's console imports into LeanCloud"
        );
    };
    let options = ImportOptions {
        source: arguments.source.clone(),
        class: arguments.class.as_deref().map(class_name).transpose()?,
        report: arguments.report.clone(),
    };
    let trial = arguments
        .dry_run
        .then(tempfile::tempdir)
        .transpose()
        .context("a temporary folder for the trial cannot be made")?;
    let folder = trial.as_ref().map_or(data.as_path(), tempfile::TempDir::path);
    std::fs::metadata(&options.source)
        .with_context(|| format!("{} cannot be read", options.source.display()))?;
    // Before a folder is made for it.
    let readable = match Readable::open(options) {
        Err(error @ ImportError::File(_)) => {
            return Err(error).with_context(|| {
                format!(
                    "{} cannot be read to its end: fetch it once more",
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
    let mut shown = Shown::new(environment.clone());
    let done = import(Arc::new(store.clone()), environment, readable, |progress| {
        shown.update(progress);
    })
    .await;
    shown.bar.finish_and_clear();
    let done = match done {
        Ok(summary) => secure(&store, config, &summary).await.map(|()| summary),
        Err(error) => Err(error).context("the import was interrupted; the same command goes on where it was"),
    };
    store.close().await;
    let summary = done?;
    if arguments.json {
        terminal::say_json(&summary)?;
    } else {
        say(&summary, arguments.dry_run, data);
    }
    Ok(summary.is_complete())
}

/// Sets the payments' classes that the import has made up as a server does: an export does not say who may write them.
async fn secure(store: &SqliteStore, config: &PaymentConfig, summary: &ImportSummary) -> Result<()> {
    let changes = schema::adopted(&store.schema(), config, &summary.made);
    let mut secured = BTreeSet::new();
    for change in changes {
        if let SchemaChange::SetPermissions(class, _) = &change
            && *class != config.user_class
        {
            secured.insert(class.as_str().to_owned());
        }
        store.define(change).await.context(
            "the data are imported, but the classes of the payments could not be set up as a server needs them",
        )?;
    }
    books::keep_of(store, config, &|class| secured.contains(class.as_str())).await?;
    if !secured.is_empty() {
        let classes = Vec::from_iter(secured).join(", ");
        terminal::warn(format!(
            "Made for payments, so that only the master key writes them: {classes}."
        ));
    }
    Ok(())
}

/// Reads the name of a class from the command line.
pub(crate) fn class_name(text: &str) -> Result<ClassName> {
    ClassName::parse(text).map_err(|error| anyhow::anyhow!(error.message))
}

/// How far the import is: a bar on a terminal, lines elsewhere.
struct Shown {
    bar: ProgressBar,
    is_terminal: bool,
    environment: Environment,
    last: Duration,
}

impl Shown {
    fn new(environment: Environment) -> Self {
        let template = "{msg:>24} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Self {
            bar: terminal::styled(ProgressBar::new(0), template),
            is_terminal: std::io::stderr().is_terminal(),
            last: environment.elapsed(),
            environment,
        }
    }

    fn update(&mut self, progress: ImportProgress) {
        self.bar.set_length(progress.bytes_total.max(progress.bytes));
        self.bar.set_position(progress.bytes);
        self.bar.set_message(format!("{} rows", progress.rows));
        let now = self.environment.elapsed();
        if !self.is_terminal && now.saturating_sub(self.last) >= BETWEEN_LINES {
            self.last = now;
            let percent = progress.bytes.saturating_mul(100) / progress.bytes_total.max(1);
            terminal::warn(format!(
                "{} rows, {}% of the files",
                progress.rows,
                percent.min(100)
            ));
        }
    }
}

fn say(summary: &ImportSummary, dry_run: bool, data: &Path) {
    if summary.resumed {
        terminal::say("Went on where an earlier import was interrupted; the numbers are of both together.");
    }
    terminal::say(format!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "class", "new", "replaced", "there", "kept", "left out", "links"
    ));
    for (class, counts) in &summary.classes {
        terminal::say(format!(
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
        terminal::say(format!("{} {records} left out.", summary.left_out));
    }
    if summary.dangling > 0 {
        terminal::say(format!(
            "{} pointers or ends of relations lead to objects that are not there; they arrived as they were.",
            summary.dangling
        ));
    }
    if let Some(report) = &summary.report {
        terminal::say(format!(
            "What and why, with file and line, stands in {}.",
            report.display()
        ));
    }
    if dry_run {
        terminal::say("This was a trial on an empty store: nothing was imported.");
    } else {
        terminal::say(format!("Imported into {}.", data.display()));
    }
}
