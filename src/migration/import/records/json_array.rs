//! Reader of a JSON array of objects, bare or as `{"results": [...]}`, element by element.

use std::io::{self, BufRead};

use super::record::{Position, RECORD_BYTES_MAX, Record, RecordContent, RecordReader, parse, too_long};

/// True if a text with this beginning is an array of objects, not lines.
pub(super) fn is_array(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    head.first() == Some(&b'[') || opening(head).is_some()
}

/// The length of `{"results": [`.
fn opening(head: &[u8]) -> Option<usize> {
    let mut rest = head;
    for token in [b"{".as_slice(), b"\"results\"", b":", b"["] {
        rest = rest.trim_ascii_start().strip_prefix(token)?;
    }
    Some(head.len() - rest.len())
}

pub(super) struct JsonArrayReader<R> {
    reader: R,
    at: Position,
    /// Number of records that were read before.
    skipped: u64,
    remark: Option<String>,
    element: Vec<u8>,
    is_over: bool,
}

/// Result of reading one element.
struct ElementRead {
    /// True if the element is not too long.
    fits: bool,
    /// True if the element is complete.
    is_whole: bool,
}

impl<R: BufRead> JsonArrayReader<R> {
    pub(super) fn new(mut reader: R, start: Position, remark: Option<String>) -> io::Result<Self> {
        let head = reader.fill_buf()?;
        let blank = head.len() - head.trim_ascii_start().len();
        let begin = opening(head.trim_ascii_start()).unwrap_or(1);
        let consumed = (blank + begin).min(head.len());
        let lines = head.iter().take(consumed).filter(|byte| **byte == b'\n').count();
        reader.consume(consumed);
        Ok(Self {
            reader,
            at: Position {
                offset: consumed as u64,
                line: 1 + lines as u64,
                index: 0,
            },
            skipped: start.index,
            remark,
            element: Vec::new(),
            is_over: false,
        })
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?.first().copied()),
            }
        }
    }

    fn take(&mut self) {
        self.reader.consume(1);
        self.at.offset += 1;
    }

    /// Reads up to the end of an element.
    fn read_element(&mut self) -> io::Result<ElementRead> {
        self.element.clear();
        let (mut depth, mut in_text, mut escaped, mut fits) = (0_usize, false, false, true);
        while let Some(byte) = self.peek()? {
            if !in_text && depth == 0 && matches!(byte, b',' | b']') {
                return Ok(ElementRead { fits, is_whole: true });
            }
            self.take();
            self.at.line += u64::from(byte == b'\n');
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
            if self.element.len() < RECORD_BYTES_MAX {
                self.element.push(byte);
            } else {
                fits = false;
            }
        }
        Ok(ElementRead {
            fits,
            is_whole: false,
        })
    }
}

impl<R: BufRead> RecordReader for JsonArrayReader<R> {
    fn next(&mut self) -> io::Result<Option<Record>> {
        if let Some(remark) = self.remark.take() {
            let content = RecordContent::Remark(remark);
            return Ok(Some(Record {
                end: self.at,
                content,
                text: String::new(),
            }));
        }
        loop {
            if self.is_over {
                return Ok(None);
            }
            let Some(byte) = self.peek()? else {
                self.is_over = true;
                self.at.index += 1;
                let content = RecordContent::Broken("the JSON text breaks off: ']' is missing".to_owned());
                return Ok(Some(Record {
                    end: self.at,
                    content,
                    text: String::new(),
                }));
            };
            match byte {
                b'\n' => {
                    self.at.line += 1;
                    self.take();
                }
                b' ' | b'\t' | b'\r' | b',' => self.take(),
                b']' => self.is_over = true,
                _ => {
                    let line = self.at.line;
                    let ElementRead { fits, is_whole } = self.read_element()?;
                    self.is_over = !is_whole;
                    self.at.index += 1;
                    if self.at.index <= self.skipped {
                        continue;
                    }
                    let (content, text) = if fits {
                        parse(self.element.trim_ascii())
                    } else {
                        let head = self.element.get(..200).unwrap_or_default();
                        (too_long(), String::from_utf8_lossy(head).into_owned())
                    };
                    let end = Position { line, ..self.at };
                    return Ok(Some(Record { end, content, text }));
                }
            }
        }
    }
}
