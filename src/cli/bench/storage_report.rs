//! The report of `paylog bench --storage`, for people and as JSON.

use anyhow::Result;
use serde::Serialize;

use crate::app::terminal;
use crate::load_generator::{Latency, OperationMeasurement, to_f64};

/// The measurements of all operations.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StorageReport {
    pub(super) in_flight: u64,
    pub(super) requests: u64,
    pub(super) operations: Vec<OperationMeasurement>,
    /// Peak memory of the server over all operations, in bytes.
    pub(super) peak_memory_bytes: Option<u64>,
}

impl StorageReport {
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            return terminal::print_json(self);
        }
        terminal::print_line(format!(
            "{} requests of each kind, {} in flight\n{:<26} {:>10} {:>12}  latency (ms): p50, p99, max",
            self.requests, self.in_flight, "", "per second", "CPU µs each"
        ));
        for OperationMeasurement {
            name,
            per_second,
            latency_ms: Latency { p50, p99, max, .. },
            processor_us,
            ..
        } in &self.operations
        {
            let processor = processor_us.map_or_else(String::new, |us| format!("{us:.0}"));
            terminal::print_line(format!(
                "{name:<26} {per_second:>10.0} {processor:>12}  {p50:.2}, {p99:.2}, {max:.2}"
            ));
        }
        if let Some(bytes) = self.peak_memory_bytes {
            terminal::print_line(format!(
                "peak memory of the server  {:.1} MB",
                to_f64(bytes) / 1e6
            ));
        }
        Ok(())
    }
}
