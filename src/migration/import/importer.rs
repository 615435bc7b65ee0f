//! The importer: runs the stages, loads batch after batch, and reports progress.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::environment::Environment;
use crate::migration::import::batch_reader::BatchReader;
use crate::migration::import::checkpoint::{Checkpoint, ImportState, finished_note, lock};
use crate::migration::import::class_definitions::define;
use crate::migration::import::input_files::{InputFile, InputFiles};
use crate::migration::import::pending_batch::PendingBatch;
use crate::migration::import::stage::Stage;
use crate::migration::import::stage_plan::StagePlan;
use crate::migration::import::{ImportError, ImportSummary};
use crate::model::ClassName;
use crate::store::load::{LoadBatch, Loader};

/// Options of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// A folder, a file or an archive.
    pub source: PathBuf,
    /// The class of all objects, whatever the names of the files; `None` if each name gives it.
    pub class: Option<ClassName>,
    /// The report of omitted records and notices; written only if there are any. An existing file is replaced.
    pub report: PathBuf,
}

/// Progress of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes of the files read so far, in all stages together.
    pub bytes: u64,
    /// Bytes to read in total.
    pub bytes_total: u64,
    /// Objects and links read so far.
    pub rows: u64,
}

/// An export that is readable to its end. It is checked before a store is made for it; an archive is read through once
/// for the check.
#[derive(Debug)]
pub struct ReadableExport {
    options: ImportOptions,
    input: InputFiles,
}

impl ReadableExport {
    /// Opens an export and checks that it contains something to import.
    ///
    /// # Errors
    /// [`ImportError::File`] if the source cannot be read to its end; [`ImportError::Nothing`].
    pub fn open(options: ImportOptions) -> Result<Self, ImportError> {
        let input = InputFiles::open(&options.source, options.class.as_ref())?;
        let is_read = |file: &InputFile| Stage::ALL.iter().any(|stage| stage.reads(&file.content));
        if !input.files().any(is_read) {
            return Err(ImportError::Nothing(options.source));
        }
        Ok(Self { options, input })
    }
}

/// Imports an export into `store`, which nobody else may write meanwhile, and passes the progress to `on_progress`.
///
/// **Idempotency**: an object that exists with the same or a later `updatedAt` is not changed. **Atomicity**: each batch
/// of some thousand objects.
///
/// # Errors
/// [`ImportError`]; an omitted object is not an error.
pub async fn import(
    store: Arc<dyn Loader>,
    environment: &Environment,
    ReadableExport { options, input }: ReadableExport,
    mut on_progress: impl FnMut(ImportProgress),
) -> Result<ImportSummary, ImportError> {
    let state = match ImportState::unfinished(&*store, &input).await? {
        Some(state) => state,
        None => ImportState::begin(&*store, &input, &options.report, environment.now()).await?,
    };
    let resumed = state.is_resumed();
    let checkpoint = Arc::new(Mutex::new(Checkpoint::open(state)?));
    let reader = BatchReader::new(Arc::clone(&store), Arc::new(input), Arc::clone(&checkpoint));
    define(&*store, reader.input(), &checkpoint).await?;
    let mut progress = ImportProgress {
        bytes_total: reader.bytes_total(),
        ..ImportProgress::default()
    };
    for stage in Stage::LOADING {
        if lock(&checkpoint).state().stage <= stage {
            run_stage(
                &store,
                &reader,
                &checkpoint,
                stage,
                &mut progress,
                &mut on_progress,
            )
            .await?;
        }
    }
    lock(&checkpoint).close()?;
    // From now on the same files are read from their beginning, and change nothing.
    let mut last = LoadBatch::new(Vec::new());
    last.make_notes = Box::new(|_| Ok(vec![finished_note()]));
    let _ = store.load(last).await?;
    let summary = lock(&checkpoint).state().summary(&store.schema(), resumed);
    Ok(summary)
}

/// Reads the files of a stage on a thread of its own, and waits for each batch to be loaded.
async fn run_stage(
    store: &Arc<dyn Loader>,
    reader: &BatchReader,
    checkpoint: &Arc<Mutex<Checkpoint>>,
    stage: Stage,
    progress: &mut ImportProgress,
    on_progress: &mut impl FnMut(ImportProgress),
) -> Result<(), ImportError> {
    lock(checkpoint).enter(stage);
    let occupied = lock(checkpoint).state().occupied.clone();
    let plan = StagePlan::new(&**store, reader.input(), stage, &occupied).await?;
    let (sender, mut batches) = mpsc::channel::<Result<PendingBatch, ImportError>>(1);
    let reader = reader.clone();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new()
        .name("paylog-import".to_owned())
        .spawn(move || reader.read_stage(stage, &plan, &runtime, &sender))?;
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        let loaded = batch.loaded.await?;
        lock(checkpoint).commit();
        progress.bytes += batch.bytes;
        progress.rows += loaded.len() as u64;
        on_progress(*progress);
    }
    match thread.join() {
        Ok(()) => Ok(()),
        Err(_) => Err(ImportError::Stopped(
            "the thread that reads the files has failed".to_owned(),
        )),
    }
}
