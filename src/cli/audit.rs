//! `paylog audit`: every balance recomputed from the logs, and compared.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::arguments::AuditArguments;
use crate::cli::serve::leancloud;
use crate::cli::terminal;
use crate::config::{Home, Keys, Variables};
use crate::environment::Environment;
use crate::payment::PaymentConfig;
use crate::payment::audit::{Report, audit};
use crate::storage::SqliteStore;

/// Runs the command, and answers whether everything is as the logs say.
pub(crate) async fn run(
    arguments: &AuditArguments,
    home: &Home,
    config: &PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let spinner = terminal::waiting("recomputing every balance");
    let report = match home {
        Home::Embedded(data) => embedded(data, config, environment).await?,
        Home::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            let client = leancloud::client(server, &credentials, environment).build()?;
            audit(&client, config)
                .await
                .context("LeanCloud could not be read")?
        }
    };
    spinner.finish_and_clear();
    if arguments.json {
        terminal::say_json(&report)?;
    } else {
        terminal::say(describe(&report));
    }
    Ok(report.differences.is_empty())
}

/// Audits the embedded store in `data` as of one moment, also while a server writes to it.
pub(crate) async fn embedded(
    data: &Path,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<Report> {
    let store = SqliteStore::open_snapshot(data, environment.clone())?;
    audit(&store, config).await.context("the data cannot be read")
}

fn describe(report: &Report) -> String {
    let mut lines = vec![
        format!("accounts     {}", report.accounts),
        format!("orders       {}", report.orders),
        format!(
            "logs         {}, of which {} are open ({} stuck)",
            report.logs, report.open, report.stuck
        ),
        format!("in flight    {}", report.in_flight),
        format!("differences  {}", report.differences.len()),
    ];
    lines.extend(report.differences.iter().map(|difference| {
        format!(
            "  {} {}, {}: the logs say {}, stored is {}",
            difference.class, difference.id, difference.field, difference.expected, difference.found
        )
    }));
    lines.join("\n")
}
