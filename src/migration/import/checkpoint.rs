//! The checkpoint of an import: its progress, and the length of its report.
//!
//! The store keeps the state in the commit of each batch. Before each commit the entries of the batch are appended to the
//! report, and the state records the report's length. Entries beyond that length belong to a batch that was never
//! committed, and are cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::migration::file_names::FileContent;
use crate::migration::import::ImportError;
use crate::migration::import::input_files::InputFiles;
use crate::migration::import::records::Position;
use crate::migration::import::report::{Report, ReportEntry, shortened};
use crate::migration::import::stage::Stage;
use crate::migration::import::summary::{ClassCounts, ImportSummary};
use crate::model::{ClassName, CloudError, Filter, Schema, Timestamp};
use crate::store::load::{LoadOutcome, Loader, Note};

/// Name of the note that holds the state.
const NOTE_NAME: &str = "import";

/// Progress of an import, as the store keeps it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ImportState {
    /// Identity of the input files.
    identity: String,
    /// Start of the import; the time of objects without times.
    started: i64,
    pub(super) stage: Stage,
    /// The current file and the position in it; `None` before the first.
    pub(super) file: Option<(String, Position)>,
    /// Classes that contained objects before the import.
    pub(super) occupied: BTreeSet<ClassName>,
    /// Classes that existed before the import.
    #[serde(default, rename = "standing")]
    existing: Option<BTreeSet<ClassName>>,
    classes: BTreeMap<ClassName, ClassCounts>,
    left_out: u64,
    dangling: u64,
    notices: u64,
    report: PathBuf,
    /// Length of the report in bytes.
    report_length: u64,
    #[serde(skip)]
    resumed: bool,
}

impl ImportState {
    /// Starts a new import of `input`.
    pub(super) async fn begin(
        store: &dyn Loader,
        input: &InputFiles,
        report: &Path,
        now: Timestamp,
    ) -> Result<Self, ImportError> {
        let mut occupied = BTreeSet::new();
        let schema = store.schema();
        for name in schema.classes.keys() {
            if store.count(name, &Filter::all()).await? > 0 {
                occupied.insert(name.clone());
            }
        }
        let state = Self {
            identity: input.identity.clone(),
            started: now.as_millis(),
            occupied,
            existing: Some(schema.classes.keys().cloned().collect()),
            report: std::path::absolute(report)?,
            ..Self::default()
        };
        let mut checkpoint = Checkpoint::open(state)?;
        let unknown = input.files().filter(|file| file.content == FileContent::Unknown);
        for file in unknown {
            let entry = ReportEntry {
                file: &file.name,
                notice: Some("the name does not tell what the file holds; it was not read"),
                ..ReportEntry::default()
            };
            checkpoint.write(&entry)?;
        }
        Ok(checkpoint.committed)
    }

    /// Returns the state of an unfinished import of the same files.
    pub(super) async fn unfinished(
        store: &dyn Loader,
        input: &InputFiles,
    ) -> Result<Option<Self>, ImportError> {
        let Some(text) = store.note(NOTE_NAME).await? else {
            return Ok(None);
        };
        let mut state: Self = serde_json::from_str(&text).map_err(ImportError::Note)?;
        if state.identity != input.identity {
            tracing::warn!("discarding an unfinished import of other files");
            return Ok(None);
        }
        state.resumed = true;
        Ok(Some(state))
    }

    /// True if the import continues an interrupted one.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Start of the import.
    pub(super) fn started(&self) -> Timestamp {
        Timestamp::from_millis(self.started)
    }

    pub(super) fn summary(&self, schema: &Schema, resumed: bool) -> ImportSummary {
        let is_made = |name: &&ClassName| {
            let existing = self.existing.as_ref();
            existing.is_some_and(|existing| !existing.contains(*name))
        };
        let made = schema.classes.keys().filter(is_made);
        ImportSummary {
            classes: self.classes.clone(),
            made: made.cloned().collect(),
            left_out: self.left_out,
            dangling: self.dangling,
            notices: self.notices,
            resumed,
            report: (self.report_length > 0).then(|| self.report.clone()),
        }
    }

    /// Counts the result of a step. Returns the reason if the record was omitted.
    fn count(&mut self, class: &ClassName, origin: &RowOrigin, loaded: &LoadOutcome) -> Option<String> {
        let is_link = origin.object_id.is_empty();
        let is_fresh = !self.occupied.contains(class);
        let counts = self.classes.entry(class.clone()).or_default();
        match loaded {
            LoadOutcome::Refused(error) => return Some(format!("{} (code {})", error.message, error.code.0)),
            LoadOutcome::Created if is_link => counts.links_created += 1,
            LoadOutcome::Unchanged if is_link => counts.links_unchanged += 1,
            LoadOutcome::Created => counts.created += 1,
            LoadOutcome::Replaced => counts.replaced += 1,
            LoadOutcome::Unchanged if is_fresh => {
                return Some("duplicate objectId: the same object stands in an earlier line".to_owned());
            }
            LoadOutcome::Kept { .. } if is_fresh => {
                return Some(
                    "duplicate objectId: another object with this id stands in an earlier line".to_owned(),
                );
            }
            LoadOutcome::Unchanged | LoadOutcome::Removed => counts.unchanged += 1,
            LoadOutcome::Kept { .. } => counts.kept += 1,
        }
        None
    }
}

/// Origin of a row in the input files, with its outcome.
#[derive(Clone, Debug)]
pub(super) struct RowOrigin {
    pub(super) class: Option<ClassName>,
    pub(super) line: u64,
    pub(super) object_id: String,
    pub(super) text: String,
    pub(super) outcome: RowOutcome,
}

/// Outcome of a row.
#[derive(Clone, Debug)]
pub(super) enum RowOutcome {
    /// The row is the next step of the batch; the store decides.
    Step,
    /// The row was omitted already; the reason.
    Broken(String),
    /// The row has a notice only.
    Notice { text: String, is_dangling: bool },
}

/// The state and the report of an import.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The state that is committed.
    committed: ImportState,
    /// The state with the current batch.
    pending: Option<ImportState>,
    report: Report,
}

/// Locks the checkpoint.
pub(super) fn lock(checkpoint: &Mutex<Checkpoint>) -> MutexGuard<'_, Checkpoint> {
    checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The note that removes the state after the import.
pub(super) fn finished_note() -> Note {
    Note {
        name: NOTE_NAME.to_owned(),
        text: None,
    }
}

impl Checkpoint {
    /// Opens the report at the length that the state records.
    pub(super) fn open(state: ImportState) -> io::Result<Self> {
        let report = Report::open(&state.report, state.report_length)?;
        Ok(Self {
            committed: state,
            pending: None,
            report,
        })
    }

    /// The committed state.
    pub(super) fn state(&self) -> &ImportState {
        &self.committed
    }

    /// Begins a stage.
    pub(super) fn enter(&mut self, stage: Stage) {
        if self.committed.stage != stage {
            self.committed.stage = stage;
            self.committed.file = None;
        }
    }

    /// Writes an entry that belongs to no batch.
    pub(super) fn write(&mut self, entry: &ReportEntry<'_>) -> io::Result<()> {
        let mut state = self.committed.clone();
        self.append(&mut state, entry)?;
        self.committed = state;
        Ok(())
    }

    /// Counts the results of a batch that ends at `file`, writes its entries, and returns the note to commit with it.
    ///
    /// **Idempotency**: a repeated call overwrites the entries of the one before.
    pub(super) fn conclude(
        &mut self,
        file: (&str, Position),
        origins: &[RowOrigin],
        loaded: &[LoadOutcome],
    ) -> Result<Vec<Note>, CloudError> {
        let failed = |error: io::Error| CloudError::other(format!("the report cannot be written: {error}"));
        let mut state = self.committed.clone();
        self.report.truncate(state.report_length).map_err(failed)?;
        let mut loaded = loaded.iter();
        for origin in origins {
            self.record(&mut state, file.0, origin, &mut loaded)
                .map_err(failed)?;
        }
        self.report.sync_data().map_err(failed)?;
        state.file = Some((file.0.to_owned(), file.1));
        let text = serde_json::to_string(&state).map_err(|error| CloudError::other(error.to_string()))?;
        self.pending = Some(state);
        Ok(vec![Note {
            name: NOTE_NAME.to_owned(),
            text: Some(text),
        }])
    }

    /// Adopts the state of the current batch, which is committed.
    pub(super) fn commit(&mut self) {
        if let Some(state) = self.pending.take() {
            self.committed = state;
        }
    }

    /// Makes the report durable.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.report.sync_all()
    }

    /// Counts one row, and writes its entry if it has one.
    fn record<'d>(
        &mut self,
        state: &mut ImportState,
        file: &str,
        origin: &RowOrigin,
        loaded: &mut impl Iterator<Item = &'d LoadOutcome>,
    ) -> io::Result<()> {
        let mut entry = ReportEntry {
            file,
            line: Some(origin.line),
            class: origin.class.as_ref(),
            object_id: Some(origin.object_id.as_str()).filter(|id| !id.is_empty()),
            ..ReportEntry::default()
        };
        let reason;
        match &origin.outcome {
            RowOutcome::Notice { text, is_dangling } => {
                entry.notice = Some(text);
                entry.is_dangling = *is_dangling;
                return self.append(state, &entry);
            }
            RowOutcome::Broken(text) => reason = text.clone(),
            RowOutcome::Step => match (loaded.next(), &origin.class) {
                (Some(loaded), Some(class)) => match state.count(class, origin, loaded) {
                    None => return Ok(()),
                    Some(text) => reason = text,
                },
                _ => return Ok(()),
            },
        }
        if let Some(class) = &origin.class {
            state.classes.entry(class.clone()).or_default().left_out += 1;
        }
        entry.problem = Some(&reason);
        entry.text = Some(shortened(&origin.text)).filter(|text| !text.is_empty());
        self.append(state, &entry)
    }

    fn append(&mut self, state: &mut ImportState, entry: &ReportEntry<'_>) -> io::Result<()> {
        state.report_length += self.report.append(&state.report, entry)?;
        match (entry.problem, entry.is_dangling) {
            (Some(_), _) => state.left_out += 1,
            (None, true) => state.dangling += 1,
            (None, false) => state.notices += 1,
        }
        Ok(())
    }
}
