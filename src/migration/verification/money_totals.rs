//! Totals of the money on one side.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::value::as_integer;
use crate::model::{ClassName, Document};
use crate::payment::SchemaNames;
use crate::payment::protocol::log::{LogState, fields};

/// Sums of money, and payments that are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoneyTotals {
    /// Sum of all balances in minor units.
    pub account: i128,
    /// Sum of all held amounts in minor units.
    pub frozen: i128,
    /// Number of payments that are not closed, by state (0 to 4).
    pub open: BTreeMap<i64, u64>,
    /// Number of these payments that are stuck, i.e. left to an operator.
    pub stuck: u64,
    /// Number of documents with numbers that the protocol does not write.
    pub malformed: u64,
}

impl MoneyTotals {
    /// Adds a document.
    pub(super) fn add(&mut self, names: &SchemaNames, class: &ClassName, document: &Document) {
        if *class == names.user_class {
            for (field, sum) in [
                (&names.account, &mut self.account),
                (&names.frozen, &mut self.frozen),
            ] {
                match document.get(field).map(as_integer) {
                    None => {}
                    Some(Some(amount)) => *sum += i128::from(amount),
                    Some(None) => self.malformed += 1,
                }
            }
        }
        if *class == names.log_class {
            match document.integer(fields::STATE).map(LogState::without_fence) {
                Some(5) => {}
                Some(state @ 0..5) => {
                    *self.open.entry(state).or_default() += 1;
                    if document.text(fields::STUCK).is_some() {
                        self.stuck += 1;
                    }
                }
                Some(_) | None => self.malformed += 1,
            }
        }
    }
}
