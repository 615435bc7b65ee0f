//! Options that several commands share.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::model::ClassName;

/// Location of the data.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DataArguments {
    /// Folder of the embedded store [default: ./paylog-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// PostgreSQL database, instead of a folder (not built yet)
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
}

/// Credentials and rates for reading from the source.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccessArguments {
    /// App id at the source
    #[arg(long, env = "LEANCLOUD_APP_ID", value_name = "ID")]
    pub(crate) app_id: Option<String>,
    /// Master key at the source
    #[arg(
        long,
        env = "LEANCLOUD_APP_MASTER_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub(crate) master_key: Option<String>,
    /// Maximum requests per second. LeanCloud's development plan allows 30,000 a day, and 3 concurrent ones
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = requests_per_second)]
    pub(crate) requests_per_second: f64,
    /// Maximum concurrent requests
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) requests_at_once: u8,
    /// Do not copy this class; may be given several times
    #[arg(long, value_name = "CLASS")]
    pub(crate) without: Vec<String>,
    /// Do not compare relations in the proof: each costs a request for every object that could have one
    #[arg(long)]
    pub(crate) skip_relations: bool,
}

fn requests_per_second(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.01..=10_000.0).contains(&number) => Ok(number),
        _ => Err("a number from 0.01 to 10000 is expected".to_owned()),
    }
}

/// Parses the name of a class.
///
/// # Errors
/// A text that is no class name.
pub(crate) fn class_name(text: &str) -> Result<ClassName> {
    ClassName::parse(text).map_err(|error| anyhow::anyhow!(error.message))
}
