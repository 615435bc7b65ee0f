//! The steps of a relocation that are repeated until they succeed: list, write, import.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::environment::{Backoff, Environment};
use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Timestamp, Value};
use crate::payment::ProtocolError;
use crate::payment::protocol::ledger;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::relocation::{self, Attempt, CopyAction, Decision, FencedCopy, RelocationStep};
use crate::payment::protocol::target::Target;
use crate::payment::relocation::context::Context;
use crate::payment::relocation::error::{RelocationError, malformed};
use crate::payment::relocation::import::{IfExists, ImportDocument, ImportOutcome};
use crate::payment::relocation::report::{RelocationProgress, RelocationReport, RelocationStage, Side};
use crate::store::paging::page_query;
use crate::store::{ReadError, Write, WriteOutcome};

/// Documents in a page.
const PAGE: u32 = 200;
/// Documents that are written in one round trip.
const WRITES_AT_ONCE: usize = 50;
/// Pauses before a step is repeated.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));

/// Decides what to write to a document.
pub(super) type Decide<'a> =
    dyn Fn(&Target, &Document) -> Result<RelocationStep, ProtocolError> + Send + Sync + 'a;

/// The repetition of a step that gets nowhere, for a limited time.
#[derive(Debug)]
pub(super) struct Retry {
    timeout: Duration,
    since: Option<Duration>,
    tries: u32,
}

impl Retry {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            since: None,
            tries: 0,
        }
    }

    /// Begins anew, after a step that succeeded.
    fn reset(&mut self) {
        (self.since, self.tries) = (None, 0);
    }

    /// Pauses before the next try; false once the time is over.
    pub(super) async fn pause(&mut self, environment: &Environment) -> bool {
        let now = environment.elapsed();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) > self.timeout {
            return false;
        }
        environment.sleep(BACKOFF.pause(self.tries)).await;
        self.tries = self.tries.saturating_add(1);
        true
    }
}

/// The decision as it is stored at the source.
pub(super) struct StoredDecision {
    pub(super) target: Target,
    pub(super) decision: Decision,
    /// If everything has been copied that was in use when the attempt began: the time, by the clock of the source, at
    /// which the first attempt began.
    pub(super) prepared: Option<Timestamp>,
}

/// The state of one call of a relocator.
pub(super) struct Transfer<'a> {
    context: &'a Context,
    stage: RelocationStage,
    done: u64,
    retry: Retry,
    pub(super) report: RelocationReport,
    /// True if the target is in use: a document found there is no error, and one that is copied may come too late.
    pub(super) is_final: bool,
    /// Logs that came too late and whose money is still to be credited.
    stranded: Vec<Log>,
    /// All documents that came too late.
    late: BTreeSet<Target>,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(context: &'a Context, stage: RelocationStage) -> Self {
        Self {
            context,
            stage,
            done: 0,
            retry: Retry::new(context.timeout),
            report: RelocationReport::default(),
            is_final: false,
            stranded: Vec::new(),
            late: BTreeSet::new(),
        }
    }

    pub(super) fn retry(&self) -> Retry {
        Retry::new(self.context.timeout)
    }

    pub(super) fn begin(&mut self, stage: RelocationStage) {
        (self.stage, self.done) = (stage, 0);
    }

    /// Reports the progress of the stage.
    pub(super) fn report_progress(&mut self, class: &ClassName, documents: usize) {
        let documents = u64::try_from(documents).unwrap_or(u64::MAX);
        self.done = self.done.saturating_add(documents);
        if let Some(observer) = &self.context.observer {
            observer(&RelocationProgress {
                stage: self.stage,
                class: class.clone(),
                done: self.done,
            });
        }
    }

    pub(super) fn take_stranded(&mut self) -> Vec<Log> {
        std::mem::take(&mut self.stranded)
    }

    fn timeout(&self) -> Duration {
        self.context.config.store_timeout
    }

    /// A page of the documents that match, by id, after `last`. Only an empty page is the end: a stale page may be short.
    pub(super) async fn find(
        &self,
        side: Side,
        class: &ClassName,
        filter: &Filter,
        last: Option<&ObjectId>,
    ) -> Result<Vec<Document>, RelocationError> {
        let query = page_query(filter.clone(), last).limit(PAGE);
        let mut retry = self.retry();
        loop {
            let found = self.context.store(side).find(class, &query);
            let why = match tokio::time::timeout(self.timeout(), found).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(ReadError::Rejected(error))) => error.to_string(),
                Ok(Err(ReadError::Unavailable(why))) => why,
                Err(_) => no_answer(),
            };
            if !retry.pause(&self.context.environment).await {
                return Err(RelocationError::Unavailable { side, why });
            }
        }
    }

    /// Reads the decision; `None` if there is none.
    ///
    /// # Errors
    /// [`RelocationError`].
    pub(super) async fn stored_decision(&self) -> Result<Option<StoredDecision>, RelocationError> {
        let class = &self.context.decision_class;
        let found = self.find(Side::Source, class, &Decision::find(), None).await?;
        let mut stored = None;
        for document in found {
            let id = document.object_id();
            let id = id.ok_or_else(|| RelocationError::NotUnique(class.clone()))?;
            let target = Target::new(class, &id);
            let decision = Decision::of(&document).map_err(|error| malformed(&target, error))?;
            let prepared = decision.is_prepared(&document);
            let found = StoredDecision {
                target,
                decision,
                prepared: document.created_at().filter(|_| prepared),
            };
            if stored.replace(found).is_some() {
                return Err(RelocationError::NotUnique(class.clone()));
            }
        }
        Ok(stored)
    }

    /// Writes once; pauses if the write has not taken effect.
    ///
    /// # Errors
    /// [`RelocationError::Unavailable`] once the time is over.
    pub(super) async fn attempt_write(
        &mut self,
        side: Side,
        write: Write,
    ) -> Result<WriteOutcome, RelocationError> {
        let written = self.context.store(side).write(write);
        let outcome = match tokio::time::timeout(self.timeout(), written).await {
            Ok(outcome) => outcome,
            Err(_) => WriteOutcome::Unknown(no_answer()),
        };
        let why = match &outcome {
            WriteOutcome::Applied(_) => {
                self.retry.reset();
                return Ok(outcome);
            }
            WriteOutcome::Rejected(error) => error.to_string(),
            WriteOutcome::Unknown(why) => why.clone(),
            WriteOutcome::NotMatched => "another write was faster, again and again".to_owned(),
        };
        self.pause_or(side, why).await?;
        Ok(outcome)
    }

    async fn pause_or(&mut self, side: Side, why: String) -> Result<(), RelocationError> {
        if self.retry.pause(&self.context.environment).await {
            return Ok(());
        }
        Err(RelocationError::Unavailable { side, why })
    }

    /// Reads the documents again; those that the read does not show stay as they were.
    async fn reread(
        &self,
        side: Side,
        class: &ClassName,
        documents: Vec<Document>,
    ) -> Result<Vec<Document>, RelocationError> {
        let mut fresh = self.find_by_id(side, class, documents.iter()).await?;
        let read = documents.into_iter().map(|document| {
            let id = document.object_id();
            id.and_then(|id| fresh.remove(&id)).unwrap_or(document)
        });
        Ok(read.collect())
    }

    async fn find_by_id(
        &self,
        side: Side,
        class: &ClassName,
        documents: impl Iterator<Item = &Document>,
    ) -> Result<BTreeMap<ObjectId, Document>, RelocationError> {
        let ids: Vec<Value> = documents
            .filter_map(|document| document.get("objectId").cloned())
            .collect();
        let mut found = BTreeMap::new();
        for some in ids.chunks(WRITES_AT_ONCE) {
            let filter = Filter::all().one_of("objectId", some.to_vec());
            let page = self.find(side, class, &filter, None).await?;
            found.extend(
                page.into_iter()
                    .filter_map(|found| Some((found.object_id()?, found))),
            );
        }
        Ok(found)
    }

    /// Writes until `decide` wants no more change; returns the documents, and the number changed. Documents that must not
    /// be changed are left out.
    async fn update_until_done(
        &mut self,
        side: Side,
        class: &ClassName,
        mut documents: Vec<Document>,
        decide: &Decide<'_>,
    ) -> Result<UpdateResult, RelocationError> {
        let mut result = UpdateResult::default();
        let mut begun = BTreeSet::new();
        loop {
            let (mut waiting, mut writes) = (Vec::new(), Vec::new());
            for document in documents {
                let Some(id) = document.object_id() else { continue };
                let target = Target::new(class, &id);
                match decide(&target, &document).map_err(|error| malformed(&target, error))? {
                    RelocationStep::Done => {
                        result.changed += u64::from(begun.contains(&id));
                        result.documents.push(document);
                    }
                    RelocationStep::NotAllowed => result.refused += 1,
                    RelocationStep::Write(write) => {
                        begun.insert(id);
                        waiting.push(document);
                        writes.push(write);
                    }
                }
            }
            if waiting.is_empty() {
                return Ok(result);
            }
            let why = self.write_all(side, writes).await;
            match why {
                None => self.retry.reset(),
                Some(why) => self.pause_or(side, why).await?,
            }
            documents = self.reread(side, class, waiting).await?;
        }
    }

    /// Writes in batches; `None` if at least one write took effect, else the last error.
    async fn write_all(&self, side: Side, writes: Vec<Write>) -> Option<String> {
        let mut why = String::new();
        let mut applied = false;
        for some in writes.chunks(WRITES_AT_ONCE) {
            let outcomes = self.context.store(side).batch(some.to_vec());
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

    /// Fences and copies the documents that match at the source; returns their number.
    pub(super) async fn copy_matching(
        &mut self,
        class: &ClassName,
        filter: &Filter,
        attempt: Attempt,
    ) -> Result<u64, RelocationError> {
        let mut copied = 0_u64;
        let mut last = None;
        loop {
            let page = self.find(Side::Source, class, filter, last.as_ref()).await?;
            let Some(end) = page.last().and_then(Document::object_id) else {
                return Ok(copied);
            };
            last = Some(end);
            let count = page.len();
            self.copy(class, page, attempt).await?;
            copied = copied.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            self.report_progress(class, count);
        }
    }

    async fn copy(
        &mut self,
        class: &ClassName,
        documents: Vec<Document>,
        attempt: Attempt,
    ) -> Result<(), RelocationError> {
        let names = &self.context.names;
        let decide =
            |target: &Target, document: &Document| relocation::fence(names, target, document, attempt);
        let fenced = self
            .update_until_done(Side::Source, class, documents, &decide)
            .await?;
        self.report.fenced = self.report.fenced.saturating_add(fenced.changed);
        if fenced.refused > 0 {
            return Err(self
                .superseded(attempt)
                .await?
                .unwrap_or(RelocationError::NotBegun));
        }
        let mut copies = Vec::with_capacity(fenced.documents.len());
        for document in &fenced.documents {
            let Some(id) = document.object_id() else { continue };
            let target = Target::new(class, &id);
            let copy = FencedCopy::of(names, &target, document, attempt);
            copies.extend(copy.map_err(|error| malformed(&target, error))?);
        }
        self.import(class, copies, attempt).await
    }

    /// [`RelocationError::Superseded`] if the attempt is over.
    pub(super) async fn superseded(
        &self,
        attempt: Attempt,
    ) -> Result<Option<RelocationError>, RelocationError> {
        let stored = self.stored_decision().await?;
        Ok(stored
            .map(|stored| stored.decision)
            .filter(|decision| {
                decision.attempt != attempt || decision.resolution != relocation::Resolution::Open
            })
            .map(RelocationError::Superseded))
    }

    /// Imports copies until each is at the target, or must not be.
    async fn import(
        &mut self,
        class: &ClassName,
        mut copies: Vec<FencedCopy>,
        attempt: Attempt,
    ) -> Result<(), RelocationError> {
        copies.retain(|copy| !self.late.contains(copy.target()));
        loop {
            let documents = copies.iter().map(FencedCopy::document);
            let there = self.find_by_id(Side::Target, class, documents).await?;
            let (mut waiting, mut imports) = (Vec::new(), Vec::new());
            for copy in copies {
                let placing = copy.place(&self.context.names, there.get(&copy.target().id));
                match placing.map_err(|error| malformed(copy.target(), error))? {
                    CopyAction::Done => continue,
                    CopyAction::Keep if self.is_final => continue,
                    CopyAction::Keep => {
                        let why = self.superseded(attempt).await?;
                        return Err(why.unwrap_or_else(|| RelocationError::Occupied(copy.target().clone())));
                    }
                    CopyAction::Create(_) => imports.push(copy.import(IfExists::Keep)),
                    CopyAction::Replace { precondition, .. } => {
                        imports.push(copy.import(IfExists::ReplaceMatching(precondition)));
                    }
                }
                waiting.push(copy);
            }
            if waiting.is_empty() {
                return Ok(());
            }
            copies = self.import_once(waiting, imports).await?;
        }
    }

    /// Imports copies once; returns those that are not known to be at the target.
    async fn import_once(
        &mut self,
        copies: Vec<FencedCopy>,
        imports: Vec<ImportDocument>,
    ) -> Result<Vec<FencedCopy>, RelocationError> {
        let outcomes = self.context.target.import(imports);
        let mut outcomes = tokio::time::timeout(self.timeout(), outcomes)
            .await
            .unwrap_or_default();
        outcomes.resize_with(copies.len(), || ImportOutcome::Unknown(no_answer()));
        let mut left = Vec::new();
        let (mut imported, mut why) = (0_u64, String::new());
        for (copy, outcome) in copies.into_iter().zip(outcomes) {
            match outcome {
                ImportOutcome::Imported => imported = imported.saturating_add(1),
                ImportOutcome::PreconditionFailed => left.push(copy),
                ImportOutcome::Unknown(unknown) => {
                    why = unknown;
                    left.push(copy);
                }
                ImportOutcome::Refused(error) => self.refused(&copy, error)?,
            }
        }
        self.report.copied = self.report.copied.saturating_add(imported);
        if left.is_empty() || imported > 0 {
            self.retry.reset();
        } else {
            self.pause_or(Side::Target, why).await?;
        }
        Ok(left)
    }

    /// Handles a copy that the target refused: once the target is in use, it came too late.
    fn refused(&mut self, copy: &FencedCopy, error: CloudError) -> Result<(), RelocationError> {
        let target = copy.target();
        if !self.is_final || error.code != ErrorCode::DUPLICATE_VALUE {
            return Err(RelocationError::Refused {
                target: target.clone(),
                error,
            });
        }
        tracing::warn!("{target} came too late: {error}");
        self.late.insert(target.clone());
        self.report.stranded.push(target.clone());
        if target.class == self.context.names.log_class
            && let Ok(log) = ledger::read_log(copy.document(), &self.context.names)
        {
            self.stranded.push(log);
        }
        Ok(())
    }

    /// Opens the fenced documents that match, as far as `decide` allows, until a listing shows nothing more to do.
    pub(super) async fn unfence_all(
        &mut self,
        side: Side,
        class: &ClassName,
        filter: &Filter,
        decide: &Decide<'_>,
    ) -> Result<(), RelocationError> {
        loop {
            let before = self.report.opened;
            let mut last = None;
            loop {
                let page = self.find(side, class, filter, last.as_ref()).await?;
                let Some(end) = page.last().and_then(Document::object_id) else {
                    break;
                };
                last = Some(end);
                let count = page.len();
                let result = self.update_until_done(side, class, page, decide).await?;
                self.report.opened = self.report.opened.saturating_add(result.changed);
                self.report_progress(class, count);
            }
            if self.report.opened == before {
                return Ok(());
            }
        }
    }
}

/// Result of [`Transfer::update_until_done`].
#[derive(Debug, Default)]
struct UpdateResult {
    documents: Vec<Document>,
    changed: u64,
    /// Number of documents that must not be changed.
    refused: u64,
}

impl FencedCopy {
    fn import(&self, if_exists: IfExists) -> ImportDocument {
        ImportDocument {
            class: self.target().class.clone(),
            document: self.document().clone(),
            if_exists,
        }
    }
}

fn no_answer() -> String {
    "no answer in time".to_owned()
}
