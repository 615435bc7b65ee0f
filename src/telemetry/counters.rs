//! Counters that `/health` shows to the master key. The benchmark reads them too.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Numbers of events since the start of the process. Shared by reference; every method is cheap.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    store_reads: AtomicU64,
    store_writes: AtomicU64,
    store_commits: AtomicU64,
}

/// Values of the counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CounterSnapshot {
    /// HTTP requests received.
    pub requests: u64,
    /// Read calls of the payment flow.
    pub store_reads: u64,
    /// Write calls of the payment flow: single writes and batches.
    pub store_writes: u64,
    /// All-or-nothing commits of the payment flow.
    pub store_commits: u64,
    /// Durable commits of the embedded store, each of one or more writes; 0 without an embedded store.
    pub durable_commits: u64,
}

impl Counters {
    /// Counts a received request.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a read call of the payment flow.
    pub fn store_read(&self) {
        self.store_reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a write or a batch of the payment flow.
    pub fn store_write(&self) {
        self.store_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an all-or-nothing commit of the payment flow.
    pub fn store_commit(&self) {
        self.store_commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns all values, with the store's own count. Each is exact; together they are of nearly the same moment.
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
