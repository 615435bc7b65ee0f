//! A store that stops the program at a chosen write of the payment flow, so that a test can kill it right there.
//!
//! **Only with the feature `failpoints`, and then only with debug assertions.** Tests switch the feature on. A release
//! build does not contain this module, whatever its features, so no variable can stop it;
//! `tests/integration/tidy.rs` checks both conditions.
//!
//! The variable [`VARIABLE`] names a folder. The test moves a file `halt` into it, so that the file is never seen half
//! written. The file holds a number and a [`Moment`], such as `3 before`: the third writing call of the store from then
//! on is the failpoint. At the failpoint the program writes a file `halted`. From then on no write of the payment flow
//! begins or ends: a test that sees `halted` and kills the process has killed it at that write. Each writing call is
//! recorded in a file `calls`, one a line, so that a test can list the failpoints.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{CommitOutcome, Store, StoreWrapper, Write, WriteOutcome};

/// The environment variable that names the folder.
pub(crate) const VARIABLE: &str = "PAYLOG_HALT";

/// The part of the call that takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Nothing.
    Before,
    /// The first write of a batch.
    First,
    /// The last write of a batch.
    Last,
    /// All; the program gets no outcome.
    After,
}

/// The next failpoint.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// None yet.
    Run,
    /// After this number of further calls.
    StopAfter(u32, Moment),
    /// The failpoint has been reached.
    Stopped,
}

/// Forwards every call to the inner store, until a failpoint stops it for good.
#[derive(Debug)]
pub(crate) struct FailpointStore {
    inner: Arc<dyn Store>,
    folder: PathBuf,
    plan: Mutex<Plan>,
}

impl FailpointStore {
    pub(crate) fn new(inner: Arc<dyn Store>, folder: PathBuf) -> Self {
        Self {
            inner,
            folder,
            plan: Mutex::new(Plan::Run),
        }
    }

    /// Counts one call; returns the moment if the call is the failpoint, `None` otherwise. Never returns once the
    /// program has stopped.
    async fn pass(&self, call: &str, writes: &[Write]) -> Option<Moment> {
        let stop = {
            let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Plan::Run, Some((calls, moment))) = (*plan, self.take_plan()) {
                *plan = Plan::StopAfter(calls.saturating_sub(1), moment);
            }
            if !matches!(*plan, Plan::Stopped) {
                self.record(call, writes);
            }
            match *plan {
                Plan::Run => return None,
                Plan::StopAfter(0, moment) => {
                    *plan = Plan::Stopped;
                    Some(moment)
                }
                Plan::StopAfter(calls, moment) => {
                    *plan = Plan::StopAfter(calls.saturating_sub(1), moment);
                    return None;
                }
                Plan::Stopped => None,
            }
        };
        match stop {
            Some(moment) => Some(moment),
            None => std::future::pending().await,
        }
    }

    /// Takes the failpoint that the test has set, if there is one.
    fn take_plan(&self) -> Option<(u32, Moment)> {
        let file = self.folder.join("halt");
        let text = fs::read_to_string(&file).ok()?;
        fs::remove_file(&file).ok()?;
        let (calls, moment) = text.split_once(' ')?;
        let moment = match moment {
            "before" => Moment::Before,
            "first" => Moment::First,
            "last" => Moment::Last,
            "after" => Moment::After,
            _ => return None,
        };
        Some((calls.parse().ok()?, moment))
    }

    /// Records one call: its name, and the classes that it writes to.
    fn record(&self, call: &str, writes: &[Write]) {
        let classes: Vec<_> = writes.iter().map(|write| write.class.as_str()).collect();
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("calls"));
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{call} {}", classes.join(" "));
        }
    }

    /// Reports the failpoint and waits for ever: the test kills the program.
    async fn stop<T>(&self) -> T {
        let _ = fs::write(self.folder.join("halted"), "");
        std::future::pending().await
    }
}

impl StoreWrapper for FailpointStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        match self.pass("write", std::slice::from_ref(&write)).await {
            None => self.inner.write(write).await,
            Some(Moment::Before) => self.stop().await,
            Some(Moment::First | Moment::Last | Moment::After) => {
                let _ = self.inner.write(write).await;
                self.stop().await
            }
        }
    }

    async fn batch(&self, mut writes: Vec<Write>) -> Vec<WriteOutcome> {
        match self.pass("batch", &writes).await {
            None => return self.inner.batch(writes).await,
            Some(Moment::Before) => writes.clear(),
            Some(Moment::First) => writes.truncate(1),
            Some(Moment::Last) => drop(writes.drain(..writes.len().saturating_sub(1))),
            Some(Moment::After) => {}
        }
        if !writes.is_empty() {
            let _ = self.inner.batch(writes).await;
        }
        self.stop().await
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let Some(atomic) = self.inner.atomic() else {
            // `atomic` has not offered it: somebody holds the type itself. Nothing is sent.
            return CommitOutcome::Unknown("this store takes no all-or-nothing batches".to_owned());
        };
        match self.pass("commit", &writes).await {
            None => atomic.commit(writes).await,
            Some(Moment::Before) => self.stop().await,
            // There is no part of it that could take effect alone.
            Some(Moment::First | Moment::Last | Moment::After) => {
                let _ = atomic.commit(writes).await;
                self.stop().await
            }
        }
    }
}
