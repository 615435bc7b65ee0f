//! A file without any readable record.

use std::io;

use super::record::{Position, Record, RecordContent, RecordReader};

/// A file without any readable record: one broken record with the reason, then the end.
pub(super) struct UnreadableFile(pub(super) Option<String>);

impl RecordReader for UnreadableFile {
    fn next(&mut self) -> io::Result<Option<Record>> {
        Ok(self.0.take().map(|reason| Record {
            end: Position {
                offset: 0,
                line: 1,
                index: 1,
            },
            content: RecordContent::Broken(reason),
            text: String::new(),
        }))
    }
}
