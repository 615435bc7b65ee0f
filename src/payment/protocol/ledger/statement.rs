//! Statements: the effects of all logs on one document, compared with the document.

use std::collections::BTreeMap;

use crate::model::value::as_integer;
use crate::model::{Document, ObjectId};
use crate::payment::protocol::kind::Kind;
use crate::payment::protocol::ledger::discrepancy::{Discrepancy, LOGS_NAMED};
use crate::payment::protocol::ledger::posting::{Entry, Posting};
use crate::payment::protocol::log::{LogState, Verdict};
use crate::payment::protocol::mark::{self, MarkKind, PAY_EPOCH, PAYLOGS};
use crate::payment::protocol::money::Amount;
use crate::payment::protocol::names::SchemaNames;
use crate::payment::protocol::order::OrderStatus;
use crate::payment::protocol::target::Target;

/// The sum of the postings of one document, in any order and each once, to compare with the document. Its size does not
/// depend on their number.
#[derive(Debug)]
pub struct DocumentStatement<'a> {
    names: &'a SchemaNames,
    target: Target,
    document: Option<&'a Document>,
    /// The document's marks, by log. `None` if they are no array.
    marks: Option<BTreeMap<ObjectId, LogMarks>>,
    /// Entries of `paylogs` that are no mark, or the mark of an impossible state.
    unexplained: Vec<String>,
    account: i128,
    frozen: i128,
    refunded: i128,
    /// True if an operator has taken money away, perhaps more than there was.
    is_lowered: bool,
    order: OrderAttempts,
    hold: HoldEnds,
    /// Money that open logs have taken from here and not yet given elsewhere.
    in_flight: i128,
    is_under_way: bool,
    needs_document: bool,
    count: u64,
    /// The logs with an effect here.
    logs: NewestLogs,
}

/// The result of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementResult {
    /// The values that the logs do not account for.
    pub differences: Vec<Discrepancy>,
    /// The money that open logs have taken from the document and not yet given, in minor units; negative if they have
    /// given more here than they have taken.
    pub in_flight: i128,
    /// True if a log that is neither decided nor stuck has work left here.
    pub is_under_way: bool,
    /// The contents of the two money fields of an account that no payment has ever touched, unless both are 0.
    pub unopened: Option<(i64, i64)>,
}

/// The marks of one log on the document.
#[derive(Clone, Copy, Debug, Default)]
struct LogMarks {
    taken: bool,
    void: bool,
    undo: bool,
    /// A log with a leg here has been seen that accounts for them.
    is_explained: bool,
}

impl LogMarks {
    /// Returns true if the leg is applied.
    fn applied(self) -> bool {
        self.taken && !self.void && !self.undo
    }
}

/// The attempts of an order.
#[derive(Debug, Default)]
struct OrderAttempts {
    /// The statuses that successful attempts have given the order; true if the order must show it already.
    decided: Vec<(OrderStatus, bool)>,
    /// The statuses that attempts under way may have given it.
    possible: Vec<OrderStatus>,
    /// True if a refund is still open.
    refunds: bool,
}

/// A hold, and the settlements that ended it.
#[derive(Debug, Default)]
struct HoldEnds {
    /// The held amount, and true if the hold has succeeded.
    held: Option<(i64, bool)>,
    /// The number of settlements, and the amount that the last one took.
    ends: u32,
    taken: i64,
}

/// The newest of many logs, and their number.
#[derive(Debug, Default)]
struct NewestLogs {
    newest: Vec<(i64, ObjectId)>,
    total: u64,
}

impl NewestLogs {
    fn add(&mut self, created: i64, log: &ObjectId) {
        self.total = self.total.saturating_add(1);
        if self.newest.len() >= LOGS_NAMED {
            let older = |(time, id): &(i64, ObjectId)| (*time, id) < (created, log);
            // Kept newest first.
            if !self.newest.last().is_some_and(older) {
                return;
            }
            self.newest.pop();
        }
        let place = self
            .newest
            .partition_point(|(time, id)| (*time, id) > (created, log));
        self.newest.insert(place, (created, log.clone()));
    }

    fn named(&self) -> (Vec<ObjectId>, u64) {
        let ids = self.newest.iter().map(|(_, log)| log.clone()).collect();
        (ids, self.total)
    }
}

impl<'a> DocumentStatement<'a> {
    /// A statement without postings. `document` is the target's contents, `None` if it does not exist.
    #[must_use]
    pub fn new(names: &'a SchemaNames, target: Target, document: Option<&'a Document>) -> Self {
        let mut unexplained = Vec::new();
        let marks = document.map_or(Some(BTreeMap::new()), |document| {
            marks_by_log(document, &mut unexplained)
        });
        Self {
            names,
            target,
            document,
            marks,
            unexplained,
            account: 0,
            frozen: 0,
            refunded: 0,
            is_lowered: false,
            order: OrderAttempts::default(),
            hold: HoldEnds::default(),
            in_flight: 0,
            is_under_way: false,
            needs_document: false,
            count: 0,
            logs: NewestLogs::default(),
        }
    }

    /// Adds a posting of this document.
    pub fn post(&mut self, posting: &Posting) {
        self.count = self.count.saturating_add(1);
        if posting.verdict.is_none() && !posting.stuck && !posting.waits_for_gateway() {
            self.is_under_way = true;
        }
        match posting.entry {
            Entry::Account {
                account,
                frozen,
                conditional,
            } => {
                if !self.counts(posting, conditional) {
                    return;
                }
                self.account = self.account.saturating_add(account.into());
                self.frozen = self.frozen.saturating_add(frozen.into());
                self.is_lowered |= posting.kind == Kind::Adjust && account < 0;
                // What an operator gives comes from outside, and is here as soon as it is given.
                let from_outside = posting.kind == Kind::Adjust && account > 0;
                if posting.verdict.is_none() && !from_outside {
                    let moved = i128::from(account).saturating_add(frozen.into());
                    self.in_flight = self.in_flight.saturating_sub(moved);
                }
            }
            Entry::Order {
                refunded,
                conditional,
                shows,
            } => {
                let counts = refunded.is_some() && self.counts(posting, conditional);
                if let (true, Some(units)) = (counts, refunded) {
                    self.refunded = self.refunded.saturating_add(units.into());
                }
                if let Some(status) = shows {
                    self.attempt(posting, status, refunded.is_none());
                }
            }
            Entry::Hold(held) => {
                self.hold.held = Some((held, posting.has_succeeded()));
                self.logs.add(posting.created, &posting.log);
            }
            Entry::End(taken) if posting.has_succeeded() => {
                self.hold.ends = self.hold.ends.saturating_add(1);
                self.hold.taken = taken;
                self.logs.add(posting.created, &posting.log);
            }
            Entry::End(_) => {}
        }
    }

    /// Notes the status that an attempt gives the order.
    fn attempt(&mut self, posting: &Posting, status: OrderStatus, is_new: bool) {
        let is_settled = posting.state >= LogState::Settled;
        if !is_settled {
            self.is_under_way |= !posting.stuck;
        }
        if is_new && posting.verdict != Some(Verdict::Failed) {
            self.logs.add(posting.created, &posting.log);
        }
        match (posting.kind, posting.verdict) {
            (_, Some(Verdict::Failed)) => {}
            (Kind::Refund, _) => self.order.refunds |= !is_settled,
            (_, Some(Verdict::Succeeded)) => self.order.decided.push((status, is_settled)),
            (_, None) => self.order.possible.push(status),
        }
    }

    /// Returns true if a leg has its effect on the document: by the outcome of its log; for an undecided log, by the
    /// marks.
    fn counts(&mut self, posting: &Posting, conditional: bool) -> bool {
        let marks = self.marks.as_mut().and_then(|marks| marks.get_mut(&posting.log));
        let marks = marks.map_or_else(LogMarks::default, |marks| {
            marks.is_explained = true;
            *marks
        });
        let failed = posting.verdict == Some(Verdict::Failed);
        let wrong = match posting.verdict {
            Some(Verdict::Succeeded) => marks.void || marks.undo,
            // Refused, or applied and taken back.
            Some(Verdict::Failed) => marks.applied() || marks.taken && !conditional,
            None => (marks.void || marks.undo) && !(marks.taken && conditional),
        };
        if wrong {
            self.unexplained.push(format!(
                "the marks of {}, which {}",
                posting.log,
                match posting.verdict {
                    Some(Verdict::Succeeded) => "has succeeded",
                    Some(Verdict::Failed) => "has failed",
                    None => "is not decided",
                }
            ));
        }
        if !failed && !posting.waits_for_gateway() {
            self.needs_document = true;
        }
        let counts = match posting.verdict {
            Some(verdict) => verdict == Verdict::Succeeded,
            // State 2 says that the conditional legs are applied; an open log's marks are never forgotten.
            None => marks.applied() || conditional && posting.state >= LogState::Funded,
        };
        if counts || wrong {
            self.logs.add(posting.created, &posting.log);
        }
        counts
    }

    /// Compares the document with the postings.
    #[must_use]
    pub fn finish(mut self) -> StatementResult {
        let mut finding = StatementResult {
            is_under_way: self.is_under_way,
            in_flight: self.in_flight,
            ..StatementResult::default()
        };
        let out = &mut finding.differences;
        match self.document {
            _ if self.target.class == self.names.log_class => self.compare_ends(out),
            None => {
                if self.needs_document || !self.order.decided.is_empty() {
                    self.differ(
                        out,
                        "objectId",
                        "the document that these payments touch",
                        "no such document",
                    );
                }
            }
            Some(document) => {
                if self.target.class == self.names.user_class {
                    self.compare_account(document, out);
                    finding.unopened = self.unopened(document);
                } else {
                    self.compare_order(document, out);
                }
                self.compare_marks(out);
            }
        }
        finding
    }

    fn compare_account(&self, document: &Document, out: &mut Vec<Discrepancy>) {
        let account = self.compare(document, &self.names.account, self.account, out);
        let frozen = self.compare(document, &self.names.frozen, self.frozen, out);
        let negative = |found: Option<i64>| found.filter(|units| *units < 0);
        if let Some(units) = negative(account).filter(|_| !self.is_lowered) {
            self.differ(out, &self.names.account, "0 or more", &units.to_string());
        }
        if let Some(units) = negative(frozen) {
            self.differ(out, &self.names.frozen, "0 or more", &units.to_string());
        }
    }

    /// Compares a field with its expected value; returns the stored value if they are equal.
    fn compare(
        &self,
        document: &Document,
        field: &str,
        expected: i128,
        out: &mut Vec<Discrepancy>,
    ) -> Option<i64> {
        let found = match document.get(field) {
            None => Some(0),
            Some(value) => as_integer(value),
        };
        if found.map(i128::from) == Some(expected) {
            return found;
        }
        let shown = document
            .get(field)
            .map_or_else(|| "0".to_owned(), ToString::to_string);
        self.differ(out, field, &expected.to_string(), &shown);
        None
    }

    /// The account's contents, if it has money and neither logs nor marks nor an epoch: it had the money before any
    /// payment.
    fn unopened(&self, document: &Document) -> Option<(i64, i64)> {
        let units = |field: &str| document.get(field).map_or(Some(0), as_integer);
        let (account, frozen) = (units(&self.names.account)?, units(&self.names.frozen)?);
        let is_untouched = self.count == 0
            && units(PAY_EPOCH) == Some(0)
            && self.unexplained.is_empty()
            && self.marks.as_ref().is_some_and(BTreeMap::is_empty);
        (is_untouched && (account, frozen) != (0, 0)).then_some((account, frozen))
    }

    fn compare_order(&self, document: &Document, out: &mut Vec<Discrepancy>) {
        let amount = match document.get("amount") {
            None => None,
            Some(value) => {
                let amount = Amount::from_value(value).ok();
                if amount.is_none() {
                    self.differ(out, "amount", "an integer from 1 to 10^12", &value.to_string());
                }
                amount
            }
        };
        self.compare(document, "refunded", self.refunded, out);
        let amount = amount.map(|amount| i128::from(amount.units()));
        if let Some(amount) = amount.filter(|amount| self.refunded > *amount) {
            let most = format!("at most {amount}");
            self.differ(out, "refunded", &most, &self.refunded.to_string());
        }
        self.compare_status(document, amount, out);
    }

    fn compare_status(&self, document: &Document, amount: Option<i128>, out: &mut Vec<Discrepancy>) {
        let shown = document.text("status").unwrap_or_default();
        let (status, must_show) = match self.order.decided.as_slice() {
            [] => (OrderStatus::Pending, self.order.possible.is_empty()),
            [only] => *only,
            [(first, _), (second, _), ..] => {
                let found = format!("{first} by one and {second} by another");
                self.differ(out, "status", "one attempt that succeeded", &found);
                return;
            }
        };
        if self.refunded > 0 && status != OrderStatus::Paid {
            let found = format!("{status}, and {} refunded", self.refunded);
            self.differ(out, "status", "paid, where something was refunded", &found);
        }
        let mut allowed = vec![status];
        if !must_show {
            allowed.push(OrderStatus::Pending);
            allowed.extend(&self.order.possible);
        }
        if status == OrderStatus::Paid && amount.is_none_or(|amount| self.refunded >= amount) {
            if amount.is_some() && !self.order.refunds {
                allowed.clear();
            }
            allowed.push(OrderStatus::Refunded);
        }
        if !allowed.iter().any(|status| status.name() == shown) {
            let expected = allowed.first().unwrap_or(&status).name();
            self.differ(out, "status", expected, shown);
        }
    }

    fn compare_marks(&mut self, out: &mut Vec<Discrepancy>) {
        let Some(marks) = &self.marks else {
            self.differ(out, PAYLOGS, "an array of marks", "something else");
            return;
        };
        let without_leg = marks.iter().filter(|(_, marks)| !marks.is_explained);
        for (log, _) in without_leg {
            self.unexplained
                .push(format!("a mark of {log}, which has no leg here"));
        }
        if self.unexplained.is_empty() {
            return;
        }
        let total = self.unexplained.len();
        let mut found = self
            .unexplained
            .iter()
            .take(LOGS_NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ");
        if total > LOGS_NAMED {
            found += &format!("; and {} more", total.saturating_sub(LOGS_NAMED));
        }
        self.differ(out, PAYLOGS, "marks of logs with a leg here", &found);
    }

    fn compare_ends(&self, out: &mut Vec<Discrepancy>) {
        let HoldEnds { held, ends, taken } = self.hold;
        let found = match (held, ends) {
            (_, 0) => return,
            (None, _) => "ended, and no hold or withdrawal".to_owned(),
            (Some((_, false)), _) => "ended, and it has not succeeded".to_owned(),
            (Some(_), 2..) => format!("ended {ends} times"),
            (Some((held, true)), 1) if held.checked_neg() != Some(taken) => {
                format!(
                    "{held} held, and its end takes {}",
                    i128::from(taken).saturating_neg()
                )
            }
            (Some((_, true)), 1) => return,
        };
        self.differ(out, "settle", "a hold that is ended once, in full", &found);
    }

    fn differ(&self, out: &mut Vec<Discrepancy>, field: &str, expected: &str, found: &str) {
        let (logs, logs_total) = self.logs.named();
        out.push(Discrepancy {
            class: self.target.class.to_string(),
            id: self.target.id.clone(),
            field: field.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            logs,
            logs_total,
        });
    }
}

fn marks_by_log(document: &Document, unexplained: &mut Vec<String>) -> Option<BTreeMap<ObjectId, LogMarks>> {
    let mut marks: BTreeMap<ObjectId, LogMarks> = BTreeMap::new();
    for held in mark::marks(document).ok()? {
        // Left by a move to another store, which moves no money.
        if held.as_str().is_some_and(|held| held.starts_with(mark::MOVE)) {
            continue;
        }
        let Some((kind, log)) = held.as_str().and_then(MarkKind::parse) else {
            unexplained.push(held.to_string());
            continue;
        };
        let marks = marks.entry(log).or_default();
        match kind {
            MarkKind::Taken => marks.taken = true,
            MarkKind::Void => marks.void = true,
            MarkKind::Undo => marks.undo = true,
        }
    }
    Some(marks)
}
