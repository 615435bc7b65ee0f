//! The names of the classes that hold payments and orders, locked at the first start.
//!
//! The first start writes them down in the store. From then on another name is refused: under it every payment made so
//! far would be unknown, and could be made a second time.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::config::{LOG_CLASS, ORDER_CLASS};
use crate::model::ClassName;
use crate::payment::PaymentConfig;
use crate::storage::SqliteStore;
use crate::store::load::{LoadBatch, Loader};

/// The name of the store's note.
const NOTE: &str = "payments";

/// The classes that must stay what they are; `None` where nothing is kept yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Names {
    log_class: Option<ClassName>,
    order_class: Option<ClassName>,
}

impl Names {
    async fn kept(store: &SqliteStore) -> Result<Self> {
        match store.note(NOTE).await? {
            Some(text) => {
                serde_json::from_str(&text).context("the store's note about its payments is damaged")
            }
            None => Ok(Self::default()),
        }
    }

    fn require(&self, config: &PaymentConfig) -> Result<()> {
        for (variable, usual, kept, given) in [
            (LOG_CLASS, "Log", &self.log_class, &config.log_class),
            (ORDER_CLASS, "Order", &self.order_class, &config.order_class),
        ] {
            let Some(kept) = kept.as_ref().filter(|kept| *kept != given) else {
                continue;
            };
            let remedy = if kept.as_str() == usual {
                format!("unset {variable}")
            } else {
                format!("set {variable}={kept}")
            };
            bail!(
                "the payments of this folder are in class {kept}, not in {given}: under another name each payment \
                 made so far would be unknown, and could be made a second time. {remedy}"
            );
        }
        Ok(())
    }
}

/// Refuses other names than those under which the payments of `store` are kept.
///
/// # Errors
/// Says which name to set; a store that cannot be read.
pub(crate) async fn check(store: &SqliteStore, config: &PaymentConfig) -> Result<()> {
    Names::kept(store).await?.require(config)
}

/// As [`check`], and writes the names down.
///
/// # Errors
/// As [`check`]; a store that cannot be written.
pub(crate) async fn keep(store: &SqliteStore, config: &PaymentConfig) -> Result<()> {
    keep_of(store, config, &|_| true).await
}

/// As [`keep`], of the classes that `which` names; another class of that name is another thing of the app's.
///
/// # Errors
/// As [`keep`].
pub(crate) async fn keep_of(
    store: &SqliteStore,
    config: &PaymentConfig,
    which: &(dyn Fn(&ClassName) -> bool + Sync),
) -> Result<()> {
    let kept = Names::kept(store).await?;
    kept.require(config)?;
    let name = |kept: &Option<ClassName>, given: &ClassName| {
        kept.clone().or_else(|| which(given).then(|| given.clone()))
    };
    let names = Names {
        log_class: name(&kept.log_class, &config.log_class),
        order_class: name(&kept.order_class, &config.order_class),
    };
    if names != kept {
        let text = serde_json::to_string(&names)?;
        let written = store.load(LoadBatch::with_note(Vec::new(), NOTE, &text)).await;
        written.context("the names of the payments' classes cannot be kept")?;
    }
    Ok(())
}
