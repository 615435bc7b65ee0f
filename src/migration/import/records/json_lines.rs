//! Reader of JSON Lines: an object in each line; the first line may be a marker, `#filetype:JSON-streaming {"type":…}`.

use std::io::{self, BufRead};

use super::record::{Position, RECORD_BYTES_MAX, Record, RecordContent, RecordReader, parse, too_long};

/// Beginning of the marker line.
const MARKER: &[u8] = b"#filetype:";

/// Parses the description in the marker line, if the text begins with one.
pub(super) fn heading(text: &[u8]) -> Option<RecordContent> {
    let line = text.strip_prefix(MARKER)?.split(|byte| *byte == b'\n').next()?;
    let begin = line.iter().position(|byte| *byte == b'{')?;
    match parse(line.get(begin..)?.trim_ascii()) {
        (RecordContent::Object(heading), _) => Some(RecordContent::Heading(heading)),
        _ => None,
    }
}

pub(super) struct JsonLinesReader<R> {
    reader: R,
    at: Position,
    /// Records to return first, the last one first.
    first: Vec<RecordContent>,
    line: Vec<u8>,
}

impl<R: BufRead> JsonLinesReader<R> {
    pub(super) fn new(reader: R, start: Position, first: Vec<RecordContent>) -> Self {
        Self {
            reader,
            at: start,
            first,
            line: Vec::new(),
        }
    }

    /// Reads a line without its end. `true` if it is not too long; `None` after the last one.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let mut fits = true;
        let begin = self.at.offset;
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            if self.line.len() + part.len() <= RECORD_BYTES_MAX {
                self.line.extend_from_slice(part);
            } else {
                fits = false;
            }
            let read = part.len() + usize::from(end.is_some());
            self.reader.consume(read);
            self.at.offset += read as u64;
            if end.is_some() {
                break;
            }
        }
        if self.at.offset == begin {
            return Ok(None);
        }
        self.at.line += 1;
        Ok(Some(fits))
    }

    fn record(&mut self, content: RecordContent, text: String) -> Record {
        self.at.index += 1;
        Record {
            end: self.at,
            content,
            text,
        }
    }
}

impl<R: BufRead> RecordReader for JsonLinesReader<R> {
    fn next(&mut self) -> io::Result<Option<Record>> {
        if let Some(content) = self.first.pop() {
            let line = self.at.line.max(1);
            let end = Position { line, ..self.at };
            return Ok(Some(Record {
                end,
                content,
                text: String::new(),
            }));
        }
        while let Some(fits) = self.read_line()? {
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let (content, text) = if !fits {
                let head = line.get(..200).unwrap_or(line);
                (too_long(), String::from_utf8_lossy(head).into_owned())
            } else if line.starts_with(MARKER) {
                match heading(line) {
                    Some(heading) => (heading, String::new()),
                    // Only the kind of the file, which its name gives too.
                    None => continue,
                }
            } else {
                parse(line)
            };
            return Ok(Some(self.record(content, text)));
        }
        Ok(None)
    }
}
