//! `paylog export`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::app::terminal;
use crate::cli::arguments::{self, DataArguments};
use crate::cli::progress_bar;
use crate::config::Backend;
use crate::environment::Environment;
use crate::migration::{ExportOptions, export};
use crate::model::Timestamp;
use crate::storage::SqliteStore;

/// `paylog export`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportArguments {
    /// The folder to create, or the archive, if the name ends in .tar.gz; it must not exist yet
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    /// Only this class and its relations; may be given several times [default: all]
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Vec<String>,
    /// Only objects changed then or later: 2026-11-25, or 2026-11-25T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes the data in the format of LeanCloud's export, as of one moment, also beside a running server; returns true.
pub(crate) async fn run(
    arguments: &ExportArguments,
    backend: &Backend,
    environment: &Environment,
) -> Result<bool> {
    let Backend::Embedded(data) = backend else {
        bail!(
            "this exports the embedded store: unset LEANCLOUD_API_SERVER, or name a folder with --data; \
             LeanCloud's own data are exported from its console"
        );
    };
    let classes = arguments.class.iter().map(|name| arguments::class_name(name));
    let options = ExportOptions {
        target: arguments.target.clone(),
        classes: classes.collect::<Result<_>>()?,
        since: arguments.since.as_deref().map(since).transpose()?,
    };
    let store = SqliteStore::open_snapshot(data, environment.clone())?;
    let bar = progress_bar::progress("exporting", 0);
    let shown = bar.clone();
    let exported = export(&store, &options, |objects| {
        shown.set_length(objects);
        shown.set_position(objects);
    })
    .await;
    bar.finish_and_clear();
    let exported = exported?;
    if arguments.json {
        terminal::print_json(&exported)?;
        return Ok(true);
    }
    for (class, objects) in &exported.classes {
        terminal::print_line(format!("{:<28} {objects:>10}", class.as_str()));
    }
    let objects: u64 = exported.classes.values().sum();
    terminal::print_line(format!(
        "{objects} objects and {} links of relations are in {}.",
        exported.links,
        options.target.display()
    ));
    terminal::print_line("Password hashes and session tokens are among them: keep it secret.");
    Ok(true)
}

/// Parses a time, or a day in UTC.
fn since(text: &str) -> Result<Timestamp> {
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")))
        .map_err(|_| {
            anyhow::anyhow!(
                "--since {text}: a time such as 2026-11-25T08:00:00Z or a day such as 2026-11-25 is expected"
            )
        })
}
