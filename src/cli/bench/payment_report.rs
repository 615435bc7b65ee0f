//! The report of `paylog bench`, for people and as JSON.

use anyhow::Result;
use serde::Serialize;

use crate::app::terminal;
use crate::load_generator::{Latency, PaymentRun, latency, to_f64};
use crate::telemetry::counters::CounterSnapshot;

/// The server's counters before and after the measured payments.
#[derive(Clone, Copy, Debug)]
pub(super) struct CounterRange {
    pub(super) before: CounterSnapshot,
    pub(super) after: CounterSnapshot,
}

/// Settings of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunSettings {
    /// "uniform" or "hot".
    pub(super) mode: &'static str,
    /// Concurrent requests.
    pub(super) in_flight: u64,
    /// Accounts that pay.
    pub(super) accounts: u64,
    /// Measured payments.
    pub(super) payments: u64,
}

/// The measurements of all payments.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentReport {
    mode: &'static str,
    in_flight: u64,
    accounts: u64,
    payments: u64,
    seconds: f64,
    payments_per_second: f64,
    latency_ms: Latency,
    store_reads_per_payment: f64,
    store_writes_per_payment: f64,
    /// Durable commits of the database, for any reason, divided by payments: below 1 if commits are shared.
    durable_commits_per_payment: f64,
    /// Peak memory of the server during the measured payments, in bytes.
    peak_memory_bytes: Option<u64>,
    wrong_balances: u64,
    audit_differences: Option<u64>,
}

impl PaymentReport {
    pub(super) fn new(
        settings: RunSettings,
        paid: &PaymentRun,
        counters: CounterRange,
        peak_memory_bytes: Option<u64>,
        wrong_balances: u64,
    ) -> Self {
        let RunSettings {
            mode,
            in_flight,
            accounts,
            payments: count,
        } = settings;
        let payments = to_f64(count);
        let seconds = paid.duration.as_secs_f64();
        let each = |of: fn(&CounterSnapshot) -> u64| {
            to_f64(of(&counters.after).saturating_sub(of(&counters.before))) / payments
        };
        Self {
            mode,
            in_flight,
            accounts,
            payments: count,
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

    /// True if every balance is right.
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
            terminal::print_line(format!("peak memory           {:.1} MB", to_f64(bytes) / 1e6));
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
