//! The relocator: carries out a whole relocation, in the order that [`protocol::relocation`](crate::payment::protocol::relocation) prescribes.
//!
//! All that it knows it has read from the documents of the two stores. So it may die at any moment, and any other
//! process continues by calling the same function again; two at once do no harm.
//!
//! The source works until its documents are fenced. From then on it refuses every payment (9011), until the relocation
//! is final and the target serves, or has been rolled back:
//!
//! 1. [`Relocator::copy_ahead`], any number of times: closed logs, which are most of the data, while the source works.
//! 2. [`Relocator::prepare`]: fences and copies everything.
//! 3. Stop the functions of the source.
//! 4. [`Relocator::finish`]: decides *final*, opens the copies. Or [`Relocator::roll_back`]: the source goes on.
//! 5. Let the functions work at the target.
//! 6. [`Relocator::finish`] again, once nothing can be under way to the source any more: it copies what came late.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::environment::Environment;
use crate::model::{ClassName, Document, ErrorCode, Filter, Timestamp};
use crate::payment::protocol::log::{LogState, fields};
use crate::payment::protocol::relocation::{self, Attempt, Decision, Resolution};
use crate::payment::protocol::target::Target;
use crate::payment::protocol::{ledger, pruning};
use crate::payment::relocation::context::Context;
use crate::payment::relocation::error::{RelocationError, malformed};
use crate::payment::relocation::filters::{fenced, in_use};
use crate::payment::relocation::import::ImportStore;
use crate::payment::relocation::report::{RelocationProgress, RelocationReport, RelocationStage, Side};
use crate::payment::relocation::transfer::{StoredDecision, Transfer};
use crate::payment::service::PaymentService;
use crate::payment::{Kind, PaymentConfig};
use crate::store::{Store, Write, WriteOutcome};

/// The time for which a step that gets nowhere is repeated, unless set otherwise.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Logs created so long before an attempt began are shown by every listing after that.
const STALENESS_MAX: Duration = Duration::from_secs(60 * 60);
/// Documents that others name and that are looked up at once: their ids travel in a URL.
const LOGS_AT_ONCE: usize = 100;

/// Relocates the payment data of a whole store. Cheap to clone.
#[derive(Clone)]
pub struct Relocator(Context);

impl Relocator {
    /// A relocator from `source` to `target`, which already has the payment classes with their unique indexes.
    /// `decision_class` is the class of the decision, at the source: clients may not read or write it, and its `key` is
    /// unique.
    #[must_use]
    pub fn new(
        source: Arc<dyn Store>,
        target: Arc<dyn ImportStore>,
        environment: Environment,
        config: PaymentConfig,
        decision_class: ClassName,
    ) -> Self {
        Self(Context {
            source,
            target,
            environment,
            names: config.names(),
            config,
            decision_class,
            timeout: TIMEOUT,
            observer: None,
        })
    }

    /// Sets the time for which a step that gets nowhere is repeated before the call ends with an error. 5 minutes.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Calls `observer` with the progress, after each page of documents.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&RelocationProgress) + Send + Sync + 'static) -> Self {
        self.0.observer = Some(Arc::new(observer));
        self
    }

    fn transfer(&self, stage: RelocationStage) -> Transfer<'_> {
        Transfer::new(&self.0, stage)
    }

    /// The decision so far; `None` if no relocation has begun.
    ///
    /// # Errors
    /// [`RelocationError`].
    pub async fn decision(&self) -> Result<Option<Decision>, RelocationError> {
        let stored = self.transfer(RelocationStage::Copying).stored_decision().await?;
        Ok(stored.map(|stored| stored.decision))
    }

    /// Copies closed logs while the source works, so that [`Relocator::prepare`] takes less time. Writes nothing at the
    /// source.
    ///
    /// # Errors
    /// [`RelocationError`].
    pub async fn copy_ahead(&self) -> Result<RelocationReport, RelocationError> {
        let mut transfer = self.transfer(RelocationStage::CopyingAhead);
        // The attempt does not matter for closed logs.
        let closed = Filter::all().eq(fields::STATE, LogState::Closed.number());
        transfer
            .copy_matching(&self.0.names.log_class, &closed, Attempt::FIRST)
            .await?;
        Ok(transfer.report)
    }

    /// Fences every account, order and open log at the source and copies all of them, closed logs too. Begins a
    /// relocation, continues one, or tries again after one that was rolled back; does nothing if it is final.
    ///
    /// # Errors
    /// [`RelocationError`].
    pub async fn prepare(&self) -> Result<RelocationReport, RelocationError> {
        let (target, decision) = self.agree().await?;
        let Some(write) = decision.prepared(&target) else {
            return Ok(RelocationReport::default());
        };
        let mut transfer = self.transfer(RelocationStage::Copying);
        let done = async {
            self.copy(&mut transfer, decision.attempt).await?;
            self.check(&mut transfer, decision.attempt).await?;
            loop {
                match transfer.attempt_write(Side::Source, write.clone()).await? {
                    WriteOutcome::Applied(_) => return Ok(()),
                    WriteOutcome::NotMatched => {
                        if let Some(superseded) = transfer.superseded(decision.attempt).await? {
                            return Err(superseded);
                        }
                    }
                    WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => {}
                }
            }
        };
        let done = done.await;
        self.yield_to_rollback(done).await?;
        Ok(transfer.report)
    }

    /// Checks that everything that [`Relocator::prepare`] does is complete, decides that the relocation is final, opens the
    /// copies, and copies what was created at the source since, until nothing is found. After this the target may serve.
    /// A repeated call does only what is left.
    ///
    /// # Errors
    /// [`RelocationError`].
    pub async fn finish(&self) -> Result<RelocationReport, RelocationError> {
        let StoredDecision {
            target,
            decision,
            prepared,
        } = self
            .transfer(RelocationStage::Copying)
            .stored_decision()
            .await?
            .ok_or(RelocationError::NotBegun)?;
        let mut transfer = self.transfer(RelocationStage::Copying);
        let decided = self.copy_last(&mut transfer, &target, decision, prepared).await;
        let decided = self.yield_to_rollback(decided).await?;
        loop {
            self.open(&mut transfer, decided).await?;
            let before = transfer.report.copied;
            transfer.is_final = true;
            self.copy(&mut transfer, decided.attempt).await?;
            self.check(&mut transfer, decided.attempt).await?;
            self.credit_stranded(&mut transfer).await?;
            if transfer.report.copied == before {
                // What was found in place may have been placed by one that has died since.
                self.open(&mut transfer, decided).await?;
                return Ok(transfer.report);
            }
        }
    }

    /// Copies what is missing at the target, and decides that the relocation is final.
    async fn copy_last(
        &self,
        transfer: &mut Transfer<'_>,
        target: &Target,
        decision: Decision,
        prepared: Option<Timestamp>,
    ) -> Result<Decision, RelocationError> {
        if decision.resolution == Resolution::Open {
            match prepared {
                None => self.copy(transfer, decision.attempt).await?,
                // Closed logs that were created since, too: their results may have been returned to callers.
                Some(prepared) => {
                    let margin = i64::try_from(STALENESS_MAX.as_millis()).unwrap_or(0);
                    let since = prepared.plus_millis(margin.saturating_neg());
                    let since = Filter::all().gte("createdAt", since.to_date());
                    let logs = &self.0.names.log_class;
                    transfer.copy_matching(logs, &since, decision.attempt).await?;
                }
            }
            self.copy_in_use(transfer, decision.attempt).await?;
            self.check(transfer, decision.attempt).await?;
        }
        let decided = self.decide(target, decision, Resolution::Final).await?;
        if decided.attempt != decision.attempt || decided.resolution != Resolution::Final {
            return Err(RelocationError::Superseded(decided));
        }
        Ok(decided)
    }

    /// After another relocator has rolled back, opens again what this one has fenced since.
    async fn yield_to_rollback<T>(&self, done: Result<T, RelocationError>) -> Result<T, RelocationError> {
        if let Err(RelocationError::Superseded(decided)) = &done
            && decided.resolution == Resolution::RolledBack
        {
            self.unfence_source(*decided).await?;
        }
        done
    }

    /// Gives the relocation up: the source goes on. A repeated call also opens again what a slow relocator has fenced
    /// since. The copies at the target stay fenced and unused; another attempt replaces them.
    ///
    /// # Errors
    /// [`RelocationError::Superseded`] if the relocation is final; other [`RelocationError`].
    pub async fn roll_back(&self) -> Result<RelocationReport, RelocationError> {
        let StoredDecision { target, decision, .. } = self
            .transfer(RelocationStage::Copying)
            .stored_decision()
            .await?
            .ok_or(RelocationError::NotBegun)?;
        let decided = self.decide(&target, decision, Resolution::RolledBack).await?;
        if decided.resolution != Resolution::RolledBack {
            return Err(RelocationError::Superseded(decided));
        }
        self.unfence_source(decided).await
    }

    /// Opens again, at the source, whatever this attempt or one before it has fenced.
    async fn unfence_source(&self, decided: Decision) -> Result<RelocationReport, RelocationError> {
        let mut transfer = self.transfer(RelocationStage::RollingBack);
        for class in self.classes() {
            let names = &self.0.names;
            let todo = |target: &Target, document: &Document| {
                relocation::roll_back(names, target, document, decided)
            };
            transfer
                .unfence_all(Side::Source, class, &fenced(names, class), &todo)
                .await?;
        }
        Ok(transfer.report)
    }

    fn classes(&self) -> [&ClassName; 3] {
        // Logs last: none moves money once accounts and orders are fenced.
        self.0.names.classes()
    }

    /// The stored decision of the current attempt; begins one if there is none.
    async fn agree(&self) -> Result<(Target, Decision), RelocationError> {
        let mut transfer = self.transfer(RelocationStage::Copying);
        let mut is_proved = false;
        loop {
            let write = match self.transfer(RelocationStage::Copying).stored_decision().await? {
                Some(StoredDecision { target, decision, .. }) => match decision.try_again(&target) {
                    Ok(None) => return Ok((target, decision)),
                    Ok(Some(write)) => write,
                    Err(error) => return Err(malformed(&target, error)),
                },
                None => {
                    if !std::mem::replace(&mut is_proved, true) {
                        self.prove_unique(&mut transfer).await?;
                    }
                    Write::create(&self.0.decision_class, Decision::begin())
                }
            };
            let _ = transfer.attempt_write(Side::Source, write).await?;
        }
    }

    /// Checks that the decision is unique: creates the same key twice, which must fail.
    async fn prove_unique(&self, transfer: &mut Transfer<'_>) -> Result<(), RelocationError> {
        let probe = Decision::probe(&self.0.environment.random_text(16));
        let mut made = Vec::new();
        loop {
            let write = Write::create(&self.0.decision_class, probe.clone());
            match transfer.attempt_write(Side::Source, write).await? {
                WriteOutcome::Applied(written) => made.extend(written.object_id),
                WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE => break,
                WriteOutcome::NotMatched | WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => {}
            }
            if made.len() > 1 {
                break;
            }
        }
        for id in &made {
            let gone = self
                .0
                .source
                .write(Write::delete(&self.0.decision_class, id, Filter::all()));
            // Best effort: a probe that stays does no harm.
            let _ = tokio::time::timeout(self.0.config.store_timeout, gone).await;
        }
        if made.len() > 1 {
            return Err(RelocationError::NotUnique(self.0.decision_class.clone()));
        }
        Ok(())
    }

    /// Ends the attempt of `decision`; returns the stored decision, whoever made it.
    async fn decide(
        &self,
        target: &Target,
        decision: Decision,
        resolution: Resolution,
    ) -> Result<Decision, RelocationError> {
        let mut transfer = self.transfer(RelocationStage::Copying);
        let Some(write) = decision.decide(target, resolution) else {
            return Ok(decision);
        };
        loop {
            if let WriteOutcome::Applied(_) = transfer.attempt_write(Side::Source, write.clone()).await? {
                return Ok(Decision {
                    resolution,
                    ..decision
                });
            }
            if let Some(read) = self.transfer(RelocationStage::Copying).stored_decision().await?
                && read.decision != decision
            {
                return Ok(read.decision);
            }
        }
    }

    /// Steps 2 to 4 of a round: fences and copies everything.
    async fn copy(&self, transfer: &mut Transfer<'_>, attempt: Attempt) -> Result<(), RelocationError> {
        for class in self.classes() {
            transfer.copy_matching(class, &Filter::all(), attempt).await?;
        }
        self.copy_in_use(transfer, attempt).await
    }

    /// Fences and copies what is in use at the source, until a listing shows none: a page may be older than a document.
    async fn copy_in_use(
        &self,
        transfer: &mut Transfer<'_>,
        attempt: Attempt,
    ) -> Result<(), RelocationError> {
        for class in self.classes() {
            while transfer
                .copy_matching(class, &in_use(&self.0.names, class), attempt)
                .await?
                > 0
            {}
        }
        Ok(())
    }

    /// Checks that everything that the fenced documents at the target name is there too; copies what is missing.
    async fn check(&self, transfer: &mut Transfer<'_>, attempt: Attempt) -> Result<(), RelocationError> {
        transfer.begin(RelocationStage::Checking);
        for class in self.classes() {
            let mut last = None;
            loop {
                let page = transfer
                    .find(Side::Target, class, &fenced(&self.0.names, class), last.as_ref())
                    .await?;
                let Some(end) = page.last().and_then(Document::object_id) else {
                    break;
                };
                last = Some(end);
                let named = self.references(class, &page)?;
                for some in named.chunks(LOGS_AT_ONCE) {
                    self.check_named(transfer, some, attempt).await?;
                }
                transfer.report_progress(class, page.len());
            }
        }
        transfer.begin(RelocationStage::Copying);
        Ok(())
    }

    /// The documents that a page of documents names, each with the one that names it: accounts and orders name logs by
    /// their marks, logs name the documents of their legs and their order.
    fn references(
        &self,
        class: &ClassName,
        page: &[Document],
    ) -> Result<Vec<(Target, Target)>, RelocationError> {
        let names = &self.0.names;
        let mut named = Vec::new();
        for document in page {
            let Some(id) = document.object_id() else { continue };
            let by = Target::new(class, &id);
            if *class != names.log_class {
                let logs = pruning::logs(document).map_err(|error| malformed(&by, error))?;
                let targets = logs.iter().map(|log| Target::new(&names.log_class, log));
                named.extend(targets.map(|log| (log, by.clone())));
            } else if let Ok(log) = ledger::read_log(document, names) {
                let legs = log.intent.legs.as_slice().iter();
                let order = log.intent.order.iter();
                let order = order.map(|order| Target::new(&names.order_class, order));
                let targets = legs.map(|leg| leg.target.clone()).chain(order);
                named.extend(targets.map(|target| (target, by.clone())));
            }
        }
        Ok(named)
    }

    async fn check_named(
        &self,
        transfer: &mut Transfer<'_>,
        named: &[(Target, Target)],
        attempt: Attempt,
    ) -> Result<(), RelocationError> {
        for class in self.classes() {
            let mut wanted: Vec<&(Target, Target)> = named
                .iter()
                .filter(|(target, _)| target.class == *class)
                .collect();
            let (mut retry, mut is_first) = (transfer.retry(), true);
            while !wanted.is_empty() {
                let ids = wanted
                    .iter()
                    .map(|(target, _)| target.id.as_str().into())
                    .collect();
                let filter = Filter::all().one_of("objectId", ids);
                let there = transfer.find(Side::Target, class, &filter, None).await?;
                wanted.retain(|(target, _)| {
                    there
                        .iter()
                        .all(|found| found.object_id().as_ref() != Some(&target.id))
                });
                let Some((target, by)) = wanted.first() else { break };
                transfer.copy_matching(class, &filter, attempt).await?;
                if !std::mem::take(&mut is_first) && !retry.pause(&self.0.environment).await {
                    if *class == self.0.names.log_class {
                        return Err(RelocationError::NoLog {
                            target: by.clone(),
                            log: target.id.clone(),
                        });
                    }
                    // It was deleted: the log that names it is stuck in either store.
                    break;
                }
            }
        }
        Ok(())
    }

    /// Opens the copies that the decision allows. A copy of an earlier attempt stays fenced.
    async fn open(&self, transfer: &mut Transfer<'_>, decision: Decision) -> Result<(), RelocationError> {
        transfer.begin(RelocationStage::Opening);
        for class in self.classes() {
            let names = &self.0.names;
            let todo =
                |target: &Target, document: &Document| relocation::open(names, target, document, decision);
            transfer
                .unfence_all(Side::Target, class, &fenced(&self.0.names, class), &todo)
                .await?;
        }
        transfer.begin(RelocationStage::Copying);
        Ok(())
    }

    /// Credits the confirmed money of logs whose key belongs to another log at the target.
    async fn credit_stranded(&self, transfer: &mut Transfer<'_>) -> Result<(), RelocationError> {
        let new: Arc<dyn Store> = Arc::clone(&self.0.target) as Arc<dyn Store>;
        let payments = PaymentService::new(new, self.0.environment.clone(), self.0.config.clone());
        for log in transfer.take_stranded() {
            if log.intent.kind == Kind::Recharge && log.trade_no.is_some() {
                let mut retry = transfer.retry();
                loop {
                    match payments.credit_stranded(&log).await {
                        Ok(_) => break,
                        Err(error) if error.code == ErrorCode::OUTCOME_UNKNOWN => {
                            if !retry.pause(&self.0.environment).await {
                                return Err(RelocationError::Unavailable {
                                    side: Side::Target,
                                    why: error.to_string(),
                                });
                            }
                        }
                        Err(error) => {
                            tracing::error!(payment.id = log.id.as_str(), "left to an operator: {error}");
                            transfer.report.left.push(log.id.clone());
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Relocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relocator")
            .field("source", &self.0.source)
            .field("target", &self.0.target)
            .field("decision_class", &self.0.decision_class)
            .finish_non_exhaustive()
    }
}
