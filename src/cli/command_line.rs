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

/// The variables that no option stands for.
const SERVE_VARIABLES: &str = "Environment variables:\n  \
    PAYLOG_LOG_CLASS        name of the class of payments, where the app has a class Log of its own\n  \
    PAYLOG_ORDER_CLASS      name of the class of orders, where the app has a class Order of its own\n  \
    LEANCLOUD_APP_ID, LEANCLOUD_APP_KEY, LEANCLOUD_APP_MASTER_KEY, LEANCLOUD_APP_HOOK_KEY\n                          \
    instead of those in credentials.json\n  \
    LEANCLOUD_API_SERVER    keep the data in LeanCloud's storage, at this address\n\
    Give the same ones to every other command on the same data.";

/// What is typed after `paylog`.
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
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The options of the default command.
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    /// How to log.
    #[command(flatten)]
    pub(crate) logging: LogArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API and the cloud functions (the default)
    #[command(after_help = SERVE_VARIABLES)]
    Serve(ServeArguments),
    /// Finish the payments that a crash or a lost connection left open
    ///
    /// Works beside a running server (which is asked to do it) and without one. Safe at any time: every payment is
    /// finished exactly once, however often this runs.
    Recover(RecoverArguments),
    /// Recompute every balance from the payments and compare
    ///
    /// Reads only (but for --open), also beside a running server. Ends with exit code 1 if anything differs,
    /// with 3 if it could not look.
    ///
    /// --json prints {"accounts", "orders", "logs", "open", "stuck", "inFlight", "differing", "unjudged", "unopened",
    /// "differences": [{"class", "id", "field", "expected", "found", "logs", "logsTotal"}]}, amounts in minor units.
    Audit(AuditArguments),
    /// List the payments that wait for an operator: those that could not be finished, again and again
    ///
    /// Reads only, also beside a running server. Ends with exit code 1 if there is any, with 3 if it
    /// could not look.
    ///
    /// --json prints {"stuck": [{"log", "kind", "amount", "user", "order", "state", "attempts", "tradeNo", "error",
    /// "createdAt", "ageSeconds"}]}, null where a log does not say.
    Stuck(StuckArguments),
    /// Show everything that is recorded about a payment or an order: what, whose, how far, why not
    ///
    /// Reads only, also beside a running server. --json prints {"payments": […]}, the records as they are stored. Ends
    /// with exit code 1 where nothing is known under that name, with 3 if it could not look.
    Show(ShowArguments),
    /// Take one payment up again, now, and say how it ended
    ///
    /// Works beside a running server (which is asked to do it) and without one. Safe at any time. Ends with exit
    /// code 1 where the payment is not at its end.
    Resume(ResumeArguments),
    /// Cancel one payment whose money is not secured yet
    ///
    /// The payment is refused where the money would be taken, so that no request under way can take it later; what was
    /// taken is given back. A recharge that nobody has paid is closed. Says why where a payment cannot be cancelled.
    Cancel(CancelArguments),
    /// Check the set-up: indexes, permissions, numbers in money fields
    ///
    /// Says for each finding what to set where. Ends with exit code 1 if there is any, with 3 if it could not look.
    Doctor(DoctorArguments),
    /// Copy the data to one file, also while the server runs
    ///
    /// The file is an SQLite database that holds one consistent moment.
    Backup(BackupArguments),
    /// Make a data folder from a backup
    Restore(RestoreArguments),
    /// Bring in an export of LeanCloud's: a folder, a .tar.gz, or one file (JSON Lines, JSON, CSV, BSON)
    ///
    /// Ids, times, ACLs, pointers, relations, third-party logins and password hashes stay as they are; no hook runs.
    /// Interrupted, the same command goes on where it was; run again, it changes nothing. An object that is there stays,
    /// unless the one in the files was updated later. Stop the server first. Ends with exit code 1 if anything was left
    /// out: what and why, with file and line, stands in the report.
    ///
    /// --json prints {"classes": {"<class>": {"created", "replaced", "unchanged", "kept", "leftOut", "linksCreated",
    /// "linksUnchanged"}}, "leftOut", "dangling", "notices", "resumed", "report"}.
    Import(ImportArguments),
    /// Write all data out as LeanCloud's export does: a file of JSON Lines for each class and each relation
    ///
    /// Reads one consistent moment, also beside a running server. `paylog import` takes it back, byte for byte.
    ///
    /// --json prints {"classes": {"<class>": <objects>}, "links"}.
    Export(ExportArguments),
    /// Copy a live LeanCloud app over its API, follow it, and move it here
    ///
    /// Copies everything that the API shows into the data folder; run again, it brings what has changed since. Safe to
    /// stop and to kill: it goes on from where it was. Import the export first (paylog import), since the API shows no
    /// password hashes: what an import has brought is kept. Nothing is written at the source without --final.
    Pull(Box<PullArguments>),
    /// Prove that an app has moved whole: count, hash and compare every object, here and there
    ///
    /// Reads only, also beside a running server. Without --against it looks at this folder alone. Ends with exit code 1
    /// if anything differs or is missing, with 3 if it could not look.
    Verify(Box<VerifyArguments>),
    /// Measure payments per second, end to end over HTTP; or, with --storage, the storage API
    ///
    /// Starts a server of its own on a temporary folder, makes users with money and orders, and pays the orders.
    Bench(BenchArguments),
    /// Begin an app of your own: a folder with a function, a hook and all that Cargo needs
    New(NewArguments),
    /// Build the app in this folder for LeanEngine, and pack it
    ///
    /// Uses cargo-zigbuild if it is installed, else Rust's musl target, else the system's own C library, and checks
    /// that the program starts on Ubuntu 20.04. Needs the feature "package":
    /// cargo run --release --features package -- package
    Package(PackageArguments),
}

impl Command {
    /// Whether it looks for something, so that its exit code 1 says that there is something.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(
            self,
            Self::Audit(_) | Self::Stuck(_) | Self::Show(_) | Self::Doctor(_) | Self::Verify(_)
        )
    }
}

/// How to log.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArguments {
    /// What to log: error, warn, info, debug, trace, or a list such as "warn,paylog=debug"
    #[arg(
        long,
        global = true,
        env = "PAYLOG_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    /// How a log line looks
    #[arg(
        long,
        global = true,
        env = "PAYLOG_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormatName,
}

/// The names of the log formats.
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
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
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
