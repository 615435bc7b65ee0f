//! The task queue and a cron job: `cargo run --example reminders`. A file `cron.yaml` in the working folder calls
//! `countReminders` every night: `jobs: [{name: nightly, function: countReminders, cron: 0 0 3 * * ?}]`

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use paylog::engine::{App, Cloud, CurrentUser, Params, TaskInfo, TaskOptions};
use paylog::model::CloudError;
use serde::{Deserialize, Serialize};

static REMINDED: AtomicU64 = AtomicU64::new(0);

#[derive(Serialize, Deserialize)]
struct Reminder {
    what: String,
    seconds: u64,
}

/// Returns once the task is on disk. The task then runs, however often the process is killed.
async fn remind_me(cloud: Cloud, Params(it): Params<Reminder>, _: CurrentUser) -> Result<String, CloudError> {
    let options = TaskOptions {
        delay: it.seconds.saturating_mul(1000),
        attempts: 3,
        ..TaskOptions::new()
    };
    cloud.enqueue("remind", &it, &options).await
}

#[derive(Deserialize)]
struct TaskQuery {
    task: String,
}

async fn look_up(cloud: Cloud, Params(query): Params<TaskQuery>) -> Result<Option<TaskInfo>, CloudError> {
    cloud.task_info(&query.task).await
}

/// Internal: only the queue, cron and holders of the master key may call it.
async fn remind(Params(reminder): Params<Reminder>) -> Result<String, CloudError> {
    REMINDED.fetch_add(1, Ordering::Relaxed);
    Ok(format!("Do not forget: {}", reminder.what))
}

async fn count_reminders() -> Result<u64, CloudError> {
    Ok(REMINDED.load(Ordering::Relaxed))
}

fn main() -> ExitCode {
    paylog::cli::run(|_| {
        App::new()
            .function("remindMe", remind_me)
            .function("lookUp", look_up)
            .internal_function("remind", remind)
            .internal_function("countReminders", count_reminders)
    })
}
