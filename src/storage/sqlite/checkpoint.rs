//! Checkpoints of the write-ahead log (WAL) beside the writer.
//!
//! SQLite would checkpoint within the commit that makes the log too long, and delay its requests. Here a thread of
//! its own does it while the writer goes on. But a WAL restarts only after a complete checkpoint, which a log under
//! constant writes never reaches; so beyond a bound the writer itself checkpoints the small rest.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::storage::sqlite::open_error::OpenError;

/// Frames (written pages) between two checkpoints: 16 MB.
const FRAMES_PER_CHECKPOINT: i32 = 4000;

/// Frames beyond which the writer itself checkpoints: 64 MB.
const FRAMES_MAX: i32 = 16_000;

/// Keeps the WAL short.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Frames in the WAL after the last commit.
    frames: Arc<AtomicI32>,
    /// Frames at the start of the last checkpoint.
    begun_at: i32,
    /// `None` only during the drop.
    rounds: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Replaces SQLite's own checkpoints for `writer`, the one connection that writes to the database at `path`.
    pub(super) fn start(writer: &mut Connection, path: &Path) -> Result<Self, OpenError> {
        let failed = OpenError::database(path);
        let frames = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&frames);
        let hook = move |_: &mut rusqlite::hooks::Wal, frames| {
            counted.store(frames, Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(hook)).map_err(&failed)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let own = Connection::open_with_flags(path, flags).map_err(&failed)?;
        let (rounds, begun) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("paylog-checkpoint".to_owned())
            .spawn(move || checkpoint_loop(&own, &begun))
            .map_err(OpenError::folder(path))?;
        Ok(Self {
            frames,
            begun_at: 0,
            rounds: Some(rounds),
            thread: Some(thread),
        })
    }

    /// Starts a checkpoint if one is due. Call it after a commit of `writer`, once its requests are answered.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.begun_at {
            // The log has restarted.
            self.begun_at = 0;
        }
        if frames - self.begun_at < FRAMES_PER_CHECKPOINT {
            return;
        }
        self.begun_at = frames;
        if frames >= FRAMES_MAX {
            checkpoint(writer);
        } else if let Some(rounds) = &self.rounds {
            // One waiting round is enough.
            let _ = rounds.try_send(());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.rounds = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn checkpoint_loop(connection: &Connection, begun: &Receiver<()>) {
    while begun.recv().is_ok() {
        checkpoint(connection);
    }
}

/// Checkpoints the frames that no reader needs.
fn checkpoint(connection: &Connection) {
    match connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE) {
        Ok(_) => {}
        // The other connection is checkpointing.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
        Err(error) => tracing::warn!(%error, "WAL checkpoint failed"),
    }
}
