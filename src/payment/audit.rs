//! Recomputes every account and order from the logs, and lists what differs.
//!
//! All logs are read once, then all documents. What the logs say about documents is sorted by document in between,
//! with temporary files where it is much, so that however many logs and accounts there are, memory stays the same:
//! some 35 MB, two pages of documents, and what differs.
//!
//! A store that shows one moment ([`Audit::of_one_moment`]) is read once, and whatever differs does. Any other changes
//! while it is read; there a difference counts once three passes have met the very same document with the very same
//! difference, and neither of the last two a log under way that touches it. No payment has touched the document
//! between the first and the third reading then (it would have left a mark, or at least another `updatedAt`), and
//! all logs were read in that time: the difference is real. A log that waits for an operator, or for its gateway, is
//! not under way.

mod opening;
mod pages;
mod pass;
mod record;
mod sort;

use std::fmt;
use std::io;

use futures_util::future;
use serde::Serialize;

use crate::payment::PaymentConfig;
use crate::payment::protocol::ledger::Difference;
use crate::store::{ReadError, Store};

use pages::Pages;
use pass::{Comparing, Judge, Reading};
use record::Class;

pub use opening::{Opened, Unopened};
pub use pass::DIFFERENCES_MAX;

/// How often a difference must be found before it counts, on a store that changes meanwhile.
const PASSES: u8 = 3;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Users looked at.
    pub accounts: u64,
    /// Orders looked at.
    pub orders: u64,
    /// Logs looked at.
    pub logs: u64,
    /// Logs that are still open.
    pub open: u64,
    /// Of those, left to an operator.
    pub stuck: u64,
    /// What open logs have taken and not yet given, in minor units.
    pub in_flight: i128,
    /// Documents that differ.
    pub differing: u64,
    /// Documents that seemed to differ, and were paid from or to all the time: look again.
    pub unjudged: u64,
    /// Of those that differ, accounts that no payment has ever touched: they had their money before.
    pub unopened: u64,
    /// What the logs do not account for, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

/// Why an audit came to no end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is sorted does not fit in memory, and cannot be put elsewhere.
    #[error("temporary files cannot be used: {0}; another folder for them: TMPDIR")]
    Temporary(#[from] io::Error),
}

/// What an audit is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditStage {
    /// Reading logs.
    Logs,
    /// Comparing users and then orders.
    Documents,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditProgress {
    /// Which pass this is, from 1.
    pub pass: u8,
    /// What is being read.
    pub stage: AuditStage,
    /// How many of them have been.
    pub done: u64,
}

/// An audit that can be run.
pub struct Audit<'a> {
    store: &'a dyn Store,
    config: &'a PaymentConfig,
    passes: u8,
    watch: &'a (dyn Fn(AuditProgress) + Send + Sync),
}

impl fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("store", &self.store)
            .field("passes", &self.passes)
            .finish_non_exhaustive()
    }
}

/// Audits everything in `store`, which may change meanwhile.
///
/// # Errors
/// [`AuditError`].
pub async fn audit(store: &dyn Store, config: &PaymentConfig) -> Result<AuditReport, AuditError> {
    Ok(Audit::of(store, config).run().await?.0)
}

impl<'a> Audit<'a> {
    /// An audit of everything in `store`, which may change meanwhile.
    #[must_use]
    pub fn of(store: &'a dyn Store, config: &'a PaymentConfig) -> Self {
        Self {
            store,
            config,
            passes: PASSES,
            watch: &|_| {},
        }
    }

    /// All that the store answers is of one moment.
    #[must_use]
    pub fn of_one_moment(self) -> Self {
        Self { passes: 1, ..self }
    }

    /// Calls `watch` now and then.
    #[must_use]
    pub fn watched_by(self, watch: &'a (dyn Fn(AuditProgress) + Send + Sync)) -> Self {
        Self { watch, ..self }
    }

    /// Runs it; answers, beside what it found, the accounts that had money before any payment. Reads only.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn run(&self) -> Result<(AuditReport, Unopened), AuditError> {
        let mut judge = Judge::first(self.passes == 1);
        let mut pass = 1;
        loop {
            let (report, judged) = self.pass(pass, judge).await?;
            if judged.is_done() {
                return Ok(finish(report, judged));
            }
            pass = pass.saturating_add(1);
            judge = judged.next(pass >= self.passes);
        }
    }

    async fn pass(&self, pass: u8, judge: Judge) -> Result<(AuditReport, Judge), AuditError> {
        let rules = self.config.names();
        let mut reading = Reading::new(rules.clone(), judge);
        let mut pages = Pages::new(self.store, &rules.log_class);
        let mut page = pages.next().await?;
        while !page.is_empty() {
            // The next page is read while this one is taken.
            let work = move || reading.take(&page).map(|()| reading);
            let (taken, next) = future::join(apart(work), pages.next()).await;
            (reading, page) = (taken?, next?);
            (self.watch)(AuditProgress {
                pass,
                stage: AuditStage::Logs,
                done: reading.logs(),
            });
        }
        let mut comparing = apart(|| reading.finish()).await?;
        let mut report = AuditReport::default();
        for class in [Class::Users, Class::Orders] {
            let before = comparing.seen;
            comparing = self.compare(pass, class, comparing).await?;
            let seen = comparing.seen.saturating_sub(before);
            match class {
                Class::Users => report.accounts = seen,
                Class::Orders | Class::Logs => report.orders = seen,
            }
        }
        comparing = apart(|| comparing.finish_class(Class::Logs).map(|()| comparing)).await?;
        report.logs = comparing.totals.logs;
        report.open = comparing.totals.open;
        report.stuck = comparing.totals.stuck;
        report.in_flight = comparing.in_flight();
        Ok((report, comparing.judge))
    }

    async fn compare(
        &self,
        pass: u8,
        class: Class,
        mut comparing: Comparing,
    ) -> Result<Comparing, AuditError> {
        let name = match class {
            Class::Users => &self.config.user_class,
            Class::Orders => &self.config.order_class,
            Class::Logs => &self.config.log_class,
        };
        let mut pages = Pages::new(self.store, name);
        let mut page = pages.next().await?;
        while !page.is_empty() {
            let work = move || comparing.compare(class, &page).map(|()| comparing);
            let (compared, next) = future::join(apart(work), pages.next()).await;
            (comparing, page) = (compared?, next?);
            (self.watch)(AuditProgress {
                pass,
                stage: AuditStage::Documents,
                done: comparing.seen,
            });
        }
        Ok(apart(move || comparing.finish_class(class).map(|()| comparing)).await?)
    }
}

/// Runs `work` on a thread that may be blocked.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten()
}

fn finish(mut report: AuditReport, judge: Judge) -> (AuditReport, Unopened) {
    report.differing = judge.differing;
    report.unjudged = judge.unjudged;
    report.unopened = judge.unopened.len();
    report.differences = judge.differences;
    report.differences.sort();
    (report, judge.unopened)
}
