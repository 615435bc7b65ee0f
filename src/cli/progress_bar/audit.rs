//! The progress of an audit: a bar on a terminal, lines elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::ProgressBar;

use crate::app::terminal;
use crate::cli::progress_bar;
use crate::model::Filter;
use crate::payment::PaymentConfig;
use crate::payment::audit::{AuditProgress, AuditStage};
use crate::store::Store;

/// Documents between two lines, without a terminal.
const DOCUMENTS_PER_LINE: u64 = 100_000;

/// Progress of an audit: a bar on a terminal, lines elsewhere.
pub(crate) struct AuditProgressBar {
    bar: ProgressBar,
    logs: u64,
    documents: u64,
    /// Number of lines printed.
    said: AtomicU64,
}

impl AuditProgressBar {
    pub(crate) async fn of(store: &dyn Store, config: &PaymentConfig) -> Self {
        let all = Filter::all();
        // An unknown total is shown as 0.
        let mut counts = [0, 0, 0];
        let classes = [&config.log_class, &config.user_class, &config.order_class];
        for (count, class) in counts.iter_mut().zip(classes) {
            *count = store.count(class, &all).await.unwrap_or_default();
        }
        let [logs, users, orders] = counts;
        let documents = users.saturating_add(orders);
        Self {
            bar: progress_bar::progress("auditing", logs.saturating_add(documents)),
            logs,
            documents,
            said: AtomicU64::new(0),
        }
    }

    pub(crate) fn show(&self, progress: AuditProgress) {
        let AuditProgress { pass, stage, done } = progress;
        let (before, total, what) = match stage {
            AuditStage::Logs => (0, self.logs, "logs"),
            AuditStage::Documents => (self.logs, self.documents, "users and orders"),
        };
        if pass > 1 {
            self.bar.set_message("again");
        }
        self.bar.set_position(before.saturating_add(done));
        let steps = done / DOCUMENTS_PER_LINE;
        if self.bar.is_hidden() && steps > 0 && self.said.swap(steps, Ordering::Relaxed) != steps {
            terminal::eprint_line(format!("audit, pass {pass}: {done} of {total} {what}"));
        }
    }
}

impl Drop for AuditProgressBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
