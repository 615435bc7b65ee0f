//! The conditions under which a server refuses to start.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, bail};

use crate::app::checks::{self, Finding};
use crate::config::ApiServer;
use crate::migration::pull::{FollowedSource, PullError};
use crate::storage::SqliteStore;

/// Refuses to start if clients could write money, unless `allow` is true.
///
/// # Errors
/// Findings that put money at risk.
pub(crate) fn refuse_unsafe(findings: &[Finding], allow: bool) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let list = checks::describe(findings);
    if !checks::is_unsafe(findings) || allow {
        tracing::warn!("the store is not configured as it must be:\n{list}");
        return Ok(());
    }
    bail!("money would not be safe, so paylog does not start:\n{list}\nTo start all the same: --allow-unsafe")
}

/// Refuses to serve the copy of a live app: money would be spent in both.
///
/// # Errors
/// An app that has not moved.
pub(crate) async fn refuse_copy(store: &SqliteStore, allow: bool) -> Result<()> {
    let following = match FollowedSource::read(store).await {
        Ok(following) => following,
        Err(PullError::Refused(reason)) => bail!(reason),
        Err(error) => return Err(error.into()),
    };
    let Some(following) = following.filter(|following| !following.moved) else {
        return Ok(());
    };
    let text = format!(
        "this folder is a copy of the app that still lives at {}: money would be spent in both. Move it here first \
         (paylog pull --final). To try the copy, serve a copy of the folder (paylog backup, paylog restore) with \
         --allow-unsafe",
        following.server
    );
    if !allow {
        bail!(text);
    }
    tracing::warn!("{text}");
    Ok(())
}

/// Refuses `LEANCLOUD_API_SERVER` with the address of this server: a request for data would wait for itself.
///
/// # Errors
/// The own address; a host that cannot be resolved.
pub(crate) async fn refuse_own_address_as_storage(api_server: &ApiServer, local: SocketAddr) -> Result<()> {
    if api_server.port() != local.port() {
        return Ok(());
    }
    let resolved = tokio::net::lookup_host((api_server.host(), api_server.port()))
        .await
        .with_context(|| format!("LEANCLOUD_API_SERVER is {api_server}, a host that cannot be resolved"))?;
    for address in resolved {
        // Only an address of this machine can be bound to.
        let is_here = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok();
        if is_here && (local.ip().is_unspecified() || local.ip() == address.ip()) {
            bail!(
                "LEANCLOUD_API_SERVER is {api_server}, which is paylog's own address: set it to the storage service, \
                 or unset it to keep the data in a folder here"
            );
        }
    }
    Ok(())
}

/// Refuses `--engine` with the address of this server.
///
/// # Errors
/// The own address; a text that is no URL.
pub(crate) fn refuse_own_address_as_engine(engine: Option<&str>, local: SocketAddr) -> Result<()> {
    let Some(url) = engine else { return Ok(()) };
    let server = ApiServer::parse("--engine", url)?;
    if server.port() == local.port() && matches!(server.host(), "localhost" | "127.0.0.1" | "[::1]" | "::1") {
        bail!("--engine is {server}, which is paylog's own address: set it to that of the LeanEngine app");
    }
    Ok(())
}

/// Refuses `--public-url` without a scheme.
///
/// # Errors
/// A URL that starts with neither `http://` nor `https://`.
pub(crate) fn check_public_url(public_url: Option<&str>) -> Result<()> {
    if let Some(url) = public_url
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        bail!(
            "--public-url is \"{url}\": it must start with http:// or https://, as in https://api.example.com"
        );
    }
    Ok(())
}
