//! The cloud queue: functions that run later, again after a failure, and at their hour.
//!
//! A task is durable before its caller is told so, runs at least once however often the process is killed, and may run
//! again where it cannot be known whether it did. What is kept is the business of a [`TaskStore`]; each step is one
//! conditional change of one task, so that several processes may work on the same tasks.

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
