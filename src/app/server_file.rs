//! `server.json` in the data folder: the address of the running server, for commands that write.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::app::durable_file;

/// Content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningServer {
    /// `http://…`, an address of this machine.
    pub(crate) address: String,
    /// Id of the server's process.
    pub(crate) pid: u32,
}

/// The published file; it is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Published(PathBuf);

fn path(data: &Path) -> PathBuf {
    data.join("server.json")
}

/// Returns the URL under which programs on this machine reach a server that listens on `local`.
pub(crate) fn local_url(local: SocketAddr) -> String {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, local.port()))
}

/// Publishes the address of the server of `data`.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn publish(data: &Path, local: SocketAddr) -> Result<Published> {
    let running = RunningServer {
        address: local_url(local),
        pid: std::process::id(),
    };
    let path = path(data);
    durable_file::write_private(&path, &serde_json::to_vec(&running)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Published(path))
}

/// Returns the published server of `data`. It may have been killed since: only the lock of the store is certain.
pub(crate) fn read(data: &Path) -> Option<RunningServer> {
    serde_json::from_slice(&fs::read(path(data)).ok()?).ok()
}

impl Drop for Published {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_file_exists_while_the_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        let published = publish(folder.path(), "0.0.0.0:4000".parse().unwrap()).unwrap();
        let running = read(folder.path()).unwrap();
        assert_eq!(running.address, "http://127.0.0.1:4000");
        assert_eq!(running.pid, std::process::id());
        drop(published);
        assert_eq!(read(folder.path()), None);
    }
}
