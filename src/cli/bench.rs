//! `paylog bench`: payments per second, end to end over loopback HTTP.
//!
//! The server is a process of its own, so that its memory can be read; the load comes from one thread of this process
//! (`load_generator`). Users, money and orders are created before the clock starts; the measured calls are `payOrder`,
//! with each user's session.

mod payment_report;
mod server_process;
mod storage_report;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use crate::app::terminal;
use crate::cli::{embedded_audit, progress_bar};
use crate::config::ApiServer;
use crate::credentials::Credentials;
use crate::engine;
use crate::environment::Environment;
use crate::load_generator::{self, Load, Target};
use crate::payment::PaymentConfig;

use payment_report::{CounterRange, PaymentReport, RunSettings};
use server_process::ServerProcess;
use storage_report::StorageReport;

/// `paylog bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArguments {
    /// Measure creates, reads, increments, indexed queries and batches instead of payments
    #[arg(long, conflicts_with_all = ["users", "mode"])]
    pub(crate) storage: bool,
    /// Payments to measure; with --storage, requests of each kind
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) payments: u64,
    /// Concurrent requests, each on a connection of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) in_flight: u64,
    /// Accounts that pay
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) users: u64,
    /// Distribution of the payments over the accounts
    #[arg(long, value_enum, default_value_t = BenchMode::Uniform)]
    pub(crate) mode: BenchMode,
    /// Measure this server, instead of one started for the purpose; needs --app-id, --app-key and --master-key. The
    /// created objects stay there: users and orders, or with --storage a class Bench…
    #[arg(long, value_name = "URL", requires_all = ["app_id", "app_key", "master_key"])]
    pub(crate) server: Option<String>,
    /// App id of --server
    #[arg(long, env = "LEANCLOUD_APP_ID")]
    pub(crate) app_id: Option<String>,
    /// App key of --server
    #[arg(long, env = "LEANCLOUD_APP_KEY", hide_env_values = true)]
    pub(crate) app_key: Option<String>,
    /// Master key of --server
    #[arg(long, env = "LEANCLOUD_APP_MASTER_KEY", hide_env_values = true)]
    pub(crate) master_key: Option<String>,
    /// Parent of the temporary data folder [default: the system's]; choose one on the disk to be measured
    #[arg(long, value_name = "FOLDER", conflicts_with = "server")]
    pub(crate) folder: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Distribution of the payments over the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchMode {
    /// Evenly over all users.
    Uniform,
    /// All on one account.
    Hot,
}

/// Maximum number of payments before the clock starts, so that caches are warm and connections open.
const WARM_UP_MAX: u64 = 1_000;

/// Runs the benchmark; returns true if all balances are right at the end. When stopped by a signal, it leaves neither
/// its server nor its folder behind.
pub(crate) async fn run(arguments: &BenchArguments, environment: &Environment) -> Result<bool> {
    tokio::select! {
        measured = measure_target(arguments, environment) => measured,
        () = engine::shutdown_signal() => bail!("stopped before the measurement was complete"),
    }
}

async fn measure_target(arguments: &BenchArguments, environment: &Environment) -> Result<bool> {
    let server = given_server(arguments)?;
    if arguments.storage {
        return measure_storage(arguments, server, environment).await;
    }
    let Some(target) = server else {
        return measure_own_server(arguments, environment).await;
    };
    let report = measure(arguments, &target, None, environment).await?;
    report.print(arguments.json)?;
    Ok(report.is_right())
}

async fn measure_own_server(arguments: &BenchArguments, environment: &Environment) -> Result<bool> {
    let process = ServerProcess::start(&parent_folder(arguments), environment).await?;
    let target = process.target()?;
    let result = measure(arguments, &target, Some(&process), environment).await;
    let folder = process.stop(environment).await?;
    let mut report = result?;
    let (findings, _) = embedded_audit::audit(folder.path(), &PaymentConfig::new(), environment).await?;
    report.audited(findings.differing);
    report.print(arguments.json)?;
    Ok(report.is_right())
}

fn given_server(arguments: &BenchArguments) -> Result<Option<Target>> {
    let Some(url) = &arguments.server else {
        return Ok(None);
    };
    let server = ApiServer::parse("--server", url)?;
    Target::new(server.host(), server.port(), &given_credentials(arguments)?).map(Some)
}

fn given_credentials(arguments: &BenchArguments) -> Result<Credentials> {
    let key = |key: &Option<String>| key.clone().map(SecretString::from);
    match (&arguments.app_id, key(&arguments.app_key)) {
        (Some(app_id), Some(app_key)) => Ok(Credentials {
            app_id: app_id.clone(),
            app_key,
            master_key: key(&arguments.master_key),
            hook_key: None,
            androidx_key: None,
        }),
        _ => bail!("--server needs --app-id, --app-key and --master-key"),
    }
}

async fn measure(
    arguments: &BenchArguments,
    target: &Target,
    process: Option<&ServerProcess>,
    environment: &Environment,
) -> Result<PaymentReport> {
    let load = load(arguments, target, environment)?;
    let users = match arguments.mode {
        BenchMode::Uniform => arguments.users,
        BenchMode::Hot => 1,
    };
    let warm_up = WARM_UP_MAX.min(arguments.payments / 10);
    let payments = arguments.payments + warm_up;
    let mut fixture = load_generator::prepare(load, users, payments)
        .await
        .context("the users, their money and their orders could not be created")?;
    let measured = fixture.orders.split_off(usize::try_from(warm_up)?);
    load_generator::pay(load, &fixture.users, fixture.orders, "warm-up").await?;
    if let Some(process) = process {
        process.reset_peak_memory();
    }
    let before = target.counters().await?;
    let paid = load_generator::pay(load, &fixture.users, measured, "paying").await?;
    let after = target.counters().await?;
    let wrong_balances = load_generator::count_wrong_balances(target, &fixture.users, payments).await?;
    if !arguments.json {
        terminal::print_line("");
    }
    Ok(PaymentReport::new(
        RunSettings {
            mode: match arguments.mode {
                BenchMode::Uniform => "uniform",
                BenchMode::Hot => "hot",
            },
            in_flight: arguments.in_flight,
            accounts: users,
            payments: arguments.payments,
        },
        &paid,
        CounterRange { before, after },
        process.and_then(ServerProcess::peak_memory_bytes),
        wrong_balances,
    ))
}

/// Measures the storage API of `server`, or of a server of its own if there is none.
async fn measure_storage(
    arguments: &BenchArguments,
    server: Option<Target>,
    environment: &Environment,
) -> Result<bool> {
    let requests = arguments.payments;
    let (operations, peak_memory_bytes) = if let Some(target) = server {
        let load = load(arguments, &target, environment)?;
        let measured = load_generator::measure_storage_api(load, requests, &|| None).await;
        (measured?, None)
    } else {
        let process = ServerProcess::start(&parent_folder(arguments), environment).await?;
        let target = process.target()?;
        let load = load(arguments, &target, environment)?;
        let processor_seconds = || process.processor_seconds();
        let measured = load_generator::measure_storage_api(load, requests, &processor_seconds).await;
        let peak = process.peak_memory_bytes();
        let _folder = process.stop(environment).await?;
        (measured?, peak)
    };
    let report = StorageReport {
        in_flight: arguments.in_flight,
        requests,
        operations,
        peak_memory_bytes,
    };
    report.print(arguments.json)?;
    Ok(true)
}

fn load<'a>(
    arguments: &BenchArguments,
    target: &'a Target,
    environment: &'a Environment,
) -> Result<Load<'a>> {
    Ok(Load {
        target,
        in_flight: usize::try_from(arguments.in_flight)?,
        environment,
        progress_bar: progress_bar::progress,
    })
}

/// Returns the parent of the temporary data folder.
fn parent_folder(arguments: &BenchArguments) -> PathBuf {
    arguments.folder.clone().unwrap_or_else(std::env::temp_dir)
}
