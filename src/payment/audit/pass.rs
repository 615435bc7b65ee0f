//! One pass of an audit: first the logs, whose postings are sorted by document, then the documents, each compared with
//! its postings.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use crate::model::{Document, ObjectId};
use crate::payment::SchemaNames;
use crate::payment::audit::opening::Unopened;
use crate::payment::audit::record::{self, Class};
use crate::payment::audit::sort::{Sorted, Sorter};
use crate::payment::protocol::ledger::{
    self, Discrepancy, DocumentStatement, LogTotals, Posting, StatementResult,
};
use crate::payment::protocol::target::Target;

/// The most differences in a report. An app that had balances before may have one per account. All are counted.
pub const DIFFERENCES_MAX: usize = 10_000;

/// The most documents that are remembered from one pass to the next, 16 bytes each: on a busy app those that changed
/// while it was read. Further ones are counted, and left to another audit.
const CANDIDATES_MAX: usize = 1 << 20;

/// The documents that differed in the pass before, with their differences, as hashes.
type Candidates = HashMap<u64, u64>;

/// Judge of the differences: decides which count.
#[derive(Debug)]
pub(super) struct Judge {
    /// Candidates of the pass before; `None` in the first pass.
    before: Option<Candidates>,
    /// Candidates for the next pass.
    candidates: Candidates,
    /// True if the differences of this pass count.
    is_last: bool,
    pub(super) differences: Vec<Discrepancy>,
    /// Number of documents with a difference that counts.
    pub(super) differing: u64,
    /// Number of documents that differ, but have changed meanwhile or are about to.
    pub(super) unjudged: u64,
    pub(super) unopened: Unopened,
}

impl Judge {
    /// The judge of the first pass; `is_last` if all reads show one moment.
    pub(super) fn first(is_last: bool) -> Self {
        Self {
            before: None,
            candidates: Candidates::new(),
            is_last,
            differences: Vec::new(),
            differing: 0,
            unjudged: 0,
            unopened: Unopened::new(),
        }
    }

    /// True if no candidate is left.
    pub(super) fn is_done(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The judge of the next pass.
    pub(super) fn next(self, is_last: bool) -> Self {
        Self {
            before: Some(self.candidates),
            ..Self::first(is_last)
        }
    }

    fn judge(
        &mut self,
        target: &Target,
        document: Option<&Document>,
        finding: StatementResult,
    ) -> io::Result<()> {
        if finding.differences.is_empty() {
            return Ok(());
        }
        let key = hash(target);
        let seen = hash(&(document, &finding.differences));
        if let Some(before) = &self.before
            && (before.get(&key) != Some(&seen) || finding.is_under_way)
        {
            self.unjudged = self.unjudged.saturating_add(1);
            return Ok(());
        }
        if !self.is_last {
            if self.candidates.len() < CANDIDATES_MAX {
                self.candidates.insert(key, seen);
            } else {
                self.unjudged = self.unjudged.saturating_add(1);
            }
            return Ok(());
        }
        self.differing = self.differing.saturating_add(1);
        let room = DIFFERENCES_MAX.saturating_sub(self.differences.len());
        self.differences
            .extend(finding.differences.into_iter().take(room));
        if let Some((account, frozen)) = finding.unopened {
            self.unopened.push(&target.id, account, frozen)?;
        }
        Ok(())
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The first half of a pass: reads the logs.
#[derive(Debug)]
pub(super) struct Reading {
    names: Arc<SchemaNames>,
    totals: LogTotals,
    sorter: Sorter,
    record: Vec<u8>,
    judge: Judge,
}

impl Reading {
    pub(super) fn new(names: Arc<SchemaNames>, judge: Judge) -> Self {
        Self {
            names,
            totals: LogTotals::default(),
            sorter: Sorter::new(),
            record: Vec::new(),
            judge,
        }
    }

    /// Number of logs read.
    pub(super) fn logs(&self) -> u64 {
        self.totals.logs
    }

    pub(super) fn take(&mut self, page: &[(ObjectId, Document)]) -> io::Result<()> {
        for (id, document) in page {
            let wrong = match ledger::read_log(document, &self.names) {
                Ok(log) => {
                    self.totals.add(&log);
                    for posting in Posting::all(&log, &self.names) {
                        self.record.clear();
                        record::write(&posting, &self.names, &mut self.record);
                        self.sorter.push(&self.record)?;
                    }
                    ledger::check_log(&log, &self.names)
                }
                Err(difference) => {
                    self.totals.logs = self.totals.logs.saturating_add(1);
                    difference.map(|difference| *difference)
                }
            };
            if let Some(difference) = wrong {
                let finding = StatementResult {
                    differences: vec![difference],
                    ..StatementResult::default()
                };
                let target = Target::new(&self.names.log_class, id);
                self.judge.judge(&target, None, finding)?;
            }
        }
        Ok(())
    }

    /// Continues with the documents.
    pub(super) fn finish(self) -> io::Result<Comparing> {
        Ok(Comparing {
            names: self.names,
            totals: self.totals,
            sorted: self.sorter.finish()?,
            judge: self.judge,
            in_flight: 0,
            seen: 0,
        })
    }
}

/// The second half of a pass: compares the documents.
#[derive(Debug)]
pub(super) struct Comparing {
    names: Arc<SchemaNames>,
    pub(super) totals: LogTotals,
    sorted: Sorted,
    pub(super) judge: Judge,
    in_flight: i128,
    /// Number of documents so far.
    pub(super) seen: u64,
}

impl Comparing {
    /// Compares the next documents of `class`, in the order of their ids.
    pub(super) fn compare(&mut self, class: Class, page: &[(ObjectId, Document)]) -> io::Result<()> {
        for (id, document) in page {
            let key = record::key(class, id);
            self.missing_until(&key)?;
            self.compare_one(&key, Some(document))?;
            self.seen = self.seen.saturating_add(1);
        }
        Ok(())
    }

    /// Ends a class: postings of `class` that are left belong to missing documents.
    pub(super) fn finish_class(&mut self, class: Class) -> io::Result<()> {
        let behind = [(class as u8).saturating_add(1)];
        self.missing_until(&behind)
    }

    /// Processes the postings of missing documents before `key`.
    fn missing_until(&mut self, key: &[u8]) -> io::Result<()> {
        while let Some(record) = self.sorted.peek() {
            if record >= key {
                return Ok(());
            }
            let missing = record::key_of(record).to_vec();
            self.compare_one(&missing, None)?;
        }
        Ok(())
    }

    /// Compares one document with all its postings.
    fn compare_one(&mut self, key: &[u8], document: Option<&Document>) -> io::Result<()> {
        let target = record::target(key, &self.names)?;
        let mut statement = DocumentStatement::new(&self.names, target.clone(), document);
        while let Some(record) = self.sorted.peek().filter(|record| record.starts_with(key)) {
            statement.post(&record::read(&target, record)?);
            self.sorted.advance()?;
        }
        let finding = statement.finish();
        self.in_flight = self.in_flight.saturating_add(finding.in_flight);
        self.judge.judge(&target, document, finding)
    }

    /// The sum that open logs have debited and not yet credited.
    pub(super) fn in_flight(&self) -> i128 {
        self.totals.arrived.saturating_add(self.in_flight)
    }
}
