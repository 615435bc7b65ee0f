//! `paylog recover`: finishes open payments, through the running server if there is one.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::app::data_context::DataContext;
use crate::app::terminal;
use crate::app::write_access::WriteAccess;
use crate::cli::arguments::DataArguments;
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::PaymentService;
use crate::payment::service::RecoveryReport;

/// `paylog recover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArguments {
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Maximum number of payments to take up
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Maximum number of payments per call, so that the call ends within its time-out.
const PAYMENTS_PER_CALL_MAX: u64 = 500;

/// Pause before the next call, if another worker holds the open payments.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Runs the command; returns true if no payment is open or stuck.
pub(crate) async fn run(
    app: App<PaymentService>,
    arguments: &RecoverArguments,
    context: &DataContext,
) -> Result<bool> {
    let limits = RecoveryLimits {
        limit: arguments.limit.map_or(u64::MAX, u64::from),
        // The claims of a dead worker may last this long.
        timeout: context.payments.lease.saturating_add(RETRY_PAUSE),
        environment: &context.environment,
    };
    let access = WriteAccess::open(app, context).await?;
    let recovered = limits
        .repeat(|limit| {
            let access = &access;
            async move {
                access
                    .call("recoverPayments", &json!({"limit": limit}), async |payments| {
                        payments.recover_payments(limit).await
                    })
                    .await
            }
        })
        .await;
    access.close().await;
    let recovered = recovered?;
    if arguments.json {
        terminal::print_json(&json!(recovered))?;
    } else {
        terminal::print_line(describe(&recovered));
    }
    Ok(recovered.open == 0 && recovered.stuck == 0)
}

/// Limits of a recovery.
struct RecoveryLimits<'a> {
    limit: u64,
    timeout: Duration,
    environment: &'a Environment,
}

impl RecoveryLimits<'_> {
    /// Repeats the call while it closes payments, and then for as long as a dead worker's claims may last.
    async fn repeat<F>(&self, ask: impl Fn(u32) -> F) -> Result<RecoveryReport>
    where
        F: Future<Output = Result<RecoveryReport>>,
    {
        let mut sum = RecoveryReport::default();
        let mut give_up = self.environment.elapsed().saturating_add(self.timeout);
        loop {
            let limit = self.limit.saturating_sub(sum.taken).min(PAYMENTS_PER_CALL_MAX);
            let round = ask(u32::try_from(limit).unwrap_or(u32::MAX)).await?;
            sum = RecoveryReport {
                taken: sum.taken.saturating_add(round.taken),
                succeeded: sum.succeeded.saturating_add(round.succeeded),
                failed: sum.failed.saturating_add(round.failed),
                undecided: sum.undecided.saturating_add(round.undecided),
                ..round
            };
            if round.open == 0 || sum.taken >= self.limit {
                return Ok(sum);
            }
            let now = self.environment.elapsed();
            if round.succeeded.saturating_add(round.failed) > 0 {
                give_up = now.saturating_add(self.timeout);
            } else if now >= give_up {
                return Ok(sum);
            } else {
                self.environment.sleep(RETRY_PAUSE).await;
            }
        }
    }
}

fn describe(recovered: &RecoveryReport) -> String {
    let RecoveryReport {
        taken,
        succeeded,
        failed,
        undecided,
        stuck,
        open,
    } = recovered;
    let mut text = format!(
        "{taken} open payments taken up: {succeeded} succeeded, {failed} failed, {undecided} not finished yet"
    );
    if *open > 0 {
        text += &format!("\n{open} are still open: run the command again, and look for the cause in the log");
    }
    if *stuck > 0 {
        text += &format!("\n{stuck} are stuck: they wait for an operator");
    }
    text
}
