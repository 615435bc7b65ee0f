//! The data folder of the embedded store.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::app::{class_names_lock, task_store};
use crate::config::Backend;
use crate::payment::{PaymentConfig, schema};
use crate::server;
use crate::storage::SqliteStore;
use crate::store::Database;

/// Name of the folder of file contents, in the data folder.
pub(crate) const FILES: &str = "files";

/// Creates the classes, indexes and columns that users, payments and tasks need, and locks the class names.
///
/// # Errors
/// A class that belongs to the app; another class name than the locked one; a store that cannot be written.
pub(crate) async fn prepare(store: &SqliteStore, payments: &PaymentConfig) -> Result<()> {
    server::set_up(store)
        .await
        .context("the classes of users and roles cannot be created")?;
    class_names_lock::check(store, payments).await?;
    for change in schema::changes(&store.schema(), payments)? {
        store
            .define(change)
            .await
            .context("the classes of the payments cannot be created")?;
    }
    // After the classes exist: the name of a refused class is not locked.
    class_names_lock::lock(store, payments).await?;
    task_store::prepare(store).await
}

/// Returns the folder of the embedded store.
///
/// # Errors
/// Data in LeanCloud.
pub(crate) fn require(backend: &Backend) -> Result<&Path> {
    match backend {
        Backend::Embedded(data) => Ok(data),
        Backend::LeanCloud(_) => {
            bail!("this is for the embedded store: unset LEANCLOUD_API_SERVER, or name a folder with --data")
        }
    }
}
