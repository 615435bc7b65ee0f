//! The LeanEngine runtime: serves an app's cloud functions and hooks over HTTP, and its hooks in the same process.
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
//! [`App::build`] makes an [`Engine`], which [`Engine::router`] mounts and [`serve()`] runs. The runtime knows no client,
//! store or payment: handlers find their dependencies in the app's state ([`State`]), and the port [`Sessions`] resolves
//! session tokens.

pub mod app;
pub mod call;
mod call_handler;
mod call_runner;
mod chained_hooks;
pub mod cloud;
pub mod config;
pub mod cookie_session;
mod dispatch;
pub mod encode;
mod error;
pub mod extract;
pub mod handler;
mod hook_names;
mod hook_payload;
pub mod https_redirect;
mod limits;
mod local_hooks;
mod metrics;
pub mod queue;
mod realtime_hook;
mod registry;
pub mod remote_app;
mod remote_call;
mod router;
mod runtime;
pub mod serve;
pub mod session;

pub use app::{App, BuildError, FunctionOptions};
pub use call::{Call, Meta};
pub use cloud::Cloud;
pub use config::EngineConfig;
pub use cookie_session::{CookieError, CookieSession, CookieSessionLayer};
pub use encode::ClassObject;
pub use extract::{AuthData, CurrentUser, FromCall, HookObject, Object, Params, State};
pub use handler::{BeforeSaveReply, FunctionReply, Handler, HookReply};
pub use hook_payload::HookPayload;
pub use https_redirect::HttpsRedirectLayer;
pub use limits::Limits;
pub use queue::{
    CronJob, Delivery, Queue, QueueConfig, Schedule, Task, TaskInfo, TaskOptions, TaskStatus, TaskStore,
};
pub use realtime_hook::RealtimeHook;
pub use remote_app::RemoteApp;
pub use remote_call::{RemoteCaller, RemoteRequest};
pub use runtime::Engine;
pub use serve::{ServeOptions, serve, serve_with, shutdown_signal};
pub use session::Sessions;
