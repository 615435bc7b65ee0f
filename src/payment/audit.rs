//! The audit: recomputes every account and order from the logs, and lists the differences.
//!
//! It reads all logs once, then all documents. In between it sorts the postings of the logs by document, with temporary
//! files if they are many. So memory does not depend on the number of logs and accounts: some 35 MB, two pages of
//! documents, and the differences.
//!
//! A store that shows one moment ([`Audit::of_one_moment`]) is read once, and every difference counts. Another store
//! changes while it is read. There a difference counts if three passes have found the very same document with the very
//! same difference, and neither of the last two passes an open log that touches it. Then no payment has touched the
//! document between the first and the third reading (it would have left a mark, or at least another `updatedAt`), and
//! all logs were read in that time: the difference is real. A log that waits for an operator, or for its gateway, does
//! not count as open here.

mod error;
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
use crate::payment::protocol::ledger::Discrepancy;
use crate::store::Store;

use pages::Pages;
use pass::{Comparing, Judge, Reading};
use record::Class;

pub use error::AuditError;
pub use opening::{Opened, Unopened};
pub use pass::DIFFERENCES_MAX;

/// Passes in which a difference must be found before it counts, on a store that changes meanwhile.
const PASSES: u8 = 3;

/// Result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Number of users audited.
    pub accounts: u64,
    /// Number of orders audited.
    pub orders: u64,
    /// Number of logs audited.
    pub logs: u64,
    /// Number of open logs.
    pub open: u64,
    /// Of those, logs that wait for an operator.
    pub stuck: u64,
    /// The sum that open logs have debited and not yet credited, in minor units.
    pub in_flight: i128,
    /// Number of documents that differ.
    pub differing: u64,
    /// Number of documents that seemed to differ, but changed during every pass: audit again.
    pub unjudged: u64,
    /// Of the differing ones, accounts that no payment has ever touched: they had their money before.
    pub unopened: u64,
    /// The differences, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Discrepancy>,
}

/// Stage of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditStage {
    /// Reading logs.
    Logs,
    /// Comparing users and then orders.
    Documents,
}

/// Progress of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditProgress {
    /// Number of the pass, from 1.
    pub pass: u8,
    /// The stage.
    pub stage: AuditStage,
    /// Number of documents read in this stage.
    pub done: u64,
}

/// An audit of a store.
pub struct Audit<'a> {
    store: &'a dyn Store,
    config: &'a PaymentConfig,
    passes: u8,
    observer: &'a (dyn Fn(AuditProgress) + Send + Sync),
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
            observer: &|_| {},
        }
    }

    /// Declares that all reads of the store show one moment.
    #[must_use]
    pub fn of_one_moment(self) -> Self {
        Self { passes: 1, ..self }
    }

    /// Calls `observer` with the progress, after each page of documents.
    #[must_use]
    pub fn with_observer(self, observer: &'a (dyn Fn(AuditProgress) + Send + Sync)) -> Self {
        Self { observer, ..self }
    }

    /// Runs the audit; returns its report, and the accounts that had money before any payment. Reads only.
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
        let names = self.config.names();
        let mut reading = Reading::new(names.clone(), judge);
        let mut pages = Pages::new(self.store, &names.log_class);
        let mut page = pages.next().await?;
        while !page.is_empty() {
            // The next page is read while this one is processed.
            let work = move || reading.take(&page).map(|()| reading);
            let (taken, next) = future::join(blocking(work), pages.next()).await;
            (reading, page) = (taken?, next?);
            (self.observer)(AuditProgress {
                pass,
                stage: AuditStage::Logs,
                done: reading.logs(),
            });
        }
        let mut comparing = blocking(|| reading.finish()).await?;
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
        comparing = blocking(|| comparing.finish_class(Class::Logs).map(|()| comparing)).await?;
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
            let (compared, next) = future::join(blocking(work), pages.next()).await;
            (comparing, page) = (compared?, next?);
            (self.observer)(AuditProgress {
                pass,
                stage: AuditStage::Documents,
                done: comparing.seen,
            });
        }
        Ok(blocking(move || comparing.finish_class(class).map(|()| comparing)).await?)
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
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
