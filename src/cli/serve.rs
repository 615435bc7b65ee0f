//! `paylog serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::app::serve::{self, ServeContext, ServeOptions};
use crate::cli::arguments::DataArguments;
use crate::config::{Backend, Keys, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::{PaymentConfig, PaymentService};
use crate::server::ServerConfig;

/// `paylog serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    /// Location of the data.
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Address to listen on [default: 127.0.0.1; 0.0.0.0 with LEANCLOUD_API_SERVER]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "LEANCLOUD_APP_PORT", default_value_t = 3000)]
    pub(crate) port: u16,
    /// A LeanEngine app in any language, running beside this one, whose functions and hooks are served too
    #[arg(long, value_name = "URL")]
    pub(crate) engine: Option<String>,
    /// File with scheduled functions [default: cron.yaml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) cron: Option<PathBuf>,
    /// Accept recharges of the channel "sandbox", which the master key alone confirms [default: true if the folder holds
    /// no database yet]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) sandbox: Option<bool>,
    /// Start even if a check finds that clients could write money
    #[arg(long)]
    pub(crate) allow_unsafe: bool,
    /// Take the caller's address from Forwarded, X-Real-IP or X-Forwarded-For: only behind a proxy that sets them
    #[arg(long)]
    pub(crate) trust_proxy: bool,
    /// The server's address as clients know it, such as https://api.example.com [default: the address of the request]
    #[arg(long, env = "PAYLOG_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Maximum size of an uploaded file, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = ServerConfig::FILE_BYTES_MAX)]
    pub(crate) file_bytes_max: u64,
    /// Maximum number of concurrent requests to the storage API, at least 1; 429 beyond
    #[arg(long, value_name = "N", default_value_t = ServerConfig::CONCURRENT_REQUESTS_MAX, value_parser = at_least_one)]
    pub(crate) concurrent_requests_max: usize,
    /// Maximum average number of requests to the storage API per second; 429 beyond; 0 is unlimited [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_second: Option<u32>,
    /// Log each request to the storage API
    #[arg(long)]
    pub(crate) request_log: bool,
}

fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a number of at least 1 is expected".to_owned()),
    }
}

/// Serves until the process is told to stop; returns true.
pub(crate) async fn run(
    app: App<PaymentService>,
    arguments: &ServeArguments,
    payments: PaymentConfig,
    variables: &Variables,
    environment: Environment,
) -> Result<bool> {
    let backend = Backend::choose(
        arguments.data.data.clone(),
        arguments.data.database.as_deref(),
        variables,
    )?;
    let context = ServeContext {
        app,
        keys: Keys::read(variables)?,
        options: options(arguments.clone()),
        payments,
        environment,
        variables,
    };
    serve::serve(context, &backend).await?;
    Ok(true)
}

fn options(arguments: ServeArguments) -> ServeOptions {
    let ServeArguments {
        data: _,
        host,
        port,
        engine,
        cron,
        sandbox,
        allow_unsafe,
        trust_proxy,
        public_url,
        file_bytes_max,
        concurrent_requests_max,
        requests_per_second,
        request_log,
    } = arguments;
    ServeOptions {
        host,
        port,
        engine,
        cron,
        sandbox,
        allow_unsafe,
        trust_proxy,
        public_url,
        file_bytes_max,
        concurrent_requests_max,
        requests_per_second,
        request_log,
    }
}
