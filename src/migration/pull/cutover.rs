//! The last round: the app moves.
//!
//! In this order, so that no payment goes on in both homes and the proof is there before the decision:
//!
//! 1. *Fence and copy*: the [`Mover`] fences every account, order and open log at the source, and copies them. From here
//!    on the source refuses every payment (9011).
//! 2. *Settle*: rounds over everything else, and comparisons of ids, until nothing new is found. Of what holds money only
//!    the fenced documents count. Users who sign up meanwhile are fenced too.
//! 3. *Prove*. Where the two sides are not the same the move is rolled back, and the source goes on paying.
//! 4. *Decide*: final, once, at the source; then the copies are opened here.
//!
//! Whatever dies, and wherever: the same call goes on. Until the decision [`Cutover::roll_back`] gives everything back.

use std::sync::Arc;

use crate::environment::Environment;
use crate::migration::pull::class_definitions::SourceClasses;
use crate::migration::pull::source_and_destination::{DestinationStore, SourceStore};
use crate::migration::pull::{FollowedSource, PullError, Puller, RoundSummary};
use crate::migration::verification::{VerificationReport, Verifier};
use crate::model::{ClassName, Document, Value};
use crate::payment::protocol::leg::Target;
use crate::payment::protocol::relocation::{Attempt, Copy, Resolution};
use crate::payment::relocation::{MoveError, Mover, Report};
use crate::payment::{PaymentConfig, Rules};
use crate::store::Store;

/// How often rounds are repeated until nothing new is found. An app that is written to all the time is never quiet.
const ROUNDS_MAX: usize = 10;

/// How often the proof is tried: what was written while it was read counts as a difference, and is brought by then.
const PROOFS_MAX: usize = 3;

/// The class of the document at the source that decides.
const DECISION_CLASS: &str = "PaylogMove";

/// A cut-over.
#[derive(Clone, Debug)]
pub struct Cutover {
    puller: Puller,
    old: Arc<SourceStore>,
    config: PaymentConfig,
    rules: Arc<Rules>,
    environment: Environment,
    decision_class: ClassName,
    /// Whether to move although objects differ that hold no money.
    accepts_differences: bool,
    relations: bool,
}

/// How a cut-over ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutoverOutcome {
    /// The app lives here. What was proved before the decision; `None` where the decision was made by an earlier call.
    Moved(Option<Box<VerificationReport>>),
    /// The two sides are not the same: everything was given back to the source.
    RolledBack(Box<VerificationReport>),
}

impl From<MoveError> for PullError {
    fn from(error: MoveError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Cutover {
    /// The class of the document at the source that decides. It needs a unique index on `key`.
    ///
    /// # Errors
    /// Never: the name is legal.
    pub fn decision_class() -> Result<ClassName, PullError> {
        Ok(ClassName::parse(DECISION_CLASS)?)
    }

    /// Of what `puller` pulls. `old` is the source, for writing too.
    ///
    /// # Errors
    /// Never; see [`Cutover::decision_class`].
    pub fn new(
        puller: Puller,
        old: SourceStore,
        config: PaymentConfig,
        environment: Environment,
    ) -> Result<Self, PullError> {
        Ok(Self {
            puller,
            old: Arc::new(old),
            rules: config.rules(),
            config,
            environment,
            decision_class: Self::decision_class()?,
            accepts_differences: false,
            relations: true,
        })
    }

    /// Moves although objects differ that hold no money, or users have lost their login.
    #[must_use]
    pub fn accepting_differences(mut self) -> Self {
        self.accepts_differences = true;
        self
    }

    /// The proof leaves out relations.
    #[must_use]
    pub fn without_relations(mut self) -> Self {
        self.relations = false;
        self
    }

    /// Moves.
    ///
    /// # Errors
    /// [`PullError`]. Before the decision everything was given back to the source, unless the error says otherwise;
    /// after it the same call goes on.
    pub async fn run(
        &self,
        classes: &SourceClasses,
        following: &FollowedSource,
    ) -> Result<CutoverOutcome, PullError> {
        let decided = self.mover(false).decision().await?;
        if decided.is_some_and(|decision| decision.resolution == Resolution::Final) {
            self.finish(classes, following).await?;
            return Ok(CutoverOutcome::Moved(None));
        }
        self.make_class().await?;
        let proved = match self.prove_fenced(classes).await {
            Ok(proved) => proved,
            Err(error) => return Err(self.given_back(error).await),
        };
        let money_agrees = self.money_agrees(&proved);
        if !(proved.clean || self.accepts_differences && money_agrees) {
            self.roll_back().await?;
            return Ok(CutoverOutcome::RolledBack(Box::new(proved)));
        }
        self.finish(classes, following).await?;
        Ok(CutoverOutcome::Moved(Some(Box::new(proved))))
    }

    /// Gives everything back to the source, unless the app has moved.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn roll_back(&self) -> Result<Report, PullError> {
        Ok(self.mover(false).roll_back().await?)
    }

    async fn given_back(&self, error: PullError) -> PullError {
        match self.roll_back().await {
            Ok(_) => PullError::Refused(format!("{error}. The source has been given back, and pays")),
            Err(other) => PullError::Refused(format!(
                "{error}. The source could not be given back ({other}): it refuses payments until you run this again, \
                 with --final or with --roll-back"
            )),
        }
    }

    fn mover(&self, before_decision: bool) -> Mover {
        let store = Arc::clone(&self.puller.store);
        let rules = Arc::clone(&self.rules);
        let new = if before_decision {
            DestinationStore::before_decision(store, rules)
        } else {
            DestinationStore::from_decision(store, rules)
        };
        let old: Arc<dyn Store> = Arc::<SourceStore>::clone(&self.old);
        Mover::new(
            old,
            Arc::new(new),
            self.environment.clone(),
            self.config.clone(),
            self.decision_class.clone(),
        )
    }

    /// Makes the class of the decision at the source, where the source lets it be made.
    async fn make_class(&self) -> Result<(), PullError> {
        let definition = serde_json::json!({
            "columns": {"key": {"type": "String"}},
            "permissions": {"add_fields": {}, "create": {}, "delete": {}, "update": {}, "find": {}, "get": {}},
            "indexes": [{"keys": ["key"], "unique": true, "sparse": true}],
        });
        let Value::Object(definition) = definition else {
            return Ok(());
        };
        self.puller
            .source
            .make_class(&self.decision_class, Document(definition))
            .await?;
        Ok(())
    }

    /// Fences, copies, and proves.
    async fn prove_fenced(&self, classes: &SourceClasses) -> Result<VerificationReport, PullError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let attempt = self.settle(classes).await?;
            self.puller.notice(&format!(
                "the source pays no more (attempt {}); what is here is compared with it now",
                attempt.get()
            ));
            let left_out = self.puller.left_out.clone();
            let mut prover = Verifier::new(Arc::clone(&self.puller.store), Arc::clone(&self.rules))
                .against(self.puller.source.clone(), left_out)
                .with_observer(Arc::clone(&self.puller.observer));
            if !self.relations {
                prover = prover.without_relations();
            }
            let proof = prover.verify().await?;
            if proof.is_same() || tried == PROOFS_MAX {
                return Ok(proof);
            }
        }
    }

    /// Fences and copies what holds money, and brings everything else, until nothing new is found.
    async fn settle(&self, classes: &SourceClasses) -> Result<Attempt, PullError> {
        let mover = self.mover(true);
        let mut rounds = 0;
        loop {
            rounds += 1;
            mover.prepare().await?;
            let decision = mover.decision().await?.ok_or(MoveError::NotBegun)?;
            let attempt = decision.attempt;
            let admit = |class: &ClassName, row: &Document| self.is_fenced(class, row, attempt);
            let mut round = self.puller.round(classes, &admit).await?;
            let gone = self.puller.compare_ids(classes, &admit).await?;
            round.add(gone.brought);
            round.removed += gone.removed;
            if round.is_quiet() || rounds == ROUNDS_MAX {
                return Ok(attempt);
            }
        }
    }

    fn holds_money(&self, class: &ClassName) -> bool {
        self.rules.classes().contains(&class)
    }

    /// Whether a row may be loaded while the source is fenced: of what holds money, only what shows the fence.
    fn is_fenced(&self, class: &ClassName, row: &Document, attempt: Attempt) -> bool {
        if !self.holds_money(class) {
            return true;
        }
        let Some(id) = row.object_id() else { return false };
        let copy = Copy::of(&self.rules, &Target::new(class, &id), row, attempt);
        matches!(copy, Ok(Some(_)))
    }

    fn money_agrees(&self, proof: &VerificationReport) -> bool {
        let differs = proof
            .classes
            .iter()
            .any(|class| self.holds_money(&class.class) && class.differing > 0);
        let sums = |money: &crate::migration::verification::MoneyTotals| {
            (money.account, money.frozen, money.open.clone())
        };
        !differs
            && proof
                .money_there
                .as_ref()
                .is_none_or(|there| sums(there) == sums(&proof.money_here))
    }

    /// Decides, opens, and brings what came late.
    async fn finish(&self, classes: &SourceClasses, following: &FollowedSource) -> Result<(), PullError> {
        let report = self.mover(false).finish().await?;
        for stranded in &report.stranded {
            self.puller
                .notice(&format!("{stranded} came too late, and has moved no money"));
        }
        for log in &report.left {
            self.puller.notice(&format!(
                "the log {log}: a gateway has confirmed money that another log here says otherwise about: look at it"
            ));
        }
        let no_money = |class: &ClassName, _: &Document| !self.holds_money(class);
        let late: RoundSummary = self.puller.round(classes, &no_money).await?;
        if !late.is_quiet() {
            self.puller.notice(&format!(
                "{} objects were still written at the source during the cut-over, and brought over",
                late.created + late.replaced
            ));
        }
        let moved = FollowedSource {
            moved: true,
            moved_at: Some(self.environment.now().to_string()),
            ..following.clone()
        };
        moved.write(&*self.puller.store).await
    }
}
