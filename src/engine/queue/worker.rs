//! Whoever takes tasks from the store at their time, and calls their functions.

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

/// Due tasks that are looked at together.
const PAGE: u32 = 32;

/// How long the queue waits at most before it looks again: other processes add tasks too, and clocks differ.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the queue rests where the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// How overdue the timer of a job that this process does not know must be before it is removed: as long as an older
/// version of the app may still run beside a newer one.
const FORGOTTEN_AFTER: i64 = 24 * 60 * 60 * 1000;

/// The queue of an engine. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    config: QueueConfig,
    environment: Environment,
    /// There is something new to look at.
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

    /// Adds a task; answers its unique id once it is durable.
    ///
    /// # Errors
    /// 107 where an option is out of range; 137 where a task of that unique id is kept; an error of the store, after
    /// which only the unique id tells whether the task was added.
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

    /// What became of a task; `None` where none of that id is kept (any more).
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn info(&self, unique_id: &str) -> Result<Option<TaskInfo>, CloudError> {
        let task = self.0.config.store.get(unique_id).await?;
        Ok(task
            .filter(|task| task.status != TaskStatus::Timer)
            .map(|task| task.info()))
    }

    /// Runs tasks until `stop`; then finishes those that are running, and returns.
    pub(crate) async fn run(&self, cloud: &Cloud, stop: &CancellationToken) {
        let mut is_ready = false;
        let mut running = FuturesUnordered::new();
        loop {
            if !is_ready {
                is_ready = self.prepare().await;
            }
            let free = self.0.config.concurrency.max(1).saturating_sub(running.len());
            let mut begun = 0;
            if free > 0 && is_ready && !stop.is_cancelled() {
                for task in self.due().await {
                    if begun == free {
                        break;
                    }
                    if let Some(task) = self.process_due(task).await {
                        running.push(self.run_task(cloud, task));
                        begun += 1;
                    }
                }
            }
            if stop.is_cancelled() && running.is_empty() {
                return;
            }
            let is_full = is_ready && begun == free;
            tokio::select! {
                // Whoever is told to stop waits for what is running alone.
                () = stop.cancelled(), if !stop.is_cancelled() => {}
                Some(()) = running.next(), if !running.is_empty() => {}
                () = self.wait_for_due(), if !is_full && !stop.is_cancelled() => {}
            }
        }
    }

    /// The tasks to look at now.
    async fn due(&self) -> Vec<Task> {
        let now = self.0.environment.now();
        match self.0.config.store.due(now, PAGE).await {
            Ok(tasks) => tasks,
            Err(error) => {
                tracing::warn!(%error, "the tasks that are due cannot be read");
                self.0.environment.sleep(PAUSE).await;
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
            Err(_) => u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX),
        };
        // Never at once: what was due a moment ago and could not be taken must not be asked for in a circle.
        let wait = Duration::from_millis(wait.max(5)).min(LOOK_EVERY);
        tokio::select! {
            () = self.0.environment.sleep(wait) => {}
            () = self.0.added.notified() => {}
        }
    }

    /// Does what is due about a task. `Some` where its function is to be called: it is taken then.
    async fn process_due(&self, task: Task) -> Option<Task> {
        let now = self.0.environment.now();
        let store = &self.0.config.store;
        let outcome = match task.status {
            TaskStatus::Queued => match store.replace(task.begun(now)).await {
                Ok(taken) => return taken,
                Err(error) => Err(error),
            },
            TaskStatus::Running => self.reclaim(task, now).await,
            TaskStatus::Success | TaskStatus::Failed => store.remove(&task).await,
            TaskStatus::Timer => self.fire_timer(task, now).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "a task cannot be changed; it is looked at again");
        }
        None
    }

    async fn reclaim(&self, task: Task, now: Timestamp) -> Result<(), CloudError> {
        tracing::warn!(
            function = task.function,
            task = task.unique_id,
            "a task was left running by a process that has ended"
        );
        self.0.config.store.replace(task.abandoned(now)).await.map(drop)
    }

    /// Calls the function, and writes down how it ended.
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
        let ended = task.ended(outcome, self.0.environment.now());
        // Without this the task would run again: it is worth more than one attempt.
        for _ in 0..3 {
            match self.0.config.store.replace(ended.clone()).await {
                Ok(Some(_)) => return,
                Ok(None) => {
                    return tracing::warn!(task = ended.unique_id, "a task was taken by somebody else");
                }
                Err(error) => {
                    tracing::warn!(%error, task = ended.unique_id, "the end of a task cannot be written down");
                    self.0.environment.sleep(PAUSE).await;
                }
            }
        }
    }

    /// A job's time has come: adds the task of that time, then sets the timer to the next one. A crash between the two
    /// repeats the first, which changes nothing. Times that have passed while nobody ran become one.
    async fn fire_timer(&self, timer: Task, now: Timestamp) -> Result<(), CloudError> {
        let store = &self.0.config.store;
        let Some(job) = self.jobs().remove(timer.unique_id.as_str()) else {
            if now.as_millis().saturating_sub(timer.due_at.as_millis()) > FORGOTTEN_AFTER {
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

    /// The jobs by the unique ids of their timers.
    fn jobs(&self) -> HashMap<String, &CronJob> {
        let jobs = self.0.config.jobs.iter();
        jobs.map(|job| (timer_id(&job.name), job)).collect()
    }

    /// Has every job's timer in the store, with its schedule as it is now; where nobody else works on the tasks, takes
    /// up at once what is running: this process has begun none yet. False where that could not be done yet.
    async fn prepare(&self) -> bool {
        let outcome = async {
            for (unique_id, job) in self.jobs() {
                self.set_timer(&unique_id, job).await?;
            }
            let now = self.0.environment.now();
            // Beyond the longest lease.
            let left = now.plus_millis(60_000);
            if self.0.config.exclusive {
                for task in self.0.config.store.due(left, u32::from(u16::MAX)).await? {
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
                tracing::warn!(%error, "the queue is not ready yet");
                false
            }
        }
    }

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
                    // Before every task: a timer only adds one.
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

/// The unique id of a job's timer.
fn timer_id(job: &str) -> String {
    format!("cron:{job}")
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.0.config).finish()
    }
}
