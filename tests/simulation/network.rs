//! The network between a process and a store: requests are lost, late or repeated, reads are stale, and the caller may
//! die during a call.

use std::sync::Arc;

use async_trait::async_trait;
use paylog::model::{ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Query};
use paylog::payment::protocol::mark::Epoch;
use paylog::payment::protocol::target::Target;
use paylog::payment::relocation::ImportOutcome;
use paylog::store::{Action, AtomicStore, CommitOutcome, ReadError, Store, Write, WriteOutcome, Written};

use crate::auditor::Coverage;
use crate::faults::Faults;
use crate::sabotage::{Sabotage, epoch_asked, log_of_leg};
use crate::tasks::{Owner, yield_now};
use crate::world::{Reply, Request, World};

/// Error codes that leave the outcome of a write open.
const EMPTY_ANSWERS: [ErrorCode; 4] = [
    ErrorCode::TOO_MANY_REQUESTS,
    ErrorCode::FORBIDDEN,
    ErrorCode::OTHER,
    ErrorCode::TIMEOUT,
];

/// The atomicity of batches in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batches {
    AllOrNothing,
    Separate,
}

/// The freshness of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Stale,
    Fresh,
}

/// The fate of one request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Fine,
    RequestLost,
    AnswerLost,
    Delayed,
    Duplicate,
    /// Answered with an error that leaves the outcome open.
    Rejected(ErrorCode),
}

/// The connection of one process to one store.
pub(crate) struct Network {
    pub(crate) world: Arc<World>,
    pub(crate) store: usize,
    /// The number of the process, and its slot.
    pub(crate) process: (usize, usize),
    pub(crate) batches: Batches,
    pub(crate) reads: Reads,
    /// True for a mover.
    pub(crate) moves: bool,
}

impl Network {
    fn faults(&self) -> Faults {
        self.world.state().faults
    }

    fn fate(&self) -> Fate {
        let rng = &self.world.rng;
        let faults = self.faults();
        let mut drawn = rng.below(1000);
        let fates = [
            (faults.request_lost, Fate::RequestLost),
            (faults.response_lost, Fate::AnswerLost),
            (faults.delayed, Fate::Delayed),
            (faults.duplicate, Fate::Duplicate),
            (faults.rejected, Fate::Rejected(*rng.pick(&EMPTY_ANSWERS))),
        ];
        for (rate, fate) in fates {
            match drawn.checked_sub(u64::from(rate)) {
                None => return fate,
                Some(rest) => drawn = rest,
            }
        }
        Fate::Fine
    }

    /// Waits for the time of one way, to the store or back.
    async fn delay(&self) {
        let rng = &self.world.rng;
        let faults = self.faults();
        let time = match rng.below(100) {
            _ if rng.per_mille(faults.slow) => rng.millis(100, 4000),
            0..=69 => return yield_now().await,
            70..=96 => rng.millis(1, 20),
            _ => rng.millis(20, 200),
        };
        self.world.environment.sleep(time).await;
    }

    /// Kills the calling worker, or its process, at the rate of the faults.
    async fn maybe_die(&self) {
        let rng = &self.world.rng;
        let faults = self.faults();
        let (number, place) = self.process;
        let process_dies = rng.per_mille(faults.process_dies);
        if process_dies || rng.per_mille(faults.worker_dies) {
            // The death of a sweeper is that of its process.
            if process_dies || self.world.is_sweeper() {
                self.world.note(&number, || format!("process {number} dies"));
                self.world.cover(Coverage::Crash);
                self.world.tasks.kill(Owner::Process(number));
                self.world.state().died.push(place);
            } else {
                self.world
                    .note(&number, || format!("a worker of process {number} dies"));
                self.world.tasks.kill_current();
            }
            std::future::pending::<()>().await;
        }
    }

    fn is_about(&self) -> String {
        format!(" (process {})", self.process.0)
    }

    /// Lets the request arrive later, perhaps at the end of the run.
    fn arrives_later(&self, request: Request) {
        let rng = &self.world.rng;
        let delay = match rng.below(4) {
            0 | 1 => rng.millis(1, 200),
            2 => rng.millis(1000, 40_000),
            _ => {
                self.world.state().at_the_end.push((self.store, request));
                return;
            }
        };
        let (world, store) = (Arc::clone(&self.world), self.store);
        self.world.tasks.spawn(Owner::World, async move {
            world.environment.sleep(delay).await;
            arrive_late(&world, store, &request);
        });
    }

    /// Returns at once, or never: a lost response.
    async fn no_answer(&self) {
        if self.world.rng.per_mille(300) {
            std::future::pending::<()>().await;
        }
    }

    /// Sends one request; `None` if no response comes back.
    pub(crate) async fn send(&self, request: Request) -> Option<Reply> {
        self.maybe_die().await;
        self.delay().await;
        let arrives = || self.world.arrive(self.store, &request, &self.is_about());
        let reply = match self.fate() {
            Fate::Fine => Some(arrives()),
            Fate::RequestLost => None,
            Fate::AnswerLost => {
                let _ = arrives();
                None
            }
            Fate::Delayed => {
                self.arrives_later(request.clone());
                None
            }
            Fate::Duplicate => {
                self.arrives_later(request.clone());
                Some(arrives())
            }
            Fate::Rejected(code) => {
                if code == ErrorCode::TIMEOUT && self.world.rng.per_mille(500) {
                    let _ = arrives();
                }
                Some(empty_answer(&request, code))
            }
        };
        self.maybe_die().await;
        if reply.is_none() {
            self.world
                .note(&"lost", || format!("  no answer{}", self.is_about()));
            self.no_answer().await;
            return None;
        }
        self.delay().await;
        reply
    }

    async fn read<T>(&self, read: impl FnOnce(u64) -> T) -> Result<T, ReadError> {
        self.maybe_die().await;
        self.delay().await;
        let rng = &self.world.rng;
        let faults = self.faults();
        if rng.per_mille(faults.read_lost) {
            self.no_answer().await;
            return Err(ReadError::Unavailable("lost".into()));
        }
        let stale = if rng.per_mille(faults.stale) && self.reads == Reads::Stale {
            self.world.cover(Coverage::Stale);
            rng.between(1, 12)
        } else {
            0
        };
        let answer = read(stale);
        self.delay().await;
        Ok(answer)
    }

    async fn write_one(&self, write: Write) -> WriteOutcome {
        let sabotage = self.world.sabotage;
        let write = sabotage.weakened(write);
        if sabotage.skips(&write) {
            if let (true, Action::Update { id, update, .. }) = (sabotage.deceives_movers(), &write.action) {
                let target = Target::new(&write.class, id);
                self.world.state().faked.insert(target, update.clone());
            }
            return WriteOutcome::Applied(self.faked(&write));
        }
        if sabotage == Sabotage::OneAtATime {
            self.send_legs_at_once(&write);
        }
        match self.send(Request::Write(write.clone())).await {
            Some(Reply::Write(WriteOutcome::Applied(written))) => {
                WriteOutcome::Applied(self.as_answered(&write, written))
            }
            Some(Reply::Write(WriteOutcome::Rejected(error)))
                if sabotage == Sabotage::OwnCreateOnly && error.code == ErrorCode::DUPLICATE_VALUE =>
            {
                match self.existing_log(&write) {
                    Some(written) => WriteOutcome::Applied(written),
                    None => WriteOutcome::Rejected(error),
                }
            }
            Some(Reply::Write(outcome)) => outcome,
            Some(Reply::Commit(_) | Reply::Place(_)) | None if sabotage.presumes(&write) => {
                WriteOutcome::Applied(self.faked(&write))
            }
            Some(Reply::Commit(_) | Reply::Place(_)) | None => WriteOutcome::Unknown("no answer".into()),
        }
    }

    /// The response as the store returns it: LeanCloud the changed columns alone, an embedded store the document.
    fn as_answered(&self, write: &Write, mut written: Written) -> Written {
        if self.batches == Batches::AllOrNothing {
            return written;
        }
        let columns = match &write.action {
            Action::Update { update, .. } => update.columns(),
            Action::Create { .. } | Action::Delete { .. } => Vec::new(),
        };
        written.fields.retain(|key, _| columns.contains(key));
        written
    }

    /// The document as a sabotaged mover sees it: with fences that were left out, and a decision that was not taken.
    fn as_mover_sees(&self, class: &ClassName, mut document: Document) -> Document {
        if self.moves && self.store == 0 && self.world.sabotage.deceives_movers() {
            let id = document.object_id().unwrap();
            let faked = self.world.state().faked.get(&Target::new(class, &id)).cloned();
            if let Some(update) = faked {
                update.apply(&mut document).unwrap();
            }
            if self.world.sabotage == Sabotage::OpenedBeforeFinal
                && self.reads == Reads::Fresh
                && document.contains_key("decision")
            {
                document.insert("decision".into(), "final".into());
            }
        }
        document
    }

    /// Sends the conditional legs after this one at the same time.
    fn send_legs_at_once(&self, write: &Write) {
        let log = log_of_leg(write).and_then(|id| self.world.state().auditor.log(&id).cloned());
        let Some(log) = log else { return };
        let legs = &log.intent.legs;
        let conditional = &legs.as_slice()[..legs.conditional_count()];
        let (class, legs) = (&write.class, conditional.iter());
        let after = legs.skip_while(|leg| leg.target.class != *class || Some(&leg.target.id) != id_of(write));
        for leg in after.skip(1) {
            let target = &leg.target;
            let Some(document) = self.world.get(self.store, &target.class, &target.id, 0) else {
                continue;
            };
            let Ok(epoch) = Epoch::of(&document, target) else {
                continue;
            };
            let (precondition, body) = (leg.precondition(&log.id, epoch), leg.update(&log.id));
            let leg = Request::Write(Write::update(&target.class, &target.id, precondition, body));
            let _ = self.world.arrive(self.store, &leg, " (all at once)");
        }
    }

    /// The response to a write that was not made.
    fn faked(&self, write: &Write) -> Written {
        let mut written = Written::default();
        if matches!(write.action, Action::Create { .. }) {
            written.object_id = Some(self.world.environment.object_id());
            written.created_at = Some(self.world.environment.now());
        }
        if let Action::Update { id, update, .. } = &write.action {
            written.object_id = Some(id.clone());
            if let Some(document) = self.world.get(self.store, &write.class, id, 6) {
                written.fields = document;
                written.fields.retain(|key, _| update.columns().contains(key));
            }
        }
        written
    }

    fn existing_log(&self, write: &Write) -> Option<Written> {
        let Action::Create { fields } = &write.action else {
            return None;
        };
        let key = fields.to_value();
        let state = self.world.state();
        let log = state.auditor.log_under(self.store, key.get("key")?.as_str()?)?;
        Some(Written {
            object_id: Some(log.id.clone()),
            created_at: log.created_at,
            ..Written::default()
        })
    }
}

/// Delivers a request whose sender no longer waits.
pub(crate) fn arrive_late(world: &World, store: usize, request: &Request) {
    if let Request::Write(Write {
        class,
        action: Action::Update { id, precondition, .. },
    }) = request
        && let Some(asked) = epoch_asked(precondition)
        && world
            .get(store, class, id, 0)
            .is_some_and(|document| document.integer("payEpoch").unwrap_or(0) > asked)
    {
        world.cover(Coverage::LateAfterPruning);
    }
    let _ = world.arrive(store, request, " (late)");
}

fn id_of(write: &Write) -> Option<&ObjectId> {
    match &write.action {
        Action::Update { id, .. } | Action::Delete { id, .. } => Some(id),
        Action::Create { .. } => None,
    }
}

fn empty_answer(request: &Request, code: ErrorCode) -> Reply {
    let outcome = WriteOutcome::Rejected(CloudError::new(code, "no answer worth the name"));
    match request {
        Request::Write(_) => Reply::Write(outcome),
        Request::Commit(_) => Reply::Commit(CommitOutcome::Unknown("no answer worth the name".into())),
        Request::Place(_) => Reply::Place(ImportOutcome::Unknown("no answer worth the name".into())),
    }
}

#[async_trait]
impl Store for Network {
    async fn get(&self, class: &ClassName, id: &ObjectId) -> Result<Option<Document>, ReadError> {
        let found = self
            .read(|stale| self.world.get(self.store, class, id, stale))
            .await?;
        Ok(found.map(|document| self.as_mover_sees(class, document)))
    }

    async fn find(&self, class: &ClassName, query: &Query) -> Result<Vec<Document>, ReadError> {
        let found = self
            .read(|stale| self.world.find(self.store, class, query, stale))
            .await?;
        Ok(found
            .into_iter()
            .map(|document| self.as_mover_sees(class, document))
            .collect())
    }

    async fn count(&self, class: &ClassName, filter: &Filter) -> Result<u64, ReadError> {
        let query = Query::new(filter.clone()).limit(Query::LIMIT_MAX);
        let found = self.find(class, &query).await?;
        Ok(found.len() as u64)
    }

    async fn write(&self, write: Write) -> WriteOutcome {
        self.write_one(write).await
    }

    /// Sends the writes one by one: each may be lost, late or repeated on its own.
    async fn batch(&self, writes: Vec<Write>) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(self.write_one(write).await);
        }
        outcomes
    }

    fn atomic(&self) -> Option<&dyn AtomicStore> {
        (self.batches == Batches::AllOrNothing).then_some(self)
    }
}

#[async_trait]
impl AtomicStore for Network {
    async fn commit(&self, writes: Vec<Write>) -> CommitOutcome {
        let sabotage = self.world.sabotage;
        if writes.first().is_some_and(|write| sabotage.skips(write)) {
            return CommitOutcome::Applied(writes.iter().map(|write| self.faked(write)).collect());
        }
        let writes = writes.into_iter().map(|write| sabotage.weakened(write)).collect();
        match self.send(Request::Commit(writes)).await {
            Some(Reply::Commit(outcome)) => outcome,
            Some(Reply::Write(_) | Reply::Place(_)) | None => CommitOutcome::Unknown("no answer".into()),
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the network of process {}", self.process.0)
    }
}
