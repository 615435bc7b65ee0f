//! The records of a file, one after the other, in constant memory. What cannot be read is a record too: the next one is
//! looked for behind it.

mod bson;
mod csv;
mod json_array;
mod json_lines;

use std::io::{self, BufRead, BufReader, Read};

use crate::migration::file_names::FileFormat;
use crate::model::{Document, limits};

/// Bytes of one record at most: an object of the greatest size, however it is escaped. Longer ones are skipped.
const RECORD_BYTES_MAX: usize = 2 * limits::OBJECT_BYTES_MAX;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a file is read on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Position {
    /// Bytes of the (inflated) file behind which the next record begins.
    pub(super) offset: u64,
    /// The line, or the number of the document, of the last record; from 1.
    pub(super) line: u64,
    /// How many records came before.
    pub(super) index: u64,
}

/// One record.
#[derive(Debug)]
pub(super) struct Record {
    /// Behind it.
    pub(super) end: Position,
    pub(super) content: RecordContent,
    /// As it stands in the file, where that is text.
    pub(super) text: String,
}

/// What a record is.
#[derive(Debug)]
pub(super) enum RecordContent {
    Object(Document),
    /// What the file says of itself in its first line.
    Heading(Document),
    /// Something worth a notice that costs no object.
    Remark(String),
    /// What cannot be read, and why.
    Broken(String),
}

/// Reads records.
pub(super) trait RecordReader {
    /// The next record; `None` behind the last one.
    fn next(&mut self) -> io::Result<Option<Record>>;
}

/// The records of a file of this format, from `start` on.
pub(super) fn open<'r>(
    reader: Box<dyn Read + 'r>,
    format: FileFormat,
    start: Position,
) -> io::Result<Box<dyn RecordReader + 'r>> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    if format == FileFormat::Bson {
        skip(&mut reader, start.offset)?;
        return Ok(Box::new(bson::BsonReader::new(reader, start)));
    }
    let head = reader.fill_buf()?;
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Ok(Box::new(UnreadableFile(Some(
            "the file is written in UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)".to_owned(),
        ))));
    }
    let mark = if head.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    let remark = (mark > 0 && start.index == 0).then(|| {
        "the file begins with a byte order mark, which was skipped: LeanCloud's own import would refuse it".to_owned()
    });
    if format == FileFormat::Csv {
        reader.consume(mark);
        return Ok(Box::new(csv::CsvReader::open(reader, start, remark)?));
    }
    let is_array = json_array::is_array(head.get(mark..).unwrap_or_default());
    if is_array {
        reader.consume(mark);
        return Ok(Box::new(json_array::JsonArrayReader::new(reader, start, remark)?));
    }
    let begin = if start.offset == 0 {
        mark as u64
    } else {
        start.offset
    };
    // Read on in the middle, the file has still to say what it is.
    let heading = json_lines::heading(head.get(mark..).unwrap_or_default()).filter(|_| start.offset > 0);
    let first = heading
        .into_iter()
        .chain(remark.map(RecordContent::Remark))
        .collect();
    skip(&mut reader, begin)?;
    let start = Position {
        offset: begin,
        ..start
    };
    Ok(Box::new(json_lines::JsonLinesReader::new(reader, start, first)))
}

/// A file of which nothing can be read.
struct UnreadableFile(Option<String>);

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

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop)
}

/// An object from its text, which must hold nothing else.
fn parse(bytes: &[u8]) -> (RecordContent, String) {
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
        Err(error) => RecordContent::Broken(explain(&error)),
    };
    (content, text.to_owned())
}

fn explain(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "the JSON text breaks off".to_owned(),
        serde_json::error::Category::Data => "this is no JSON object".to_owned(),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("this is no JSON: {error}")
        }
    }
}

fn too_long() -> RecordContent {
    RecordContent::Broken(format!(
        "the object is too large: it has more than {} MB, and an object holds at most {} MB",
        RECORD_BYTES_MAX / (1024 * 1024),
        limits::OBJECT_BYTES_MAX / (1024 * 1024)
    ))
}
