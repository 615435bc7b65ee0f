//! Bringing an export in: streamed, resumable, repeatable.
//!
//! The files are read in stages: definitions of classes, objects, relations, and once more the objects, to find what
//! points to nothing. One thread reads, the store's writer writes. With each batch the store keeps, in the same commit,
//! how far the import has come; killed at any moment, it goes on there. Begun again after its end, it changes nothing.
//!
//! What cannot be brought in is written to a report, with file, line and reason, and the rest arrives.

mod batch_reader;
mod checkpoint;
mod class_definitions;
mod input_files;
mod records;
mod row_conversion;
mod summary;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::environment::Environment;
use crate::migration::file_names::FileContent;
use crate::migration::import::batch_reader::{BatchReader, PendingBatch};
use crate::migration::import::checkpoint::{Checkpoint, State};
use crate::migration::import::input_files::InputFiles;
use crate::model::{ClassName, CloudError};
use crate::store::ReadError;
use crate::store::load::{LoadBatch, Loader, Note};

pub use summary::{ClassCounts, ImportSummary};

/// The note in which the store keeps how far an import has come.
const NOTE: &str = "import";

/// What is to be imported.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// A folder, a file or an archive.
    pub source: PathBuf,
    /// The class of all objects, whatever the names of the files; `None` where each name tells it.
    pub class: Option<ClassName>,
    /// The file in which what was left out is listed; made only where there is something. One that is there is replaced.
    pub report: PathBuf,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes of the files that are done, all stages together.
    pub bytes: u64,
    /// Bytes there are to read.
    pub bytes_total: u64,
    /// Objects and links seen so far.
    pub rows: u64,
}

/// Why an import ended before its end. Begun again, it goes on where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be read, or the report cannot be written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// There is nothing that could be imported.
    #[error(
        "there is nothing to import in {}: files such as Post.0.jsonl, Post.json, Post.csv, Post.bson are looked for, \
         in a folder or a .tar.gz (for a file of another name, say its class with --class)", .0.display()
    )]
    Nothing(PathBuf),
    /// The store cannot write.
    #[error("the store cannot write: {}", .0.message)]
    Store(#[from] CloudError),
    /// The store cannot read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What the store keeps of an import is unreadable.
    #[error("what an earlier import has left in the store is unreadable: {0}")]
    Note(serde_json::Error),
    /// The reading thread has gone.
    #[error("the import came to a stop: {0}")]
    Stopped(String),
}

/// The stages of an import, in their order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
enum Stage {
    #[default]
    Classes,
    Objects,
    Links,
    Pointers,
}

impl Stage {
    fn reads(self, holds: &FileContent) -> bool {
        match self {
            Self::Classes => matches!(holds, FileContent::Columns(_) | FileContent::Schema),
            Self::Objects | Self::Pointers => matches!(holds, FileContent::Objects(..)),
            Self::Links => matches!(holds, FileContent::Links(..)),
        }
    }
}

/// An export that was found readable to its end, before a store is made for it. An archive is read through for that,
/// once.
#[derive(Debug)]
pub struct ReadableExport {
    options: ImportOptions,
    source: InputFiles,
}

impl ReadableExport {
    /// Looks whether there is anything to import.
    ///
    /// # Errors
    /// [`ImportError::File`] for a source that cannot be read to its end, [`ImportError::Nothing`].
    pub fn open(options: ImportOptions) -> Result<Self, ImportError> {
        let source = InputFiles::open(&options.source, options.class.as_ref())?;
        let stages = [Stage::Classes, Stage::Objects, Stage::Links, Stage::Pointers];
        let any = |piece: &crate::migration::import::input_files::InputFile| {
            stages.iter().any(|stage| stage.reads(&piece.holds))
        };
        if !source.pieces().any(any) {
            return Err(ImportError::Nothing(options.source));
        }
        Ok(Self { options, source })
    }
}

/// Imports what is there to be read into `store`, where nobody else writes meanwhile, and shows to `observe` how far it is.
///
/// **Idempotency**: an object that is there with the same or a later `updatedAt` stays as it is. **Atomicity**: of each
/// batch of some thousand objects.
///
/// # Errors
/// [`ImportError`]; an object that is left out is none.
pub async fn import(
    store: Arc<dyn Loader>,
    environment: &Environment,
    ReadableExport { options, source }: ReadableExport,
    mut observe: impl FnMut(ImportProgress),
) -> Result<ImportSummary, ImportError> {
    let state = match earlier(&*store, &source).await? {
        Some(state) => state,
        None => State::begin(&*store, &source, &options, environment.now()).await?,
    };
    let resumed = state.is_resumed();
    let ledger = Arc::new(Mutex::new(Checkpoint::open(state)?));
    let feeder = BatchReader::new(Arc::clone(&store), Arc::new(source), Arc::clone(&ledger));
    class_definitions::define(&*store, &feeder, &ledger).await?;
    let mut progress = ImportProgress {
        bytes_total: feeder.bytes_total(),
        ..ImportProgress::default()
    };
    for stage in [Stage::Objects, Stage::Links, Stage::Pointers] {
        if lock(&ledger).state().stage <= stage {
            run(&store, &feeder, &ledger, stage, &mut progress, &mut observe).await?;
        }
    }
    lock(&ledger).close()?;
    // From here on, the same files are read from their beginning, and change nothing.
    let note = Note {
        name: NOTE.to_owned(),
        text: None,
    };
    let mut last = LoadBatch::new(Vec::new());
    last.make_notes = Box::new(move |_| Ok(vec![note.clone()]));
    let _ = store.load(last).await?;
    let summary = lock(&ledger).state().summary(&store.schema(), resumed);
    Ok(summary)
}

fn lock(ledger: &Mutex<Checkpoint>) -> std::sync::MutexGuard<'_, Checkpoint> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the store knows of an unfinished import of the same files.
async fn earlier(store: &dyn Loader, source: &InputFiles) -> Result<Option<State>, ImportError> {
    let Some(text) = store.note(NOTE).await? else {
        return Ok(None);
    };
    let state: State = serde_json::from_str(&text).map_err(ImportError::Note)?;
    if state.identity != source.identity {
        tracing::warn!("an unfinished import of other files is given up");
        return Ok(None);
    }
    Ok(Some(state.resumed()))
}

/// Reads the files of a stage on a thread of its own, and waits for what becomes of each batch.
async fn run(
    store: &Arc<dyn Loader>,
    feeder: &BatchReader,
    ledger: &Arc<Mutex<Checkpoint>>,
    stage: Stage,
    progress: &mut ImportProgress,
    observe: &mut impl FnMut(ImportProgress),
) -> Result<(), ImportError> {
    lock(ledger).enter(stage);
    let occupied = lock(ledger).state().occupied.clone();
    let plan = class_definitions::StagePlan::of(&**store, feeder, stage, &occupied).await?;
    let (sender, mut batches) = mpsc::channel::<Result<PendingBatch, ImportError>>(1);
    let feeder = feeder.clone();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new()
        .name("paylog-import".to_owned())
        .spawn(move || feeder.feed(stage, &plan, &runtime, &sender))?;
    while let Some(sent) = batches.recv().await {
        let sent = sent?;
        let done = sent.loaded.await?;
        lock(ledger).settle();
        progress.bytes += sent.bytes;
        progress.rows += done.len() as u64;
        observe(*progress);
    }
    match thread.join() {
        Ok(()) => Ok(()),
        Err(_) => Err(ImportError::Stopped(
            "the thread that reads the files has failed".to_owned(),
        )),
    }
}
