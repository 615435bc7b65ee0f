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

/// Name of the note in the store.
const NOTE: &str = "payments";

/// The locked class names; `None` if a name is not locked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LockedNames {
    log_class: Option<ClassName>,
    order_class: Option<ClassName>,
}

impl LockedNames {
    async fn read(store: &SqliteStore) -> Result<Self> {
        match store.note(NOTE).await? {
            Some(text) => {
                serde_json::from_str(&text).context("the store's note about its payments is damaged")
            }
            None => Ok(Self::default()),
        }
    }

    fn require(&self, config: &PaymentConfig) -> Result<()> {
        for (variable, usual, locked, given) in [
            (LOG_CLASS, "Log", &self.log_class, &config.log_class),
            (ORDER_CLASS, "Order", &self.order_class, &config.order_class),
        ] {
            let Some(locked) = locked.as_ref().filter(|locked| *locked != given) else {
                continue;
            };
            let remedy = if locked.as_str() == usual {
                format!("unset {variable}")
            } else {
                format!("set {variable}={locked}")
            };
            bail!(
                "the payments of this folder are in class {locked}, not in {given}: under another name each payment \
                 made so far would be unknown, and could be made a second time. {remedy}"
            );
        }
        Ok(())
    }
}

/// Refuses class names other than the locked ones of `store`.
///
/// # Errors
/// Another name: the error says which to set; a store that cannot be read.
pub(crate) async fn check(store: &SqliteStore, config: &PaymentConfig) -> Result<()> {
    LockedNames::read(store).await?.require(config)
}

/// Checks the names and locks those of `config`.
///
/// # Errors
/// As [`check`]; a store that cannot be written.
pub(crate) async fn lock(store: &SqliteStore, config: &PaymentConfig) -> Result<()> {
    lock_classes(store, config, &|_| true).await
}

/// As [`lock`], for the classes that `which` selects; any other class of that name belongs to the app.
///
/// # Errors
/// As [`lock`].
pub(crate) async fn lock_classes(
    store: &SqliteStore,
    config: &PaymentConfig,
    which: &(dyn Fn(&ClassName) -> bool + Sync),
) -> Result<()> {
    let locked = LockedNames::read(store).await?;
    locked.require(config)?;
    let name = |locked: &Option<ClassName>, given: &ClassName| {
        locked.clone().or_else(|| which(given).then(|| given.clone()))
    };
    let names = LockedNames {
        log_class: name(&locked.log_class, &config.log_class),
        order_class: name(&locked.order_class, &config.order_class),
    };
    if names != locked {
        let text = serde_json::to_string(&names)?;
        let written = store.load(LoadBatch::with_note(Vec::new(), NOTE, &text)).await;
        written.context("the names of the payments' classes cannot be locked")?;
    }
    Ok(())
}
