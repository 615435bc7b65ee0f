//! Opening of a file: the reader is chosen by the format and the first bytes.

use std::io::{self, BufRead, BufReader, Read};

use super::record::{Position, RecordContent, RecordReader};
use super::unreadable::UnreadableFile;
use super::{bson, csv, json_array, json_lines};
use crate::migration::file_names::FileFormat;

/// Size of the read buffer in bytes.
const BUFFER_BYTES: usize = 1 << 18;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Opens a file of this format, and reads its records from `start` on.
pub(in crate::migration::import) fn open<'r>(
    reader: Box<dyn Read + 'r>,
    format: FileFormat,
    start: Position,
) -> io::Result<Box<dyn RecordReader + 'r>> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, reader);
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
    // A file that is continued in the middle still has to be described by its first line.
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

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop)
}
