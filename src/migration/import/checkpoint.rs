//! How far an import has come, and its report.
//!
//! The state is stored with every batch, in its commit. The report is a file; before each commit what belongs to the
//! batch is written to it, and the state says how long it is. What is behind that length belongs to a batch that never
//! was, and is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::migration::file_names::FileContent;
use crate::migration::import::input_files::InputFiles;
use crate::migration::import::records::Position;
use crate::migration::import::summary::{ClassCounts, ImportSummary};
use crate::migration::import::{ImportError, ImportOptions, NOTE, Stage};
use crate::model::{ClassName, CloudError, Filter, Schema, Timestamp};
use crate::store::load::{LoadOutcome, Loader, Note};

/// Bytes of a record that the report shows.
const SHOWN_MAX: usize = 64 * 1024;

/// How far an import has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Of the source.
    pub(super) identity: String,
    /// When it began: the time of objects that have none.
    started: i64,
    pub(super) stage: Stage,
    /// The file that was being read, and where in it; `None` before the first.
    pub(super) file: Option<(String, Position)>,
    /// Classes that held objects before.
    pub(super) occupied: BTreeSet<ClassName>,
    /// Classes that were there before.
    #[serde(default)]
    standing: Option<BTreeSet<ClassName>>,
    classes: BTreeMap<ClassName, ClassCounts>,
    left_out: u64,
    dangling: u64,
    notices: u64,
    report: PathBuf,
    /// Bytes of the report.
    report_length: u64,
    #[serde(skip)]
    resumed: bool,
}

impl State {
    /// A new import of `source`.
    pub(super) async fn begin(
        store: &dyn Loader,
        source: &InputFiles,
        options: &ImportOptions,
        now: Timestamp,
    ) -> Result<Self, ImportError> {
        let mut occupied = BTreeSet::new();
        let schema = store.schema();
        for name in schema.classes.keys() {
            if store.count(name, &Filter::all()).await? > 0 {
                occupied.insert(name.clone());
            }
        }
        let mut state = Self {
            identity: source.identity.clone(),
            started: now.as_millis(),
            occupied,
            standing: Some(schema.classes.keys().cloned().collect()),
            report: std::path::absolute(&options.report)?,
            ..Self::default()
        };
        let mut ledger = Checkpoint::open(state)?;
        let unknown = source
            .pieces()
            .filter(|piece| piece.holds == FileContent::Unknown);
        for piece in unknown {
            let entry = ReportEntry {
                file: &piece.name,
                notice: Some("the name does not tell what the file holds; it was not read"),
                ..ReportEntry::default()
            };
            ledger.write(&entry)?;
        }
        state = ledger.base;
        Ok(state)
    }

    pub(super) fn resumed(mut self) -> Self {
        self.resumed = true;
        self
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(super) fn started(&self) -> Timestamp {
        Timestamp::from_millis(self.started)
    }

    pub(super) fn summary(&self, schema: &Schema, resumed: bool) -> ImportSummary {
        let is_made = |name: &&ClassName| {
            let standing = self.standing.as_ref();
            standing.is_some_and(|standing| !standing.contains(*name))
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
}

/// An entry of the report. Either `problem` or `notice` says what it is about.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct ReportEntry<'a> {
    pub(super) file: &'a str,
    /// The line, or the number of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<&'a ClassName>,
    #[serde(rename = "objectId", skip_serializing_if = "Option::is_none")]
    pub(super) object_id: Option<&'a str>,
    /// Why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<&'a str>,
    /// What was noticed; nothing was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notice: Option<&'a str>,
    /// Whether the notice is of something that points to nothing.
    #[serde(skip)]
    pub(super) is_dangling: bool,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
}

/// What a record is about, while it is under way.
#[derive(Clone, Debug)]
pub(super) struct RowOrigin {
    pub(super) class: Option<ClassName>,
    pub(super) line: u64,
    pub(super) object_id: String,
    pub(super) text: String,
    pub(super) fate: RowOutcome,
}

/// What happens to a record.
#[derive(Clone, Debug)]
pub(super) enum RowOutcome {
    /// It is the next step of the batch.
    Step,
    /// It was left out already.
    Broken(String),
    /// Only something to notice.
    Notice { text: String, is_dangling: bool },
}

/// The state, and the report.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// As it is committed.
    base: State,
    /// As it is with the batch that is under way.
    pending: Option<State>,
    report: Option<File>,
}

impl Checkpoint {
    /// Takes up the report where the state says that it ends.
    pub(super) fn open(state: State) -> io::Result<Self> {
        let mut ledger = Self {
            base: state,
            pending: None,
            report: None,
        };
        match ledger.base.report_length {
            0 => match std::fs::remove_file(&ledger.base.report) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            length => {
                let file = File::options().write(true).open(&ledger.base.report);
                let mut file = file.map_err(|error| {
                    let path = ledger.base.report.display();
                    io::Error::new(
                        error.kind(),
                        format!("the report of the interrupted import, {path}: {error}"),
                    )
                })?;
                file.set_len(length)?;
                file.seek(SeekFrom::Start(length))?;
                ledger.report = Some(file);
            }
        }
        Ok(ledger)
    }

    pub(super) fn state(&self) -> &State {
        &self.base
    }

    /// Begins a stage.
    pub(super) fn enter(&mut self, stage: Stage) {
        if self.base.stage != stage {
            self.base.stage = stage;
            self.base.file = None;
        }
    }

    /// Writes an entry outside of a batch.
    pub(super) fn write(&mut self, entry: &ReportEntry<'_>) -> io::Result<()> {
        let mut state = self.base.clone();
        self.append(&mut state, entry)?;
        self.base = state;
        Ok(())
    }

    /// Reckons with what became of a batch that ends at `file`, and answers the note that belongs to it. Said again,
    /// it does the same.
    pub(super) fn conclude(
        &mut self,
        file: (&str, Position),
        origins: &[RowOrigin],
        done: &[LoadOutcome],
    ) -> Result<Vec<Note>, CloudError> {
        let failed = |error: io::Error| CloudError::other(format!("the report cannot be written: {error}"));
        let mut state = self.base.clone();
        if let Some(report) = &mut self.report {
            report.set_len(state.report_length).map_err(failed)?;
            report
                .seek(SeekFrom::Start(state.report_length))
                .map_err(failed)?;
        }
        let mut done = done.iter();
        for origin in origins {
            self.reckon(&mut state, file.0, origin, &mut done)
                .map_err(failed)?;
        }
        if let Some(report) = &mut self.report {
            report.sync_data().map_err(failed)?;
        }
        state.file = Some((file.0.to_owned(), file.1));
        let text = serde_json::to_string(&state).map_err(|error| CloudError::other(error.to_string()))?;
        self.pending = Some(state);
        Ok(vec![Note {
            name: NOTE.to_owned(),
            text: Some(text),
        }])
    }

    /// The batch is committed.
    pub(super) fn settle(&mut self) {
        if let Some(state) = self.pending.take() {
            self.base = state;
        }
    }

    /// Makes the report durable.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.report.as_mut().map_or(Ok(()), |report| report.sync_all())
    }

    fn reckon<'d>(
        &mut self,
        state: &mut State,
        file: &str,
        origin: &RowOrigin,
        done: &mut impl Iterator<Item = &'d LoadOutcome>,
    ) -> io::Result<()> {
        let mut entry = ReportEntry {
            file,
            line: Some(origin.line),
            class: origin.class.as_ref(),
            object_id: Some(origin.object_id.as_str()).filter(|id| !id.is_empty()),
            ..ReportEntry::default()
        };
        let reason;
        match &origin.fate {
            RowOutcome::Notice { text, is_dangling } => {
                entry.notice = Some(text);
                entry.is_dangling = *is_dangling;
                return self.append(state, &entry);
            }
            RowOutcome::Broken(text) => reason = text.clone(),
            RowOutcome::Step => match (done.next(), &origin.class) {
                (Some(loaded), Some(class)) => match count(state, class, origin, loaded) {
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

    fn append(&mut self, state: &mut State, entry: &ReportEntry<'_>) -> io::Result<()> {
        let report = match &mut self.report {
            Some(report) => report,
            none => none.insert(create_private(&state.report)?),
        };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        report.write_all(&line)?;
        state.report_length += line.len() as u64;
        match (entry.problem, entry.is_dangling) {
            (Some(_), _) => state.left_out += 1,
            (None, true) => state.dangling += 1,
            (None, false) => state.notices += 1,
        }
        Ok(())
    }
}

/// The report shows records, which may hold secrets.
fn create_private(path: &std::path::Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    file.map_err(|error| io::Error::new(error.kind(), format!("the report {}: {error}", path.display())))
}

/// Counts what became of a step; why it was left out, where it was.
fn count(state: &mut State, class: &ClassName, origin: &RowOrigin, loaded: &LoadOutcome) -> Option<String> {
    let is_link = origin.object_id.is_empty();
    let is_fresh = !state.occupied.contains(class);
    let counts = state.classes.entry(class.clone()).or_default();
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

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(SHOWN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
