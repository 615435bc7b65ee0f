//! The verifier: reads all classes on both sides, and reports the differences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::migration::pull::id_range::id_range;
use crate::migration::pull::{Event, NoObserver, Observer, OrderedScan, PullError, Source};
use crate::migration::verification::class_comparison::{ClassComparison, ComparisonOptions, Totals};
use crate::migration::verification::comparison_rules::ComparisonRules;
use crate::migration::verification::report::BothMoneyTotals;
use crate::migration::verification::{ClassReport, VerificationReport};
use crate::model::{ClassName, Document, Filter, ObjectId, Timestamp};
use crate::payment::SchemaNames;
use crate::store::load::Loader;
use crate::store::paging::{is_last_page, page_query};

/// Verifies a store, alone or against the source that it was pulled from.
#[derive(Clone, Debug)]
pub struct Verifier {
    store: Arc<dyn Loader>,
    names: Arc<SchemaNames>,
    source: Option<Source>,
    excluded: Vec<ClassName>,
    compares_relations: bool,
    moved_at: Option<Timestamp>,
    moved: bool,
    observer: Arc<dyn Observer>,
}

impl Verifier {
    /// A verifier of `store` alone.
    #[must_use]
    pub fn new(store: Arc<dyn Loader>, names: Arc<SchemaNames>) -> Self {
        Self {
            store,
            names,
            source: None,
            excluded: Vec::new(),
            compares_relations: true,
            moved_at: None,
            moved: false,
            observer: Arc::new(NoObserver),
        }
    }

    /// Compares with this source, except for the classes `excluded`.
    #[must_use]
    pub fn against(mut self, source: Source, excluded: Vec<ClassName>) -> Self {
        self.source = Some(source);
        self.excluded = excluded;
        self
    }

    /// Does not compare relations, which cost a request for every object and relation column.
    #[must_use]
    pub fn without_relations(mut self) -> Self {
        self.compares_relations = false;
        self
    }

    /// Verifies after the app has moved, at this time. Objects written here since are counted and not compared.
    #[must_use]
    pub fn after_move(mut self, at: Option<Timestamp>) -> Self {
        self.moved = true;
        self.moved_at = at;
        self
    }

    /// Reports progress to this observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Reads everything on both sides, or here alone without a source. Objects that are written meanwhile may count as
    /// different: verify again.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn verify(&self) -> Result<VerificationReport, PullError> {
        let schema = self.store.schema();
        let mut classes: BTreeSet<ClassName> = schema.classes.keys().cloned().collect();
        let mut shows_logins = true;
        let mut there: BTreeMap<ClassName, Document> = BTreeMap::new();
        if let Some(source) = &self.source {
            shows_logins = source.shows_logins().await?;
            there = source.classes().await?;
            // No API shows a server's internal classes, such as the tasks of its queue.
            classes.retain(ClassName::is_reachable);
            classes.extend(there.keys().cloned());
            classes.retain(|class| !self.excluded.contains(class));
        }
        let rules = ComparisonRules {
            names: &self.names,
            shows_logins,
            moved: self.moved,
        };
        let options = ComparisonOptions {
            rules: &rules,
            has_source: self.source.is_some(),
            compares_relations: self.compares_relations,
            moved_at: self.moved_at.filter(|_| self.moved),
        };
        let mut totals = Totals::default();
        let mut reports = Vec::new();
        for class in &classes {
            self.observer.on_event(Event::ClassStarted { class, total: None });
            let source = self.source.as_ref().filter(|_| there.contains_key(class));
            reports.push(self.verify_class(class, source, options, &mut totals).await?);
            self.observer.on_event(Event::ClassFinished { class });
        }
        let money = BothMoneyTotals {
            here: totals.here,
            there: self.source.as_ref().map(|_| totals.there),
            moved: self.moved,
        };
        Ok(VerificationReport::new(
            reports,
            money,
            totals.logins,
            totals.dangling.finish(),
            self.omitted_parts(&rules),
        ))
    }

    /// Descriptions of the parts that are not compared; none without a source.
    fn omitted_parts(&self, rules: &ComparisonRules<'_>) -> Vec<String> {
        if self.source.is_none() {
            return Vec::new();
        }
        let mut omitted = rules.descriptions_of_omitted();
        if !self.compares_relations {
            omitted.push("relations of the source".to_owned());
        }
        omitted.extend(self.excluded.iter().map(|class| format!("the class {class}")));
        omitted
    }

    async fn verify_class(
        &self,
        class: &ClassName,
        source: Option<&Source>,
        options: ComparisonOptions<'_>,
        totals: &mut Totals,
    ) -> Result<ClassReport, PullError> {
        let mut comparison = ClassComparison::new(&*self.store, class, source, options);
        let mut scan = source.map(|source| source.ordered_scan(class, Filter::all(), None));
        let mut last: Option<ObjectId> = None;
        loop {
            let page = next_page(&mut scan).await?;
            let is_end = page.is_none();
            let upto = page.iter().flatten().last().and_then(Document::object_id);
            let here = match (&upto, is_end) {
                // After the last object of the source, or without a source: a page at a time.
                (None, _) | (_, true) => {
                    self.store
                        .find(class, &page_query(Filter::all(), last.as_ref()))
                        .await?
                }
                (Some(upto), false) => id_range(&*self.store, class, last.as_ref(), Some(upto)).await?,
            };
            let read = here.len();
            let last_here = here.last().and_then(Document::object_id);
            comparison
                .add_page(here, page.unwrap_or_default(), totals)
                .await?;
            self.observer.on_event(Event::RowsRead { class, rows: read });
            if is_end && is_last_page(read) {
                break;
            }
            last = if is_end { last_here } else { upto };
        }
        comparison.finish().await
    }
}

/// The next page of the source; `None` without a source, or at its end.
async fn next_page(scan: &mut Option<OrderedScan>) -> Result<Option<Vec<Document>>, PullError> {
    let Some(reading) = scan else {
        return Ok(None);
    };
    let page = reading.next().await?;
    if page.is_none() {
        *scan = None;
    }
    Ok(page)
}
