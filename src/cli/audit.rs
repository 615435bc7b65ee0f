//! `paylog audit`: every balance recomputed from the logs, and compared.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::cli::arguments::AuditArguments;
use crate::cli::books;
use crate::cli::operator::Operator;
use crate::cli::serve::leancloud;
use crate::cli::terminal;
use crate::config::{Backend, Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::model::Filter;
use crate::payment::audit::{Audit, Opened, Progress, Report, Stage, Unopened};
use crate::payment::{PaymentConfig, Payments};
use crate::store::Store;

/// Where there is no terminal, a line is printed after so many documents.
const LINE_EVERY: u64 = 100_000;

/// Everything that the command prints.
#[derive(Debug, Serialize)]
struct Output {
    /// With `--open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<Opened>,
    #[serde(flatten)]
    report: Report,
}

/// Runs the command, and answers whether everything is as the logs say.
pub(crate) async fn run(
    app: App<Payments>,
    arguments: &AuditArguments,
    home: &Backend,
    config: &PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<bool> {
    let (mut report, unopened) = audited(home, config, variables, environment).await?;
    let mut opened = None;
    if arguments.open {
        let has_opened = if unopened.is_empty() {
            Opened::default()
        } else {
            let keys = Keys::read(variables)?;
            let operator = Operator::open(app, home, config.clone(), keys, environment).await?;
            let outcome = unopened
                .open(&*operator.store(), &config.rules(), environment)
                .await
                .context("not all accounts could be opened; run the command again");
            operator.close().await;
            (report, _) = audited(home, config, variables, environment).await?;
            outcome?
        };
        opened = Some(has_opened);
    }
    let is_right = report.differing == 0;
    let output = Output { opened, report };
    if arguments.json {
        terminal::say_json(&output)?;
    } else {
        terminal::say(describe(&output));
    }
    Ok(is_right)
}

/// What an audit of `home` finds. Reads only, also beside a running server.
async fn audited(
    home: &Backend,
    config: &PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<(Report, Unopened)> {
    match home {
        Backend::Embedded(data) => embedded(data, config, environment).await,
        Backend::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            let client = leancloud::client(server, &credentials, environment).build()?;
            let shown = Shown::of(&client, config).await;
            let watch = |progress| shown.show(progress);
            let audit = Audit::of(&client, config).watched_by(&watch);
            audit.run().await.context("LeanCloud could not be read")
        }
    }
}

/// Audits the embedded store in `data` as of one moment, also while a server writes to it.
pub(crate) async fn embedded(
    data: &Path,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<(Report, Unopened)> {
    let store = books::open_snapshot(data, config, environment).await?;
    let shown = Shown::of(&store, config).await;
    let watch = |progress| shown.show(progress);
    let audit = Audit::of(&store, config).of_one_moment().watched_by(&watch);
    audit.run().await.context("the data cannot be read")
}

/// How far an audit is: a bar on a terminal, lines elsewhere.
struct Shown {
    bar: ProgressBar,
    logs: u64,
    documents: u64,
    /// Documents of the last line.
    said: AtomicU64,
}

impl Shown {
    async fn of(store: &dyn Store, config: &PaymentConfig) -> Self {
        let all = Filter::all();
        // A total that is not known shows as none.
        let mut counts = [0, 0, 0];
        let classes = [&config.log_class, &config.user_class, &config.order_class];
        for (count, class) in counts.iter_mut().zip(classes) {
            *count = store.count(class, &all).await.unwrap_or_default();
        }
        let [logs, users, orders] = counts;
        let documents = users.saturating_add(orders);
        Self {
            bar: terminal::progress("auditing", logs.saturating_add(documents)),
            logs,
            documents,
            said: AtomicU64::new(0),
        }
    }

    fn show(&self, progress: Progress) {
        let Progress { pass, stage, done } = progress;
        let (before, total, what) = match stage {
            Stage::Logs => (0, self.logs, "logs"),
            Stage::Documents => (self.logs, self.documents, "users and orders"),
        };
        if pass > 1 {
            self.bar.set_message("again");
        }
        self.bar.set_position(before.saturating_add(done));
        let steps = done / LINE_EVERY;
        if self.bar.is_hidden() && steps > 0 && self.said.swap(steps, Ordering::Relaxed) != steps {
            terminal::warn(format!("audit, pass {pass}: {done} of {total} {what}"));
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn describe(output: &Output) -> String {
    let Output { opened, report } = output;
    let mut lines = Vec::new();
    if let Some(Opened {
        accounts,
        amount,
        before,
        beyond,
    }) = opened
    {
        lines.push(format!(
            "opened       {accounts} accounts, which held {amount} before any payment"
        ));
        if *before > 0 {
            lines.push(format!(
                "  {before} more have been opened by somebody else meanwhile"
            ));
        }
        lines.extend(
            beyond.iter().map(|user| {
                format!("  {user} holds more than 10^12, which no log can say: look at it by hand")
            }),
        );
    }
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
    let shown = shown.collect::<std::collections::BTreeSet<_>>().len();
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
            "{} more were paid from or to all the while, and cannot be judged: run the command again",
            report.unjudged
        ));
    }
    lines.join("\n")
}
