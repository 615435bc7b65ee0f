//! The reading thread: from input files to batches.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use crate::migration::import::checkpoint::{Checkpoint, lock};
use crate::migration::import::file_reader::{FileReader, NextBatch};
use crate::migration::import::input_files::InputFiles;
use crate::migration::import::pending_batch::BatchSender;
use crate::migration::import::records::Position;
use crate::migration::import::stage::Stage;
use crate::migration::import::stage_plan::StagePlan;
use crate::store::load::Loader;

/// Reader of all input files.
#[derive(Clone)]
pub(super) struct BatchReader {
    store: Arc<dyn Loader>,
    input: Arc<InputFiles>,
    checkpoint: Arc<Mutex<Checkpoint>>,
}

impl BatchReader {
    pub(super) fn new(
        store: Arc<dyn Loader>,
        input: Arc<InputFiles>,
        checkpoint: Arc<Mutex<Checkpoint>>,
    ) -> Self {
        Self {
            store,
            input,
            checkpoint,
        }
    }

    pub(super) fn input(&self) -> &InputFiles {
        &self.input
    }

    /// Bytes to read in all stages.
    pub(super) fn bytes_total(&self) -> u64 {
        let sizes = Stage::LOADING.iter().flat_map(|stage| {
            let files = self.input.files().filter(|file| stage.reads(&file.content));
            files.map(|file| file.size)
        });
        sizes.sum()
    }

    /// Reads the files of a stage from the checkpoint on, and sends batch after batch. Ends early if the receiver is
    /// closed.
    pub(super) fn read_stage(&self, stage: Stage, plan: &StagePlan, runtime: &Handle, sender: &BatchSender) {
        let begin = lock(&self.checkpoint).state().file.clone();
        let now = lock(&self.checkpoint).state().started();
        let mut known = HashSet::new();
        let first = begin.as_ref().map(|(name, _)| name.clone());
        let read = self.input.for_each(
            |file| stage.reads(&file.content),
            first.as_deref(),
            |file, reader| {
                let start = match &begin {
                    Some((name, position)) if *name == file.name => *position,
                    _ => Position::default(),
                };
                let mut file = FileReader {
                    store: &self.store,
                    checkpoint: &self.checkpoint,
                    stage,
                    plan,
                    runtime,
                    sender,
                    file,
                    now,
                    known: &mut known,
                    next: NextBatch::starting_at(start),
                };
                file.read(reader, start)
            },
        );
        if let Err(error) = read {
            drop(sender.blocking_send(Err(error)));
        }
    }
}
