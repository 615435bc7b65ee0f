//! The command line as people type it.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::ClassName;
use crate::server::ServerConfig;
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

/// Where the data are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct HomeArguments {
    /// Folder of the embedded store [default: ./paylog-data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// PostgreSQL database, instead of a folder (not built yet)
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
}

/// `paylog serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArguments {
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Address to listen on [default: 127.0.0.1; 0.0.0.0 with LEANCLOUD_API_SERVER]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "LEANCLOUD_APP_PORT", default_value_t = 3000)]
    pub(crate) port: u16,
    /// A LeanEngine app of any language, running beside this one, whose functions and hooks are served too
    #[arg(long, value_name = "URL")]
    pub(crate) engine: Option<String>,
    /// File with functions to call again and again [default: cron.yaml, where it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) cron: Option<PathBuf>,
    /// Whether the channel "sandbox" takes recharges, which the master key alone confirms [default: on where the folder
    /// holds no database yet]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) sandbox: Option<bool>,
    /// Start although a check says that clients could write money
    #[arg(long)]
    pub(crate) allow_unsafe: bool,
    /// Take the caller's address from Forwarded, X-Real-IP or X-Forwarded-For: only behind a proxy that sets them
    #[arg(long)]
    pub(crate) trust_proxy: bool,
    /// The server's address as clients know it, such as https://api.example.com [default: what they have called]
    #[arg(long, env = "PAYLOG_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Bytes of an uploaded file at most
    #[arg(long, value_name = "BYTES", default_value_t = ServerConfig::FILE_BYTES_MAX)]
    pub(crate) file_bytes_max: u64,
    /// Requests to the storage API that may be under way at a time, at least one; 429 beyond
    #[arg(long, value_name = "N", default_value_t = ServerConfig::CONCURRENT_REQUESTS_MAX, value_parser = at_least_one)]
    pub(crate) concurrent_requests_max: usize,
    /// Requests to the storage API in a second, on average; 429 beyond; 0 is any number [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_second: Option<u32>,
    /// Log each request to the storage API
    #[arg(long)]
    pub(crate) request_log: bool,
}

/// `paylog recover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArguments {
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Take up at most so many payments
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog audit`.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditArguments {
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Account for what users held before their first payment: one closed log for each, once for ever. Moves no money
    #[arg(long)]
    pub(crate) open: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog stuck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StuckArguments {
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print the payments as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArguments {
    /// The id of a log or an order, the number of a recharge or an order, the gateway's number, or a whole key
    #[arg(value_name = "PAYMENT")]
    pub(crate) what: String,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print the records as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog resume`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResumeArguments {
    /// The id of the payment's log, from `paylog stuck`
    #[arg(value_name = "LOG")]
    pub(crate) payment: String,
    /// Credit money that has arrived with another amount than was asked for: as much as has arrived
    #[arg(long)]
    pub(crate) credit: bool,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print how it ended as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog cancel`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CancelArguments {
    /// The id of the payment's log, from `paylog stuck`
    #[arg(value_name = "LOG")]
    pub(crate) payment: String,
    /// Why; told to whoever asks for the payment again
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Write off money that has arrived with another amount than was asked for: it has been given back at the gateway
    #[arg(long)]
    pub(crate) returned: bool,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print how it ended as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog doctor`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArguments {
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// First take the payments' classes (Log, Order, Product) away from clients, and add the indexes and read-only columns
    /// that are missing, as a server does with classes that it has made itself. Stop the server first
    #[arg(long)]
    pub(crate) lock: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog backup`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackupArguments {
    /// The file to write; it must not exist yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Put the app's id and keys into it too: whoever has the file then has the master key
    #[arg(long)]
    pub(crate) with_credentials: bool,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
}

/// `paylog restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArguments {
    /// A file that `paylog backup` has written
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
}

/// `paylog import`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImportArguments {
    /// What to import: a folder, an archive (.tar.gz) or a file (.jsonl, .json, .csv, .bson, each also with .gz)
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// The class of all objects in SOURCE [default: what the name of each file says, as Post.0.jsonl does]
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Where what was left out is listed, one JSON object a line
    #[arg(long, value_name = "FILE", default_value = "paylog-import-report.jsonl")]
    pub(crate) report: PathBuf,
    /// Try it on an empty store that is thrown away: reports all, changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The app that is copied.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArguments {
    /// Address of the app's storage API, such as https://abc.api.lncldglobal.com
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// What the server is asked with.
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// What the source is asked with, and how fast.
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
    /// Requests in a second at most. LeanCloud's development plan allows 30,000 in a day, and three at a time
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = requests_per_second)]
    pub(crate) requests_per_second: f64,
    /// Requests under way at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) requests_at_once: u8,
    /// Leave this class where it is; may be given several times
    #[arg(long, value_name = "CLASS")]
    pub(crate) without: Vec<String>,
    /// Do not compare relations in the proof: each costs a request for every object that could have one
    #[arg(long)]
    pub(crate) skip_relations: bool,
}

fn at_least_one(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a number from 1 on is expected".to_owned()),
    }
}

fn requests_per_second(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.01..=10_000.0).contains(&number) => Ok(number),
        _ => Err("a number from 0.01 to 10000 is expected".to_owned()),
    }
}

/// `paylog pull`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PullArguments {
    /// The app that is copied.
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Fetch the bytes of files too, into the folder that this server serves
    #[arg(long)]
    pub(crate) files: bool,
    /// Go on following until told to stop
    #[arg(long, conflicts_with = "last")]
    pub(crate) watch: bool,
    /// With --watch: seconds between two rounds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) every: u64,
    /// Make the last round and move: nothing pays at the source from then on, and the proof is printed
    #[arg(long = "final")]
    pub(crate) last: bool,
    /// With --final: move although objects differ, or users have lost their login. Money must agree all the same
    #[arg(long, requires = "last")]
    pub(crate) accept_differences: bool,
    /// Give the money back to the source, after a --final that came to no end
    #[arg(long, conflicts_with_all = ["last", "watch"])]
    pub(crate) roll_back: bool,
    /// With --final: print the proof as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog export`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExportArguments {
    /// The folder to make, or the archive, where the name ends in .tar.gz; it must not exist yet
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    /// This class and its relations alone; may be given several times [default: all]
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Vec<String>,
    /// Only objects changed then or later: 2026-11-25, or 2026-11-25T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog verify`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArguments {
    /// Compare with the app at this address, such as https://abc.api.lncldglobal.com
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,
    /// What the server is asked with.
    #[command(flatten)]
    pub(crate) access: AccessArguments,
    /// Where the data are.
    #[command(flatten)]
    pub(crate) home: HomeArguments,
    /// Print the proof as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArguments {
    /// Measure creates, reads, increments, indexed queries and batches instead of payments
    #[arg(long, conflicts_with_all = ["users", "mode"])]
    pub(crate) storage: bool,
    /// Payments to measure; with --storage, requests of each kind
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) payments: u64,
    /// Requests under way at once, each on a connection of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) in_flight: u64,
    /// Accounts that pay
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) users: u64,
    /// How the payments spread over the accounts
    #[arg(long, value_enum, default_value_t = BenchMode::Uniform)]
    pub(crate) mode: BenchMode,
    /// Measure this server, instead of one started for the purpose; needs --app-id, --app-key and --master-key. What is
    /// made there stays there: users and orders, or with --storage a class Bench…
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
    /// Folder in which the temporary data folder is made [default: the system's]; put it on the disk to be measured
    #[arg(long, value_name = "FOLDER", conflicts_with = "server")]
    pub(crate) folder: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `paylog new`.
#[derive(Args, Clone, Debug)]
pub(crate) struct NewArguments {
    /// The folder to make; its name becomes that of the app
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Where paylog's library is: a folder, or the address of a git repository [default: the package registry]
    #[arg(long, value_name = "PATH OR GIT")]
    pub(crate) library: Option<String>,
}

/// `paylog package`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PackageArguments {
    /// A program that is built already, instead of building one
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Where the archive is written
    #[arg(long, value_name = "FOLDER", default_value = "package")]
    pub(crate) folder: PathBuf,
}

/// How the payments spread over the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchMode {
    /// Evenly over all users.
    Uniform,
    /// All on one account.
    Hot,
}

/// Reads the name of a class from the command line.
pub(crate) fn class_name(text: &str) -> Result<ClassName> {
    ClassName::parse(text).map_err(|error| anyhow::anyhow!(error.message))
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
