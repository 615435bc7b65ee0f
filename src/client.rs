//! A client of LeanCloud's REST API: objects, queries, batches, scans, users and cloud functions.
//!
//! [`ClientBuilder`] checks the configuration once; [`Client`] is a cheap handle with views of it
//! ([`Client::with_session`], [`Client::as_master`]). [`Client`] implements [`Store`](crate::store::Store), the port
//! that moves money, with the master key, without hooks and with every write sent once.
//!
//! What holds everywhere in here:
//! - A write answers a [`WriteOutcome`](crate::store::WriteOutcome). Whatever leaves its effect open is
//!   [`Unknown`](crate::store::WriteOutcome::Unknown), never an `Err` and never a guess.
//! - Only [`RetryPolicy`] decides whether a request is sent again, from what the caller declared ([`Idempotent`]).
//!   The HTTP library below repeats nothing that it may have sent, follows no redirect and uses no proxy.
//! - Keys, tokens, passwords and bodies appear in no `Debug`, no error and no log line.
//! - LeanCloud has no parameter that chooses where a read is answered. Reads may come from a replica that lags behind,
//!   so nothing may be concluded from a read alone that a conditional update does not confirm.
//!
//! What is absent: a cache, a global default client, background tasks.
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
//!     WriteOutcome::Rejected(error) => println!("refused: {error}"),
//!     WriteOutcome::NotMatched => println!("the condition did not hold"),
//!     WriteOutcome::Unknown(reason) => println!("look before you repeat it: {reason}"),
//! }
//! # Ok(()) }
//! ```

mod answer;
mod batch;
mod builder;
mod cloud;
mod download;
mod error;
mod handle;
mod objects;
mod query;
mod request;
mod retry;
mod scan;
mod schemas;
mod store;
mod transport;
mod users;

pub use builder::{Authentication, BuildError, ClientBuilder};
pub use download::Downloads;
pub use error::{ClientError, Retry};
pub use handle::Client;
pub use objects::{Objects, ReadOptions, WriteOptions};
pub use retry::{Decision, Failure, Idempotent, RetryPolicy};
pub use scan::Scan;
pub use transport::{Answer, Exchange, HttpTransport, Transport, TransportError};
pub use users::Session;
