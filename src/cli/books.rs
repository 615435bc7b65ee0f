//! The payments of a home, opened to be looked at; and under which names a folder keeps them. The first start writes them down in the store; from then on another
//! name is refused, since under it every payment made so far would be unknown, and could be made a second time.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::cli::serve::leancloud;
use crate::config::{Backend, Keys, LOG_CLASS, ORDER_CLASS, Variables};
use crate::environment::Environment;
use crate::model::ClassName;
use crate::payment::{PaymentConfig, Payments};
use crate::storage::SqliteStore;
use crate::store::Store;
use crate::store::load::{Batch, Loader};

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

/// Opens the payments of a home to look at them, also beside a running server. Of a folder, as of one moment.
///
/// # Errors
/// As [`open_snapshot`]; keys of LeanCloud's that are missing.
pub(crate) async fn open(
    home: &Backend,
    config: PaymentConfig,
    variables: &Variables,
    environment: &Environment,
) -> Result<Payments> {
    let store: Arc<dyn Store> = match home {
        Backend::Embedded(data) => Arc::new(open_snapshot(data, &config, environment).await?),
        Backend::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            Arc::new(leancloud::client(server, &credentials, environment).build()?)
        }
    };
    Ok(Payments::new(store, environment.clone(), config))
}

/// Opens a folder as it is at this moment, under the names that its payments are kept.
///
/// # Errors
/// As [`check`]; a folder that cannot be opened.
pub(crate) async fn open_snapshot(
    data: &Path,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<SqliteStore> {
    let store = SqliteStore::open_snapshot(data, environment.clone())?;
    check(&store, config).await?;
    Ok(store)
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
        let written = store.load(Batch::with_note(Vec::new(), NOTE, &text)).await;
        written.context("the names of the payments' classes cannot be kept")?;
    }
    Ok(())
}
