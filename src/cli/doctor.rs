//! `paylog doctor`: whether the home of the data is set up so that money is safe.
//!
//! In the embedded store the set-up can be read. LeanCloud's API does not show it: there every unique index and every
//! permission is tried out, by a request that must be refused. Where it is refused, nothing is left behind; where it
//! is not, what it has made is removed again and the finding says what to set.

pub(crate) mod money;
pub(crate) mod probe;
pub(crate) mod set_up;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cli::arguments::DoctorArguments;
use crate::cli::serve::{embedded, leancloud};
use crate::cli::terminal;
use crate::config::{Backend, Keys, Variables};
use crate::environment::Environment;
use crate::payment::{PaymentConfig, schema};
use crate::storage::SqliteStore;
use crate::storage::sqlite::OpenError;
use crate::store::Database;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to set, and where.
    pub(crate) remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Money can be made, lost or counted twice: `serve` refuses to start.
    Unsafe,
    /// To be looked at.
    Warning,
}

impl Finding {
    pub(crate) fn money_at_risk(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Unsafe,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn warning(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// Whether money is at risk.
pub(crate) fn is_unsafe(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Unsafe)
}

/// The findings as a list for people.
pub(crate) fn describe(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Unsafe => "UNSAFE ",
                Severity::Warning => "warning",
            };
            format!("{severity}  {}\n         {}", finding.problem, finding.remedy)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Prints the findings, and answers whether there is none.
pub(crate) fn report(findings: &[Finding], json: bool) -> Result<bool> {
    if json {
        terminal::say_json(&serde_json::json!({"findings": findings}))?;
    } else if findings.is_empty() {
        terminal::say("Everything is set up as it must be.");
    } else {
        terminal::say(describe(findings));
    }
    Ok(findings.is_empty())
}

/// Runs the command, and answers whether nothing was found.
pub(crate) async fn run(
    arguments: &DoctorArguments,
    home: &Backend,
    config: &PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    if arguments.lock {
        lock(home, config, environment).await?;
    }
    let mut findings = match home {
        Backend::Embedded(data) => {
            let store = SqliteStore::open_read_only(data, environment.clone())?;
            let mut findings = set_up::check(&store.schema(), config);
            findings.extend(money::check(&store, config).await?);
            findings
        }
        Backend::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            let client = leancloud::client(server, &credentials, environment).build()?;
            let mut findings = probe::check(&client, config, environment).await?.findings;
            findings.extend(money::check(&client, config).await?);
            findings
        }
    };
    findings.sort_by_key(|finding| finding.severity);
    report(&findings, arguments.json)
}

/// Takes the classes of the payments away from clients, whoever made them, and gives them what they lack.
async fn lock(home: &Backend, config: &PaymentConfig, environment: &Environment) -> Result<()> {
    let Backend::Embedded(data) = home else {
        bail!("--lock is for the embedded store; in LeanCloud's console, set what `paylog doctor` names");
    };
    // No folder is made where there is none.
    drop(SqliteStore::open_read_only(data, environment.clone())?);
    let store = match SqliteStore::open(data, environment.clone()) {
        Err(error @ OpenError::Locked { .. }) => {
            return Err(error).context("--lock needs the folder for itself: stop the server that has it");
        }
        opened => opened?,
    };
    for change in schema::locked(&store.schema(), config) {
        let define = store.define(change).await;
        define.context("not all of it could be set")?;
    }
    let prepared = embedded::prepare(&store, config).await;
    store.close().await;
    prepared
}
