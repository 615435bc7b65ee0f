//! The cloud queue and cron, in the process and over HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paylog::engine::{
    App, Cloud, CronJob, Delivery, EngineConfig, Params, QueueConfig, Schedule, ServeOptions, Task,
    TaskOptions, TaskStatus, TaskStore,
};
use paylog::environment::Environment;
use paylog::model::{CloudError, Document, ErrorCode, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Counters, Running, config, document, start_app};

/// In-memory store of tasks.
#[derive(Debug, Default)]
struct Memory(Mutex<Vec<Task>>);

#[async_trait]
impl TaskStore for Memory {
    async fn add(&self, task: &Task) -> Result<bool, CloudError> {
        let mut tasks = self.0.lock().unwrap();
        if tasks.iter().any(|kept| kept.unique_id == task.unique_id) {
            return Ok(false);
        }
        tasks.push(Task {
            id: task.unique_id.clone(),
            ..task.clone()
        });
        Ok(true)
    }

    async fn get(&self, unique_id: &str) -> Result<Option<Task>, CloudError> {
        let tasks = self.0.lock().unwrap();
        Ok(tasks.iter().find(|task| task.unique_id == unique_id).cloned())
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Task>, CloudError> {
        let mut due = self.0.lock().unwrap().clone();
        due.retain(|task| task.due_at <= now);
        due.sort_by_key(|task| task.priority);
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, CloudError> {
        Ok(self.0.lock().unwrap().iter().map(|task| task.due_at).min())
    }

    async fn replace(&self, task: Task) -> Result<Option<Task>, CloudError> {
        let mut tasks = self.0.lock().unwrap();
        let kept = tasks
            .iter_mut()
            .find(|kept| kept.id == task.id && kept.revision == task.revision);
        Ok(kept.map(|kept| {
            *kept = Task {
                revision: task.revision + 1,
                ..task
            };
            kept.clone()
        }))
    }

    async fn remove(&self, task: &Task) -> Result<(), CloudError> {
        let mut tasks = self.0.lock().unwrap();
        tasks.retain(|kept| kept.id != task.id || kept.revision != task.revision);
        Ok(())
    }
}

/// Record of the functions' runs.
#[derive(Clone, Default)]
struct Done(Arc<Mutex<Vec<i64>>>, Arc<AtomicUsize>);

fn queue_app(done: &Done) -> App<Counters> {
    let (note, fail, at_once) = (done.clone(), done.clone(), done.clone());
    App::new()
        .internal_function("note", move |Params(params): Params<Document>| {
            let done = note.clone();
            async move {
                done.0.lock().unwrap().push(params.integer("n").unwrap_or(0));
                Ok::<_, CloudError>(params.integer("n"))
            }
        })
        .function("failTwice", move || {
            let done = fail.clone();
            async move {
                match done.1.fetch_add(1, Ordering::SeqCst) {
                    0 | 1 => Err(CloudError::other("not yet").with_status(418)),
                    tries => Ok(tries + 1),
                }
            }
        })
        .function("alone", move || {
            let done = at_once.clone();
            async move {
                let together = done.1.fetch_add(1, Ordering::SeqCst) + 1;
                Environment::system().sleep(Duration::from_millis(50)).await;
                done.1.fetch_sub(1, Ordering::SeqCst);
                done.0.lock().unwrap().push(i64::try_from(together).unwrap());
                Ok::<_, CloudError>(())
            }
        })
        .function("never", async || {
            std::future::pending::<()>().await;
            Ok::<_, CloudError>(())
        })
        .function(
            "enqueue",
            async |cloud: Cloud, Params(asked): Params<Document>| {
                let options = TaskOptions::new().unique_id(asked.text("id").unwrap_or_default());
                cloud.enqueue("note", &json!({"n": 7}), &options).await
            },
        )
}

struct WithQueue {
    running: Running,
    stop: CancellationToken,
    queue: tokio::task::JoinHandle<()>,
}

async fn with_queue(done: &Done, queue: QueueConfig) -> WithQueue {
    let config = EngineConfig {
        queue: Some(queue),
        ..config()
    };
    let running = start_app(queue_app(done), config, ServeOptions::default()).await;
    let stop = CancellationToken::new();
    let queue = tokio::spawn({
        let (engine, stop) = (running.engine.clone(), stop.clone());
        async move { engine.run_queue(&stop).await }
    });
    WithQueue { running, stop, queue }
}

const TASKS: &str = "/1.1/engine/cloud-queue/tasks";

impl WithQueue {
    async fn add(&self, task: &Value) -> (u16, Value) {
        let master = [("X-LC-Key", "master,master")];
        self.running.call(TASKS, &master, task).await
    }

    async fn info(&self, id: &str) -> (u16, Value) {
        let request = self
            .running
            .http
            .get(format!("{}{TASKS}/{id}", self.running.url))
            .header("X-LC-Id", "app")
            .header("X-LC-Key", "key");
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Waits for the end of a task and returns it.
    async fn ended(&self, id: &str) -> Value {
        let clock = Environment::system();
        while clock.elapsed() < Duration::from_secs(20) {
            let (status, info) = self.info(id).await;
            assert_eq!(status, 200, "{info}");
            if info["status"] != "queued" {
                return info;
            }
            clock.sleep(Duration::from_millis(10)).await;
        }
        panic!("the task {id} has not ended");
    }
}

// compat: engine.15
#[tokio::test]
async fn task_runs_and_keeps_its_result() {
    let done = Done::default();
    let queue = with_queue(&done, QueueConfig::new(Arc::new(Memory::default()))).await;
    let task = json!({"function": "note", "params": {"n": 5}, "delay": 100, "uniqueId": "five"});
    let (status, body) = queue.running.with_key(TASKS, &task).await;
    assert_eq!(
        (status, &body["code"]),
        (401, &json!(401)),
        "only the master key adds tasks"
    );
    assert_eq!(queue.add(&task).await, (200, json!({"uniqueId": "five"})));
    let (status, body) = queue.info("five").await;
    assert_eq!(
        (status, body),
        (200, json!({"uniqueId": "five", "status": "queued"}))
    );
    let info = queue.ended("five").await;
    assert_eq!(
        (&info["status"], &info["result"], &info["statusCode"]),
        (&json!("success"), &json!(5), &json!(200))
    );
    assert!(info["finishedAt"].is_string(), "{info}");
    let (status, body) = queue.add(&task).await;
    assert_eq!((status, &body["code"]), (400, &json!(137)), "{body}");
    let (status, body) = queue.add(&json!({"function": "missing"})).await;
    assert_eq!((status, &body["code"]), (404, &json!(1)), "{body}");
    let (status, body) = queue.add(&json!({"function": "note", "timeout": 16_000})).await;
    assert_eq!((status, &body["code"]), (400, &json!(107)), "{body}");
    assert_eq!(queue.info("six").await.0, 404);
    assert_eq!(*done.0.lock().unwrap(), [5]);
    // Added by a function.
    let (status, body) = queue
        .running
        .with_key("/1.1/functions/enqueue", &json!({"id": "seven"}))
        .await;
    assert_eq!((status, body), (200, json!({"result": "seven"})));
    assert_eq!(queue.ended("seven").await["result"], 7);
}

// compat: engine.15
#[tokio::test]
async fn expired_result_frees_its_unique_id() {
    let done = Done::default();
    let queue = with_queue(&done, QueueConfig::new(Arc::new(Memory::default()))).await;
    let task = json!({"function": "note", "keepResult": 50, "uniqueId": "short"});
    assert_eq!(queue.add(&task).await.0, 200);
    let clock = Environment::system();
    while queue.info("short").await.0 != 404 {
        assert!(clock.elapsed() < Duration::from_secs(20), "it is kept for ever");
        clock.sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(queue.add(&task).await.0, 200);
}

// compat: engine.15
#[tokio::test]
async fn failed_task_is_retried() {
    let done = Done::default();
    let queue = with_queue(&done, QueueConfig::new(Arc::new(Memory::default()))).await;
    let task = |attempts: u32, id: &str| json!({"function": "failTwice", "attempts": attempts, "backoff": 20, "uniqueId": id});
    assert_eq!(queue.add(&task(2, "enough")).await.0, 200);
    let info = queue.ended("enough").await;
    assert_eq!((&info["status"], &info["result"]), (&json!("success"), &json!(3)));
    done.1.store(0, Ordering::SeqCst);
    assert_eq!(queue.add(&task(1, "too few")).await.0, 200);
    let info = queue.ended("too%20few").await;
    assert_eq!(
        (&info["status"], &info["error"], &info["statusCode"]),
        (&json!("failed"), &json!("not yet"), &json!(418))
    );
    let late = json!({"function": "never", "attempts": 0, "timeout": 50, "uniqueId": "late"});
    assert_eq!(queue.add(&late).await.0, 200);
    let info = queue.ended("late").await;
    assert_eq!(
        (&info["status"], &info["statusCode"]),
        (&json!("failed"), &json!(503))
    );
}

// compat: engine.15
#[tokio::test]
async fn tasks_run_one_at_a_time_by_priority() {
    let done = Done::default();
    let memory = Arc::new(Memory::default());
    // Added before the queue runs, so that they wait together.
    for (n, priority) in [(1, 30), (2, 10), (3, 20)] {
        let options = TaskOptions {
            priority: Some(priority),
            unique_id: Some(format!("n{n}")),
            ..TaskOptions::new()
        };
        let task = Task::new(
            "note",
            document(json!({ "n": n })),
            &options,
            Timestamp::EPOCH,
            String::new,
        );
        assert!(memory.add(&task.unwrap()).await.unwrap());
    }
    let queue = with_queue(&done, QueueConfig::new(memory)).await;
    for n in 1..=3 {
        queue.ended(&format!("n{n}")).await;
    }
    assert_eq!(*done.0.lock().unwrap(), [2, 3, 1]);
    done.0.lock().unwrap().clear();
    for n in 0..4 {
        let alone = json!({"function": "alone", "uniqueId": format!("alone{n}")});
        assert_eq!(queue.add(&alone).await.0, 200);
    }
    for n in 0..4 {
        queue.ended(&format!("alone{n}")).await;
    }
    assert_eq!(*done.0.lock().unwrap(), [1, 1, 1, 1]);
}

// compat: engine.15
#[tokio::test]
async fn task_of_a_dead_process_is_reclaimed() {
    let done = Done::default();
    let now = Environment::system().now();
    for (delivery, exclusive, lease_over, ran) in [
        (Delivery::AtLeastOnce, true, false, true),
        (Delivery::AtLeastOnce, false, true, true),
        (Delivery::AtMostOnce, true, false, false),
    ] {
        done.0.lock().unwrap().clear();
        let options = TaskOptions {
            delivery,
            unique_id: Some("left".into()),
            ..TaskOptions::new()
        };
        let params = document(json!({"n": 9}));
        let begun = if lease_over { now.plus_millis(-60_000) } else { now };
        let task = Task::new("note", params, &options, now, String::new)
            .unwrap()
            .started(begun);
        let memory = Arc::new(Memory::default());
        assert!(memory.add(&task).await.unwrap());
        let config = QueueConfig {
            exclusive,
            ..QueueConfig::new(memory)
        };
        let queue = with_queue(&done, config).await;
        let info = queue.ended("left").await;
        let expected = if ran { "success" } else { "failed" };
        assert_eq!(info["status"], expected, "{delivery:?}: {info}");
        assert_eq!(done.0.lock().unwrap().len(), usize::from(ran));
    }
}

fn job(name: &str, schedule: Schedule) -> CronJob {
    CronJob {
        name: name.into(),
        function: "note".into(),
        params: document(json!({"n": 1})),
        schedule,
        attempts: 1,
        backoff: 10,
    }
}

// compat: engine.15
#[tokio::test]
async fn cron_calls_a_function_repeatedly() {
    let done = Done::default();
    let memory = Arc::new(Memory::default());
    let config = QueueConfig {
        jobs: vec![
            job("cron", Schedule::cron("* * * * * ?", "UTC").unwrap()),
            job("every", Schedule::every(Duration::from_secs(1)).unwrap()),
        ],
        ..QueueConfig::new(Arc::clone(&memory) as Arc<dyn TaskStore>)
    };
    let queue = with_queue(&done, config).await;
    let clock = Environment::system();
    while done.0.lock().unwrap().len() < 4 {
        assert!(clock.elapsed() < Duration::from_secs(20), "the jobs do not run");
        clock.sleep(Duration::from_millis(20)).await;
    }
    // Timers are not visible as tasks.
    assert_eq!(queue.info("cron:every").await.0, 404);
    queue.stop.cancel();
    queue.queue.await.unwrap();
    let timers = memory.0.lock().unwrap().clone();
    assert_eq!(
        timers
            .iter()
            .filter(|task| task.status == TaskStatus::Timer)
            .count(),
        2
    );
}

// compat: engine.15
#[tokio::test]
async fn missed_cron_times_become_one() {
    let done = Done::default();
    let memory = Arc::new(Memory::default());
    let jobs = vec![job("hourly", Schedule::every(Duration::from_secs(3600)).unwrap())];
    let config = QueueConfig {
        jobs,
        ..QueueConfig::new(Arc::clone(&memory) as Arc<dyn TaskStore>)
    };
    let first = with_queue(&done, config.clone()).await;
    let clock = Environment::system();
    while memory.0.lock().unwrap().is_empty() {
        clock.sleep(Duration::from_millis(5)).await;
    }
    first.stop.cancel();
    first.queue.await.unwrap();
    assert!(done.0.lock().unwrap().is_empty(), "nothing is due yet");
    // Half a day without a running process.
    {
        let mut tasks = memory.0.lock().unwrap();
        tasks[0].due_at = tasks[0].due_at.plus_millis(-12 * 3_600_000);
    }
    let second = with_queue(&done, config).await;
    while done.0.lock().unwrap().is_empty() {
        assert!(
            clock.elapsed() < Duration::from_secs(20),
            "what was missed is not made up for"
        );
        clock.sleep(Duration::from_millis(5)).await;
    }
    clock.sleep(Duration::from_millis(200)).await;
    second.stop.cancel();
    second.queue.await.unwrap();
    assert_eq!(done.0.lock().unwrap().len(), 1);
    let timer = memory.get("cron:hourly").await.unwrap().unwrap();
    assert!(timer.due_at > Environment::system().now().plus_millis(3_500_000));
}

#[tokio::test]
async fn task_without_a_queue_is_refused() {
    let done = Done::default();
    let engine = start_app(queue_app(&done), config(), ServeOptions::default()).await;
    let error = engine
        .engine
        .cloud()
        .enqueue("note", &(), &TaskOptions::new())
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::UNAVAILABLE);
}
