//! The command line: the commands, and the options that all of them have.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::audit::AuditArguments;
use super::backup::BackupArguments;
use super::bench::BenchArguments;
use super::cancel::CancelArguments;
use super::doctor::DoctorArguments;
use super::export::ExportArguments;
use super::import::ImportArguments;
use super::new::NewArguments;
use super::package::PackageArguments;
use super::pull::PullArguments;
use super::recover::RecoverArguments;
use super::restore::RestoreArguments;
use super::resume::ResumeArguments;
use super::serve::ServeArguments;
use super::show::ShowArguments;
use super::stuck::StuckArguments;
use super::verify::VerifyArguments;
use crate::telemetry::LogFormat;

/// Environment variables without an option.
const SERVE_VARIABLES: &str = "Environment variables:\n  \
    PAYLOG_LOG_CLASS        name of the class of payments, if the app has its own class Log\n  \
    PAYLOG_ORDER_CLASS      name of the class of orders, if the app has its own class Order\n  \
    LEANCLOUD_APP_ID, LEANCLOUD_APP_KEY, LEANCLOUD_APP_MASTER_KEY, LEANCLOUD_APP_HOOK_KEY\n                          \
    override those in credentials.json\n  \
    LEANCLOUD_API_SERVER    keep the data in LeanCloud's storage, at this address\n\
    Set the same variables for every other command on the same data.";

/// Arguments after `paylog`.
#[derive(Debug, Parser)]
#[command(
    name = "paylog",
    version,
    about = "Moves money exactly once, on LeanCloud or on your own machine.",
    long_about = "Moves money exactly once, on LeanCloud or on your own machine.\n\n\
        Without a command, paylog serves: LeanCloud's storage API and this app's cloud functions, on one port, with \
        the data in a folder.\nStart it, and it prints the keys to use and three requests to try.",
    after_help = "With LEANCLOUD_API_SERVER set (as on LeanEngine), the data stay in LeanCloud: paylog then serves \
        the cloud functions only,\nand LEANCLOUD_APP_ID, LEANCLOUD_APP_KEY, LEANCLOUD_APP_MASTER_KEY and \
        LEANCLOUD_APP_HOOK_KEY must be set too.",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The options of the default command.
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    /// Options of logging.
    #[command(flatten)]
    pub(crate) logging: LogArguments,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API and the cloud functions (the default)
    #[command(after_help = SERVE_VARIABLES)]
    Serve(ServeArguments),
    /// Finish the payments that a crash or a lost connection left open
    ///
    /// Works through the running server, or without one. Safe at any time: every payment is finished exactly once,
    /// however often this runs.
    Recover(RecoverArguments),
    /// Recompute every balance from the payments and compare
    ///
    /// Read-only (except with --open), also beside a running server. Exit code 1 if anything differs, 3 if the data
    /// could not be read.
    ///
    /// --json prints {"accounts", "orders", "logs", "open", "stuck", "inFlight", "differing", "unjudged", "unopened",
    /// "differences": [{"class", "id", "field", "expected", "found", "logs", "logsTotal"}]}, amounts in minor units.
    Audit(AuditArguments),
    /// List the payments that wait for an operator, after several failed attempts to finish them
    ///
    /// Read-only, also beside a running server. Exit code 1 if there is any, 3 if the data could not be read.
    ///
    /// --json prints {"stuck": [{"log", "kind", "amount", "user", "order", "state", "attempts", "tradeNo", "error",
    /// "createdAt", "ageSeconds"}]}, with null for values that a log lacks.
    Stuck(StuckArguments),
    /// Show all records of a payment or an order: kind, user, state, reason of a failure
    ///
    /// Read-only, also beside a running server. --json prints {"payments": […]}, the records as they are stored. Exit
    /// code 1 if there is no such payment, 3 if the data could not be read.
    Show(ShowArguments),
    /// Resume one payment now, and print the outcome
    ///
    /// Works through the running server, or without one. Safe at any time. Exit code 1 if the payment is not closed.
    Resume(ResumeArguments),
    /// Cancel one payment whose money is not secured yet
    ///
    /// The refusal is recorded in the account, so that no late request can take the money; money already taken is given
    /// back. An unpaid recharge is closed. Prints the reason if a payment cannot be cancelled.
    Cancel(CancelArguments),
    /// Check the configuration of the data: indexes, permissions, numbers in money fields
    ///
    /// Each finding names the setting to change. Exit code 1 if there is any, 3 if the data could not be read.
    Doctor(DoctorArguments),
    /// Copy the data to one file, also while the server runs
    ///
    /// The file is an SQLite database, consistent as of one moment.
    Backup(BackupArguments),
    /// Create a data folder from a backup
    Restore(RestoreArguments),
    /// Import an export of LeanCloud's: a folder, a .tar.gz, or one file (JSON Lines, JSON, CSV, BSON)
    ///
    /// Ids, times, ACLs, pointers, relations, third-party logins and password hashes stay as they are; no hook runs.
    /// After an interruption, the same command continues; run again, it changes nothing. An existing object stays, unless
    /// the one in the files was updated later. Stop the server first. Exit code 1 if anything was left out: the report
    /// lists each record, with file, line and reason.
    ///
    /// --json prints {"classes": {"<class>": {"created", "replaced", "unchanged", "kept", "leftOut", "linksCreated",
    /// "linksUnchanged"}}, "leftOut", "dangling", "notices", "resumed", "report"}.
    Import(ImportArguments),
    /// Export all data in LeanCloud's format: a file of JSON Lines for each class and each relation
    ///
    /// Consistent as of one moment, also beside a running server. `paylog import` restores it, byte for byte.
    ///
    /// --json prints {"classes": {"<class>": <objects>}, "links"}.
    Export(ExportArguments),
    /// Copy a live LeanCloud app over its API, follow it, and move it here
    ///
    /// Copies everything that the API shows into the data folder; run again, it copies the changes since. Safe to stop and
    /// to kill: the next run continues. Import the export first (paylog import), since the API shows no password hashes:
    /// imported data are kept. Writes nothing at the source without --final.
    Pull(Box<PullArguments>),
    /// Prove that an app has moved completely: count, hash and compare every object on both sides
    ///
    /// Read-only, also beside a running server. Without --against it checks this folder alone. Exit code 1 if anything
    /// differs or is missing, 3 if the data could not be read.
    Verify(Box<VerifyArguments>),
    /// Measure payments per second, end to end over HTTP; or, with --storage, the storage API
    ///
    /// Starts a server of its own on a temporary folder, creates users with money and orders, and pays the orders.
    Bench(BenchArguments),
    /// Create an app of your own: a folder with a function, a hook and a Cargo manifest
    New(NewArguments),
    /// Build the app in this folder for LeanEngine, and pack it
    ///
    /// Uses cargo-zigbuild if it is installed, else Rust's musl target, else the system's own C library, and checks
    /// that the program starts on Ubuntu 20.04. Needs the feature "package":
    /// cargo run --release --features package -- package
    Package(PackageArguments),
}

impl Command {
    /// True for a read-only command, whose exit code 1 means a finding.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(
            self,
            Self::Audit(_) | Self::Stuck(_) | Self::Show(_) | Self::Doctor(_) | Self::Verify(_)
        )
    }
}

/// Options of logging.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArguments {
    /// Log filter: error, warn, info, debug, trace, or a list such as "warn,paylog=debug"
    #[arg(
        long,
        global = true,
        env = "PAYLOG_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    /// Format of log lines
    #[arg(
        long,
        global = true,
        env = "PAYLOG_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormatName,
}

/// Names of the log formats.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormatName {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl From<LogFormatName> for LogFormat {
    fn from(name: LogFormatName) -> Self {
        match name {
            LogFormatName::Text => Self::Text,
            LogFormatName::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn command_defaults_to_serve() {
        let short = Arguments::try_parse_from(["paylog", "--port", "4000", "--sandbox"]).unwrap();
        assert!(short.command.is_none());
        assert_eq!((short.serve.port, short.serve.sandbox), (4000, Some(true)));
        let long =
            Arguments::try_parse_from(["paylog", "serve", "--sandbox=false", "--log", "debug"]).unwrap();
        assert_eq!(long.logging.log, "debug");
        let Some(Command::Serve(serve)) = long.command else {
            panic!("{long:?}");
        };
        assert_eq!(serve.sandbox, Some(false));
    }
}
