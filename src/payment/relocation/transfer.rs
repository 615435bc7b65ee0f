//! What a mover does again and again: lists, writes until a document is as it should be, places copies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::environment::Environment;
use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Query, Value};
use crate::payment::ProtocolError;
use crate::payment::driver::to_store;
use crate::payment::protocol::effect::Write as ProtocolWrite;
use crate::payment::protocol::ledger;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::relocation::{self, Attempt, Copy, Placing, Todo};
use crate::payment::relocation::destination::{Over, Placed, Placement};
use crate::payment::relocation::relocator::{Home, MoveError, Mover, Progress, Report, Stage, malformed};
use crate::store::{ReadError, Store, Write, WriteOutcome};

/// Documents that are read at once.
const PAGE: u32 = 200;
/// Documents that are written in one round trip.
const WRITES_AT_ONCE: usize = 50;
/// The shortest pause before a step is repeated; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Says what is to be written on a document.
pub(super) type Ask<'a> = dyn Fn(&Target, &Document) -> Result<Todo, ProtocolError> + Send + Sync + 'a;

/// How long something is repeated that gets nowhere.
#[derive(Debug)]
pub(super) struct Waits {
    patience: Duration,
    since: Option<Duration>,
    pause: Duration,
}

impl Waits {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            since: None,
            pause: PAUSE_MIN,
        }
    }

    /// It gets somewhere.
    fn reset(&mut self) {
        (self.since, self.pause) = (None, PAUSE_MIN);
    }

    /// Pauses; false once patience has ended.
    pub(super) async fn again(&mut self, environment: &Environment) -> bool {
        let now = environment.elapsed();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) > self.patience {
            return false;
        }
        environment.sleep(self.pause).await;
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        true
    }
}

/// One call of a mover, at work.
pub(super) struct Hands<'a> {
    mover: &'a Mover,
    stage: Stage,
    done: u64,
    waits: Waits,
    pub(super) report: Report,
    /// Whether the new home is in use: what is found there is no surprise, and what comes may be too late.
    pub(super) is_final: bool,
    /// Logs that came too late and have not been looked after yet, and all that came too late.
    stranded: Vec<Log>,
    late: BTreeSet<Target>,
}

impl<'a> Hands<'a> {
    pub(super) fn new(mover: &'a Mover, stage: Stage) -> Self {
        Self {
            mover,
            stage,
            done: 0,
            waits: Waits::new(mover.patience),
            report: Report::default(),
            is_final: false,
            stranded: Vec::new(),
            late: BTreeSet::new(),
        }
    }

    pub(super) fn patience(&self) -> Waits {
        Waits::new(self.mover.patience)
    }

    pub(super) fn begin(&mut self, stage: Stage) {
        (self.stage, self.done) = (stage, 0);
    }

    /// Tells how far the stage has come.
    pub(super) fn tell(&mut self, class: &ClassName, documents: usize) {
        let documents = u64::try_from(documents).unwrap_or(u64::MAX);
        self.done = self.done.saturating_add(documents);
        if let Some(watch) = &self.mover.watch {
            watch(&Progress {
                stage: self.stage,
                class: class.clone(),
                done: self.done,
            });
        }
    }

    pub(super) fn take_stranded(&mut self) -> Vec<Log> {
        std::mem::take(&mut self.stranded)
    }

    fn store(&self, home: Home) -> &dyn Store {
        match home {
            Home::Old => &*self.mover.old,
            Home::New => &*self.mover.new,
        }
    }

    fn timeout(&self) -> Duration {
        self.mover.config.store_timeout
    }

    /// A page of what matches, by id, after `last`. Empty after the end, and never before: a page that is older than
    /// some documents may be shorter than there is room.
    pub(super) async fn find(
        &self,
        home: Home,
        class: &ClassName,
        filter: &Filter,
        last: Option<&ObjectId>,
    ) -> Result<Vec<Document>, MoveError> {
        let query = Query::new(filter.clone().after_id(last))
            .order_by("objectId")
            .limit(PAGE);
        let mut waits = self.patience();
        loop {
            let found = self.store(home).find(class, &query);
            let why = match tokio::time::timeout(self.timeout(), found).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(ReadError::Rejected(error))) => error.to_string(),
                Ok(Err(ReadError::Unavailable(why))) => why,
                Err(_) => no_answer(),
            };
            if !waits.again(&self.mover.environment).await {
                return Err(MoveError::Unavailable { home, why });
            }
        }
    }

    /// One write; after one that has not taken effect a pause, or an error once patience has ended.
    pub(super) async fn attempt_write(
        &mut self,
        home: Home,
        write: ProtocolWrite,
    ) -> Result<WriteOutcome, MoveError> {
        let written = self.store(home).write(to_store(write));
        let outcome = match tokio::time::timeout(self.timeout(), written).await {
            Ok(outcome) => outcome,
            Err(_) => WriteOutcome::Unknown(no_answer()),
        };
        let why = match &outcome {
            WriteOutcome::Applied(_) => {
                self.waits.reset();
                return Ok(outcome);
            }
            WriteOutcome::Rejected(error) => error.to_string(),
            WriteOutcome::Unknown(why) => why.clone(),
            WriteOutcome::NotMatched => "another write was faster, again and again".to_owned(),
        };
        self.pause_or(home, why).await?;
        Ok(outcome)
    }

    async fn pause_or(&mut self, home: Home, why: String) -> Result<(), MoveError> {
        if self.waits.again(&self.mover.environment).await {
            return Ok(());
        }
        Err(MoveError::Unavailable { home, why })
    }

    /// The documents as they are now; those that a read does not show, as they were.
    async fn reread(
        &self,
        home: Home,
        class: &ClassName,
        documents: Vec<Document>,
    ) -> Result<Vec<Document>, MoveError> {
        let mut fresh = self.find_by_id(home, class, documents.iter()).await?;
        let read = documents.into_iter().map(|document| {
            let id = document.object_id();
            id.and_then(|id| fresh.remove(&id)).unwrap_or(document)
        });
        Ok(read.collect())
    }

    async fn find_by_id(
        &self,
        home: Home,
        class: &ClassName,
        documents: impl Iterator<Item = &Document>,
    ) -> Result<BTreeMap<ObjectId, Document>, MoveError> {
        let ids: Vec<Value> = documents
            .filter_map(|document| document.get("objectId").cloned())
            .collect();
        let mut found = BTreeMap::new();
        for some in ids.chunks(WRITES_AT_ONCE) {
            let filter = Filter::all().one_of("objectId", some.to_vec());
            let page = self.find(home, class, &filter, None).await?;
            found.extend(
                page.into_iter()
                    .filter_map(|found| Some((found.object_id()?, found))),
            );
        }
        Ok(found)
    }

    /// Writes until every document is as `ask` wants it; answers those, and how many it has changed. What is not
    /// allowed to be changed is left out.
    async fn settle(
        &mut self,
        home: Home,
        class: &ClassName,
        mut documents: Vec<Document>,
        ask: &Ask<'_>,
    ) -> Result<Settled, MoveError> {
        let mut settled = Settled::default();
        let mut begun = BTreeSet::new();
        loop {
            let (mut waiting, mut writes) = (Vec::new(), Vec::new());
            for document in documents {
                let Some(id) = document.object_id() else { continue };
                let target = Target::new(class, &id);
                match ask(&target, &document).map_err(|error| malformed(&target, error))? {
                    Todo::Nothing => {
                        settled.changed += u64::from(begun.contains(&id));
                        settled.documents.push(document);
                    }
                    Todo::NotAllowed => settled.refused += 1,
                    Todo::Write(write) => {
                        begun.insert(id);
                        waiting.push(document);
                        writes.push(to_store(write));
                    }
                }
            }
            if waiting.is_empty() {
                return Ok(settled);
            }
            let why = self.write_all(home, writes).await;
            match why {
                None => self.waits.reset(),
                Some(why) => self.pause_or(home, why).await?,
            }
            documents = self.reread(home, class, waiting).await?;
        }
    }

    /// Writes in batches; `None` where at least one took effect, otherwise what the store said.
    async fn write_all(&self, home: Home, writes: Vec<Write>) -> Option<String> {
        let mut why = String::new();
        let mut applied = false;
        for some in writes.chunks(WRITES_AT_ONCE) {
            let outcomes = self.store(home).batch(some.to_vec());
            let Ok(outcomes) = tokio::time::timeout(self.timeout(), outcomes).await else {
                why = no_answer();
                continue;
            };
            for outcome in outcomes {
                match outcome {
                    WriteOutcome::Applied(_) => applied = true,
                    WriteOutcome::NotMatched => {}
                    WriteOutcome::Rejected(error) => why = error.to_string(),
                    WriteOutcome::Unknown(unknown) => why = unknown,
                }
            }
        }
        (!applied).then_some(why)
    }

    /// Fences and copies what matches at the old home; answers how many documents that were.
    pub(super) async fn bring_all(
        &mut self,
        class: &ClassName,
        filter: &Filter,
        attempt: Attempt,
    ) -> Result<u64, MoveError> {
        let mut brought = 0_u64;
        let mut last = None;
        loop {
            let page = self.find(Home::Old, class, filter, last.as_ref()).await?;
            let Some(end) = page.last().and_then(Document::object_id) else {
                return Ok(brought);
            };
            last = Some(end);
            let count = page.len();
            self.bring(class, page, attempt).await?;
            brought = brought.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            self.tell(class, count);
        }
    }

    async fn bring(
        &mut self,
        class: &ClassName,
        documents: Vec<Document>,
        attempt: Attempt,
    ) -> Result<(), MoveError> {
        let rules = &self.mover.rules;
        let ask = |target: &Target, document: &Document| relocation::fence(rules, target, document, attempt);
        let fenced = self.settle(Home::Old, class, documents, &ask).await?;
        self.report.fenced = self.report.fenced.saturating_add(fenced.changed);
        if fenced.refused > 0 {
            return Err(self.superseded(attempt).await?.unwrap_or(MoveError::NotBegun));
        }
        let mut copies = Vec::with_capacity(fenced.documents.len());
        for document in &fenced.documents {
            let Some(id) = document.object_id() else { continue };
            let target = Target::new(class, &id);
            let copy = Copy::of(rules, &target, document, attempt);
            copies.extend(copy.map_err(|error| malformed(&target, error))?);
        }
        self.place(class, copies, attempt).await
    }

    /// What has become of the attempt, where it is no longer on.
    pub(super) async fn superseded(&self, attempt: Attempt) -> Result<Option<MoveError>, MoveError> {
        let standing = self.mover.standing().await?;
        Ok(standing
            .map(|standing| standing.decision)
            .filter(|decision| {
                decision.attempt != attempt || decision.resolution != relocation::Resolution::Open
            })
            .map(MoveError::Superseded))
    }

    /// Places copies until each stands, or must not.
    async fn place(
        &mut self,
        class: &ClassName,
        mut copies: Vec<Copy>,
        attempt: Attempt,
    ) -> Result<(), MoveError> {
        copies.retain(|copy| !self.late.contains(copy.target()));
        loop {
            let documents = copies.iter().map(Copy::document);
            let there = self.find_by_id(Home::New, class, documents).await?;
            let (mut waiting, mut placements) = (Vec::new(), Vec::new());
            for copy in copies {
                let placing = copy.place(&self.mover.rules, there.get(&copy.target().id));
                match placing.map_err(|error| malformed(copy.target(), error))? {
                    Placing::Stands => continue,
                    Placing::Keep if self.is_final => continue,
                    Placing::Keep => {
                        let why = self.superseded(attempt).await?;
                        return Err(why.unwrap_or_else(|| MoveError::Occupied(copy.target().clone())));
                    }
                    Placing::Create(_) => placements.push(copy.placement(Over::Nothing)),
                    Placing::Replace(ProtocolWrite::Update { guard, .. }) => {
                        placements.push(copy.placement(Over::Matching(guard)));
                    }
                    Placing::Replace(ProtocolWrite::Create { .. }) => continue,
                }
                waiting.push(copy);
            }
            if waiting.is_empty() {
                return Ok(());
            }
            copies = self.place_once(waiting, placements).await?;
        }
    }

    /// Answers the copies of which it is not known that they stand.
    async fn place_once(
        &mut self,
        copies: Vec<Copy>,
        placements: Vec<Placement>,
    ) -> Result<Vec<Copy>, MoveError> {
        let placed = self.mover.new.place(placements);
        let mut placed = tokio::time::timeout(self.timeout(), placed)
            .await
            .unwrap_or_default();
        placed.resize_with(copies.len(), || Placed::Unknown(no_answer()));
        let mut left = Vec::new();
        let (mut stands, mut why) = (0_u64, String::new());
        for (copy, placed) in copies.into_iter().zip(placed) {
            match placed {
                Placed::Stands => stands = stands.saturating_add(1),
                Placed::Held => left.push(copy),
                Placed::Unknown(unknown) => {
                    why = unknown;
                    left.push(copy);
                }
                Placed::Refused(error) => self.refused(&copy, error)?,
            }
        }
        self.report.placed = self.report.placed.saturating_add(stands);
        if left.is_empty() || stands > 0 {
            self.waits.reset();
        } else {
            self.pause_or(Home::New, why).await?;
        }
        Ok(left)
    }

    /// A copy that the new home does not take has come too late, where others work there already.
    fn refused(&mut self, copy: &Copy, error: CloudError) -> Result<(), MoveError> {
        let target = copy.target();
        if !self.is_final || error.code != ErrorCode::DUPLICATE_VALUE {
            return Err(MoveError::Refused {
                target: target.clone(),
                error,
            });
        }
        tracing::warn!("{target} came too late: {error}");
        self.late.insert(target.clone());
        self.report.stranded.push(target.clone());
        if target.class == self.mover.rules.log_class
            && let Ok(log) = ledger::read_log(copy.document(), &self.mover.rules)
        {
            self.stranded.push(log);
        }
        Ok(())
    }

    /// Lets live what is fenced, as far as `ask` allows it, until a listing shows nothing more to be done.
    pub(super) async fn unfence_all(
        &mut self,
        home: Home,
        class: &ClassName,
        filter: &Filter,
        ask: &Ask<'_>,
    ) -> Result<(), MoveError> {
        loop {
            let before = self.report.opened;
            let mut last = None;
            loop {
                let page = self.find(home, class, filter, last.as_ref()).await?;
                let Some(end) = page.last().and_then(Document::object_id) else {
                    break;
                };
                last = Some(end);
                let count = page.len();
                let settled = self.settle(home, class, page, ask).await?;
                self.report.opened = self.report.opened.saturating_add(settled.changed);
                self.tell(class, count);
            }
            if self.report.opened == before {
                return Ok(());
            }
        }
    }
}

/// Documents that are as they should be.
#[derive(Debug, Default)]
struct Settled {
    documents: Vec<Document>,
    changed: u64,
    /// How many must not be changed.
    refused: u64,
}

impl Copy {
    fn placement(&self, over: Over) -> Placement {
        Placement {
            class: self.target().class.clone(),
            document: self.document().clone(),
            over,
        }
    }
}

fn no_answer() -> String {
    "no answer in time".to_owned()
}
