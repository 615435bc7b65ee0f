//! The scheduler: draws the next task from all that are ready.
//!
//! Tokio's own order of wake-ups, and the randomness in its channels, has no influence: a task that was woken is in a
//! set, and the seed picks from the set.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use crate::rng::Rng;

pub(crate) type TaskId = u64;

/// The owner of a task: a process is killed with all its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The world outside the processes: customers, gateways, the network.
    World,
    /// A process, by its number. Each restart has a new number.
    Process(usize),
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tasks of one run. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    next: TaskId,
    owners: BTreeMap<TaskId, Owner>,
    begun: Vec<(TaskId, Work)>,
    ready: BTreeSet<TaskId>,
    dead: BTreeSet<TaskId>,
    current: Option<TaskId>,
    root: Option<Waker>,
    polls: u64,
}

struct TaskWaker {
    task: TaskId,
    tasks: Tasks,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.tasks.ready(self.task);
    }
}

impl Tasks {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn ready(&self, task: TaskId) {
        let mut inner = self.inner();
        if inner.owners.contains_key(&task) {
            inner.ready.insert(task);
        }
        if let Some(root) = inner.root.take() {
            drop(inner);
            root.wake();
        }
    }

    pub(crate) fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + Send + 'static) -> TaskId {
        let mut inner = self.inner();
        let task = inner.next;
        inner.next += 1;
        inner.owners.insert(task, owner);
        inner.begun.push((task, Box::pin(work)));
        inner.ready.insert(task);
        task
    }

    /// Kills the running task: its future is dropped as soon as it returns to the scheduler.
    pub(crate) fn kill_current(&self) {
        let mut inner = self.inner();
        let current = inner.current;
        inner.dead.extend(current);
    }

    /// Kills all tasks of a process.
    pub(crate) fn kill(&self, owner: Owner) {
        let mut inner = self.inner();
        let theirs: Vec<TaskId> = inner
            .owners
            .iter()
            .filter(|(_, of)| **of == owner)
            .map(|(task, _)| *task)
            .collect();
        inner.dead.extend(theirs);
    }

    /// True if a task of the owner still runs.
    pub(crate) fn is_alive(&self, owner: Owner) -> bool {
        let inner = self.inner();
        let mut owners = inner.owners.iter();
        owners.any(|(task, of)| *of == owner && !inner.dead.contains(task))
    }

    pub(crate) fn current(&self) -> Option<TaskId> {
        self.inner().current
    }

    /// Runs all tasks until `main` ends; `None` if `stop` returns true, or `polls_max` is passed, before.
    pub(crate) async fn run<T>(
        &self,
        rng: &Rng,
        polls_max: u64,
        stop: impl Fn() -> bool,
        main: impl Future<Output = T>,
    ) -> Option<T> {
        let mut main = std::pin::pin!(main);
        let main_id = self.spawn(Owner::World, async {});
        let mut running: BTreeMap<TaskId, Work> = BTreeMap::new();
        let all = poll_fn(|root| {
            loop {
                for (task, work) in std::mem::take(&mut self.inner().begun) {
                    running.insert(task, work);
                }
                let dead = std::mem::take(&mut self.inner().dead);
                for task in dead {
                    self.forget(task);
                    // Dropping may wake others, so no lock is held here.
                    drop(running.remove(&task));
                }
                if stop() || self.inner().polls > polls_max {
                    return Poll::Ready(None);
                }
                let Some(task) = self.next(rng, root) else {
                    return Poll::Pending;
                };
                let waker = Waker::from(Arc::new(TaskWaker {
                    task,
                    tasks: self.clone(),
                }));
                let mut context = Context::from_waker(&waker);
                if task == main_id {
                    if let Poll::Ready(output) = main.as_mut().poll(&mut context) {
                        return Poll::Ready(Some(output));
                    }
                } else if let Some(work) = running.get_mut(&task)
                    && work.as_mut().poll(&mut context).is_ready()
                {
                    self.forget(task);
                    drop(running.remove(&task));
                }
                self.inner().current = None;
            }
        });
        // Tokio's budget is for one task; this one runs all others.
        tokio::task::unconstrained(all).await
    }

    fn next(&self, rng: &Rng, root: &Context<'_>) -> Option<TaskId> {
        let mut inner = self.inner();
        let count = inner.ready.len();
        if count == 0 {
            inner.root = Some(root.waker().clone());
            return None;
        }
        let index = if count == 1 { 0 } else { rng.index(count) };
        let task = *inner.ready.iter().nth(index)?;
        inner.ready.remove(&task);
        inner.current = Some(task);
        inner.polls += 1;
        Some(task)
    }

    fn forget(&self, task: TaskId) {
        let mut inner = self.inner();
        inner.owners.remove(&task);
        inner.ready.remove(&task);
        inner.dead.remove(&task);
    }
}

/// Yields to the other tasks once.
pub(crate) async fn yield_now() {
    let mut once = false;
    poll_fn(|context| {
        if std::mem::replace(&mut once, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
