//! Counters that `/health` shows to the master key, and that the benchmark reads.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// How often things have happened since the start. Shared by reference; every method is cheap.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    store_reads: AtomicU64,
    store_writes: AtomicU64,
    store_commits: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterSnapshot {
    /// HTTP requests that came in.
    pub requests: u64,
    /// Calls of the payment flow that read.
    pub store_reads: u64,
    /// Calls of the payment flow that write: single writes and batches.
    pub store_writes: u64,
    /// Calls of the payment flow that write all or nothing.
    pub store_commits: u64,
    /// Durable commits of the embedded store, each for one or many of the writes of anybody; 0 without one.
    pub durable_commits: u64,
}

impl Counters {
    /// A request came in.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The payment flow read.
    pub fn store_read(&self) {
        self.store_reads.fetch_add(1, Ordering::Relaxed);
    }

    /// The payment flow sent a write or a batch.
    pub fn store_write(&self) {
        self.store_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// The payment flow sent an all-or-nothing batch.
    pub fn store_commit(&self) {
        self.store_commits.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, with the store's own count. Each is exact; together they are of nearly the same moment.
    #[must_use]
    pub fn read(&self, durable_commits: u64) -> CounterSnapshot {
        CounterSnapshot {
            requests: self.requests.load(Ordering::Relaxed),
            store_reads: self.store_reads.load(Ordering::Relaxed),
            store_writes: self.store_writes.load(Ordering::Relaxed),
            store_commits: self.store_commits.load(Ordering::Relaxed),
            durable_commits,
        }
    }
}
