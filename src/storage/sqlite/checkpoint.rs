//! Folding the write-ahead log into the database, beside the writer.
//!
//! SQLite would do it in the very commit that makes the log too long, whose requests would all wait. Here a thread of its
//! own does it while the writer goes on. A log that is written to without a pause is never folded whole, and only then
//! does it begin anew: beyond a bound the writer folds what is left itself, which is little.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::storage::sqlite::open_error::OpenError;

/// Frames, one for each page written, after which the log is folded again: 16 MB.
const FRAMES_PER_ROUND: i32 = 4000;

/// Frames beyond which the writer waits until the log is folded: 64 MB.
const FRAMES_MAX: i32 = 16_000;

/// Keeps the log short.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Frames in the log after the last commit.
    frames: Arc<AtomicI32>,
    /// Frames when it was last begun to fold them.
    begun_at: i32,
    /// `None` only while it is dropped.
    rounds: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Takes over from SQLite for `writer`, the one connection that writes to the database at `path`.
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
            .spawn(move || fold_each_time(&own, &begun))
            .map_err(OpenError::folder(path))?;
        Ok(Self {
            frames,
            begun_at: 0,
            rounds: Some(rounds),
            thread: Some(thread),
        })
    }

    /// To be called after a commit of `writer`, and after its requests have been answered.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        let frames = self.frames.load(Ordering::Relaxed);
        if frames < self.begun_at {
            // The log has begun anew.
            self.begun_at = 0;
        }
        if frames - self.begun_at < FRAMES_PER_ROUND {
            return;
        }
        self.begun_at = frames;
        if frames >= FRAMES_MAX {
            fold(writer);
        } else if let Some(rounds) = &self.rounds {
            // A round that waits already is enough.
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

fn fold_each_time(connection: &Connection, begun: &Receiver<()>) {
    while begun.recv().is_ok() {
        fold(connection);
    }
}

/// Folds as much of the log as no reader needs any more.
fn fold(connection: &Connection) {
    match connection.wal_checkpoint_v2(Some("main"), CheckpointMode::PASSIVE) {
        Ok(_) => {}
        // The other of the two is at it.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
        Err(error) => tracing::warn!(%error, "the write-ahead log could not be folded into the database"),
    }
}
