//! Read access to the payments of a backend, also beside a running server.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::app::data_context::DataContext;
use crate::app::{class_names_lock, leancloud_client};
use crate::config::{Backend, Keys};
use crate::environment::Environment;
use crate::payment::{PaymentConfig, PaymentService};
use crate::storage::SqliteStore;
use crate::store::Store;

/// Opens the payments of a backend for reading. A folder is read as of one moment.
///
/// # Errors
/// As [`open_snapshot`]; missing keys of LeanCloud.
pub(crate) async fn open_payments(context: &DataContext) -> Result<PaymentService> {
    let DataContext {
        backend,
        payments: config,
        variables,
        environment,
    } = context;
    let store: Arc<dyn Store> = match backend {
        Backend::Embedded(data) => Arc::new(open_snapshot(data, config, environment).await?),
        Backend::LeanCloud(server) => {
            let credentials = Keys::read(variables)?.complete()?;
            Arc::new(leancloud_client::builder(server, &credentials, environment).build()?)
        }
    };
    Ok(PaymentService::new(store, environment.clone(), config.clone()))
}

/// Opens a folder as of this moment; its locked class names must be those of `config`.
///
/// # Errors
/// As [`class_names_lock::check`]; a folder that cannot be opened.
pub(crate) async fn open_snapshot(
    data: &Path,
    config: &PaymentConfig,
    environment: &Environment,
) -> Result<SqliteStore> {
    let store = SqliteStore::open_snapshot(data, environment.clone())?;
    class_names_lock::check(&store, config).await?;
    Ok(store)
}
