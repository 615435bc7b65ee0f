//! The cutover: the app moves.
//!
//! The order ensures that no payment runs on both sides, and that the verification comes before the decision:
//!
//! 1. *Fence and copy*: the [`Relocator`] fences every account, order and open log at the source, and copies them. From
//!    now on the source refuses every payment (9011).
//! 2. *Synchronise*: rounds over everything else, and comparisons of ids, until nothing new is found. Of the documents
//!    with money only fenced ones are loaded. Users who sign up meanwhile are fenced too.
//! 3. *Verify*. If the two sides differ, the move is rolled back, and the source continues to pay.
//! 4. *Decide*: final, once, at the source; then the copies are opened here.
//!
//! After a crash at any point the same call continues. Until the decision [`Cutover::roll_back`] undoes everything.

use std::sync::Arc;

use crate::environment::Environment;
use crate::migration::pull::source_and_destination::{DestinationStore, SourceStore};
use crate::migration::pull::{FollowedSource, PullError, Puller, RoundSummary, SourceClasses};
use crate::migration::verification::{VerificationReport, Verifier};
use crate::model::{ClassName, Document, Value};
use crate::payment::protocol::relocation::{Attempt, FencedCopy, Resolution};
use crate::payment::protocol::target::Target;
use crate::payment::relocation::{RelocationError, RelocationReport, Relocator};
use crate::payment::{PaymentConfig, SchemaNames};
use crate::store::Store;

/// Most rounds until nothing new is found. An app that is written to all the time is never quiet.
const ROUNDS_MAX: usize = 10;

/// Most verifications. An object written during a verification counts as a difference; the next round brings it.
const VERIFICATIONS_MAX: usize = 3;

/// Class of the decision document at the source.
const DECISION_CLASS: &str = "PaylogMove";

/// A cutover.
#[derive(Clone, Debug)]
pub struct Cutover {
    puller: Puller,
    source: Arc<SourceStore>,
    config: PaymentConfig,
    names: Arc<SchemaNames>,
    environment: Environment,
    decision_class: ClassName,
    /// True if the app moves although objects without money differ.
    accepts_differences: bool,
    compares_relations: bool,
}

/// Outcome of a cutover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutoverOutcome {
    /// The app has moved here. The report before the decision; `None` if an earlier call decided.
    Moved(Option<Box<VerificationReport>>),
    /// The two sides differ: everything was given back to the source.
    RolledBack(Box<VerificationReport>),
}

impl From<RelocationError> for PullError {
    fn from(error: RelocationError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Cutover {
    /// Class of the decision document at the source. It needs a unique index on `key`.
    ///
    /// # Errors
    /// None: the name is legal.
    pub fn decision_class() -> Result<ClassName, PullError> {
        Ok(ClassName::parse(DECISION_CLASS)?)
    }

    /// A cutover of the app that `puller` pulls. `source` also writes.
    ///
    /// # Errors
    /// None; see [`Cutover::decision_class`].
    pub fn new(
        puller: Puller,
        source: SourceStore,
        config: PaymentConfig,
        environment: Environment,
    ) -> Result<Self, PullError> {
        Ok(Self {
            puller,
            source: Arc::new(source),
            names: config.names(),
            config,
            environment,
            decision_class: Self::decision_class()?,
            accepts_differences: false,
            compares_relations: true,
        })
    }

    /// Moves although objects without money differ, or users have lost their login.
    #[must_use]
    pub fn accepting_differences(mut self) -> Self {
        self.accepts_differences = true;
        self
    }

    /// Verifies without relations.
    #[must_use]
    pub fn without_relations(mut self) -> Self {
        self.compares_relations = false;
        self
    }

    /// Moves the app.
    ///
    /// # Errors
    /// [`PullError`]. Before the decision everything was given back to the source, unless the error says otherwise;
    /// after it the same call continues.
    pub async fn run(
        &self,
        classes: &SourceClasses,
        following: &FollowedSource,
    ) -> Result<CutoverOutcome, PullError> {
        let decided = self.relocator(false).decision().await?;
        if decided.is_some_and(|decision| decision.resolution == Resolution::Final) {
            self.complete(classes, following).await?;
            return Ok(CutoverOutcome::Moved(None));
        }
        self.define_decision_class().await?;
        let report = match self.verify_fenced(classes).await {
            Ok(report) => report,
            Err(error) => return Err(self.roll_back_after(error).await),
        };
        let money_agrees = self.money_agrees(&report);
        if !(report.clean || self.accepts_differences && money_agrees) {
            self.roll_back().await?;
            return Ok(CutoverOutcome::RolledBack(Box::new(report)));
        }
        self.complete(classes, following).await?;
        Ok(CutoverOutcome::Moved(Some(Box::new(report))))
    }

    /// Rolls the move back: gives everything back to the source, unless the app has moved.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn roll_back(&self) -> Result<RelocationReport, PullError> {
        Ok(self.relocator(false).roll_back().await?)
    }

    /// Rolls back after an error, and adds the result to the error.
    async fn roll_back_after(&self, error: PullError) -> PullError {
        match self.roll_back().await {
            Ok(_) => PullError::Refused(format!("{error}. The source has been given back, and pays")),
            Err(other) => PullError::Refused(format!(
                "{error}. The source could not be given back ({other}): it refuses payments until you run this again, \
                 with --final or with --roll-back"
            )),
        }
    }

    /// The relocator that fences and copies; before the decision, unfenced copies are hidden from it.
    fn relocator(&self, before_decision: bool) -> Relocator {
        let store = Arc::clone(&self.puller.store);
        let names = Arc::clone(&self.names);
        let destination = if before_decision {
            DestinationStore::before_decision(store, names)
        } else {
            DestinationStore::from_decision(store, names)
        };
        let source: Arc<dyn Store> = Arc::<SourceStore>::clone(&self.source);
        Relocator::new(
            source,
            Arc::new(destination),
            self.environment.clone(),
            self.config.clone(),
            self.decision_class.clone(),
        )
    }

    /// Creates the class of the decision at the source, if the source allows it.
    async fn define_decision_class(&self) -> Result<(), PullError> {
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
            .define_class(&self.decision_class, Document(definition))
            .await?;
        Ok(())
    }

    /// Fences, copies, and verifies.
    async fn verify_fenced(&self, classes: &SourceClasses) -> Result<VerificationReport, PullError> {
        let mut verifications = 0;
        loop {
            verifications += 1;
            let attempt = self.synchronise(classes).await?;
            self.puller.notice(&format!(
                "the source pays no more (attempt {}); now comparing both sides",
                attempt.get()
            ));
            let excluded = self.puller.excluded.clone();
            let mut verifier = Verifier::new(Arc::clone(&self.puller.store), Arc::clone(&self.names))
                .against(self.puller.source.clone(), excluded)
                .with_observer(Arc::clone(&self.puller.observer));
            if !self.compares_relations {
                verifier = verifier.without_relations();
            }
            let report = verifier.verify().await?;
            if report.is_same() || verifications == VERIFICATIONS_MAX {
                return Ok(report);
            }
        }
    }

    /// Fences and copies the documents with money, and pulls everything else, until nothing new is found.
    async fn synchronise(&self, classes: &SourceClasses) -> Result<Attempt, PullError> {
        let relocator = self.relocator(true);
        let mut rounds = 0;
        loop {
            rounds += 1;
            relocator.prepare().await?;
            let decision = relocator.decision().await?.ok_or(RelocationError::NotBegun)?;
            let attempt = decision.attempt;
            let include = |class: &ClassName, row: &Document| self.is_fenced(class, row, attempt);
            let mut summary = self.puller.round(classes, &include).await?;
            let ids = self.puller.compare_ids(classes, &include).await?;
            summary.add(ids.brought);
            summary.removed += ids.removed;
            if summary.is_quiet() || rounds == ROUNDS_MAX {
                return Ok(attempt);
            }
        }
    }

    fn holds_money(&self, class: &ClassName) -> bool {
        self.names.classes().contains(&class)
    }

    /// True if a row may be loaded while the source is fenced: of the documents with money, only fenced ones.
    fn is_fenced(&self, class: &ClassName, row: &Document, attempt: Attempt) -> bool {
        if !self.holds_money(class) {
            return true;
        }
        let Some(id) = row.object_id() else { return false };
        let copy = FencedCopy::of(&self.names, &Target::new(class, &id), row, attempt);
        matches!(copy, Ok(Some(_)))
    }

    /// True if the documents with money, and their sums, are the same on both sides.
    fn money_agrees(&self, report: &VerificationReport) -> bool {
        let differs = report
            .classes
            .iter()
            .any(|class| self.holds_money(&class.class) && class.differing > 0);
        let sums = |money: &crate::migration::verification::MoneyTotals| {
            (money.account, money.frozen, money.open.clone())
        };
        !differs
            && report
                .money_there
                .as_ref()
                .is_none_or(|there| sums(there) == sums(&report.money_here))
    }

    /// Decides, opens the copies, and pulls late writes.
    async fn complete(&self, classes: &SourceClasses, following: &FollowedSource) -> Result<(), PullError> {
        let report = self.relocator(false).finish().await?;
        for stranded in &report.stranded {
            self.puller
                .notice(&format!("{stranded} came too late; it has moved no money"));
        }
        for log in &report.left {
            self.puller.notice(&format!(
                "the log {log}: a gateway has confirmed money, but another log here contradicts it: check both"
            ));
        }
        let no_money = |class: &ClassName, _: &Document| !self.holds_money(class);
        let late: RoundSummary = self.puller.round(classes, &no_money).await?;
        if !late.is_quiet() {
            self.puller.notice(&format!(
                "{} objects were written at the source during the cutover, and pulled",
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
