//! The numbers, for people and for machines.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::load::Paid;
use crate::app::terminal;
use crate::cli::arguments::{BenchArguments, BenchMode};
use crate::telemetry::counters::CounterSnapshot;

/// The server's counters around the measured payments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) before: CounterSnapshot,
    pub(super) after: CounterSnapshot,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    mode: &'static str,
    in_flight: u64,
    accounts: u64,
    payments: u64,
    seconds: f64,
    payments_per_second: f64,
    latency_ms: Latency,
    store_reads_per_payment: f64,
    store_writes_per_payment: f64,
    /// Durable commits of the database, for whatever reason, over payments: below 1 where commits are shared.
    durable_commits_per_payment: f64,
    /// During the measured payments.
    peak_memory_bytes: Option<u64>,
    wrong_balances: u64,
    audit_differences: Option<u64>,
}

/// Of many requests, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    #[serde(rename = "p99.9")]
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

/// The latencies of requests; `sorted` is.
pub(super) fn latency(sorted: &[Duration]) -> Latency {
    Latency {
        p50: milliseconds(quantile(sorted, 500)),
        p99: milliseconds(quantile(sorted, 990)),
        p99_9: milliseconds(quantile(sorted, 999)),
        max: milliseconds(quantile(sorted, 1000)),
    }
}

impl Report {
    pub(super) fn new(
        arguments: &BenchArguments,
        accounts: u64,
        paid: &Paid,
        costs: Costs,
        peak_memory_bytes: Option<u64>,
        wrong_balances: u64,
    ) -> Self {
        let payments = number(arguments.payments);
        let seconds = paid.duration.as_secs_f64();
        let each = |of: fn(&CounterSnapshot) -> u64| {
            number(of(&costs.after).saturating_sub(of(&costs.before))) / payments
        };
        Self {
            mode: match arguments.mode {
                BenchMode::Uniform => "uniform",
                BenchMode::Hot => "hot",
            },
            in_flight: arguments.in_flight,
            accounts,
            payments: arguments.payments,
            seconds,
            payments_per_second: payments / seconds,
            latency_ms: latency(&paid.latencies),
            store_reads_per_payment: each(|counted| counted.store_reads),
            store_writes_per_payment: each(|counted| counted.store_writes + counted.store_commits),
            durable_commits_per_payment: each(|counted| counted.durable_commits),
            peak_memory_bytes,
            wrong_balances,
            audit_differences: None,
        }
    }

    pub(super) fn audited(&mut self, differences: u64) {
        self.audit_differences = Some(differences);
    }

    /// Whether every balance is what it must be.
    pub(super) fn is_right(&self) -> bool {
        self.wrong_balances == 0 && self.audit_differences.unwrap_or(0) == 0
    }

    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            return terminal::print_json(self);
        }
        let Latency { p50, p99, p99_9, max } = self.latency_ms;
        terminal::print_line(format!(
            "{} payments, {} ({} accounts), {} in flight, {:.2} s\n\
             payments per second   {:.0}\n\
             latency               p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p99_9:.2} ms, max {max:.2} ms\n\
             store calls           {:.2} reads and {:.2} writes per payment\n\
             durable commits       {:.3} per payment",
            self.payments,
            self.mode,
            self.accounts,
            self.in_flight,
            self.seconds,
            self.payments_per_second,
            self.store_reads_per_payment,
            self.store_writes_per_payment,
            self.durable_commits_per_payment,
        ));
        if let Some(bytes) = self.peak_memory_bytes {
            terminal::print_line(format!("peak memory           {:.1} MB", number(bytes) / 1e6));
        }
        let audit = match self.audit_differences {
            Some(0) => "no difference".to_owned(),
            Some(differences) => format!("{differences} differences"),
            None => "not done (another server's data)".to_owned(),
        };
        terminal::print_line(format!(
            "balances              {} wrong; audit: {audit}",
            self.wrong_balances
        ));
        Ok(())
    }
}

/// The smallest latency that `per_mille` of 1,000 payments did not exceed. `sorted` is.
fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A count as a floating-point number; counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count of a benchmark, to be divided")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        for (per_mille, millis) in [(500, 500), (990, 990), (999, 999), (1000, 1000)] {
            assert_eq!(quantile(&sorted, per_mille), Duration::from_millis(millis));
        }
        assert_eq!(quantile(&sorted[..1], 500), Duration::from_millis(1));
        assert_eq!(quantile(&[], 500), Duration::ZERO);
    }
}
