//! The cloud queue: delayed calls of functions, retries after a failure, and cron jobs.
//!
//! A task is durable before its caller gets its id. It runs at least once, however often the process is killed; it may
//! run again if the outcome of a run is unknown. A [`TaskStore`] keeps the tasks. Each step is one conditional write of
//! one task, so that several processes may work on the same tasks.

mod config;
mod cron;
mod request;
mod routes;
mod store;
mod task;
mod worker;

pub use config::QueueConfig;
pub use cron::{CronError, CronJob, Schedule};
pub use store::TaskStore;
pub use task::{Delivery, Task, TaskInfo, TaskOptions, TaskStatus};
pub use worker::Queue;

pub(crate) use request::to_request;
pub(crate) use routes::queue_routes;
