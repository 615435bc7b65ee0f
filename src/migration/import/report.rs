//! The report of an import: a file of JSON Lines that lists every omitted record and every notice.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;

use crate::model::ClassName;

/// Longest text of a record in the report, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// An entry of the report. Either `problem` or `notice` is set.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct ReportEntry<'a> {
    pub(super) file: &'a str,
    /// The line, or the number of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<&'a ClassName>,
    #[serde(rename = "objectId", skip_serializing_if = "Option::is_none")]
    pub(super) object_id: Option<&'a str>,
    /// The reason why the record was omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<&'a str>,
    /// A notice; the record was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notice: Option<&'a str>,
    /// True if the notice is about a dangling pointer.
    #[serde(skip)]
    pub(super) is_dangling: bool,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
}

/// The report's file; made with the first entry.
#[derive(Debug)]
pub(super) struct Report {
    file: Option<File>,
}

impl Report {
    /// Opens the report and cuts it off at `length`; with 0, removes a report of an earlier import.
    ///
    /// # Errors
    /// The file cannot be removed, opened or cut off.
    pub(super) fn open(path: &Path, length: u64) -> io::Result<Self> {
        if length == 0 {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            return Ok(Self { file: None });
        }
        let file = File::options().write(true).open(path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "the report of the interrupted import, {}: {error}",
                    path.display()
                ),
            )
        })?;
        let mut report = Self { file: Some(file) };
        report.truncate(length)?;
        Ok(report)
    }

    /// Cuts the report off at `length`.
    pub(super) fn truncate(&mut self, length: u64) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length)).map(drop)
    }

    /// Appends an entry and returns its length in bytes.
    pub(super) fn append(&mut self, path: &Path, entry: &ReportEntry<'_>) -> io::Result<u64> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(create_private(path)?),
        };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)?;
        Ok(line.len() as u64)
    }

    /// Makes the entries durable.
    pub(super) fn sync_data(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.sync_data())
    }

    /// Makes the file durable.
    pub(super) fn sync_all(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.sync_all())
    }
}

/// Creates the report, readable by its owner alone: it shows records, which may contain secrets.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    file.map_err(|error| io::Error::new(error.kind(), format!("the report {}: {error}", path.display())))
}

/// The part of a record's text that the report shows.
pub(super) fn shortened(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
