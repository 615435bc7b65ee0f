//! A store behind a faulty network: requests and responses get lost, delayed and duplicated. For tests and
//! simulations.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::environment::Environment;
use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::store::{CommitOutcome, ReadError, Store, StoreWrapper, Write, WriteOutcome};

/// Rates of faults, in thousandths of all calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// The request is lost.
    pub request_lost: u16,
    /// The request takes effect, and its response is lost.
    pub response_lost: u16,
    /// The request is answered, and arrives again later.
    pub duplicate: u16,
    /// The request gets no response, and arrives later.
    pub delayed: u16,
    /// The response to a read is lost.
    pub read_lost: u16,
}

/// A request that may still arrive.
#[derive(Clone, Debug)]
enum DelayedRequest {
    Batch(Vec<Write>),
    Commit(Vec<Write>),
}

/// A store with faults, drawn from the environment's randomness.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    environment: Environment,
    rates: FaultRates,
    healed: AtomicBool,
    delayed: Mutex<Vec<DelayedRequest>>,
}

/// The fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    RequestLost,
    ResponseLost,
    Duplicate,
    Delayed,
}

impl FaultStore {
    /// Wraps `inner` in a network with these faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, environment: Environment, rates: FaultRates) -> Self {
        Self {
            inner,
            environment,
            rates,
            healed: AtomicBool::new(false),
            delayed: Mutex::default(),
        }
    }

    /// Ends all faults, and delivers the delayed requests.
    pub async fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        while self.deliver_delayed().await {}
    }

    fn delayed(&self) -> MutexGuard<'_, Vec<DelayedRequest>> {
        self.delayed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws a number from 0 to 999.
    fn draw(&self) -> u16 {
        u16::from_be_bytes(self.environment.random()) % 1000
    }

    fn fault(&self) -> Fault {
        if self.healed.load(Ordering::Relaxed) {
            return Fault::None;
        }
        let mut drawn = self.draw();
        let faults = [
            (self.rates.request_lost, Fault::RequestLost),
            (self.rates.response_lost, Fault::ResponseLost),
            (self.rates.duplicate, Fault::Duplicate),
            (self.rates.delayed, Fault::Delayed),
        ];
        for (rate, fault) in faults {
            if drawn < rate {
                return fault;
            }
            drawn = drawn.saturating_sub(rate);
        }
        Fault::None
    }

    /// Delivers one delayed request; false if there is none.
    async fn deliver_delayed(&self) -> bool {
        let request = {
            let mut waiting = self.delayed();
            if waiting.is_empty() {
                return false;
            }
            let index = usize::from(self.draw()) % waiting.len();
            waiting.swap_remove(index)
        };
        match (request, self.inner.atomic()) {
            (DelayedRequest::Commit(writes), Some(atomic)) => drop(atomic.commit(writes).await),
            (DelayedRequest::Commit(writes) | DelayedRequest::Batch(writes), _) => {
                drop(self.inner.batch(writes).await);
            }
        }
        true
    }

    async fn before_call(&self) {
        if !self.healed.load(Ordering::Relaxed) && self.draw() < 200 {
            self.deliver_delayed().await;
        }
    }

    fn read_fault(&self) -> Result<(), ReadError> {
        if !self.healed.load(Ordering::Relaxed) && self.draw() < self.rates.read_lost {
            return Err(ReadError::Unavailable("lost by the fault decorator".into()));
        }
        Ok(())
    }

    /// Executes each write on its own, since each may arrive without the others.
    async fn faulty(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.before_call().await;
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            let fault = self.fault();
            if matches!(fault, Fault::Duplicate | Fault::Delayed) {
                self.delayed().push(DelayedRequest::Batch(vec![write.clone()]));
            }
            let outcome = match fault {
                Fault::None | Fault::Duplicate => self.inner.write(write).await,
                Fault::ResponseLost => {
                    let _ = self.inner.write(write).await;
                    unknown()
                }
                Fault::RequestLost | Fault::Delayed => unknown(),
            };
            outcomes.push(outcome);
        }
        outcomes
    }
}

fn unknown() -> WriteOutcome {
    WriteOutcome::Unknown("lost by the fault decorator".into())
}

impl StoreWrapper for FaultStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        self.before_call().await;
        self.read_fault()?;
        self.inner.get(class, id).await
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        self.before_call().await;
        self.read_fault()?;
        self.inner.find(class, query).await
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        self.read_fault()?;
        self.inner.count(class, filter).await
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.faulty(vec![write]).await.pop().unwrap_or_else(unknown)
    }

    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        self.faulty(writes).await
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        self.before_call().await;
        let lost = || CommitOutcome::Unknown("lost by the fault decorator".into());
        let Some(atomic) = self.inner.atomic() else {
            return lost();
        };
        let fault = self.fault();
        if matches!(fault, Fault::Duplicate | Fault::Delayed) {
            self.delayed().push(DelayedRequest::Commit(writes.clone()));
        }
        match fault {
            Fault::None | Fault::Duplicate => atomic.commit(writes).await,
            Fault::ResponseLost => {
                drop(atomic.commit(writes).await);
                lost()
            }
            Fault::RequestLost | Fault::Delayed => lost(),
        }
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore")
            .field("inner", &self.inner)
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}
