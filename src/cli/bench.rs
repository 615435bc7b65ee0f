//! `paylog bench`: payments per second, end to end over loopback HTTP.
//!
//! The server is a process of its own, so that its memory can be read; the load comes from one thread of this one, on
//! bare HTTP/1 connections, so that it takes little of the machine. Users, money and orders are made before the
//! clock starts; what is measured is `payOrder`, called with each user's session.

mod child;
mod connection;
mod load;
mod prepare;
mod report;
mod storage;

use anyhow::{Context, Result, bail};
use secrecy::SecretString;

use crate::app::terminal;
use crate::cli::arguments::{BenchArguments, BenchMode};
use crate::cli::embedded_audit;
use crate::config::ApiServer;
use crate::credentials::Credentials;
use crate::engine;
use crate::environment::Environment;
use crate::payment::PaymentConfig;

use child::Child;
use connection::Target;
use report::Report;

/// Payments made before the clock starts, so that caches are warm and connections open.
const WARM_UP_MAX: u64 = 1_000;

/// Runs the benchmark and answers whether everything was right in the end. Told to stop, it leaves neither its server
/// nor its folder behind.
pub(crate) async fn run(arguments: &BenchArguments, environment: &Environment) -> Result<bool> {
    tokio::select! {
        measured = measure_here_or_there(arguments, environment) => measured,
        () = engine::shutdown_signal() => bail!("stopped before everything was measured"),
    }
}

async fn measure_here_or_there(arguments: &BenchArguments, environment: &Environment) -> Result<bool> {
    let server = given_server(arguments)?;
    if arguments.storage {
        return storage::run(arguments, server, environment).await;
    }
    let Some(target) = server else {
        return run_on_own_server(arguments, environment).await;
    };
    let report = measure(arguments, &target, None, environment).await?;
    report.print(arguments.json)?;
    Ok(report.is_right())
}

async fn run_on_own_server(arguments: &BenchArguments, environment: &Environment) -> Result<bool> {
    let parent = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let child = Child::start(&parent, environment).await?;
    let target = child.target()?;
    let result = measure(arguments, &target, Some(&child), environment).await;
    let folder = child.stop(environment).await?;
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
    child: Option<&Child>,
    environment: &Environment,
) -> Result<Report> {
    let in_flight = usize::try_from(arguments.in_flight)?;
    let users = match arguments.mode {
        BenchMode::Uniform => arguments.users,
        BenchMode::Hot => 1,
    };
    let warm_up = WARM_UP_MAX.min(arguments.payments / 10);
    let payments = arguments.payments + warm_up;
    let mut prepared = prepare::prepare(target, users, payments, in_flight, environment)
        .await
        .context("the users, their money and their orders could not be made")?;
    let measured = prepared.orders.split_off(usize::try_from(warm_up)?);
    load::pay(
        target,
        &prepared.users,
        prepared.orders,
        in_flight,
        "warm-up",
        environment,
    )
    .await?;
    if let Some(child) = child {
        child.forget_peak_memory();
    }
    let before = target.counters().await?;
    let paid = load::pay(
        target,
        &prepared.users,
        measured,
        in_flight,
        "paying",
        environment,
    )
    .await?;
    let after = target.counters().await?;
    let wrong_balances = prepare::count_wrong_balances(target, &prepared.users, payments).await?;
    if !arguments.json {
        terminal::print_line("");
    }
    Ok(Report::new(
        arguments,
        users,
        &paid,
        report::Costs { before, after },
        child.and_then(Child::peak_memory_bytes),
        wrong_balances,
    ))
}
