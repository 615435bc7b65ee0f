//! What the two sides have of a class: the sets of ids, compared page by page in their order.

use std::collections::BTreeSet;

use crate::migration::pull::class_definitions::SourceClasses;
use crate::migration::pull::source::only_ids;
use crate::migration::pull::sync_round::{RowBatch, RowFilter};
use crate::migration::pull::{PullError, Puller, RoundSummary};
use crate::model::{ClassName, Document, Filter, ObjectId, Query};
use crate::store::Store;
use crate::store::load::LoadStep;

/// What a comparison of ids did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdComparison {
    /// Objects taken away here, since they are gone at the source.
    pub removed: u64,
    /// What was missing here, and brought.
    pub brought: RoundSummary,
}

/// The objects of a class here with ids in `(after, upto]`, in their order; without an end, all behind `after`.
///
/// # Errors
/// [`PullError`].
pub(in crate::migration) async fn between(
    store: &(impl Store + ?Sized),
    class: &ClassName,
    after: Option<&ObjectId>,
    upto: Option<&ObjectId>,
) -> Result<Vec<Document>, PullError> {
    let mut filter = Filter::all();
    if let Some(upto) = upto {
        filter = filter.lte("objectId", upto.as_str());
    }
    let mut found: Vec<Document> = Vec::new();
    loop {
        let last = found.last().and_then(Document::object_id);
        let behind = filter.clone().after_id(last.as_ref().or(after));
        let query = Query::new(behind).order_by("objectId").limit(Query::LIMIT_MAX);
        let page = store.find(class, &query).await?;
        let is_last = page.len() < Query::LIMIT_MAX as usize;
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

impl Puller {
    /// Takes away here what is gone at the source, and brings what is missing here, class by class.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn compare_ids(
        &self,
        classes: &SourceClasses,
        admit: RowFilter<'_>,
    ) -> Result<IdComparison, PullError> {
        let shows_logins = self.source.shows_logins().await?;
        let mut gone = IdComparison::default();
        for (class, relations) in &classes.relations {
            let mut scan = self.source.in_order(class, Filter::all(), Some(only_ids()));
            let mut last: Option<ObjectId> = None;
            loop {
                let page = scan.next().await?;
                let there: BTreeSet<ObjectId> =
                    page.iter().flatten().filter_map(Document::object_id).collect();
                let upto = there.last().cloned();
                let here = between(&*self.store, class, last.as_ref(), upto.as_ref()).await?;
                let here: BTreeSet<ObjectId> = here.iter().filter_map(Document::object_id).collect();
                gone.removed += self.remove(class, here.difference(&there)).await?;
                let missing: Vec<ObjectId> = there.difference(&here).cloned().collect();
                if !missing.is_empty() {
                    let rows = self.source.by_ids(class, &missing).await?;
                    let rows = RowBatch {
                        class,
                        relations,
                        rows: rows.into_iter().filter(|row| admit(class, row)).collect(),
                        relations_since: None,
                        reached: None,
                    };
                    gone.brought.add(self.load(rows, shows_logins).await?);
                }
                if page.is_none() {
                    break;
                }
                last = upto;
            }
        }
        Ok(gone)
    }

    /// What an id list from the source does not hold is asked for once more, by its id: a page may come from a replica
    /// that lags behind, and what is taken away here is not taken lightly.
    async fn remove(
        &self,
        class: &ClassName,
        ids: impl Iterator<Item = &ObjectId>,
    ) -> Result<u64, PullError> {
        let ids: Vec<ObjectId> = ids.cloned().collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let still = self.source.by_ids(class, &ids).await?;
        let still: BTreeSet<ObjectId> = still.iter().filter_map(Document::object_id).collect();
        let steps: Vec<LoadStep> = ids
            .into_iter()
            .filter(|id| !still.contains(id))
            .map(|id| LoadStep::Remove {
                class: class.clone(),
                id,
                precondition: Filter::all(),
            })
            .collect();
        let removed = steps.len() as u64;
        self.load_batch(steps, Vec::new()).await?;
        Ok(removed)
    }
}
