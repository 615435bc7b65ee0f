//! The command line of `functions/main.rs` and of every app of your own: one file per command.
//!
//! Nothing here decides about money, and no other module needs anything from here. Commands do not import each other;
//! everything that they share with a server is in `app`.

mod arguments;
mod audit;
mod backup;
mod bench;
mod cancel;
mod command_line;
mod doctor;
mod embedded_audit;
mod export;
mod import;
mod new;
mod package;
mod payment_report;
mod progress_bar;
mod proof;
mod pull;
mod recover;
mod restore;
mod resume;
mod serve;
mod show;
mod source;
mod stuck;
mod verify;

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::app::data_context::DataContext;
use crate::app::payments::payment_config;
use crate::app::terminal;
use crate::config::{Backend, Variables};
use crate::engine::App;
use crate::environment::Environment;
use crate::payment::{PaymentConfig, PaymentService};
use crate::telemetry::logs;

use arguments::DataArguments;
use command_line::{Arguments, Command};

/// Runs the command of the process's arguments, with the functions and hooks of `app`, which gets the class names that its
/// hooks are for.
///
/// Exit codes: 0 for success; 1 for an error or a finding; 2 for an invalid command line; 3 if a read-only command
/// (audit, doctor, show, stuck, verify) could not read.
#[must_use]
pub fn run(app: impl FnOnce(&PaymentConfig) -> App<PaymentService>) -> ExitCode {
    let arguments = Arguments::parse();
    let failed = if arguments.command.as_ref().is_some_and(Command::is_read_only) {
        ExitCode::from(COULD_NOT_READ)
    } else {
        ExitCode::FAILURE
    };
    let performed = perform(app, arguments);
    let performed = match terminal::take_output_error() {
        Some(error) => performed.and(Err(error).context("standard output cannot be written")),
        None => performed,
    };
    match performed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            terminal::eprint_line(format!("error: {}", causes(&error)));
            failed
        }
    }
}

/// Exit code of a read-only command that could not read; its exit code 1 means a finding.
const COULD_NOT_READ: u8 = 3;

/// Formats an error and its causes; each text appears once.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text += ": ";
        }
        text += &cause;
    }
    text
}

fn perform(app: impl FnOnce(&PaymentConfig) -> App<PaymentService>, arguments: Arguments) -> Result<bool> {
    logs::start(&arguments.logging.log, arguments.logging.log_format.into())?;
    let variables = Variables::of_process();
    let environment = Environment::system();
    let backend =
        |given: &DataArguments| Backend::choose(given.data.clone(), given.database.as_deref(), &variables);
    let context = |given: &DataArguments| {
        anyhow::Ok(DataContext {
            backend: backend(given)?,
            payments: payment_config(&variables)?,
            variables: variables.clone(),
            environment: environment.clone(),
        })
    };
    let command = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    match &command {
        Command::Serve(given) => {
            let config = payment_config(&variables)?;
            let app = app(&config);
            on_threads(serve::run(app, given, config, &variables, environment.clone()))
        }
        Command::Recover(given) => {
            let context = context(&given.data)?;
            on_threads(recover::run(app(&context.payments), given, &context))
        }
        Command::Audit(given) => {
            let context = context(&given.data)?;
            on_one_thread(audit::run(app(&context.payments), given, &context))
        }
        Command::Stuck(given) => on_one_thread(stuck::run(given, &context(&given.data)?)),
        Command::Show(given) => on_one_thread(show::run(given, &context(&given.data)?)),
        Command::Resume(given) => {
            let context = context(&given.data)?;
            on_threads(resume::run(app(&context.payments), given, &context))
        }
        Command::Cancel(given) => {
            let context = context(&given.data)?;
            on_threads(cancel::run(app(&context.payments), given, &context))
        }
        Command::Doctor(given) => on_one_thread(doctor::run(given, &context(&given.data)?)),
        Command::Backup(given) => on_one_thread(backup::run(given, &backend(&given.data)?, &environment)),
        Command::Restore(given) => restore::run(given, &backend(&given.data)?),
        Command::Import(given) => on_threads(import::run(given, &context(&given.data)?)),
        Command::Export(given) => on_one_thread(export::run(given, &backend(&given.data)?, &environment)),
        Command::Pull(given) => {
            let config = payment_config(&variables)?;
            on_threads(pull::run(given, config, &environment))
        }
        Command::Verify(given) => {
            let config = payment_config(&variables)?;
            on_threads(verify::run(given, &config, &environment))
        }
        // One thread: the load must leave the processors to the server.
        Command::Bench(given) => on_one_thread(bench::run(given, &environment)),
        Command::New(given) => new::run(given),
        Command::Package(given) => package::run(given),
    }
}

fn on_threads(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .enable_all()
        .build()
        .context("no threads can be started")?;
    runtime.block_on(work)
}

fn on_one_thread(work: impl Future<Output = Result<bool>>) -> Result<bool> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_appears_once() {
        let error = anyhow::anyhow!("no room left").context("the file x: no room left");
        let error = error.context("the backup failed");
        assert_eq!(causes(&error), "the backup failed: the file x: no room left");
    }
}
