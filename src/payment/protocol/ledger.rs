//! The ledger: the invariants of payments as a computation. From the logs alone follow the required contents of every
//! account and order.
//!
//! A log has an effect on each document that it touches ([`Posting`]); a [`DocumentStatement`] adds up all effects on
//! one document and compares them with it. Decided logs count by themselves; for an open log the document's marks tell
//! which legs are applied. A [`Ledger`] does that for all documents, in memory; the audit does it for the documents of a
//! store, which need not fit there.

mod discrepancy;
mod log_check;
mod log_totals;
mod posting;
mod statement;

use std::collections::BTreeMap;

use crate::model::Document;
use crate::payment::protocol::log::Log;
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::target::Target;

pub use discrepancy::{Discrepancy, LOGS_NAMED};
pub use log_check::{check_log, legs_add_up, opening_key, read_log};
pub use log_totals::LogTotals;
pub use posting::{Entry, Posting};
pub use statement::{DocumentStatement, StatementResult};

/// A ledger of all logs and documents, in memory.
#[derive(Clone, Debug)]
pub struct Ledger {
    names: SchemaNames,
    postings: BTreeMap<Target, Vec<Posting>>,
    totals: LogTotals,
    in_flight: i128,
    differences: Vec<Discrepancy>,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(names: &SchemaNames) -> Self {
        Self {
            names: names.clone(),
            postings: BTreeMap::new(),
            totals: LogTotals::default(),
            in_flight: 0,
            differences: Vec::new(),
        }
    }

    /// Adds a log. Each must be added once.
    pub fn add_log(&mut self, log: &Log) {
        self.totals.add(log);
        self.differences.extend(check_log(log, &self.names));
        for posting in Posting::all(log, &self.names) {
            let target = posting.target.clone();
            self.postings.entry(target).or_default().push(posting);
        }
    }

    /// The totals over the logs that were added.
    #[must_use]
    pub fn totals(&self) -> &LogTotals {
        &self.totals
    }

    /// The money that open logs have taken, in minor units, and not yet given to the documents seen so far.
    #[must_use]
    pub fn in_flight(&self) -> i128 {
        self.totals.arrived.saturating_add(self.in_flight)
    }

    /// Compares an account or an order with the logs. Each must be checked once.
    pub fn check_document(&mut self, target: &Target, document: &Document) {
        let postings = self.postings.remove(target).unwrap_or_default();
        self.close_statement(target.clone(), Some(document), &postings);
    }

    fn close_statement(&mut self, target: Target, document: Option<&Document>, postings: &[Posting]) {
        let mut statement = DocumentStatement::new(&self.names, target, document);
        for posting in postings {
            statement.post(posting);
        }
        let finding = statement.finish();
        self.in_flight = self.in_flight.saturating_add(finding.in_flight);
        self.differences.extend(finding.differences);
    }

    /// Returns all discrepancies, once all documents were checked. A document that logs name and that was never checked
    /// is missing.
    #[must_use]
    pub fn finish(mut self) -> Vec<Discrepancy> {
        for (target, postings) in std::mem::take(&mut self.postings) {
            self.close_statement(target, None, &postings);
        }
        self.differences.sort();
        self.differences
    }
}

#[cfg(test)]
mod tests;
