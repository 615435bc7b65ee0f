//! One round over all classes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use crate::migration::canonical_form::kept_back;
use crate::migration::pull::class_definitions::SourceClasses;
use crate::migration::pull::file_download::DownloadOutcome;
use crate::migration::pull::incremental_read::{IncrementalRead, OVERLAP_MILLIS, PageRequest};
use crate::migration::pull::puller::position_note;
use crate::migration::pull::row_conversion;
use crate::migration::pull::{Event, PullError, Puller, SourceError};
use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Pointer, Timestamp};
use crate::store::load::{IfExists, Link, LoadBatch, LoadOutcome, LoadStep, Note};

/// Objects that could not be loaded, and files that could not be fetched, that are kept by name.
const NAMED_MAX: usize = 1000;

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundSummary {
    /// Objects read.
    pub read: u64,
    /// Of those, new here.
    pub created: u64,
    /// Of those, in the place of another version.
    pub replaced: u64,
    /// Objects and links taken away.
    pub removed: u64,
    /// Relations read, one for each owner and column.
    pub relations: u64,
    /// Links made.
    pub linked: u64,
    /// Objects that cannot be loaded: class, id, reason. A thousand at most.
    pub refused: Vec<(ClassName, ObjectId, String)>,
    /// Files whose bytes could not be fetched: id, reason. A thousand at most.
    pub files_failed: Vec<(ObjectId, String)>,
}

impl RoundSummary {
    /// Whether nothing was brought, changed or taken away.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.created == 0 && self.replaced == 0 && self.removed == 0 && self.linked == 0
    }

    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.created += other.created;
        self.replaced += other.replaced;
        self.removed += other.removed;
        self.relations += other.relations;
        self.linked += other.linked;
        self.refused.extend(other.refused);
        self.refused.truncate(NAMED_MAX);
        self.files_failed.extend(other.files_failed);
        self.files_failed.truncate(NAMED_MAX);
    }

    pub(super) fn count(&mut self, loaded: &[LoadOutcome]) {
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

/// Which rows a round may load.
pub type RowFilter<'a> = &'a (dyn Fn(&ClassName, &Document) -> bool + Sync);

/// Rows of one class, on their way into the store.
pub(super) struct RowBatch<'a> {
    pub(super) class: &'a ClassName,
    pub(super) relations: &'a BTreeMap<String, ClassName>,
    pub(super) rows: Vec<Document>,
    /// What was written later has to have its relations read, though the object itself be unchanged.
    pub(super) relations_since: Option<Timestamp>,
    /// Up to where the class is read with these rows.
    pub(super) reached: Option<Timestamp>,
}

impl Puller {
    /// Brings what was written at the source since the round before, or everything. `admit` says which rows count.
    ///
    /// # Errors
    /// [`PullError`]; the next round goes on from there.
    pub async fn round(
        &self,
        classes: &SourceClasses,
        admit: RowFilter<'_>,
    ) -> Result<RoundSummary, PullError> {
        let shows_logins = self.source.shows_logins().await?;
        let mut round = RoundSummary::default();
        for (class, relations) in &classes.relations {
            round.add(self.walk(class, relations, admit, shows_logins).await?);
        }
        Ok(round)
    }

    async fn walk(
        &self,
        class: &ClassName,
        relations: &BTreeMap<String, ClassName>,
        admit: RowFilter<'_>,
        shows_logins: bool,
    ) -> Result<RoundSummary, PullError> {
        let before = self.position(class).await?;
        let total = match before {
            None => Some(self.source.count(class, &Filter::all()).await?),
            Some(_) => None,
        };
        self.observer.on_event(Event::ClassStarted { class, total });
        let from = before.map(|before| before.plus_millis(-OVERLAP_MILLIS));
        let mut walk = IncrementalRead::new(from, self.source.page_rows());
        let mut round = RoundSummary::default();
        while let Some(ask) = walk.next() {
            let is_page = matches!(ask, PageRequest::Page(_));
            let rows = self.source.ask(class, ask).await?;
            let rows = if is_page {
                walk.page(rows).map_err(|reason| SourceError::Answer {
                    what: format!("the class {class}"),
                    reason,
                })?
            } else {
                walk.moment(rows)
            };
            let read = rows.len();
            let rows = RowBatch {
                class,
                relations,
                rows: rows.into_iter().filter(|row| admit(class, row)).collect(),
                relations_since: before,
                reached: walk.reached().max(before),
            };
            round.add(self.load(rows, shows_logins).await?);
            round.read += read as u64;
            self.observer.on_event(Event::RowsRead { class, rows: read });
        }
        self.observer.on_event(Event::ClassFinished { class });
        Ok(round)
    }

    /// Loads rows, their relations and the bytes of files, and only then notes how far the class is read.
    pub(super) async fn load(
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
        let mut round = RoundSummary::default();
        if rows.is_empty() {
            return Ok(round);
        }
        let owners: Vec<(ObjectId, Option<Timestamp>)> = rows
            .iter()
            .filter_map(|row| Some((row.object_id()?, row.updated_at())))
            .collect();
        let kept = self.fetch(class, &rows, &mut round).await;
        let fill_missing = if *class == ClassName::user() {
            kept_back(shows_logins)
        } else {
            &[]
        };
        let steps = rows.into_iter().map(|row| {
            let keeps = row.object_id().is_some_and(|id| kept.contains(&id));
            LoadStep::Put {
                class: class.clone(),
                document: row_conversion::stored(class, row, keeps),
                if_exists: IfExists::Replace,
                fill_missing,
            }
        });
        let steps = steps.collect();
        let note = move |class: &ClassName| reached.map_or(Ok(Vec::new()), |at| position_note(class, at));
        if relations.is_empty() {
            let loaded = self.load_batch(steps, note(class)?).await?;
            self.judge(class, &owners, &loaded, &mut round);
            return Ok(round);
        }
        let loaded = self.load_batch(steps, Vec::new()).await?;
        self.judge(class, &owners, &loaded, &mut round);
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
            steps.extend(self.relation(class, &owners, key, targets).await?);
        }
        round.relations += (owners.len() * relations.len()) as u64;
        let loaded = self.load_batch(steps, note(class)?).await?;
        round.linked += loaded
            .iter()
            .filter(|one| matches!(one, LoadOutcome::Created))
            .count() as u64;
        round.removed += loaded
            .iter()
            .filter(|one| matches!(one, LoadOutcome::Removed))
            .count() as u64;
        Ok(round)
    }

    pub(super) async fn load_batch(
        &self,
        steps: Vec<LoadStep>,
        notes: Vec<Note>,
    ) -> Result<Vec<LoadOutcome>, CloudError> {
        let make_notes = Box::new(move |_: &[LoadOutcome]| Ok(notes.clone()));
        self.store.load(LoadBatch { steps, make_notes }).await
    }

    fn judge(
        &self,
        class: &ClassName,
        owners: &[(ObjectId, Option<Timestamp>)],
        loaded: &[LoadOutcome],
        round: &mut RoundSummary,
    ) {
        round.count(loaded);
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
            if round.refused.len() < NAMED_MAX {
                round.refused.push((class.clone(), id.clone(), reason));
            }
        }
    }

    /// Makes the relation `key` of these owners what it is at the source.
    async fn relation(
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
            let gone = here.iter().filter(|target| !there.contains(*target));
            steps.extend(gone.map(|target| LoadStep::Unlink(link(target))));
            let new = there.iter().filter(|target| !here.contains(target));
            steps.extend(new.map(|target| LoadStep::Link(link(target))));
        }
        Ok(steps)
    }

    /// Fetches the bytes of files; answers the ids of those that are here.
    async fn fetch(
        &self,
        class: &ClassName,
        rows: &[Document],
        round: &mut RoundSummary,
    ) -> BTreeSet<ObjectId> {
        let mut kept = BTreeSet::new();
        let Some(files) = self.files.as_ref().filter(|_| *class == ClassName::file()) else {
            return kept;
        };
        let fetched = rows
            .iter()
            .map(|row| async move { (row.object_id(), files.fetch(row).await) });
        let fetched: Vec<_> = fetched.collect();
        let mut fetched = stream::iter(fetched).buffered(self.source.at_once());
        while let Some((id, one)) = fetched.next().await {
            match (id, one) {
                (Some(id), DownloadOutcome::Here) => {
                    kept.insert(id);
                }
                (Some(id), DownloadOutcome::Failed(reason)) => {
                    self.notice(&format!("the file {id}: {reason}"));
                    if round.files_failed.len() < NAMED_MAX {
                        round.files_failed.push((id, reason));
                    }
                }
                _ => {}
            }
        }
        kept
    }
}
