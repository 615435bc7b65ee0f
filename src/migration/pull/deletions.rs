//! Deletions at the source: the ids of both sides are compared page by page, in their order.

use std::collections::BTreeSet;

use crate::migration::pull::id_range::id_range;
use crate::migration::pull::source::id_keys;
use crate::migration::pull::sync_round::RowBatch;
use crate::migration::pull::{PullError, Puller, RoundSummary, RowFilter, SourceClasses};
use crate::model::{ClassName, Document, Filter, ObjectId};
use crate::store::load::LoadStep;

/// Summary of a comparison of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdComparison {
    /// Objects deleted here because the source has deleted them.
    pub removed: u64,
    /// Summary of the objects that were missing here.
    pub brought: RoundSummary,
}

impl Puller {
    /// Deletes objects that the source has deleted, and loads objects that are missing here, class by class.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn compare_ids(
        &self,
        classes: &SourceClasses,
        include: RowFilter<'_>,
    ) -> Result<IdComparison, PullError> {
        let shows_logins = self.source.shows_logins().await?;
        let mut comparison = IdComparison::default();
        for (class, relations) in &classes.relations {
            let mut scan = self.source.ordered_scan(class, Filter::all(), Some(id_keys()));
            let mut last: Option<ObjectId> = None;
            loop {
                let page = scan.next().await?;
                let there: BTreeSet<ObjectId> =
                    page.iter().flatten().filter_map(Document::object_id).collect();
                let upto = there.last().cloned();
                let here = id_range(&*self.store, class, last.as_ref(), upto.as_ref()).await?;
                let here: BTreeSet<ObjectId> = here.iter().filter_map(Document::object_id).collect();
                comparison.removed += self.remove(class, here.difference(&there)).await?;
                let missing: Vec<ObjectId> = there.difference(&here).cloned().collect();
                if !missing.is_empty() {
                    let rows = self.source.by_ids(class, &missing).await?;
                    let rows = RowBatch {
                        class,
                        relations,
                        rows: rows.into_iter().filter(|row| include(class, row)).collect(),
                        relations_since: None,
                        reached: None,
                    };
                    comparison.brought.add(self.load_rows(rows, shows_logins).await?);
                }
                if page.is_none() {
                    break;
                }
                last = upto;
            }
        }
        Ok(comparison)
    }

    /// Deletes objects that are absent from the source's list of ids. Each is first requested once more by its id: a
    /// page may come from a replica that lags behind, and a deletion here is final.
    async fn remove(
        &self,
        class: &ClassName,
        ids: impl Iterator<Item = &ObjectId>,
    ) -> Result<u64, PullError> {
        let ids: Vec<ObjectId> = ids.cloned().collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let existing = self.source.by_ids(class, &ids).await?;
        let existing: BTreeSet<ObjectId> = existing.iter().filter_map(Document::object_id).collect();
        let steps: Vec<LoadStep> = ids
            .into_iter()
            .filter(|id| !existing.contains(id))
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
