//! `paylog audit`: every balance recomputed from the logs, and compared.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::app::data_context::DataContext;
use crate::app::write_access::WriteAccess;
use crate::app::{leancloud_client, terminal};
use crate::cli::arguments::DataArguments;
use crate::cli::embedded_audit;
use crate::cli::progress_bar::AuditProgressBar;
use crate::config::{Backend, Keys};
use crate::engine::App;
use crate::payment::PaymentService;
use crate::payment::audit::{Audit, AuditReport, Opened, Unopened};

/// `paylog audit`.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditArguments {
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Account for the money that users held before their first payment: one closed log each, once. Moves no money
    #[arg(long)]
    pub(crate) open: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Output of the command.
#[derive(Debug, Serialize)]
struct Output {
    /// The opened accounts; only with `--open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<Opened>,
    #[serde(flatten)]
    report: AuditReport,
}

/// Runs the command; returns true if all balances agree with the logs.
pub(crate) async fn run(
    app: App<PaymentService>,
    arguments: &AuditArguments,
    context: &DataContext,
) -> Result<bool> {
    let (mut report, unopened) = audit(context).await?;
    let mut opened = None;
    if arguments.open {
        let has_opened = if unopened.is_empty() {
            Opened::default()
        } else {
            let access = WriteAccess::open(app, context).await?;
            let outcome = unopened
                .open(&*access.store(), &context.payments.names(), &context.environment)
                .await
                .context("not all accounts could be opened; run the command again");
            access.close().await;
            (report, _) = audit(context).await?;
            outcome?
        };
        opened = Some(has_opened);
    }
    let is_right = report.differing == 0;
    let output = Output { opened, report };
    if arguments.json {
        terminal::print_json(&output)?;
    } else {
        terminal::print_line(describe(&output));
    }
    Ok(is_right)
}

/// Audits the data, read-only, also beside a running server.
async fn audit(context: &DataContext) -> Result<(AuditReport, Unopened)> {
    let DataContext {
        backend,
        payments: config,
        variables,
        environment,
    } = context;
    match backend {
        Backend::Embedded(data) => embedded_audit::audit(data, config, environment).await,
        Backend::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            let client = leancloud_client::builder(server, &credentials, environment).build()?;
            let shown = AuditProgressBar::of(&client, config).await;
            let watch = |progress| shown.show(progress);
            let audit = Audit::of(&client, config).with_observer(&watch);
            audit.run().await.context("LeanCloud could not be read")
        }
    }
}

fn describe(output: &Output) -> String {
    let Output { opened, report } = output;
    let mut lines = opened.as_ref().map(describe_opened).unwrap_or_default();
    lines.extend([
        format!("accounts     {}", report.accounts),
        format!("orders       {}", report.orders),
        format!(
            "logs         {}, of which {} are open ({} stuck)",
            report.logs, report.open, report.stuck
        ),
        format!("in flight    {}", report.in_flight),
        format!("differences  {}", report.differing),
    ]);
    for difference in &report.differences {
        lines.push(format!(
            "  {} {}, {}: the logs say {}, stored is {}",
            difference.class, difference.id, difference.field, difference.expected, difference.found
        ));
        if !difference.logs.is_empty() {
            let logs: Vec<_> = difference.logs.iter().map(ToString::to_string).collect();
            let more = difference
                .logs_total
                .saturating_sub(u64::try_from(logs.len()).unwrap_or(0));
            let more = if more > 0 {
                format!(" and {more} older ones")
            } else {
                String::new()
            };
            lines.push(format!("      by the logs {}{more}", logs.join(", ")));
        }
    }
    let shown = report
        .differences
        .iter()
        .map(|difference| (&difference.class, &difference.id));
    let shown = shown.collect::<BTreeSet<_>>().len();
    let hidden = report.differing.saturating_sub(u64::try_from(shown).unwrap_or(0));
    if hidden > 0 {
        lines.push(format!("  and {hidden} more: repair these first"));
    }
    if report.unopened > 0 {
        lines.push(format!(
            "{} of them held their money before any payment: `paylog audit --open` accounts for it",
            report.unopened
        ));
    }
    if report.unjudged > 0 {
        lines.push(format!(
            "{} more changed during the whole audit, and could not be checked: run the command again",
            report.unjudged
        ));
    }
    lines.join("\n")
}

fn describe_opened(opened: &Opened) -> Vec<String> {
    let Opened {
        accounts,
        amount,
        before,
        beyond,
    } = opened;
    let mut lines = vec![format!(
        "opened       {accounts} accounts, which held {amount} before any payment"
    )];
    if *before > 0 {
        lines.push(format!(
            "  {before} more were opened by another process meanwhile"
        ));
    }
    lines.extend(beyond.iter().map(|user| {
        format!("  {user} holds more than 10^12, which exceeds the maximum of a log: check it by hand")
    }));
    lines
}
