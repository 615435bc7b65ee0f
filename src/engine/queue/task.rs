//! A task, and the steps of its life. Pure: time and outcomes are arguments.

use serde::{Deserialize, Serialize};

use crate::model::{CloudError, Document, ErrorCode, Timestamp, Value};

/// How a task that was begun by a process that died is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// It is begun again: it may run twice.
    #[default]
    #[serde(rename = "atLeastOnce")]
    AtLeastOnce,
    /// It has failed: it may not have run.
    #[serde(rename = "atMostOnce")]
    AtMostOnce,
}

/// How a task runs. The defaults are LeanCloud's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOptions {
    /// How often it is tried again after a failure. 1.
    pub attempts: u32,
    /// Milliseconds between a failure and the next try. 60,000.
    pub backoff: u64,
    /// Milliseconds before the first try. 0.
    pub delay: u64,
    /// After a crash.
    pub delivery: Delivery,
    /// Milliseconds for which the result is kept, and the unique id with it. 300,000.
    pub keep_result: u64,
    /// Tasks that wait at the same time run in this order, smaller first; without one, in the order of their adding.
    pub priority: Option<i64>,
    /// Milliseconds that the function may take, at most 15,000.
    pub timeout: u64,
    /// 1 to 64 characters. As long as a task of that id is kept, a second one is refused. Without one, a random one.
    pub unique_id: Option<String>,
}

impl TaskOptions {
    /// The longest time-out, and the usual one.
    pub const TIMEOUT_MAX: u64 = 15_000;
    /// The longest unique id, in characters.
    pub const UNIQUE_ID_MAX: usize = 64;
    /// A month: what is to happen later is for cron.
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

    /// The same, with this id.
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

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskStatus {
    /// Waits for its time.
    Queued,
    /// A worker has it.
    Running,
    /// Ended well.
    Success,
    /// Ended, and is not tried again.
    Failed,
    /// No task of its own: at its time it adds one (cron).
    Timer,
}

impl TaskStatus {
    /// As it is stored.
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

    /// The status of that name.
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

/// A task as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique among those that are kept.
    pub unique_id: String,
    /// The function to call.
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
    /// Where it stands.
    pub status: TaskStatus,
    /// When something is to be done about it: begin it, take it from a dead worker, forget it.
    pub due_at: Timestamp,
    /// Tries that have ended in a failure.
    pub failures: u32,
    /// Tries whose process died.
    pub crashes: u32,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The HTTP status of its last try.
    pub status_code: Option<u16>,
    /// What the function answered.
    pub result: Option<Value>,
    /// Why the last try failed.
    pub error: Option<String>,
    /// Timers: the schedule, as it was written.
    pub schedule: Option<String>,
    /// Grows with every change.
    pub revision: i64,
    /// The store's own name for it; empty before it is stored.
    pub id: String,
}

/// How often a task is begun again after its process has died. One that kills its process must not do so for ever.
const CRASHES_MAX: u32 = 20;

/// Milliseconds beyond its time-out for which a worker keeps a task: the time to write down how it ended.
const LEASE_MARGIN: u64 = 5_000;

impl Task {
    /// A new task.
    ///
    /// # Errors
    /// 107 where an option is out of range.
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

    /// A worker takes it.
    #[must_use]
    pub fn begun(mut self, now: Timestamp) -> Self {
        self.status = TaskStatus::Running;
        self.due_at = later(now, self.timeout.saturating_add(LEASE_MARGIN));
        self
    }

    /// The function has answered.
    #[must_use]
    pub fn ended(mut self, outcome: Result<Value, CloudError>, now: Timestamp) -> Self {
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

    /// The worker that had it has died, or cannot write.
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

    /// What clients see of it.
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

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskInfo {
    /// Its id.
    pub unique_id: String,
    /// `queued`, `success` or `failed`.
    pub status: TaskStatus,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The HTTP status of its last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// What the function answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again.
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
    fn a_task_is_tried_again_as_often_as_it_says() {
        let options = TaskOptions {
            attempts: 2,
            backoff: 100,
            keep_result: 1000,
            ..TaskOptions::new()
        };
        let mut task = task(&options).begun(NOW);
        assert_eq!(task.due_at.as_millis(), 20_000);
        for failures in 1..=2 {
            task = task.ended(failure(), NOW);
            assert_eq!((task.status, task.failures), (TaskStatus::Queued, failures));
            assert_eq!(task.due_at.as_millis(), 100);
            assert_eq!(task.info().retry_at, Some(task.due_at));
            task = task.begun(NOW);
        }
        let failed = task.clone().ended(failure(), NOW);
        assert_eq!(failed.status, TaskStatus::Failed);
        assert_eq!(failed.due_at.as_millis(), 1000);
        let info = failed.info();
        assert_eq!(
            (info.status_code, info.error.as_deref(), info.retry_at),
            (Some(418), Some("no"), None)
        );
        let succeeded = task.ended(Ok(json!(7)), NOW);
        let info = succeeded.info();
        assert_eq!(
            (info.status, info.result, info.error),
            (TaskStatus::Success, Some(json!(7)), None)
        );
    }

    #[test]
    fn a_crash_is_no_failure_and_yet_has_an_end() {
        let mut abandoned = task(&TaskOptions::new()).begun(NOW);
        for _ in 0..CRASHES_MAX {
            abandoned = abandoned.abandoned(NOW).begun(NOW);
            assert_eq!(abandoned.failures, 0);
        }
        assert_eq!(abandoned.abandoned(NOW).status, TaskStatus::Failed);
        let once = TaskOptions {
            delivery: Delivery::AtMostOnce,
            ..TaskOptions::new()
        };
        assert_eq!(task(&once).begun(NOW).abandoned(NOW).status, TaskStatus::Failed);
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
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
