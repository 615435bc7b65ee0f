//! The audit of a data folder, with its progress shown.

use std::path::Path;

use anyhow::{Context, Result};

use crate::app::read_access;
use crate::cli::progress_bar::AuditProgressBar;
use crate::environment::Environment;
use crate::payment::PaymentConfig;
use crate::payment::audit::{Audit, AuditReport, Unopened};

/// Audits the embedded store in `data` as of one moment, also while a server writes to it.
pub(crate) async fn audit(
    data: &Path,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<(AuditReport, Unopened)> {
    let store = read_access::open_snapshot(data, config, environment).await?;
    let shown = AuditProgressBar::of(&store, config).await;
    let watch = |progress| shown.show(progress);
    let audit = Audit::of(&store, config).of_one_moment().with_observer(&watch);
    audit.run().await.context("the data cannot be read")
}
