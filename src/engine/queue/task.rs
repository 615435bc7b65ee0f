//! A task and its state transitions. Pure: time and outcomes are arguments.

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, Document, ErrorCode, Timestamp, Value};

/// Guarantee of delivery: treatment of a task whose process died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// The task runs again. It may run twice.
    #[default]
    #[serde(rename = "atLeastOnce")]
    AtLeastOnce,
    /// The task fails. It may not have run.
    #[serde(rename = "atMostOnce")]
    AtMostOnce,
}

/// Options of a task. The defaults are LeanCloud's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOptions {
    /// Number of retries after a failure. 1.
    pub attempts: u32,
    /// Milliseconds between a failure and the next retry. 60,000.
    pub backoff: u64,
    /// Milliseconds before the first run. 0.
    pub delay: u64,
    /// Treatment after a crash. At least once.
    pub delivery: Delivery,
    /// Milliseconds for which the result and the unique id are kept. 300,000.
    pub keep_result: u64,
    /// Priority among waiting tasks, smaller first. The default is the time of adding.
    pub priority: Option<i64>,
    /// Time-out of the function in milliseconds, 1 to 15,000. 15,000.
    pub timeout: u64,
    /// Unique id, 1 to 64 characters. While a task of that id is kept, a second one is refused. Random by default.
    pub unique_id: Option<String>,
}

impl TaskOptions {
    /// Longest time-out in milliseconds; also the default.
    pub const TIMEOUT_MAX: u64 = 15_000;
    /// Longest unique id in characters.
    pub const UNIQUE_ID_MAX: usize = 64;
    /// Longest delay, back-off and time of keeping in milliseconds: a month. Cron serves later times.
    const MILLIS_MAX: u64 = 31 * 24 * 60 * 60 * 1000;

    /// LeanCloud's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempts: 1,
            backoff: 60_000,
            delay: 0,
            delivery: Delivery::AtLeastOnce,
            keep_result: 300_000,
            priority: None,
            timeout: Self::TIMEOUT_MAX,
            unique_id: None,
        }
    }

    /// Sets the unique id.
    #[must_use]
    pub fn unique_id(mut self, unique_id: impl Into<String>) -> Self {
        self.unique_id = Some(unique_id.into());
        self
    }

    fn check(&self) -> Result<(), CloudError> {
        let wrong = |what: String| Err(CloudError::new(ErrorCode::INVALID_JSON, what));
        for (name, millis) in [
            ("backoff", self.backoff),
            ("delay", self.delay),
            ("keepResult", self.keep_result),
        ] {
            if millis > Self::MILLIS_MAX {
                return wrong(format!(
                    "'{name}' is longer than 31 days ({} ms).",
                    Self::MILLIS_MAX
                ));
            }
        }
        if !(1..=Self::TIMEOUT_MAX).contains(&self.timeout) {
            return wrong(format!("'timeout' must be 1 to {} ms.", Self::TIMEOUT_MAX));
        }
        let length = self.unique_id.as_deref().map(|id| id.chars().count());
        if length.is_some_and(|length| !(1..=Self::UNIQUE_ID_MAX).contains(&length)) {
            return wrong(format!(
                "'uniqueId' must have 1 to {} characters.",
                Self::UNIQUE_ID_MAX
            ));
        }
        Ok(())
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskStatus {
    /// It waits for its time.
    Queued,
    /// A worker runs it.
    Running,
    /// It succeeded.
    Success,
    /// It failed and is not retried.
    Failed,
    /// A cron timer: at its time it adds a task.
    Timer,
}

impl TaskStatus {
    /// Name in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Timer => "timer",
        }
    }

    /// Returns the status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Running,
            Self::Success,
            Self::Failed,
            Self::Timer,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique id among the tasks that are kept.
    pub unique_id: String,
    /// Function to call.
    pub function: String,
    /// Its parameters.
    pub params: Document,
    /// See [`TaskOptions::attempts`].
    pub attempts: u32,
    /// See [`TaskOptions::backoff`].
    pub backoff: u64,
    /// See [`TaskOptions::delivery`].
    pub delivery: Delivery,
    /// See [`TaskOptions::keep_result`].
    pub keep_result: u64,
    /// See [`TaskOptions::priority`].
    pub priority: i64,
    /// See [`TaskOptions::timeout`].
    pub timeout: u64,
    /// Status.
    pub status: TaskStatus,
    /// Time of its next step: to run it, to reclaim it from a dead worker, or to remove it.
    pub due_at: Timestamp,
    /// Number of runs that failed.
    pub failures: u32,
    /// Number of runs whose process died.
    pub crashes: u32,
    /// Time of its end.
    pub finished_at: Option<Timestamp>,
    /// HTTP status of its last run.
    pub status_code: Option<u16>,
    /// Result of the function.
    pub result: Option<Value>,
    /// Error message of the last run.
    pub error: Option<String>,
    /// Timers: text of the schedule.
    pub schedule: Option<String>,
    /// Revision; grows with every change.
    pub revision: i64,
    /// Id in the store; empty before it is stored.
    pub id: String,
}

/// Largest number of crashes of a task. A task that kills its process must not do so for ever.
const CRASHES_MAX: u32 = 20;

/// Milliseconds of a worker's lease beyond the task's time-out: the time to store its outcome.
const LEASE_MARGIN: u64 = 5_000;

impl Task {
    /// A new task.
    ///
    /// # Errors
    /// 107 if an option is out of range.
    pub fn new(
        function: &str,
        params: Document,
        options: &TaskOptions,
        now: Timestamp,
        random_id: impl FnOnce() -> String,
    ) -> Result<Self, CloudError> {
        options.check()?;
        Ok(Self {
            unique_id: options.unique_id.clone().unwrap_or_else(random_id),
            function: function.to_owned(),
            params,
            attempts: options.attempts,
            backoff: options.backoff,
            delivery: options.delivery,
            keep_result: options.keep_result,
            priority: options.priority.unwrap_or(now.as_millis()),
            timeout: options.timeout,
            status: TaskStatus::Queued,
            due_at: later(now, options.delay),
            failures: 0,
            crashes: 0,
            finished_at: None,
            status_code: None,
            result: None,
            error: None,
            schedule: None,
            revision: 0,
            id: String::new(),
        })
    }

    /// Returns the task as taken by a worker.
    #[must_use]
    pub fn started(mut self, now: Timestamp) -> Self {
        self.status = TaskStatus::Running;
        self.due_at = later(now, self.timeout.saturating_add(LEASE_MARGIN));
        self
    }

    /// Returns the task after a run with this outcome.
    #[must_use]
    pub fn completed(mut self, outcome: Result<Value, CloudError>, now: Timestamp) -> Self {
        match outcome {
            Ok(result) => {
                self.status_code = Some(200);
                self.result = Some(result);
                self.error = None;
                self.finish(TaskStatus::Success, now);
            }
            Err(error) => {
                self.status_code = Some(error.status);
                self.error = Some(error.message);
                self.failures = self.failures.saturating_add(1);
                if self.failures > self.attempts {
                    self.finish(TaskStatus::Failed, now);
                } else {
                    self.status = TaskStatus::Queued;
                    self.due_at = later(now, self.backoff);
                }
            }
        }
        self
    }

    /// Returns the task after the death of its worker.
    #[must_use]
    pub fn abandoned(mut self, now: Timestamp) -> Self {
        self.crashes = self.crashes.saturating_add(1);
        self.error = Some("The process ended while the task was running.".to_owned());
        if self.delivery == Delivery::AtMostOnce || self.crashes > CRASHES_MAX {
            self.finish(TaskStatus::Failed, now);
        } else {
            self.status = TaskStatus::Queued;
            self.due_at = now;
        }
        self
    }

    fn finish(&mut self, status: TaskStatus, now: Timestamp) {
        self.status = status;
        self.finished_at = Some(now);
        self.due_at = later(now, self.keep_result);
    }

    /// Returns the state of the task for clients.
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        let is_finished = matches!(self.status, TaskStatus::Success | TaskStatus::Failed);
        TaskInfo {
            unique_id: self.unique_id.clone(),
            status: match self.status {
                TaskStatus::Running | TaskStatus::Timer => TaskStatus::Queued,
                other => other,
            },
            finished_at: self.finished_at,
            status_code: self.status_code,
            result: self.result.clone(),
            error: self.error.clone(),
            retry_at: (!is_finished && self.failures > 0).then_some(self.due_at),
        }
    }
}

/// State of a task, for clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskInfo {
    /// Unique id.
    pub unique_id: String,
    /// `queued`, `success` or `failed`.
    pub status: TaskStatus,
    /// Time of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// HTTP status of its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Result of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Error message of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Time of the next retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

fn later(now: Timestamp, millis: u64) -> Timestamp {
    now.plus_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn task(options: &TaskOptions) -> Task {
        Task::new("f", Document::new(), options, NOW, || "random".to_owned()).unwrap()
    }

    fn failure() -> Result<Value, CloudError> {
        Err(CloudError::other("no").with_status(418))
    }

    #[test]
    fn failed_task_is_retried_up_to_its_attempts() {
        let options = TaskOptions {
            attempts: 2,
            backoff: 100,
            keep_result: 1000,
            ..TaskOptions::new()
        };
        let mut task = task(&options).started(NOW);
        assert_eq!(task.due_at.as_millis(), 20_000);
        for failures in 1..=2 {
            task = task.completed(failure(), NOW);
            assert_eq!((task.status, task.failures), (TaskStatus::Queued, failures));
            assert_eq!(task.due_at.as_millis(), 100);
            assert_eq!(task.info().retry_at, Some(task.due_at));
            task = task.started(NOW);
        }
        let failed = task.clone().completed(failure(), NOW);
        assert_eq!(failed.status, TaskStatus::Failed);
        assert_eq!(failed.due_at.as_millis(), 1000);
        let info = failed.info();
        assert_eq!(
            (info.status_code, info.error.as_deref(), info.retry_at),
            (Some(418), Some("no"), None)
        );
        let succeeded = task.completed(Ok(json!(7)), NOW);
        let info = succeeded.info();
        assert_eq!(
            (info.status, info.result, info.error),
            (TaskStatus::Success, Some(json!(7)), None)
        );
    }

    #[test]
    fn crashed_task_is_restarted_up_to_the_limit() {
        let mut abandoned = task(&TaskOptions::new()).started(NOW);
        for _ in 0..CRASHES_MAX {
            abandoned = abandoned.abandoned(NOW).started(NOW);
            assert_eq!(abandoned.failures, 0);
        }
        assert_eq!(abandoned.abandoned(NOW).status, TaskStatus::Failed);
        let once = TaskOptions {
            delivery: Delivery::AtMostOnce,
            ..TaskOptions::new()
        };
        assert_eq!(task(&once).started(NOW).abandoned(NOW).status, TaskStatus::Failed);
    }

    #[test]
    fn option_out_of_range_is_refused_by_name() {
        for (options, name) in [
            (
                TaskOptions {
                    timeout: 15_001,
                    ..TaskOptions::new()
                },
                "timeout",
            ),
            (
                TaskOptions {
                    delay: u64::MAX,
                    ..TaskOptions::new()
                },
                "delay",
            ),
            (TaskOptions::new().unique_id("x".repeat(65)), "uniqueId"),
            (TaskOptions::new().unique_id(""), "uniqueId"),
        ] {
            let error = Task::new("f", Document::new(), &options, NOW, String::new).unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
    }
}
