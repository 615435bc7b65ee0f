//! One pass over everything: first the logs, whose postings are sorted by document, then the documents, each beside
//! its postings.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use crate::model::{Document, ObjectId};
use crate::payment::Rules;
use crate::payment::audit::opening::Unopened;
use crate::payment::audit::record::{self, Class};
use crate::payment::audit::sort::{Sorted, Sorter};
use crate::payment::protocol::ledger::{self, Difference, Finding, Posting, Statement, Totals};
use crate::payment::protocol::leg::Target;

/// Differences that a report holds. There may be one for every account of an app that has had balances before; so
/// many are enough to begin with, and all are counted.
pub const DIFFERENCES_MAX: usize = 10_000;

/// Documents that are remembered from one pass to the next, 16 bytes each: on a busy app those that were paid from or
/// to while it was read. More are left to another audit, and counted.
const CANDIDATES_MAX: usize = 1 << 20;

/// What differed in the pass before, and how, as hashes.
type Candidates = HashMap<u64, u64>;

/// Decides which differences count.
#[derive(Debug)]
pub(super) struct Judge {
    /// From the pass before; `None` in the first one.
    before: Option<Candidates>,
    /// For the next pass.
    candidates: Candidates,
    /// Whether what is found now counts.
    is_last: bool,
    pub(super) differences: Vec<Difference>,
    /// Documents with a difference that counts.
    pub(super) differing: u64,
    /// Documents that differ, and have changed meanwhile or are about to.
    pub(super) unjudged: u64,
    pub(super) unopened: Unopened,
}

impl Judge {
    /// For the first pass; where it `is_last`, everything that is read is of one moment.
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

    /// Whether there is nothing left to find.
    pub(super) fn is_done(&self) -> bool {
        self.candidates.is_empty()
    }

    /// For the next pass.
    pub(super) fn next(self, is_last: bool) -> Self {
        Self {
            before: Some(self.candidates),
            ..Self::first(is_last)
        }
    }

    fn judge(&mut self, target: &Target, document: Option<&Document>, finding: Finding) -> io::Result<()> {
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

/// The logs.
#[derive(Debug)]
pub(super) struct Reading {
    rules: Arc<Rules>,
    totals: Totals,
    sorter: Sorter,
    record: Vec<u8>,
    judge: Judge,
}

impl Reading {
    pub(super) fn new(rules: Arc<Rules>, judge: Judge) -> Self {
        Self {
            rules,
            totals: Totals::default(),
            sorter: Sorter::new(),
            record: Vec::new(),
            judge,
        }
    }

    /// How many logs were taken.
    pub(super) fn logs(&self) -> u64 {
        self.totals.logs
    }

    pub(super) fn take(&mut self, page: &[(ObjectId, Document)]) -> io::Result<()> {
        for (id, document) in page {
            let wrong = match ledger::read_log(document, &self.rules) {
                Ok(log) => {
                    self.totals.add(&log);
                    for posting in Posting::all(&log, &self.rules) {
                        self.record.clear();
                        record::write(&posting, &self.rules, &mut self.record);
                        self.sorter.push(&self.record)?;
                    }
                    ledger::examine(&log, &self.rules)
                }
                Err(difference) => {
                    self.totals.logs = self.totals.logs.saturating_add(1);
                    difference.map(|difference| *difference)
                }
            };
            if let Some(difference) = wrong {
                let finding = Finding {
                    differences: vec![difference],
                    ..Finding::default()
                };
                let target = Target::new(&self.rules.log_class, id);
                self.judge.judge(&target, None, finding)?;
            }
        }
        Ok(())
    }

    /// Goes on to the documents.
    pub(super) fn finish(self) -> io::Result<Comparing> {
        Ok(Comparing {
            rules: self.rules,
            totals: self.totals,
            sorted: self.sorter.finish()?,
            judge: self.judge,
            in_flight: 0,
            seen: 0,
        })
    }
}

/// The documents.
#[derive(Debug)]
pub(super) struct Comparing {
    rules: Arc<Rules>,
    pub(super) totals: Totals,
    sorted: Sorted,
    pub(super) judge: Judge,
    in_flight: i128,
    /// Documents so far.
    pub(super) seen: u64,
}

impl Comparing {
    /// Compares the next documents of `class`, in the order of their ids.
    pub(super) fn compare(&mut self, class: Class, page: &[(ObjectId, Document)]) -> io::Result<()> {
        for (id, document) in page {
            let key = record::key(class, id);
            self.miss_until(&key)?;
            self.state(&key, Some(document))?;
            self.seen = self.seen.saturating_add(1);
        }
        Ok(())
    }

    /// The last document of `class` has been compared: whatever else was said about one is about nothing.
    pub(super) fn finish_class(&mut self, class: Class) -> io::Result<()> {
        let behind = [(class as u8).saturating_add(1)];
        self.miss_until(&behind)
    }

    /// What was said about documents before `key`, which are not there.
    fn miss_until(&mut self, key: &[u8]) -> io::Result<()> {
        while let Some(record) = self.sorted.peek() {
            if record >= key {
                return Ok(());
            }
            let missing = record::key_of(record).to_vec();
            self.state(&missing, None)?;
        }
        Ok(())
    }

    /// All that was said about one document.
    fn state(&mut self, key: &[u8], document: Option<&Document>) -> io::Result<()> {
        let target = record::target(key, &self.rules)?;
        let mut statement = Statement::new(&self.rules, target.clone(), document);
        while let Some(record) = self.sorted.peek().filter(|record| record.starts_with(key)) {
            statement.post(&record::read(&target, record)?);
            self.sorted.advance()?;
        }
        let finding = statement.finish();
        self.in_flight = self.in_flight.saturating_add(finding.in_flight);
        self.judge.judge(&target, document, finding)
    }

    /// What open logs have taken and not yet given.
    pub(super) fn in_flight(&self) -> i128 {
        self.totals.arrived.saturating_add(self.in_flight)
    }
}
