//! One round over all classes: reads what was written since the round before, and loads it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use crate::migration::canonical_form::hidden_fields;
use crate::migration::pull::file_download::DownloadOutcome;
use crate::migration::pull::incremental_read::{IncrementalRead, OVERLAP_MILLIS, PageRequest};
use crate::migration::pull::puller::position_note;
use crate::migration::pull::row_conversion::to_stored;
use crate::migration::pull::{Event, PullError, Puller, SourceClasses, SourceError};
use crate::model::{ClassName, Document, Filter, ObjectId, Pointer, Timestamp};
use crate::store::load::{IfExists, Link, LoadOutcome, LoadStep};

/// Most refused objects, and most failed files, that a summary lists.
const LISTED_MAX: usize = 1000;

/// Summary of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundSummary {
    /// Objects read.
    pub read: u64,
    /// Objects created here.
    pub created: u64,
    /// Objects that replaced another version.
    pub replaced: u64,
    /// Objects and links removed.
    pub removed: u64,
    /// Relations read, one for each owner and column.
    pub relations: u64,
    /// Links added.
    pub linked: u64,
    /// Objects that cannot be loaded: class, id, reason. At most 1000.
    pub refused: Vec<(ClassName, ObjectId, String)>,
    /// Files that cannot be downloaded: id, reason. At most 1000.
    pub files_failed: Vec<(ObjectId, String)>,
}

impl RoundSummary {
    /// True if nothing was added, changed or removed.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.created == 0 && self.replaced == 0 && self.removed == 0 && self.linked == 0
    }

    /// Adds the numbers and lists of another summary.
    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.created += other.created;
        self.replaced += other.replaced;
        self.removed += other.removed;
        self.relations += other.relations;
        self.linked += other.linked;
        self.refused.extend(other.refused);
        self.refused.truncate(LISTED_MAX);
        self.files_failed.extend(other.files_failed);
        self.files_failed.truncate(LISTED_MAX);
    }

    fn count(&mut self, loaded: &[LoadOutcome]) {
        for one in loaded {
            match one {
                LoadOutcome::Created => self.created += 1,
                LoadOutcome::Replaced => self.replaced += 1,
                LoadOutcome::Removed => self.removed += 1,
                LoadOutcome::Unchanged | LoadOutcome::Kept { .. } | LoadOutcome::Refused(_) => {}
            }
        }
    }
}

/// True for the rows that a round may load.
pub type RowFilter<'a> = &'a (dyn Fn(&ClassName, &Document) -> bool + Sync);

/// Rows of one class to load.
pub(super) struct RowBatch<'a> {
    pub(super) class: &'a ClassName,
    pub(super) relations: &'a BTreeMap<String, ClassName>,
    pub(super) rows: Vec<Document>,
    /// The relations of an object written after this time are read even if the object itself is unchanged.
    pub(super) relations_since: Option<Timestamp>,
    /// The time up to which the class is read after these rows.
    pub(super) reached: Option<Timestamp>,
}

impl Puller {
    /// Loads what was written at the source since the round before, or everything. `include` selects the rows.
    ///
    /// # Errors
    /// [`PullError`]; the next round continues from there.
    pub async fn round(
        &self,
        classes: &SourceClasses,
        include: RowFilter<'_>,
    ) -> Result<RoundSummary, PullError> {
        let shows_logins = self.source.shows_logins().await?;
        let mut summary = RoundSummary::default();
        for (class, relations) in &classes.relations {
            let of_class = self.sync_class(class, relations, include, shows_logins).await?;
            summary.add(of_class);
        }
        Ok(summary)
    }

    async fn sync_class(
        &self,
        class: &ClassName,
        relations: &BTreeMap<String, ClassName>,
        include: RowFilter<'_>,
        shows_logins: bool,
    ) -> Result<RoundSummary, PullError> {
        let before = self.position(class).await?;
        let total = match before {
            None => Some(self.source.count(class, &Filter::all()).await?),
            Some(_) => None,
        };
        self.observer.on_event(Event::ClassStarted { class, total });
        let from = before.map(|before| before.plus_millis(-OVERLAP_MILLIS));
        let mut incremental = IncrementalRead::new(from, self.source.page_rows());
        let mut summary = RoundSummary::default();
        while let Some(request) = incremental.next() {
            let is_page = matches!(request, PageRequest::Page(_));
            let rows = self.source.rows(class, request).await?;
            let rows = if is_page {
                incremental
                    .accept_page(rows)
                    .map_err(|reason| SourceError::Response {
                        what: format!("the class {class}"),
                        reason,
                    })?
            } else {
                incremental.accept_moment(rows)
            };
            let read = rows.len();
            let rows = RowBatch {
                class,
                relations,
                rows: rows.into_iter().filter(|row| include(class, row)).collect(),
                relations_since: before,
                reached: incremental.reached().max(before),
            };
            summary.add(self.load_rows(rows, shows_logins).await?);
            summary.read += read as u64;
            self.observer.on_event(Event::RowsRead { class, rows: read });
        }
        self.observer.on_event(Event::ClassFinished { class });
        Ok(summary)
    }

    /// Loads rows, their relations and the contents of files. The position in the class is written last.
    pub(super) async fn load_rows(
        &self,
        rows: RowBatch<'_>,
        shows_logins: bool,
    ) -> Result<RoundSummary, PullError> {
        let RowBatch {
            class,
            relations,
            rows,
            relations_since,
            reached,
        } = rows;
        let mut summary = RoundSummary::default();
        if rows.is_empty() {
            return Ok(summary);
        }
        let owners: Vec<(ObjectId, Option<Timestamp>)> = rows
            .iter()
            .filter_map(|row| Some((row.object_id()?, row.updated_at())))
            .collect();
        let steps = self.put_steps(class, rows, shows_logins, &mut summary).await;
        let note = reached.map(|at| position_note(class, at)).into_iter().collect();
        if relations.is_empty() {
            let loaded = self.load_batch(steps, note).await?;
            self.record_loaded(class, &owners, &loaded, &mut summary);
            return Ok(summary);
        }
        let loaded = self.load_batch(steps, Vec::new()).await?;
        self.record_loaded(class, &owners, &loaded, &mut summary);
        let owners: Vec<ObjectId> = owners
            .into_iter()
            .zip(&loaded)
            .filter(|((_, at), loaded)| {
                matches!(loaded, LoadOutcome::Created | LoadOutcome::Replaced) || *at > relations_since
            })
            .map(|((id, _), _)| id)
            .collect();
        let mut steps = Vec::new();
        for (key, targets) in relations {
            steps.extend(self.relation_steps(class, &owners, key, targets).await?);
        }
        summary.relations += (owners.len() * relations.len()) as u64;
        let loaded = self.load_batch(steps, note).await?;
        summary.linked += loaded
            .iter()
            .filter(|one| matches!(one, LoadOutcome::Created))
            .count() as u64;
        summary.removed += loaded
            .iter()
            .filter(|one| matches!(one, LoadOutcome::Removed))
            .count() as u64;
        Ok(summary)
    }

    /// Downloads the contents of files, and returns the steps that store the rows.
    async fn put_steps(
        &self,
        class: &ClassName,
        rows: Vec<Document>,
        shows_logins: bool,
        summary: &mut RoundSummary,
    ) -> Vec<LoadStep> {
        let stored = self.download_files(class, &rows, summary).await;
        let fill_missing = if *class == ClassName::user() {
            hidden_fields(shows_logins)
        } else {
            &[]
        };
        rows.into_iter()
            .map(|row| {
                let has_content = row.object_id().is_some_and(|id| stored.contains(&id));
                LoadStep::Put {
                    class: class.clone(),
                    document: to_stored(class, row, has_content),
                    if_exists: IfExists::Replace,
                    fill_missing,
                }
            })
            .collect()
    }

    /// Counts the loaded objects, and reports those that were refused.
    fn record_loaded(
        &self,
        class: &ClassName,
        owners: &[(ObjectId, Option<Timestamp>)],
        loaded: &[LoadOutcome],
        summary: &mut RoundSummary,
    ) {
        summary.count(loaded);
        for ((id, _), one) in owners.iter().zip(loaded) {
            let LoadOutcome::Refused(error) = one else {
                continue;
            };
            let reason = error.to_string();
            self.observer.on_event(Event::RowRefused {
                class,
                id,
                reason: &reason,
            });
            if summary.refused.len() < LISTED_MAX {
                summary.refused.push((class.clone(), id.clone(), reason));
            }
        }
    }

    /// Returns the steps that make the relation `key` of these owners equal to the source's.
    async fn relation_steps(
        &self,
        class: &ClassName,
        owners: &[ObjectId],
        key: &str,
        targets: &ClassName,
    ) -> Result<Vec<LoadStep>, PullError> {
        let there = self.source.related_all(class, owners, key, targets).await?;
        let mut steps = Vec::new();
        for (id, there) in owners.iter().zip(there) {
            let owner = Pointer {
                class_name: class.clone(),
                object_id: id.clone(),
            };
            let here = self.store.related(&owner, key).await?;
            let there: BTreeSet<Pointer> = there
                .into_iter()
                .map(|object_id| Pointer {
                    class_name: targets.clone(),
                    object_id,
                })
                .collect();
            let link = |target: &Pointer| Link {
                owner: owner.clone(),
                key: key.to_owned(),
                target: target.clone(),
            };
            let removed = here.iter().filter(|target| !there.contains(*target));
            steps.extend(removed.map(|target| LoadStep::Unlink(link(target))));
            let added = there.iter().filter(|target| !here.contains(target));
            steps.extend(added.map(|target| LoadStep::Link(link(target))));
        }
        Ok(steps)
    }

    /// Downloads the contents of files. Returns the ids of the files that are stored here.
    async fn download_files(
        &self,
        class: &ClassName,
        rows: &[Document],
        summary: &mut RoundSummary,
    ) -> BTreeSet<ObjectId> {
        let mut stored = BTreeSet::new();
        let Some(files) = self.files.as_ref().filter(|_| *class == ClassName::file()) else {
            return stored;
        };
        let downloads = rows
            .iter()
            .map(|row| async move { (row.object_id(), files.download(row).await) });
        let downloads: Vec<_> = downloads.collect();
        let mut downloads = stream::iter(downloads).buffered(self.source.concurrency());
        while let Some((id, outcome)) = downloads.next().await {
            match (id, outcome) {
                (Some(id), DownloadOutcome::Stored) => {
                    stored.insert(id);
                }
                (Some(id), DownloadOutcome::Failed(reason)) => {
                    self.notice(&format!("the file {id}: {reason}"));
                    if summary.files_failed.len() < LISTED_MAX {
                        summary.files_failed.push((id, reason));
                    }
                }
                _ => {}
            }
        }
        stored
    }
}
