//! The server: the app's functions, and with the embedded store LeanCloud's storage API, on one port.

mod banner;
mod context;
mod embedded;
mod health;
mod leancloud;
mod routes;
mod start_checks;

use anyhow::Result;

use crate::config::Backend;

pub(crate) use context::{ServeContext, ServeOptions};

/// Serves until the process is told to stop.
///
/// # Errors
/// A start that is refused; a port that can no longer be listened on.
pub(crate) async fn serve(context: ServeContext<'_>, backend: &Backend) -> Result<()> {
    match backend {
        Backend::Embedded(data) => embedded::serve(context, data).await,
        Backend::LeanCloud(server) => leancloud::serve(context, server).await,
    }
}
