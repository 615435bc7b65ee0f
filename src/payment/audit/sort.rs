//! External sorting: full buffers are sorted and written to temporary files, which are merged at the end.
//!
//! It takes [`BUFFER_BYTES`] of memory, and a small buffer for each of at most [`RUNS_MAX`] files, however much is sorted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// Bytes of records in memory: some 400,000 records of an audit, so that most apps never need a file.
const BUFFER_BYTES: usize = 32 << 20;
/// The most files at once; then they are merged into one. Well below 256, the lowest usual limit of open files.
const RUNS_MAX: usize = 64;
/// Bytes of the read or write buffer of each file.
const FILE_BUFFER: usize = 64 << 10;
/// Bytes of the length in front of each record.
const PREFIX: usize = 2;

/// Takes records in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    buffer: Buffer,
    capacity: usize,
    runs: Vec<Run>,
}

/// Returns the records in the order of their bytes.
#[derive(Debug)]
pub(super) struct Sorted(Source);

#[derive(Debug)]
enum Source {
    Memory { buffer: Buffer, next: usize },
    Runs(Merge),
}

/// Records in a row, each behind its length.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

/// A sorted file. It has no name, and disappears with the process.
#[derive(Debug)]
struct Run(BufReader<File>);

/// Several sorted files as one.
#[derive(Debug)]
struct Merge {
    runs: Vec<Run>,
    /// The next record of each run that has one.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self::with_capacity(BUFFER_BYTES)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            buffer: Buffer::default(),
            capacity,
            runs: Vec::new(),
        }
    }

    /// Takes a record of at most 65 535 bytes.
    pub(super) fn push(&mut self, record: &[u8]) -> io::Result<()> {
        let used = self.buffer.bytes.len();
        if used > 0 && used.saturating_add(record.len()).saturating_add(PREFIX) > self.capacity {
            self.spill()?;
        }
        self.buffer.push(record)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.buffer.sort();
        let mut file = BufWriter::with_capacity(FILE_BUFFER, tempfile::tempfile()?);
        for &start in &self.buffer.starts {
            write_record(&mut file, self.buffer.record(start))?;
        }
        self.buffer.bytes.clear();
        self.buffer.starts.clear();
        self.runs.push(Run::of(file)?);
        if self.runs.len() >= RUNS_MAX {
            let mut merge = Merge::new(std::mem::take(&mut self.runs))?;
            let mut file = BufWriter::with_capacity(FILE_BUFFER, tempfile::tempfile()?);
            while let Some(record) = merge.peek() {
                write_record(&mut file, record)?;
                merge.advance()?;
            }
            self.runs.push(Run::of(file)?);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        if self.runs.is_empty() {
            self.buffer.sort();
            let buffer = self.buffer;
            return Ok(Sorted(Source::Memory { buffer, next: 0 }));
        }
        self.spill()?;
        Ok(Sorted(Source::Runs(Merge::new(self.runs)?)))
    }
}

impl Sorted {
    /// The next record.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        match &self.0 {
            Source::Memory { buffer, next } => buffer.starts.get(*next).map(|&start| buffer.record(start)),
            Source::Runs(merge) => merge.peek(),
        }
    }

    /// Goes on to the one after it.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Source::Memory { next, .. } => {
                *next = next.saturating_add(1);
                Ok(())
            }
            Source::Runs(merge) => merge.advance(),
        }
    }
}

impl Buffer {
    fn push(&mut self, record: &[u8]) -> io::Result<()> {
        self.starts.push(self.bytes.len());
        write_record(&mut self.bytes, record)
    }

    fn record(&self, start: usize) -> &[u8] {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
            return &[];
        };
        rest.get(..usize::from(u16::from_le_bytes(*prefix)))
            .unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        starts.sort_unstable_by(|&a, &b| self.record(a).cmp(self.record(b)));
        self.starts = starts;
    }
}

fn write_record(out: &mut impl Write, record: &[u8]) -> io::Result<()> {
    let length = u16::try_from(record.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(record)
}

impl Run {
    fn of(file: BufWriter<File>) -> io::Result<Self> {
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self(BufReader::with_capacity(FILE_BUFFER, file)))
    }

    /// Reads the next record into `record`; false at the end.
    fn read(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let mut prefix = [0; PREFIX];
        match self.0.read_exact(&mut prefix) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        record.resize(usize::from(u16::from_le_bytes(prefix)), 0);
        self.0.read_exact(record)?;
        Ok(true)
    }
}

impl Merge {
    fn new(mut runs: Vec<Run>) -> io::Result<Self> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (place, run) in runs.iter_mut().enumerate() {
            let mut record = Vec::new();
            if run.read(&mut record)? {
                heads.push(Reverse((record, place)));
            }
        }
        Ok(Self { runs, heads })
    }

    fn peek(&self) -> Option<&[u8]> {
        self.heads.peek().map(|Reverse((record, _))| record.as_slice())
    }

    fn advance(&mut self) -> io::Result<()> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(());
        };
        let Reverse((record, place)) = &mut *head;
        let more = match self.runs.get_mut(*place) {
            Some(run) => run.read(record)?,
            None => false,
        };
        if !more {
            PeekMut::pop(head);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(capacity: usize, records: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut sorter = Sorter::with_capacity(capacity);
        for record in records {
            sorter.push(record).unwrap();
        }
        let mut sorted = sorter.finish().unwrap();
        let mut out = Vec::new();
        while let Some(record) = sorted.peek() {
            out.push(record.to_vec());
            sorted.advance().unwrap();
        }
        out
    }

    /// Scattered over the whole range, some of them twice, of different lengths.
    fn records(count: u64) -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| {
                let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
                let mut record = scattered.to_be_bytes().to_vec();
                record.truncate(if n % 3 == 0 { 7 } else { 8 });
                record
            })
            .collect()
    }

    #[test]
    fn records_are_sorted_in_memory_and_in_files() {
        let records = records(5000);
        let mut expected = records.clone();
        expected.sort();
        // In memory; in a few files; in more files than are open at once, twice over.
        for capacity in [1 << 20, 10_000, 300] {
            assert_eq!(sorted(capacity, &records), expected, "{capacity}");
        }
    }

    #[test]
    fn empty_input_and_empty_records_are_sorted() {
        assert_eq!(sorted(10, &[]), Vec::<Vec<u8>>::new());
        assert_eq!(sorted(2, &[vec![], vec![1], vec![]]), [vec![], vec![], vec![1]]);
        assert!(Sorter::new().push(&vec![0; 70_000]).is_err());
    }
}
