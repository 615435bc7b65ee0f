//! The command line.

mod arguments;
mod bench;
mod credentials_file;
mod durable_file;
mod server_file;
mod terminal;
mod audit {
    pub(crate) async fn differences(_: &std::path::Path) -> anyhow::Result<u64> {
        anyhow::bail!("x")
    }
}
mod counting;
