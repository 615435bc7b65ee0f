//! `paylog stuck`: the payments that wait for an operator.

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::app::data_context::DataContext;
use crate::app::{read_access, terminal};
use crate::cli::arguments::DataArguments;
use crate::model::Timestamp;
use crate::payment::service::StuckPayment;

/// `paylog stuck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StuckArguments {
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Print the payments as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A stuck payment and its age.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StuckEntry {
    #[serde(flatten)]
    payment: StuckPayment,
    age_seconds: Option<i64>,
}

/// Lists the stuck payments, read-only, also beside a running server; returns true if there are none.
pub(crate) async fn run(arguments: &StuckArguments, context: &DataContext) -> Result<bool> {
    let payments = read_access::open_payments(context).await?;
    let stuck = payments
        .stuck_payments()
        .await
        .context("the logs cannot be read")?;
    let now = context.environment.now();
    let waiting: Vec<_> = stuck
        .into_iter()
        .map(|payment| StuckEntry {
            age_seconds: payment.created_at.map(|created| seconds_between(created, now)),
            payment,
        })
        .collect();
    if arguments.json {
        terminal::print_json(&json!({"stuck": waiting}))?;
    } else if waiting.is_empty() {
        terminal::print_line("no payment waits for an operator");
    } else {
        for one in &waiting {
            terminal::print_line(describe_waiting(one));
        }
        terminal::print_line(format!(
            "{} wait. Remove the cause, then: paylog resume <log>. Or, before the money is secured: \
             paylog cancel <log>. If the paid amount of a recharge differs from the requested one: paylog resume <log> \
             --credit takes it as it is, paylog cancel <log> --returned says that it was given back at the provider",
            waiting.len()
        ));
    }
    Ok(waiting.is_empty())
}

fn describe_waiting(waiting: &StuckEntry) -> String {
    let StuckPayment {
        log,
        kind,
        amount,
        user,
        order,
        state,
        attempts,
        trade_no,
        error,
        created_at: _,
    } = &waiting.payment;
    let unknown = || "?".to_owned();
    let mut text = format!(
        "{log}  {age}  {kind} {amount}  user {user}  state {state}  {attempts} attempts",
        age = waiting.age_seconds.map_or_else(unknown, age),
        kind = kind.as_deref().unwrap_or("?"),
        amount = amount.map_or_else(unknown, |units| units.to_string()),
        user = user.as_ref().map_or_else(unknown, ToString::to_string),
        state = state.map_or_else(unknown, |state| state.to_string()),
    );
    if let Some(order) = order {
        text += &format!("  order {order}");
    }
    if let Some(trade_no) = trade_no {
        text += &format!("  tradeNo {trade_no}");
    }
    text + &format!("\n    {error}")
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis().saturating_sub(from.as_millis()) / 1000
}

/// Formats an age in its two largest units.
fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        86_400.. => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_has_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_725, "1h 2m"),
            (200_000, "2d 7h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
