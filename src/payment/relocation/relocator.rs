//! The mover: carries out a whole move in the order of [`moving`].
//!
//! Everything that a mover knows it has read from the documents of the two homes. So it may die at any moment, and any
//! other process goes on by calling the same again; two at once do no harm.
//!
//! The old home works on until its documents are fenced, and refuses every payment (9011) from then on, until the move
//! is final and the new home serves, or has been rolled back:
//!
//! 1. [`Mover::copy_ahead`], as often as one likes: closed logs, which are most of the data, while the old home works.
//! 2. [`Mover::prepare`]: fences and copies everything.
//! 3. Stop the functions of the old home.
//! 4. [`Mover::finish`]: decides *final*, opens the copies. Or [`Mover::roll_back`]: the old home goes on.
//! 5. Let the functions work at the new home.
//! 6. [`Mover::finish`] again, once nothing can be under way to the old home any more: it brings over what came late.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::environment::Environment;
use crate::model::{ClassName, CloudError, Document, ErrorCode, Filter, ObjectId, Timestamp};
use crate::payment::protocol::effect::Write as ProtocolWrite;
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::log::LogState;
use crate::payment::protocol::mark::PAY_EPOCH;
use crate::payment::protocol::relocation::{self, Attempt, Decision, Resolution};
use crate::payment::protocol::{ledger, pruning};
use crate::payment::relocation::destination::NewHome;
use crate::payment::relocation::transfer::Hands;
use crate::payment::service::Payments;
use crate::payment::{Kind, PaymentConfig, ProtocolError, Rules};
use crate::store::{Store, Write, WriteOutcome};

/// One of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// The one that is left.
    Old,
    /// The one that takes over.
    New,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// What a mover is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Closed logs are copied; the old home works.
    CopyingAhead,
    /// Documents are fenced at the old home and copied.
    Bringing,
    /// Whether every log that a document names has been copied.
    Checking,
    /// The copies are opened at the new home.
    Opening,
    /// The documents of the old home are given back to it.
    RollingBack,
}

/// How far a mover has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// With documents of which class.
    pub class: ClassName,
    /// How many of them are done in this stage, in this call.
    pub done: u64,
}

/// What a call has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Documents that were fenced.
    pub fenced: u64,
    /// Documents that were placed at the new home, or replaced there.
    pub placed: u64,
    /// Documents that were opened at the new home, or given back to the old one.
    pub opened: u64,
    /// Documents of the old home that came too late: the new home has given their key to another one. They have moved
    /// no money; money that a gateway had confirmed for such a log has been credited at the new home, but for
    /// [`left`](Self::left).
    pub stranded: Vec<Target>,
    /// Logs of those where a gateway's money is left to an operator: another log at the new home names the same number
    /// of the gateway's and says something else about it.
    pub left: Vec<ObjectId>,
}

/// Why a move does not go on. Repair what it says and call again: what was done is done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MoveError {
    /// A store did not answer, again and again.
    #[error("the store of the {home} home does not answer: {why}")]
    Unavailable {
        /// Which.
        home: Home,
        /// What it said last.
        why: String,
    },
    /// A document is not what the protocol writes.
    #[error("{target}: {error}")]
    Malformed {
        /// Which document.
        target: Target,
        /// What is wrong with it.
        error: ProtocolError,
    },
    /// The class of the decision has no unique index on `key`.
    #[error("the class {0} needs a unique index on `key`: create the class, add the index, and begin again")]
    NotUnique(ClassName),
    /// The new home cannot take a document.
    #[error("the new home does not take {target}: {error}")]
    Refused {
        /// Which document.
        target: Target,
        /// Why.
        error: CloudError,
    },
    /// A document at the new home is in use, and no decision has allowed that.
    #[error("{0} is in use at the new home already: nothing but the move may put it there")]
    Occupied(Target),
    /// A document names a log that the old home does not show.
    #[error("{target} has a mark of the log {log}, which the old home does not show")]
    NoLog {
        /// Which document.
        target: Target,
        /// Which log.
        log: ObjectId,
    },
    /// The old home shows no move to be finished or rolled back. A replica that is behind shows one that has just begun
    /// later: call again before you believe it.
    #[error("no move has begun, or the old home does not show it yet: prepare it first, or try again")]
    NotBegun,
    /// Somebody else has ended this attempt, or begun another one.
    #[error("attempt {} of the move is {} by now", .0.attempt.get(), .0.resolution.name())]
    Superseded(Decision),
}

/// Told how far a move has come.
type Watch = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Moves a whole store. Cheap to clone.
#[derive(Clone)]
pub struct Mover {
    pub(super) old: Arc<dyn Store>,
    pub(super) new: Arc<dyn NewHome>,
    pub(super) environment: Environment,
    pub(super) config: PaymentConfig,
    pub(super) rules: Arc<Rules>,
    /// The class of the document that decides, at the old home.
    class: ClassName,
    pub(super) patience: Duration,
    pub(super) watch: Option<Watch>,
}

/// The document that decides, as it was read.
pub(super) struct Standing {
    target: Target,
    pub(super) decision: Decision,
    /// Where everything has been copied that was in use when the attempt began: when the first attempt began, by the
    /// clock of the old home.
    prepared: Option<Timestamp>,
}

/// Logs that were created so long before an attempt began are seen by whoever lists them after that.
const MARGIN: Duration = Duration::from_secs(60 * 60);
/// The logs that no one may name in vain are looked up this many at once: their ids travel in an address.
const LOGS_AT_ONCE: usize = 100;

impl Mover {
    /// A mover from `old` to `new`, which already has the payment classes with their unique indexes. `class` is that of
    /// the document that decides, at the old home: clients may not read or write it, and its `key` is unique.
    #[must_use]
    pub fn new(
        old: Arc<dyn Store>,
        new: Arc<dyn NewHome>,
        environment: Environment,
        config: PaymentConfig,
        class: ClassName,
    ) -> Self {
        Self {
            old,
            new,
            environment,
            rules: config.rules(),
            config,
            class,
            patience: Duration::from_secs(5 * 60),
            watch: None,
        }
    }

    /// How long a step that gets nowhere is repeated before the call ends with an error. 5 minutes.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Tells `watch` how far the move has come, after each page of documents.
    #[must_use]
    pub fn with_watch(mut self, watch: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.watch = Some(Arc::new(watch));
        self
    }

    /// What has been decided so far; `None` where no move has begun.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn decision(&self) -> Result<Option<Decision>, MoveError> {
        Ok(self.standing().await?.map(|standing| standing.decision))
    }

    /// Copies closed logs while the old home works: what [`Mover::prepare`] then finds in place keeps nobody waiting.
    /// Nothing at the old home is written.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn copy_ahead(&self) -> Result<Report, MoveError> {
        let mut hands = Hands::new(self, Stage::CopyingAhead);
        // The attempt does not matter for what is closed.
        let closed = Filter::all().eq("state", LogState::Closed.number());
        hands
            .bring_all(&self.rules.log_class, &closed, Attempt::FIRST)
            .await?;
        Ok(hands.report)
    }

    /// Fences every account, order and open log at the old home and copies all of them, closed logs too. Begins a move,
    /// goes on with one, or tries again after one that was rolled back; where the move is final there is nothing to do.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn prepare(&self) -> Result<Report, MoveError> {
        let (target, decision) = self.agree().await?;
        let Some(write) = decision.prepared(&target) else {
            return Ok(Report::default());
        };
        let mut hands = Hands::new(self, Stage::Bringing);
        let done = async {
            self.bring(&mut hands, decision.attempt).await?;
            self.check(&mut hands, decision.attempt).await?;
            loop {
                match hands.attempt_write(Home::Old, write.clone()).await? {
                    WriteOutcome::Applied(_) => return Ok(()),
                    WriteOutcome::NotMatched => {
                        if let Some(superseded) = hands.superseded(decision.attempt).await? {
                            return Err(superseded);
                        }
                    }
                    WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => {}
                }
            }
        };
        let done = done.await;
        self.give_way(done).await?;
        Ok(hands.report)
    }

    /// Decides that the move is final, once everything that [`Mover::prepare`] has done is seen to be complete, opens the
    /// copies, and brings over what was created at the old home since, until nothing is found. After this the new home
    /// may serve. Called again it only does what is left.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn finish(&self) -> Result<Report, MoveError> {
        let Standing {
            target,
            decision,
            prepared,
        } = self.standing().await?.ok_or(MoveError::NotBegun)?;
        let mut hands = Hands::new(self, Stage::Bringing);
        let decided = self.bring_last(&mut hands, &target, decision, prepared).await;
        let decided = self.give_way(decided).await?;
        loop {
            self.open(&mut hands, decided).await?;
            let before = hands.report.placed;
            hands.is_final = true;
            self.bring(&mut hands, decided.attempt).await?;
            self.check(&mut hands, decided.attempt).await?;
            self.credit_stranded(&mut hands).await?;
            if hands.report.placed == before {
                // What was found in place may have been placed by one that has died since.
                self.open(&mut hands, decided).await?;
                return Ok(hands.report);
            }
        }
    }

    /// What is missing at the new home is brought there, and the move is decided.
    async fn bring_last(
        &self,
        hands: &mut Hands<'_>,
        target: &Target,
        decision: Decision,
        prepared: Option<Timestamp>,
    ) -> Result<Decision, MoveError> {
        if decision.resolution == Resolution::Open {
            match prepared {
                None => self.bring(hands, decision.attempt).await?,
                // Closed logs that were created since, too: somebody may have been told what they say.
                Some(prepared) => {
                    let margin = i64::try_from(MARGIN.as_millis()).unwrap_or(0);
                    let since = prepared.plus_millis(margin.saturating_neg());
                    let since = Filter::all().gte("createdAt", since.to_date());
                    let logs = &self.rules.log_class;
                    hands.bring_all(logs, &since, decision.attempt).await?;
                }
            }
            self.bring_open(hands, decision.attempt).await?;
            self.check(hands, decision.attempt).await?;
        }
        let decided = self.decide(target, decision, Resolution::Final).await?;
        if decided.attempt != decision.attempt || decided.resolution != Resolution::Final {
            return Err(MoveError::Superseded(decided));
        }
        Ok(decided)
    }

    /// A mover that was slow gives back what it has fenced since others gave the move up.
    async fn give_way<T>(&self, done: Result<T, MoveError>) -> Result<T, MoveError> {
        if let Err(MoveError::Superseded(decided)) = &done
            && decided.resolution == Resolution::RolledBack
        {
            self.give_back(*decided).await?;
        }
        done
    }

    /// Gives the move up: the old home goes on. Called again it also gives back what a mover that was slow has fenced
    /// since. The copies at the new home stay fenced, and serve nobody; another attempt replaces them.
    ///
    /// # Errors
    /// [`MoveError::Superseded`] where the move is final; other [`MoveError`].
    pub async fn roll_back(&self) -> Result<Report, MoveError> {
        let Standing { target, decision, .. } = self.standing().await?.ok_or(MoveError::NotBegun)?;
        let decided = self.decide(&target, decision, Resolution::RolledBack).await?;
        if decided.resolution != Resolution::RolledBack {
            return Err(MoveError::Superseded(decided));
        }
        self.give_back(decided).await
    }

    /// Whatever this attempt, or one before it, has fenced at the old home is in use again.
    async fn give_back(&self, decided: Decision) -> Result<Report, MoveError> {
        let mut hands = Hands::new(self, Stage::RollingBack);
        for class in self.classes() {
            let rules = &self.rules;
            let todo = |target: &Target, document: &Document| {
                relocation::roll_back(rules, target, document, decided)
            };
            hands
                .unfence_all(Home::Old, class, &self.fenced(class), &todo)
                .await?;
        }
        Ok(hands.report)
    }

    fn classes(&self) -> [&ClassName; 3] {
        // The logs last: none moves money once the others are fenced.
        self.rules.classes()
    }

    /// Which documents of a class are fenced.
    fn fenced(&self, class: &ClassName) -> Filter {
        if *class == self.rules.log_class {
            Filter::all().gte("state", LogState::FENCE)
        } else {
            Filter::all().lt(PAY_EPOCH, 0)
        }
    }

    /// Which documents of a class are in use.
    fn in_use(&self, class: &ClassName) -> Filter {
        if *class == self.rules.log_class {
            Filter::all().lt("state", LogState::Closed.number())
        } else {
            Filter::all().and_any(vec![
                Filter::all().gte(PAY_EPOCH, 0),
                Filter::all().exists(PAY_EPOCH, false),
            ])
        }
    }

    /// The document that decides, and what it says.
    pub(super) async fn standing(&self) -> Result<Option<Standing>, MoveError> {
        let hands = Hands::new(self, Stage::Bringing);
        let found = hands
            .find(Home::Old, &self.class, &Decision::find(), None)
            .await?;
        let mut standing = None;
        for document in found {
            let id = document.object_id();
            let id = id.ok_or_else(|| MoveError::NotUnique(self.class.clone()))?;
            let target = Target::new(&self.class, &id);
            let decision = Decision::of(&document).map_err(|error| malformed(&target, error))?;
            let prepared = decision.is_prepared(&document);
            let found = Standing {
                target,
                decision,
                prepared: document.created_at().filter(|_| prepared),
            };
            if standing.replace(found).is_some() {
                return Err(MoveError::NotUnique(self.class.clone()));
            }
        }
        Ok(standing)
    }

    /// The decision of an attempt that is on, begun here where none is.
    async fn agree(&self) -> Result<(Target, Decision), MoveError> {
        let mut hands = Hands::new(self, Stage::Bringing);
        let mut is_proved = false;
        loop {
            let write = match self.standing().await? {
                Some(Standing { target, decision, .. }) => match decision.try_again(&target) {
                    Ok(None) => return Ok((target, decision)),
                    Ok(Some(write)) => write,
                    Err(error) => return Err(malformed(&target, error)),
                },
                None => {
                    if !std::mem::replace(&mut is_proved, true) {
                        self.prove_unique(&mut hands).await?;
                    }
                    ProtocolWrite::Create {
                        class: self.class.clone(),
                        fields: Decision::begin(),
                    }
                }
            };
            let _ = hands.attempt_write(Home::Old, write).await?;
        }
    }

    /// Two movers must not decide twice: a value that is there twice shows that the index is missing.
    async fn prove_unique(&self, hands: &mut Hands<'_>) -> Result<(), MoveError> {
        let probe = Decision::probe(&self.environment.random_text(16));
        let mut made = Vec::new();
        loop {
            let write = ProtocolWrite::Create {
                class: self.class.clone(),
                fields: probe.clone(),
            };
            match hands.attempt_write(Home::Old, write).await? {
                WriteOutcome::Applied(written) => made.extend(written.object_id),
                WriteOutcome::Rejected(error) if error.code == ErrorCode::DUPLICATE_VALUE => break,
                WriteOutcome::NotMatched | WriteOutcome::Rejected(_) | WriteOutcome::Unknown(_) => {}
            }
            if made.len() > 1 {
                break;
            }
        }
        for id in &made {
            let gone = self.old.write(Write::delete(&self.class, id, Filter::all()));
            // Whether it is there still does not matter.
            let _ = tokio::time::timeout(self.config.store_timeout, gone).await;
        }
        if made.len() > 1 {
            return Err(MoveError::NotUnique(self.class.clone()));
        }
        Ok(())
    }

    /// Ends the attempt of `decision`; answers what was decided, by whomever.
    async fn decide(
        &self,
        target: &Target,
        decision: Decision,
        resolution: Resolution,
    ) -> Result<Decision, MoveError> {
        let mut hands = Hands::new(self, Stage::Bringing);
        let Some(write) = decision.decide(target, resolution) else {
            return Ok(decision);
        };
        loop {
            if let WriteOutcome::Applied(_) = hands.attempt_write(Home::Old, write.clone()).await? {
                return Ok(Decision {
                    resolution,
                    ..decision
                });
            }
            if let Some(read) = self.standing().await?
                && read.decision != decision
            {
                return Ok(read.decision);
            }
        }
    }

    /// Steps 2 to 4 of a round.
    async fn bring(&self, hands: &mut Hands<'_>, attempt: Attempt) -> Result<(), MoveError> {
        for class in self.classes() {
            hands.bring_all(class, &Filter::all(), attempt).await?;
        }
        self.bring_open(hands, attempt).await
    }

    /// What is in use at the old home, until a listing shows nothing of it: a page may have been older than a document.
    async fn bring_open(&self, hands: &mut Hands<'_>, attempt: Attempt) -> Result<(), MoveError> {
        for class in self.classes() {
            while hands.bring_all(class, &self.in_use(class), attempt).await? > 0 {}
        }
        Ok(())
    }

    /// Whether everything stands at the new home that its fenced documents speak of; brings what does not.
    async fn check(&self, hands: &mut Hands<'_>, attempt: Attempt) -> Result<(), MoveError> {
        hands.begin(Stage::Checking);
        for class in self.classes() {
            let mut last = None;
            loop {
                let page = hands
                    .find(Home::New, class, &self.fenced(class), last.as_ref())
                    .await?;
                let Some(end) = page.last().and_then(Document::object_id) else {
                    break;
                };
                last = Some(end);
                let named = self.named(class, &page)?;
                for some in named.chunks(LOGS_AT_ONCE) {
                    self.check_named(hands, some, attempt).await?;
                }
                hands.tell(class, page.len());
            }
        }
        hands.begin(Stage::Bringing);
        Ok(())
    }

    /// What documents name: their marks logs, and logs what they are about.
    fn named(&self, class: &ClassName, page: &[Document]) -> Result<Vec<(Target, Target)>, MoveError> {
        let rules = &self.rules;
        let mut named = Vec::new();
        for document in page {
            let Some(id) = document.object_id() else { continue };
            let by = Target::new(class, &id);
            if *class != rules.log_class {
                let logs = pruning::logs(document).map_err(|error| malformed(&by, error))?;
                let targets = logs.iter().map(|log| Target::new(&rules.log_class, log));
                named.extend(targets.map(|log| (log, by.clone())));
            } else if let Ok(log) = ledger::read_log(document, rules) {
                let legs = log.intent.legs.as_slice().iter();
                let order = log.intent.order.iter();
                let order = order.map(|order| Target::new(&rules.order_class, order));
                let targets = legs.map(|leg| leg.target.clone()).chain(order);
                named.extend(targets.map(|target| (target, by.clone())));
            }
        }
        Ok(named)
    }

    async fn check_named(
        &self,
        hands: &mut Hands<'_>,
        named: &[(Target, Target)],
        attempt: Attempt,
    ) -> Result<(), MoveError> {
        for class in self.classes() {
            let mut wanted: Vec<&(Target, Target)> = named
                .iter()
                .filter(|(target, _)| target.class == *class)
                .collect();
            let (mut waits, mut is_first) = (hands.patience(), true);
            while !wanted.is_empty() {
                let ids = wanted
                    .iter()
                    .map(|(target, _)| target.id.as_str().into())
                    .collect();
                let filter = Filter::all().one_of("objectId", ids);
                let there = hands.find(Home::New, class, &filter, None).await?;
                wanted.retain(|(target, _)| {
                    there
                        .iter()
                        .all(|found| found.object_id().as_ref() != Some(&target.id))
                });
                let Some((target, by)) = wanted.first() else { break };
                hands.bring_all(class, &filter, attempt).await?;
                if !std::mem::take(&mut is_first) && !waits.again(&self.environment).await {
                    if *class == self.rules.log_class {
                        return Err(MoveError::NoLog {
                            target: by.clone(),
                            log: target.id.clone(),
                        });
                    }
                    // Somebody has deleted it: the log that names it is stuck at either home.
                    break;
                }
            }
        }
        Ok(())
    }

    /// Opens what the decision allows. A copy of an earlier attempt stays closed.
    async fn open(&self, hands: &mut Hands<'_>, decision: Decision) -> Result<(), MoveError> {
        hands.begin(Stage::Opening);
        for class in self.classes() {
            let rules = &self.rules;
            let todo =
                |target: &Target, document: &Document| relocation::open(rules, target, document, decision);
            hands
                .unfence_all(Home::New, class, &self.fenced(class), &todo)
                .await?;
        }
        hands.begin(Stage::Bringing);
        Ok(())
    }

    /// The gateway's money of logs whose key is another's at the new home.
    async fn credit_stranded(&self, hands: &mut Hands<'_>) -> Result<(), MoveError> {
        let new: Arc<dyn Store> = Arc::clone(&self.new) as Arc<dyn Store>;
        let payments = Payments::new(new, self.environment.clone(), self.config.clone());
        for log in hands.take_stranded() {
            if log.intent.kind == Kind::Recharge && log.trade_no.is_some() {
                let mut waits = hands.patience();
                loop {
                    match payments.credit_stranded(&log).await {
                        Ok(_) => break,
                        Err(error) if error.code == ErrorCode::OUTCOME_UNKNOWN => {
                            if !waits.again(&self.environment).await {
                                return Err(MoveError::Unavailable {
                                    home: Home::New,
                                    why: error.to_string(),
                                });
                            }
                        }
                        Err(error) => {
                            tracing::error!(payment.id = log.id.as_str(), "left to an operator: {error}");
                            hands.report.left.push(log.id.clone());
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

pub(super) fn malformed(target: &Target, error: ProtocolError) -> MoveError {
    MoveError::Malformed {
        target: target.clone(),
        error,
    }
}

impl fmt::Debug for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mover")
            .field("old", &self.old)
            .field("new", &self.new)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}
