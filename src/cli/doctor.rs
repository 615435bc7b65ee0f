//! `paylog doctor`: the checks that the data are configured so that money is safe.
//!
//! The embedded store shows its schema. LeanCloud's API does not show its configuration: there every unique index and
//! every permission is probed by a request that must be refused. A refused request leaves nothing behind; otherwise the
//! created object is deleted, and the finding names the setting to change.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::app::checks::{Finding, describe, embedded_schema, leancloud_probe, money_fields};
use crate::app::data_context::DataContext;
use crate::app::{data_folder, leancloud_client, terminal};
use crate::cli::arguments::DataArguments;
use crate::config::{Backend, Keys};
use crate::environment::Environment;
use crate::payment::{PaymentConfig, schema};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Database;

/// `paylog doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArguments {
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// First take the payments' classes (Log, Order, Product) away from clients, and add the missing indexes and read-only
    /// columns, as a server does with the classes that it creates. Stop the server first
    #[arg(long)]
    pub(crate) lock: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the findings; returns true if there are none.
fn report(findings: &[Finding], json: bool) -> Result<bool> {
    if json {
        terminal::print_json(&serde_json::json!({"findings": findings}))?;
    } else if findings.is_empty() {
        terminal::print_line("Everything is configured as it must be.");
    } else {
        terminal::print_line(describe(findings));
    }
    Ok(findings.is_empty())
}

/// Runs the command; returns true if there are no findings.
pub(crate) async fn run(arguments: &DoctorArguments, context: &DataContext) -> Result<bool> {
    let DataContext {
        backend,
        payments: config,
        variables,
        environment,
    } = context;
    if arguments.lock {
        lock(backend, config, environment).await?;
    }
    let mut findings = match backend {
        Backend::Embedded(data) => {
            let store = SqliteStore::open_read_only(data, environment.clone())?;
            let mut findings = embedded_schema::check(&store.schema(), config);
            findings.extend(money_fields::check(&store, config).await?);
            findings
        }
        Backend::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            let client = leancloud_client::builder(server, &credentials, environment).build()?;
            let mut findings = leancloud_probe::check(&client, config, environment)
                .await?
                .findings;
            findings.extend(money_fields::check(&client, config).await?);
            findings
        }
    };
    findings.sort_by_key(|finding| finding.severity);
    report(&findings, arguments.json)
}

/// Takes the classes of the payments away from clients, whoever created them, and adds missing indexes and columns.
async fn lock(backend: &Backend, config: &PaymentConfig, environment: &Environment) -> Result<()> {
    let Backend::Embedded(data) = backend else {
        bail!(
            "--lock is for the embedded store; in LeanCloud's console, make the settings that `paylog doctor` names"
        );
    };
    // Creates no folder.
    drop(SqliteStore::open_read_only(data, environment.clone())?);
    let store = match SqliteStore::open(data, environment.clone()) {
        Err(error @ OpenError::Locked { .. }) => {
            return Err(error)
                .context("--lock needs exclusive access to the folder: stop the server that uses it");
        }
        opened => opened?,
    };
    for change in schema::lock_changes(&store.schema(), config) {
        let define = store.define(change).await;
        define.context("not all settings could be made")?;
    }
    let prepared = data_folder::prepare(&store, config).await;
    store.close().await;
    prepared
}
