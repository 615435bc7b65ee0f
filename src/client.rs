//! A client for LeanCloud's REST API: objects, queries, batches, scans, users and cloud functions.
//!
//! [`ClientBuilder`] checks the configuration once; [`Client`] is a cheap handle with several views
//! ([`Client::with_session`], [`Client::as_master`]). [`Client`] implements [`Store`](crate::store::Store), the port
//! that moves money: with the master key, without hooks, each write sent once.
//!
//! Invariants:
//! - A write returns a [`WriteOutcome`](crate::store::WriteOutcome). If its effect is uncertain, the outcome is
//!   [`Unknown`](crate::store::WriteOutcome::Unknown), never an `Err` and never a guess.
//! - Only [`RetryPolicy`] decides if a request is sent again, from the caller's declaration ([`Idempotent`]). The HTTP
//!   library below repeats nothing that it may have sent, follows no redirect and uses no proxy.
//! - Keys, tokens, passwords and bodies appear in no `Debug`, no error and no log line.
//! - LeanCloud has no parameter that selects the replica of a read. Reads may lag behind, so no decision about money
//!   rests on a read alone: a conditional update confirms it.
//!
//! Absent: a cache, a global default client, background tasks.
//!
//! ```no_run
//! use paylog::client::{Client, ReadOptions, WriteOptions};
//! use paylog::model::{ClassName, Filter, Query, Update};
//! use paylog::store::WriteOutcome;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let client = Client::builder("https://api.example.com", "app-id", "app-key").build()?;
//! let scores = ClassName::parse("GameScore")?;
//! let player = client.log_in("tester", "secret").await?.client(&client);
//!
//! let best = player.objects(&scores).query(&Query::new(Filter::all().gte("score", 1000))).await?;
//! for row in &best.results {
//!     println!("{:?}", row.text("player"));
//! }
//! match player.objects(&scores).create(&Update::new().set("score", 1), WriteOptions::new()).await {
//!     WriteOutcome::Applied(written) => println!("{:?}", written.object_id),
//!     WriteOutcome::Rejected(error) => println!("rejected: {error}"),
//!     WriteOutcome::NotMatched => println!("the condition did not match"),
//!     WriteOutcome::Unknown(reason) => println!("read before you repeat it: {reason}"),
//! }
//! # Ok(()) }
//! ```

mod batch;
mod builder;
mod cloud_functions;
mod cloud_queue;
mod config;
mod error;
mod file_downloader;
mod handle;
mod headers;
mod objects;
mod outcome;
mod query;
mod request;
mod response;
mod retry;
mod scan;
mod schemas;
mod server_date;
mod store;
mod transport;
mod users;
mod write_request;

pub use builder::ClientBuilder;
pub use config::Authentication;
pub use error::{BuildError, ClientError, Retry};
pub use file_downloader::FileDownloader;
pub use handle::Client;
pub use objects::{Objects, ReadOptions, WriteOptions};
pub use retry::{AttemptFailure, Idempotent, RetryDecision, RetryPolicy};
pub use scan::Scan;
pub use transport::{HttpRequest, HttpResponse, HttpTransport, Transport, TransportError};
pub use users::Session;
