//! The thread that reads: from files to batches.

use std::collections::HashSet;
use std::io::Read;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::migration::file_names::{FileContent, FileFormat};
use crate::migration::import::checkpoint::{Checkpoint, RowOrigin, RowOutcome};
use crate::migration::import::class_definitions::StagePlan;
use crate::migration::import::input_files::{Flow, InputFile, InputFiles};
use crate::migration::import::records::{self, Position, Record, RecordContent};
use crate::migration::import::row_conversion::{self, Defaults};
use crate::migration::import::{ImportError, Stage, lock};
use crate::model::{ClassName, CloudError, Document, ObjectId, Pointer};
use crate::store::load::{LoadBatch, LoadOutcome, LoadStep, Loader};

/// Records in one batch: enough to share a write to disk and to make few of them.
const RECORDS_MAX: usize = 4000;

/// Bytes of records in one batch.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Objects that are known to be there, so that nobody asks for them again.
const KNOWN_MAX: usize = 200_000;

/// A batch that is under way.
pub(super) struct PendingBatch {
    pub(super) loaded: BoxFuture<'static, Result<Vec<LoadOutcome>, CloudError>>,
    /// Bytes of the files that it is made of.
    pub(super) bytes: u64,
}

/// Where everything comes from and goes to.
#[derive(Clone)]
pub(super) struct BatchReader {
    store: Arc<dyn Loader>,
    source: Arc<InputFiles>,
    ledger: Arc<Mutex<Checkpoint>>,
}

/// Whoever waits for batches has gone.
struct ReaderStopped;

type Sender = mpsc::Sender<Result<PendingBatch, ImportError>>;

impl BatchReader {
    pub(super) fn new(
        store: Arc<dyn Loader>,
        source: Arc<InputFiles>,
        ledger: Arc<Mutex<Checkpoint>>,
    ) -> Self {
        Self {
            store,
            source,
            ledger,
        }
    }

    pub(super) fn source(&self) -> &InputFiles {
        &self.source
    }

    /// Bytes of all stages.
    pub(super) fn bytes_total(&self) -> u64 {
        let stages = [Stage::Objects, Stage::Links, Stage::Pointers];
        let sizes = stages.iter().flat_map(|stage| {
            let pieces = self.source.pieces().filter(|piece| stage.reads(&piece.holds));
            pieces.map(|piece| piece.size)
        });
        sizes.sum()
    }

    /// Of each relation, some of the objects that are in it.
    pub(super) fn link_samples(
        &self,
        rows: usize,
    ) -> Result<Vec<(ClassName, String, Vec<ObjectId>)>, ImportError> {
        let mut samples = Vec::new();
        self.source.each(
            |piece| Stage::Links.reads(&piece.holds),
            None,
            |piece, reader| {
                let FileContent::Links(format, class, key) = &piece.holds else {
                    return Ok::<_, ImportError>(Flow::Continue);
                };
                let mut records = records::open(reader, *format, Position::default())?;
                let mut ids = Vec::new();
                while ids.len() < rows
                    && let Some(record) = records.next()?
                {
                    if let RecordContent::Object(document) = record.content
                        && let Some(id) = document.text("relatedId").and_then(|id| ObjectId::parse(id).ok())
                    {
                        ids.push(id);
                    }
                }
                samples.push((class.clone(), key.clone(), ids));
                Ok(Flow::Continue)
            },
        )?;
        Ok(samples)
    }

    /// Reads the files of a stage from where the import is, and sends batch after batch.
    pub(super) fn feed(&self, stage: Stage, plan: &StagePlan, runtime: &Handle, sender: &Sender) {
        let begin = lock(&self.ledger).state().file.clone();
        let now = lock(&self.ledger).state().started();
        let mut known = HashSet::new();
        let first = begin.as_ref().map(|(name, _)| name.clone());
        let fed = self.source.each(
            |piece| stage.reads(&piece.holds),
            first.as_deref(),
            |piece, reader| {
                let start = match &begin {
                    Some((name, position)) if *name == piece.name => *position,
                    _ => Position::default(),
                };
                let mut file = FileReader {
                    feeder: self,
                    stage,
                    plan,
                    runtime,
                    sender,
                    piece,
                    now,
                    known: &mut known,
                    pending: Pending::at(start),
                };
                match file.read(reader, start) {
                    Ok(Ok(())) => Ok(Flow::Continue),
                    Ok(Err(ReaderStopped)) => Ok(Flow::Stop),
                    Err(error) => Err(error),
                }
            },
        );
        if let Err(error) = fed {
            drop(sender.blocking_send(Err(error)));
        }
    }
}

/// What is gathered for the next batch.
#[derive(Default)]
struct Pending {
    steps: Vec<LoadStep>,
    origins: Vec<RowOrigin>,
    /// What points somewhere, and the notice where nothing is there.
    suspects: Vec<(Pointer, RowOrigin)>,
    bytes: usize,
    /// Where the batch before ended.
    begin: u64,
    end: Position,
}

impl Pending {
    fn at(start: Position) -> Self {
        Self {
            begin: start.offset,
            end: start,
            ..Self::default()
        }
    }
}

struct FileReader<'f> {
    feeder: &'f BatchReader,
    stage: Stage,
    plan: &'f StagePlan,
    runtime: &'f Handle,
    sender: &'f Sender,
    piece: &'f InputFile,
    now: crate::model::Timestamp,
    known: &'f mut HashSet<Pointer>,
    pending: Pending,
}

impl FileReader<'_> {
    fn read(
        &mut self,
        reader: Box<dyn Read + '_>,
        start: Position,
    ) -> Result<Result<(), ReaderStopped>, ImportError> {
        let (FileContent::Objects(format, class) | FileContent::Links(format, class, _)) =
            self.piece.holds.clone()
        else {
            return Ok(Ok(()));
        };
        let mut class = Some(class);
        match self.read_records(reader, format, start, &mut class) {
            Ok(Ok(())) => {}
            Ok(Err(ReaderStopped)) => return Ok(Err(ReaderStopped)),
            // The first pass has told of it.
            Err(ImportError::File(_)) if self.stage == Stage::Pointers => {}
            // A compressed file that breaks off: what was read before arrives.
            Err(ImportError::File(error)) => {
                let reason = format!("the file cannot be read any further: {error}");
                let end = self.pending.end;
                self.broken(None, end.line + 1, String::new(), reason);
            }
            Err(other) => return Err(other),
        }
        self.send()
    }

    fn read_records(
        &mut self,
        reader: Box<dyn Read + '_>,
        format: FileFormat,
        start: Position,
        class: &mut Option<ClassName>,
    ) -> Result<Result<(), ReaderStopped>, ImportError> {
        let mut records = records::open(reader, format, start)?;
        while let Some(record) = records.next()? {
            self.pending.end = record.end;
            self.pending.bytes += record.text.len().max(200);
            self.take(record, class);
            let gathered = self.pending.origins.len() + self.pending.suspects.len();
            if (gathered >= RECORDS_MAX || self.pending.bytes >= BYTES_MAX)
                && let Err(ReaderStopped) = self.send()?
            {
                return Ok(Err(ReaderStopped));
            }
        }
        Ok(Ok(()))
    }

    fn take(&mut self, record: Record, class: &mut Option<ClassName>) {
        let Record { end, content, text } = record;
        match content {
            RecordContent::Heading(heading) => {
                let named = heading.text("class").and_then(|name| ClassName::parse(name).ok());
                if named.is_some() && self.stage != Stage::Links {
                    *class = named;
                }
            }
            // The first pass has told of it.
            RecordContent::Remark(_) | RecordContent::Broken(_) if self.stage == Stage::Pointers => {}
            RecordContent::Remark(text) => self.pending.origins.push(RowOrigin {
                class: class.clone(),
                line: end.line,
                object_id: String::new(),
                text: String::new(),
                fate: RowOutcome::Notice {
                    text,
                    is_dangling: false,
                },
            }),
            RecordContent::Broken(reason) => self.broken(class.clone(), end.line, text, reason),
            RecordContent::Object(document) => self.object(class.as_ref(), document, end, text),
        }
    }

    fn object(&mut self, class: Option<&ClassName>, document: Document, end: Position, text: String) {
        let Some(class) = class else {
            return;
        };
        let step = match (self.stage, &self.piece.holds) {
            (Stage::Pointers, _) => {
                let id = document.text("objectId").unwrap_or_default();
                for (path, pointer) in row_conversion::pointers(&document) {
                    if !self.known.contains(&pointer) {
                        let (to, target) = (&pointer.class_name, &pointer.object_id);
                        let text = format!("'{path}' points to {to} {target}, which is not there");
                        self.suspect(class, end.line, id, pointer, text);
                    }
                }
                return;
            }
            (_, FileContent::Links(_, class, key)) => {
                let target = self.plan.targets.get(&(class.clone(), key.clone()));
                row_conversion::link(class, key, target, &document)
            }
            _ => {
                let defaults = Defaults {
                    file: &self.piece.name,
                    index: end.index,
                    now: self.now,
                    occupied: self.plan.occupied.contains(class),
                };
                row_conversion::object(class, document, defaults)
            }
        };
        match step {
            Ok(step) => {
                let object_id = match &step {
                    LoadStep::Put { document, .. } => {
                        document.text("objectId").unwrap_or_default().to_owned()
                    }
                    _ => String::new(),
                };
                if let LoadStep::Link(link) = &step {
                    for end_of_link in [&link.owner, &link.target] {
                        if !self.known.contains(end_of_link) {
                            let (to, id) = (&end_of_link.class_name, &end_of_link.object_id);
                            let text = format!(
                                "the relation '{}' has an end at {to} {id}, which is not there",
                                link.key
                            );
                            self.suspect(class, end.line, "", end_of_link.clone(), text);
                        }
                    }
                }
                self.pending.steps.push(step);
                self.pending.origins.push(RowOrigin {
                    class: Some(class.clone()),
                    line: end.line,
                    object_id,
                    text,
                    fate: RowOutcome::Step,
                });
            }
            Err(reason) => self.broken(Some(class.clone()), end.line, text, reason),
        }
    }

    fn broken(&mut self, class: Option<ClassName>, line: u64, text: String, reason: String) {
        self.pending.origins.push(RowOrigin {
            class,
            line,
            object_id: String::new(),
            text,
            fate: RowOutcome::Broken(reason),
        });
    }

    /// Takes note of something that points to `pointer`, to be looked at with the batch.
    fn suspect(&mut self, class: &ClassName, line: u64, object_id: &str, pointer: Pointer, text: String) {
        let origin = RowOrigin {
            class: Some(class.clone()),
            line,
            object_id: object_id.to_owned(),
            text: String::new(),
            fate: RowOutcome::Notice {
                text,
                is_dangling: true,
            },
        };
        self.pending.suspects.push((pointer, origin));
    }

    /// Makes notices of the suspects that point to nothing.
    fn look_at_suspects(&mut self) -> Result<(), ImportError> {
        let suspects = std::mem::take(&mut self.pending.suspects);
        if suspects.is_empty() {
            return Ok(());
        }
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        let unique: HashSet<Pointer> = suspects.iter().map(|(pointer, _)| pointer.clone()).collect();
        let unique: Vec<Pointer> = unique.into_iter().collect();
        let there = self.runtime.block_on(self.feeder.store.exist(&unique))?;
        let there = unique
            .into_iter()
            .zip(there)
            .filter_map(|(pointer, there)| there.then_some(pointer));
        self.known.extend(there);
        for (pointer, origin) in suspects {
            if !self.known.contains(&pointer) {
                self.pending.origins.push(origin);
            }
        }
        Ok(())
    }

    /// Sends what is gathered. The store works it out on this thread, and writes it on its own.
    fn send(&mut self) -> Result<Result<(), ReaderStopped>, ImportError> {
        self.look_at_suspects()?;
        let end = self.pending.end;
        let pending = std::mem::replace(&mut self.pending, Pending::at(end));
        let bytes = end.offset.saturating_sub(pending.begin);
        if pending.origins.is_empty() && bytes == 0 {
            return Ok(Ok(()));
        }
        let (ledger, name) = (Arc::clone(&self.feeder.ledger), self.piece.name.clone());
        let origins = pending.origins;
        let batch = LoadBatch {
            steps: pending.steps,
            make_notes: Box::new(move |done| lock(&ledger).conclude((&name, end), &origins, done)),
        };
        let loaded = self.feeder.store.load(batch);
        let sent = self.sender.blocking_send(Ok(PendingBatch { loaded, bytes }));
        Ok(sent.map_err(|_| ReaderStopped))
    }
}
