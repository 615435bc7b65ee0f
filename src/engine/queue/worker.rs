//! Worker of the queue: takes due tasks from the store and calls their functions.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::call_runner::with_timeout;
use crate::engine::cloud::Cloud;
use crate::engine::encode::Encoding;
use crate::engine::queue::{CronJob, QueueConfig, Task, TaskInfo, TaskOptions, TaskStatus};
use crate::environment::Environment;
use crate::model::{CloudError, Document, ErrorCode, Timestamp};

/// Number of due tasks read at once.
const PAGE_SIZE: u32 = 32;

/// Longest wait between two polls: other processes add tasks too, and clocks differ.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Pause after an error of the store.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Milliseconds after which the overdue timer of an unknown job is removed: the time for which an older and a newer
/// version of the app may run together.
const UNKNOWN_TIMER_AGE_MAX: i64 = 24 * 60 * 60 * 1000;

/// The queue of an engine. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    config: QueueConfig,
    environment: Environment,
    /// Signals a new task or a new time of a timer.
    added: Notify,
}

impl Queue {
    pub(crate) fn new(config: QueueConfig, environment: Environment) -> Self {
        Self(Arc::new(Inner {
            config,
            environment,
            added: Notify::new(),
        }))
    }

    /// Adds a task and returns its unique id once it is durable.
    ///
    /// # Errors
    /// 107 if an option is out of range; 137 if a task of that unique id is kept; an error of the store, after which
    /// only the unique id tells whether the task was added.
    pub async fn add(
        &self,
        function: &str,
        params: Document,
        options: &TaskOptions,
    ) -> Result<String, CloudError> {
        let environment = &self.0.environment;
        let random_id = || environment.random_text(32);
        let task = Task::new(function, params, options, environment.now(), random_id)?;
        if !self.0.config.store.add(&task).await? {
            let text = format!("A task with the uniqueId '{}' is kept already.", task.unique_id);
            return Err(CloudError::new(ErrorCode::DUPLICATE_VALUE, text));
        }
        self.0.added.notify_one();
        Ok(task.unique_id)
    }

    /// Returns the state of a task; `None` if no task of that id is kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        let task = self.0.config.store.get(unique_id).await?;
        Ok(task
            .filter(|task| task.status != TaskStatus::Timer)
            .map(|task| task.info()))
    }

    /// Runs tasks until `stop`, then finishes the tasks in flight and returns.
    pub(crate) async fn run(&self, cloud: &Cloud, stop: &CancellationToken) {
        let mut is_ready = false;
        let mut running = FuturesUnordered::new();
        loop {
            if !is_ready {
                is_ready = self.prepare().await;
            }
            let free = self.0.config.concurrency.max(1).saturating_sub(running.len());
            let mut started = 0;
            if free > 0 && is_ready && !stop.is_cancelled() {
                for task in self.due().await {
                    if started == free {
                        break;
                    }
                    if let Some(task) = self.process_due(task).await {
                        running.push(self.run_task(cloud, task));
                        started += 1;
                    }
                }
            }
            if stop.is_cancelled() && running.is_empty() {
                return;
            }
            let is_full = is_ready && started == free;
            tokio::select! {
                // After `stop`, only the tasks in flight are awaited.
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                Some(()) = running.next(), if !running.is_empty() => {}
                () = self.wait_for_due(), if !is_full && !stop.is_cancelled() => {}
            }
        }
    }

    /// Returns the tasks that are due now; none if the store cannot be read.
    async fn due(&self) -> Vec<Task> {
        let now = self.0.environment.now();
        match self.0.config.store.due(now, PAGE_SIZE).await {
            Ok(tasks) => tasks,
            Err(error) => {
                tracing::warn!(%error, "due tasks could not be read");
                self.0.environment.sleep(RETRY_DELAY).await;
                Vec::new()
            }
        }
    }

    /// Completes when a task is due, or may be.
    async fn wait_for_due(&self) {
        let now = self.0.environment.now();
        let wait = match self.0.config.store.next_due().await {
            Ok(Some(due)) => u64::try_from(due.as_millis().saturating_sub(now.as_millis())).unwrap_or(0),
            Ok(None) => u64::MAX,
            Err(_) => u64::try_from(RETRY_DELAY.as_millis()).unwrap_or(u64::MAX),
        };
        // Never zero: a due task that could not be taken must not cause a busy loop.
        let wait = Duration::from_millis(wait.max(5)).min(POLL_INTERVAL);
        tokio::select! {
            () = self.0.environment.sleep(wait) => {}
            () = self.0.added.notified() => {}
        }
    }

    /// Performs the next step of a due task. Returns the task if it has been taken and its function is to be called.
    async fn process_due(&self, task: Task) -> Option<Task> {
        let now = self.0.environment.now();
        let store = &self.0.config.store;
        let outcome = match task.status {
            TaskStatus::Queued => match store.replace(task.started(now)).await {
                Ok(started) => return started,
                Err(error) => Err(error),
            },
            TaskStatus::Running => self.reclaim(task, now).await,
            TaskStatus::Success | TaskStatus::Failed => store.remove(&task).await,
            TaskStatus::Timer => self.fire_timer(task, now).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "a task could not be changed and will be retried");
        }
        None
    }

    /// Takes a task from a worker that has died.
    async fn reclaim(&self, task: Task, now: Timestamp) -> Result<(), CloudError> {
        tracing::warn!(
            function = task.function,
            task = task.unique_id,
            "a task was reclaimed from a process that has died"
        );
        self.0.config.store.replace(task.abandoned(now)).await.map(drop)
    }

    /// Calls the function of a task and stores the outcome.
    async fn run_task(&self, cloud: &Cloud, task: Task) {
        let (now, limit) = (self.0.environment.elapsed(), Duration::from_millis(task.timeout));
        let cloud = cloud.clone().with_deadline(now.saturating_add(limit));
        let call = cloud.call(&task.function, task.params.clone(), Encoding::Plain);
        let outcome = with_timeout(limit, call)
            .await
            .unwrap_or_else(|| Err(CloudError::timed_out()));
        if let Err(error) = &outcome {
            let (function, id) = (&task.function, &task.unique_id);
            tracing::warn!(function, task = id, %error, "a task failed");
        }
        let completed = task.completed(outcome, self.0.environment.now());
        // If the outcome is not stored, the task runs again: hence several attempts.
        for _ in 0..3 {
            match self.0.config.store.replace(completed.clone()).await {
                Ok(Some(_)) => return,
                Ok(None) => {
                    return tracing::warn!(task = completed.unique_id, "a task was taken by another worker");
                }
                Err(error) => {
                    tracing::warn!(%error, task = completed.unique_id, "the outcome of a task could not be stored");
                    self.0.environment.sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Adds the task of a due timer, then sets the timer to the next time. After a crash between the two, the repeated
    /// first step changes nothing. Times missed while no process ran become one.
    async fn fire_timer(&self, timer: Task, now: Timestamp) -> Result<(), CloudError> {
        let store = &self.0.config.store;
        let Some(job) = self.jobs().remove(timer.unique_id.as_str()) else {
            if now.as_millis().saturating_sub(timer.due_at.as_millis()) > UNKNOWN_TIMER_AGE_MAX {
                store.remove(&timer).await?;
            }
            return Ok(());
        };
        let options = TaskOptions {
            attempts: job.attempts,
            backoff: job.backoff,
            unique_id: Some(format!("{}:{}", timer.unique_id, timer.due_at.as_millis())),
            ..TaskOptions::new()
        };
        let task = Task::new(&job.function, job.params.clone(), &options, now, String::new)?;
        store.add(&task).await?;
        let next = job
            .schedule
            .after(now)
            .unwrap_or(Timestamp::from_millis(i64::MAX));
        store
            .replace(Task {
                due_at: next,
                ..timer
            })
            .await?;
        self.0.added.notify_one();
        Ok(())
    }

    /// Jobs by the unique ids of their timers.
    fn jobs(&self) -> HashMap<String, &CronJob> {
        let jobs = self.0.config.jobs.iter();
        jobs.map(|job| (timer_id(&job.name), job)).collect()
    }

    /// Stores the timer of every job with its current schedule. An exclusive queue also reclaims all running tasks: this
    /// process has started none yet. Returns false if the store failed.
    async fn prepare(&self) -> bool {
        let outcome = async {
            for (unique_id, job) in self.jobs() {
                self.set_timer(&unique_id, job).await?;
            }
            let now = self.0.environment.now();
            // Later than the end of the longest lease.
            let horizon = now.plus_millis(60_000);
            if self.0.config.exclusive {
                for task in self.0.config.store.due(horizon, u32::from(u16::MAX)).await? {
                    if task.status == TaskStatus::Running {
                        self.reclaim(task, now).await?;
                    }
                }
            }
            Ok::<_, CloudError>(())
        };
        match outcome.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be prepared yet");
                false
            }
        }
    }

    /// Creates a job's timer, or updates its schedule.
    async fn set_timer(&self, unique_id: &str, job: &CronJob) -> Result<(), CloudError> {
        let (store, now) = (&self.0.config.store, self.0.environment.now());
        let due_at = job
            .schedule
            .after(now)
            .unwrap_or(Timestamp::from_millis(i64::MAX));
        let schedule = Some(job.schedule.source().to_owned());
        match store.get(unique_id).await? {
            Some(timer) if timer.schedule == schedule => {}
            Some(timer) => {
                let timer = Task {
                    due_at,
                    schedule,
                    ..timer
                };
                store.replace(timer).await?;
            }
            None => {
                let options = TaskOptions {
                    // Ahead of every task: a timer only adds one.
                    priority: Some(i64::from(i32::MIN)),
                    ..TaskOptions::new()
                };
                let timer = Task::new(&job.function, Document::new(), &options, now, || {
                    unique_id.to_owned()
                })?;
                let timer = Task {
                    status: TaskStatus::Timer,
                    due_at,
                    schedule,
                    ..timer
                };
                store.add(&timer).await?;
            }
        }
        Ok(())
    }
}

/// Unique id of a job's timer.
fn timer_id(job: &str) -> String {
    format!("cron:{job}")
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.0.config).finish()
    }
}
