//! The data folder of the embedded store.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::app::{class_names_lock, task_store};
use crate::config::Backend;
use crate::payment::{PaymentConfig, schema};
use crate::server;
use crate::storage::SqliteStore;
use crate::store::Database;

/// The folder of the files' bytes, in the data folder.
pub(crate) const FILES: &str = "files";

/// Makes the classes that users and payments need.
pub(crate) async fn prepare(store: &SqliteStore, payments: &PaymentConfig) -> Result<()> {
    server::set_up(store)
        .await
        .context("the classes of users and roles cannot be made")?;
    class_names_lock::check(store, payments).await?;
    for change in schema::changes(&store.schema(), payments)? {
        store
            .define(change)
            .await
            .context("the classes of the payments cannot be made")?;
    }
    // Once they are there: a class that is refused is not kept.
    class_names_lock::keep(store, payments).await?;
    task_store::prepare(store).await
}

/// Returns the folder of the embedded store.
///
/// # Errors
/// A home in LeanCloud.
pub(crate) fn require(home: &Backend) -> Result<&Path> {
    match home {
        Backend::Embedded(data) => Ok(data),
        Backend::LeanCloud(_) => {
            bail!("this is for the embedded store: unset LEANCLOUD_API_SERVER, or name a folder with --data")
        }
    }
}
