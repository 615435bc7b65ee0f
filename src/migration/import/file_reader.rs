//! Reader of one input file: turns its records into the steps of batches.

use std::collections::HashSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use crate::migration::file_names::{FileContent, FileFormat};
use crate::migration::import::ImportError;
use crate::migration::import::checkpoint::{Checkpoint, RowOrigin, RowOutcome, lock};
use crate::migration::import::input_files::InputFile;
use crate::migration::import::pending_batch::{BatchSender, PendingBatch};
use crate::migration::import::records::{self, Position, Record, RecordContent};
use crate::migration::import::row_conversion::{self, Defaults};
use crate::migration::import::stage::Stage;
use crate::migration::import::stage_plan::StagePlan;
use crate::model::{ClassName, Document, Pointer, Timestamp};
use crate::store::load::{LoadBatch, LoadStep, Loader};

/// Most records in one batch: enough records share a write to disk.
const BATCH_RECORDS_MAX: usize = 4000;

/// Most bytes of records in one batch.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that a record counts at least; a record of BSON has no text.
const RECORD_BYTES_MIN: usize = 200;

/// Most pointers to existing objects that are remembered, so that each is looked up once.
const KNOWN_POINTERS_MAX: usize = 200_000;

/// The rows gathered for the next batch.
#[derive(Default)]
pub(super) struct NextBatch {
    steps: Vec<LoadStep>,
    origins: Vec<RowOrigin>,
    /// Pointers, each with the notice to write if it dangles.
    unchecked: Vec<(Pointer, RowOrigin)>,
    bytes: usize,
    /// Offset of the batch's first byte.
    begin: u64,
    end: Position,
}

impl NextBatch {
    pub(super) fn starting_at(start: Position) -> Self {
        Self {
            begin: start.offset,
            end: start,
            ..Self::default()
        }
    }

    fn is_full(&self) -> bool {
        self.origins.len() + self.unchecked.len() >= BATCH_RECORDS_MAX || self.bytes >= BATCH_BYTES_MAX
    }
}

pub(super) struct FileReader<'f> {
    pub(super) store: &'f Arc<dyn Loader>,
    pub(super) checkpoint: &'f Arc<Mutex<Checkpoint>>,
    pub(super) stage: Stage,
    pub(super) plan: &'f StagePlan,
    pub(super) runtime: &'f Handle,
    pub(super) sender: &'f BatchSender,
    pub(super) file: &'f InputFile,
    /// Start of the import.
    pub(super) now: Timestamp,
    /// Pointers to objects that exist.
    pub(super) known: &'f mut HashSet<Pointer>,
    pub(super) next: NextBatch,
}

impl FileReader<'_> {
    /// Reads the file from `start` on. [`ControlFlow::Break`] if the receiver of batches is closed.
    pub(super) fn read(
        &mut self,
        reader: Box<dyn Read + '_>,
        start: Position,
    ) -> Result<ControlFlow<()>, ImportError> {
        let (FileContent::Objects(format, class) | FileContent::Links(format, class, _)) =
            self.file.content.clone()
        else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut class = Some(class);
        match self.read_records(reader, format, start, &mut class) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
            // The first pass has reported it.
            Err(ImportError::File(_)) if self.stage == Stage::Pointers => {}
            // A compressed file that is cut off: the records before the cut are imported.
            Err(ImportError::File(error)) => {
                let reason = format!("the file cannot be read any further: {error}");
                let end = self.next.end;
                self.omit(None, end.line + 1, String::new(), reason);
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
    ) -> Result<ControlFlow<()>, ImportError> {
        let mut records = records::open(reader, format, start)?;
        while let Some(record) = records.next()? {
            self.next.end = record.end;
            self.next.bytes += record.text.len().max(RECORD_BYTES_MIN);
            self.add_record(record, class);
            if self.next.is_full() && self.send()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn add_record(&mut self, record: Record, class: &mut Option<ClassName>) {
        let Record { end, content, text } = record;
        match content {
            RecordContent::Heading(heading) => {
                let named = heading.text("class").and_then(|name| ClassName::parse(name).ok());
                if named.is_some() && self.stage != Stage::Links {
                    *class = named;
                }
            }
            // The first pass has reported it.
            RecordContent::Remark(_) | RecordContent::Broken(_) if self.stage == Stage::Pointers => {}
            RecordContent::Remark(text) => self.next.origins.push(RowOrigin {
                class: class.clone(),
                line: end.line,
                object_id: String::new(),
                text: String::new(),
                outcome: RowOutcome::Notice {
                    text,
                    is_dangling: false,
                },
            }),
            RecordContent::Broken(reason) => self.omit(class.clone(), end.line, text, reason),
            RecordContent::Object(document) => {
                if let Some(class) = class {
                    self.add_object(class, document, end, text);
                }
            }
        }
    }

    fn add_object(&mut self, class: &ClassName, document: Document, end: Position, text: String) {
        let step = match (self.stage, &self.file.content) {
            (Stage::Pointers, _) => return self.add_pointers(class, &document, end),
            (_, FileContent::Links(_, class, key)) => {
                let target = self.plan.targets.get(&(class.clone(), key.clone()));
                row_conversion::link(class, key, target, &document)
            }
            _ => {
                let defaults = Defaults {
                    file: &self.file.name,
                    index: end.index,
                    now: self.now,
                    occupied: self.plan.occupied.contains(class),
                };
                row_conversion::object(class, document, defaults)
            }
        };
        match step {
            Ok(step) => self.add_step(class, step, end, text),
            Err(reason) => self.omit(Some(class.clone()), end.line, text, reason),
        }
    }

    /// Adds the pointers of an object, to check that their targets exist.
    fn add_pointers(&mut self, class: &ClassName, document: &Document, end: Position) {
        let id = document.text("objectId").unwrap_or_default();
        for (path, pointer) in row_conversion::pointers(document) {
            if !self.known.contains(&pointer) {
                let (to, target) = (&pointer.class_name, &pointer.object_id);
                let text = format!("'{path}' points to {to} {target}, which is not there");
                self.check_later(class, end.line, id, pointer, text);
            }
        }
    }

    fn add_step(&mut self, class: &ClassName, step: LoadStep, end: Position, text: String) {
        let object_id = match &step {
            LoadStep::Put { document, .. } => document.text("objectId").unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        if let LoadStep::Link(link) = &step {
            for link_end in [&link.owner, &link.target] {
                if !self.known.contains(link_end) {
                    let (to, id) = (&link_end.class_name, &link_end.object_id);
                    let text = format!(
                        "the relation '{}' has an end at {to} {id}, which is not there",
                        link.key
                    );
                    self.check_later(class, end.line, "", link_end.clone(), text);
                }
            }
        }
        self.next.steps.push(step);
        self.next.origins.push(RowOrigin {
            class: Some(class.clone()),
            line: end.line,
            object_id,
            text,
            outcome: RowOutcome::Step,
        });
    }

    fn omit(&mut self, class: Option<ClassName>, line: u64, text: String, reason: String) {
        self.next.origins.push(RowOrigin {
            class,
            line,
            object_id: String::new(),
            text,
            outcome: RowOutcome::Broken(reason),
        });
    }

    /// Remembers a pointer and its notice, to check with the batch.
    fn check_later(&mut self, class: &ClassName, line: u64, object_id: &str, pointer: Pointer, text: String) {
        let origin = RowOrigin {
            class: Some(class.clone()),
            line,
            object_id: object_id.to_owned(),
            text: String::new(),
            outcome: RowOutcome::Notice {
                text,
                is_dangling: true,
            },
        };
        self.next.unchecked.push((pointer, origin));
    }

    /// Checks the remembered pointers, and keeps the notices of those that dangle.
    fn check_pointers(&mut self) -> Result<(), ImportError> {
        let unchecked = std::mem::take(&mut self.next.unchecked);
        if unchecked.is_empty() {
            return Ok(());
        }
        if self.known.len() > KNOWN_POINTERS_MAX {
            self.known.clear();
        }
        let unique: HashSet<Pointer> = unchecked.iter().map(|(pointer, _)| pointer.clone()).collect();
        let unique: Vec<Pointer> = unique.into_iter().collect();
        let exist = self.runtime.block_on(self.store.exist(&unique))?;
        let existing = unique
            .into_iter()
            .zip(exist)
            .filter_map(|(pointer, exists)| exists.then_some(pointer));
        self.known.extend(existing);
        for (pointer, origin) in unchecked {
            if !self.known.contains(&pointer) {
                self.next.origins.push(origin);
            }
        }
        Ok(())
    }

    /// Sends the gathered rows as a batch. The store prepares it on this thread, and writes it on its own.
    fn send(&mut self) -> Result<ControlFlow<()>, ImportError> {
        self.check_pointers()?;
        let end = self.next.end;
        let next = std::mem::replace(&mut self.next, NextBatch::starting_at(end));
        let bytes = end.offset.saturating_sub(next.begin);
        if next.origins.is_empty() && bytes == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let (checkpoint, name) = (Arc::clone(self.checkpoint), self.file.name.clone());
        let origins = next.origins;
        let batch = LoadBatch {
            steps: next.steps,
            make_notes: Box::new(move |loaded| lock(&checkpoint).conclude((&name, end), &origins, loaded)),
        };
        let loaded = self.store.load(batch);
        Ok(
            match self.sender.blocking_send(Ok(PendingBatch { loaded, bytes })) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
        )
    }
}
