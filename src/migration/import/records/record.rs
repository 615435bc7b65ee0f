//! A record, its position in the file, and the trait of record readers.

use std::io;

use crate::model::{Document, limits};

/// Longest record in bytes: an object of the greatest size, however it is escaped. A longer record is skipped.
pub(super) const RECORD_BYTES_MAX: usize = 2 * limits::OBJECT_BYTES_MAX;

/// A position in a file, where reading can continue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::migration::import) struct Position {
    /// Offset in the (inflated) file of the next record, in bytes.
    pub(in crate::migration::import) offset: u64,
    /// Line, or number of the document, of the last record; from 1.
    pub(in crate::migration::import) line: u64,
    /// Number of the records before.
    pub(in crate::migration::import) index: u64,
}

/// One record.
#[derive(Debug)]
pub(in crate::migration::import) struct Record {
    /// Position behind the record.
    pub(in crate::migration::import) end: Position,
    pub(in crate::migration::import) content: RecordContent,
    /// The record's text in the file; empty for a binary format.
    pub(in crate::migration::import) text: String,
}

/// Content of a record.
#[derive(Debug)]
pub(in crate::migration::import) enum RecordContent {
    Object(Document),
    /// The file's description of itself, in its first line.
    Heading(Document),
    /// A notice; no object is lost.
    Remark(String),
    /// An unreadable record; the reason.
    Broken(String),
}

/// A reader of records.
pub(in crate::migration::import) trait RecordReader {
    /// Returns the next record; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Record>>;
}

/// Parses an object from its text, which must contain nothing else. Also returns the text.
pub(super) fn parse(bytes: &[u8]) -> (RecordContent, String) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let reason = format!("the text is not UTF-8 at byte {}", error.valid_up_to() + 1);
            return (
                RecordContent::Broken(reason),
                String::from_utf8_lossy(bytes).into_owned(),
            );
        }
    };
    let content = match serde_json::from_str::<Document>(text) {
        Ok(document) => RecordContent::Object(document),
        Err(error) => RecordContent::Broken(reason(&error)),
    };
    (content, text.to_owned())
}

fn reason(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "the JSON text breaks off".to_owned(),
        serde_json::error::Category::Data => "this is no JSON object".to_owned(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("this is no JSON: {error}")
        }
    }
}

/// The content of a record that is too long.
pub(super) fn too_long() -> RecordContent {
    RecordContent::Broken(format!(
        "the object is too large: it has more than {} MB, and an object holds at most {} MB",
        RECORD_BYTES_MAX / (1024 * 1024),
        limits::OBJECT_BYTES_MAX / (1024 * 1024)
    ))
}
