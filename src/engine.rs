//! The LeanEngine runtime: an app's cloud functions and hooks over HTTP, and its hooks in the same process.
//!
//! ```
//! use paylog::engine::{App, CurrentUser, Params};
//! use paylog::model::CloudError;
//!
//! #[derive(serde::Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! async fn hello(Params(greeting): Params<Greeting>, user: Option<CurrentUser>) -> Result<String, CloudError> {
//!     let who = if user.is_some() { "dear" } else { "whoever you are," };
//!     Ok(format!("Hello, {who} {}!", greeting.name))
//! }
//!
//! let app = App::<()>::new().function("hello", hello);
//! ```
//!
//! [`App::build`] makes an [`Engine`] of it, which is mounted by [`Engine::router`] and run by [`serve()`]. Nothing here
//! knows a client, a store or a payment: what a handler needs is the app's state ([`State`]), and session tokens are
//! resolved through the port [`Sessions`].

pub mod app;
pub mod call;
pub mod cloud;
pub mod config;
pub mod cookie_session;
pub mod encode;
mod exchange;
pub mod extract;
pub mod handler;
pub mod hook;
pub mod https_redirect;
mod local;
mod metrics;
pub mod queue;
mod registry;
pub mod remote_app;
pub mod router;
mod run;
pub mod serve;
pub mod session;

pub use app::{App, BuildError, FunctionOptions};
pub use call::{Call, Meta};
pub use cloud::{Cloud, RemoteCaller, RemoteRequest};
pub use config::{EngineConfig, Limits};
pub use cookie_session::{CookieError, CookieSession, CookieSessionLayer};
pub use encode::ClassObject;
pub use extract::{AuthData, CurrentUser, FromCall, HookObject, Object, Params, State};
pub use handler::{BeforeSaveReply, FunctionReply, Handler, HookReply};
pub use https_redirect::HttpsRedirectLayer;
pub use queue::{
    CronJob, Delivery, Queue, QueueConfig, Schedule, Task, TaskInfo, TaskOptions, TaskStatus, TaskStore,
};
pub use registry::RealtimeHook;
pub use remote_app::RemoteApp;
pub use router::Engine;
pub use serve::{ServeOptions, serve, serve_with, shutdown_signal};
pub use session::Sessions;
