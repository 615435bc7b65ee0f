//! Under which names a folder keeps its payments. The first start writes them down in the store; from then on another
//! name is refused, since under it every payment made so far would be unknown, and could be made a second time.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::config::{LOG_CLASS, ORDER_CLASS};
use crate::payment::PaymentConfig;
use crate::storage::SqliteStore;
use crate::store::load::{Batch, Loader};

/// The name of the store's note.
const NOTE: &str = "payments";

/// The classes that must stay what they are.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    log_class: String,
    order_class: String,
}

impl Names {
    fn of(config: &PaymentConfig) -> Self {
        Self {
            log_class: config.log_class.to_string(),
            order_class: config.order_class.to_string(),
        }
    }

    fn require(&self, given: &Self) -> Result<()> {
        for (variable, usual, kept, given) in [
            (LOG_CLASS, "Log", &self.log_class, &given.log_class),
            (ORDER_CLASS, "Order", &self.order_class, &given.order_class),
        ] {
            if kept != given {
                let remedy = if kept == usual {
                    format!("unset {variable}")
                } else {
                    format!("set {variable}={kept}")
                };
                bail!(
                    "the payments of this folder are in class {kept}, not in {given}: under another name each payment \
                     made so far would be unknown, and could be made a second time. {remedy}"
                );
            }
        }
        Ok(())
    }
}

/// Refuses other names than those under which the payments of `store` are kept.
///
/// # Errors
/// Says which name to set; a store that cannot be read.
pub(crate) async fn check(store: &SqliteStore, config: &PaymentConfig) -> Result<()> {
    match store.note(NOTE).await? {
        Some(text) => serde_json::from_str::<Names>(&text)
            .context("the store's note about its payments is damaged")?
            .require(&Names::of(config)),
        None => Ok(()),
    }
}

/// As [`check`], and writes the names down where none are.
///
/// # Errors
/// As [`check`]; a store that cannot be written.
pub(crate) async fn keep(store: &SqliteStore, config: &PaymentConfig) -> Result<()> {
    check(store, config).await?;
    if store.note(NOTE).await?.is_none() {
        let text = serde_json::to_string(&Names::of(config))?;
        let written = store.load(Batch::with_note(Vec::new(), NOTE, &text)).await;
        written.context("the names of the payments' classes cannot be kept")?;
    }
    Ok(())
}
