//! The server under test: this program itself, started on a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::app::{credentials_file, server_file};
use crate::config::ApiServer;
use crate::environment::Environment;
use crate::load_generator::Target;

/// Maximum time until a started server listens, and until a stopped one has exited.
const START_STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running server on a temporary data folder.
#[derive(Debug)]
pub(super) struct ServerProcess {
    process: std::process::Child,
    folder: TemporaryFolder,
}

/// A folder that is removed when the value is dropped.
#[derive(Debug)]
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make(parent: &Path, environment: &Environment) -> Result<Self> {
        let path = parent.join(format!("paylog-bench-{}", environment.random_text(8)));
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl ServerProcess {
    /// Starts a server and waits until it listens.
    pub(super) async fn start(parent: &Path, environment: &Environment) -> Result<Self> {
        let folder = TemporaryFolder::make(parent, environment)?;
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let process = Command::new(program)
            .args(["serve", "--port", "0", "--host", "127.0.0.1", "--sandbox=true"])
            .args(["--log", "warn", "--data"])
            .arg(folder.path())
            .env_remove("LEANCLOUD_API_SERVER")
            .env_remove("LEANCLOUD_APP_ID")
            .env_remove("LEANCLOUD_APP_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("the server under test could not be started")?;
        let mut server = Self { process, folder };
        let deadline = environment.elapsed() + START_STOP_TIMEOUT;
        while server_file::read(server.folder.path()).is_none() {
            if let Some(status) = server.process.try_wait()? {
                bail!("the server under test ended at once: {status}");
            }
            if environment.elapsed() > deadline {
                bail!(
                    "the server under test did not start within {} s",
                    START_STOP_TIMEOUT.as_secs()
                );
            }
            environment.sleep(POLL).await;
        }
        Ok(server)
    }

    /// Address and keys of the server.
    pub(super) fn target(&self) -> Result<Target> {
        let data = self.folder.path();
        let server = server_file::read(data).context("the server under test has exited")?;
        let address = ApiServer::parse("server.json", &server.address)?;
        let credentials = credentials_file::read(data)?.context("the server under test has no keys")?;
        Target::new(address.host(), address.port(), &credentials)
    }

    /// Resets the peak of memory to the present use. Linux only; elsewhere this does nothing.
    pub(super) fn reset_peak_memory(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5");
    }

    /// Peak resident memory in bytes (Linux's `VmHWM`).
    pub(super) fn peak_memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Processor time used so far, in seconds with a resolution of 0.01 s. Linux only.
    pub(super) fn processor_seconds(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // After the name in parentheses, which may hold blanks, the 12th and 13th fields are ticks.
        let (_, fields) = status.rsplit_once(')')?;
        let ticks: u32 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u32>().unwrap_or_default())
            .sum();
        Some(f64::from(ticks) / 100.0)
    }

    /// Stops the server by SIGTERM and returns its folder.
    pub(super) async fn stop(mut self, environment: &Environment) -> Result<TemporaryFolder> {
        // `kill` is a builtin of every shell.
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.process.id())])
            .status()
            .context("the server under test could not be stopped")?;
        let deadline = environment.elapsed() + START_STOP_TIMEOUT;
        while self.process.try_wait()?.is_none() {
            if environment.elapsed() > deadline {
                bail!(
                    "the server under test did not stop within {} s",
                    START_STOP_TIMEOUT.as_secs()
                );
            }
            environment.sleep(POLL).await;
        }
        let folder = self.folder.0.clone();
        // The returned value removes the folder, not this one.
        self.folder.0 = PathBuf::new();
        Ok(TemporaryFolder(folder))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // After an error; harmless to a server that has stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
