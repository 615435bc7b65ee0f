//! Latencies of many requests, as quantiles.

use std::time::Duration;

use serde::Serialize;

/// Quantiles of the latencies of many requests, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// Returns the quantiles of latencies in ascending order.
pub(crate) fn latency(sorted: &[Duration]) -> Latency {
    Latency {
        p50: milliseconds(quantile(sorted, 500)),
        p99: milliseconds(quantile(sorted, 990)),
        p99_9: milliseconds(quantile(sorted, 999)),
        max: milliseconds(quantile(sorted, 1000)),
    }
}

/// The smallest latency that `per_mille` of 1,000 requests did not exceed; `sorted` is in ascending order.
fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Converts a count to a floating-point number; counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count of a benchmark, to be divided")]
pub(crate) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_is_a_rank() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        for (per_mille, millis) in [(500, 500), (990, 990), (999, 999), (1000, 1000)] {
            assert_eq!(quantile(&sorted, per_mille), Duration::from_millis(millis));
        }
        assert_eq!(quantile(&sorted[..1], 500), Duration::from_millis(1));
        assert_eq!(quantile(&[], 500), Duration::ZERO);
    }
}
