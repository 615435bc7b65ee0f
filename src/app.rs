//! The composition root: builds stores, payments, engine and server from the settings of the process, and runs them.
//!
//! Nothing here decides about money, and nothing here knows the command line.

pub(crate) mod checks;
pub(crate) mod class_names_lock;
pub(crate) mod credentials_file;
mod cron_file;
pub(crate) mod data_context;
pub(crate) mod data_folder;
pub(crate) mod durable_file;
#[cfg(all(feature = "failpoints", debug_assertions))]
mod failpoint_store;
pub(crate) mod leancloud_client;
mod leancloud_functions;
pub(crate) mod listener;
mod metered_store;
mod paging;
pub(crate) mod payments;
pub(crate) mod read_access;
pub(crate) mod serve;
pub(crate) mod server_file;
mod sessions;
mod standalone;
mod task_store;
pub(crate) mod terminal;
pub(crate) mod write_access;
