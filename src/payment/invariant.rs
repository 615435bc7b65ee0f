//! What must always hold, as a computation: from the logs alone, what every account and order must show.
//!
//! A [`Ledger`] takes every log once and is then asked about every document. Logs that are decided count by
//! themselves; of an open one the document's marks say which legs have been applied.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::{Document, ObjectId};
use crate::payment::leg::{Leg, Target};
use crate::payment::log::{Intent, Log, LogState, Verdict};
use crate::payment::mark::{self, MarkKind};
use crate::payment::money::Balance;
use crate::payment::order::OrderStatus;
use crate::payment::{Kind, Rules};

/// Something that the logs do not account for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The class of the document.
    pub class: String,
    /// Its id.
    pub id: ObjectId,
    /// The field that differs, or `legs` of a log.
    pub field: String,
    /// What the logs say.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            class,
            id,
            field,
            expected,
            found,
        } = self;
        write!(
            f,
            "{class}/{id}: `{field}` is {found}, the payments say {expected}"
        )
    }
}

/// What the logs say about every document.
#[derive(Clone, Debug)]
pub struct Ledger {
    rules: Rules,
    sums: BTreeMap<Target, BTreeMap<String, i64>>,
    statuses: BTreeMap<ObjectId, OrderStatus>,
    open: Vec<Log>,
    logs: u64,
    stuck: u64,
    in_flight: i64,
    differences: Vec<Difference>,
}

impl Ledger {
    /// Before any log.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            sums: BTreeMap::new(),
            statuses: BTreeMap::new(),
            open: Vec::new(),
            logs: 0,
            stuck: 0,
            in_flight: 0,
            differences: Vec::new(),
        }
    }

    /// Takes a log into account. Each once.
    pub fn take(&mut self, log: Log) {
        self.logs = self.logs.saturating_add(1);
        if log.stuck.is_some() && log.state < LogState::Closed {
            self.stuck = self.stuck.saturating_add(1);
        }
        if !legs_add_up(&log.intent, &self.rules) {
            self.differences.push(Difference {
                class: self.rules.log_class.to_string(),
                id: log.id.clone(),
                field: "legs".into(),
                expected: format!("legs of {} that add up", log.intent.kind),
                found: log.intent.legs.to_value().to_string(),
            });
        }
        if log.verdict == Some(Verdict::Succeeded) {
            for leg in log.intent.legs.as_slice() {
                self.apply(leg);
            }
            if let (Ok(Some(mark)), Some(order)) = (log.intent.order_mark(&self.rules), &log.intent.order)
                && log.intent.kind != Kind::Refund
            {
                let before = self.statuses.insert(order.clone(), mark.status());
                if let Some(before) = before {
                    self.differences.push(Difference {
                        class: self.rules.order_class.to_string(),
                        id: order.clone(),
                        field: "status".into(),
                        expected: "one attempt that succeeded".into(),
                        found: format!("{} by one and {} by another", before.name(), mark.status().name()),
                    });
                }
            }
        }
        if log.state < LogState::Closed {
            self.open.push(log);
        }
    }

    /// Takes a log that cannot be read: it accounts for nothing.
    pub fn unreadable(&mut self, document: &Document, why: &str) {
        self.logs = self.logs.saturating_add(1);
        if let Some(id) = document.object_id() {
            self.differences.push(Difference {
                class: self.rules.log_class.to_string(),
                id,
                field: "*".into(),
                expected: "a log".into(),
                found: why.to_owned(),
            });
        }
    }

    fn apply(&mut self, leg: &Leg) {
        let sums = self.sums.entry(leg.target.clone()).or_default();
        for (field, delta) in &leg.add {
            let sum = sums.entry(field.clone()).or_default();
            *sum = sum.saturating_add(delta.units());
        }
    }

    /// How many logs were taken.
    #[must_use]
    pub fn logs(&self) -> u64 {
        self.logs
    }

    /// How many of them are open, and how many of those wait for an operator.
    #[must_use]
    pub fn open(&self) -> (usize, u64) {
        (self.open.len(), self.stuck)
    }

    /// What open logs have taken from the documents seen so far and not yet given.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.in_flight
    }

    /// Compares an account with the logs.
    pub fn check_account(&mut self, id: &ObjectId, document: &Document) {
        let target = Target::new(&self.rules.user_class, id);
        let fields = [self.rules.account.clone(), self.rules.frozen.clone()];
        self.check_fields(&target, document, &fields);
    }

    /// Compares an order with the logs.
    pub fn check_order(&mut self, id: &ObjectId, document: &Document) {
        let target = Target::new(&self.rules.order_class, id);
        self.check_fields(&target, document, &["refunded".to_owned()]);
        let undecided = self
            .open
            .iter()
            .any(|log| log.intent.order.as_ref() == Some(id) && log.state < LogState::Settled);
        let shown = document.text("status").unwrap_or_default();
        let expected = self.statuses.remove(id).unwrap_or(OrderStatus::Pending);
        let same = shown == expected.name()
            || expected == OrderStatus::Paid && shown == OrderStatus::Refunded.name();
        if !same && !undecided {
            self.differ(&target, "status", expected.name(), shown);
        }
    }

    fn check_fields(&mut self, target: &Target, document: &Document, fields: &[String]) {
        let mut sums = self.sums.remove(target).unwrap_or_default();
        for log in &self.open {
            if log.verdict.is_some() {
                continue;
            }
            let applied = |leg: &&Leg| leg.target == *target && is_applied(document, &log.id);
            for leg in log.intent.legs.as_slice().iter().filter(applied) {
                for (field, delta) in &leg.add {
                    let sum = sums.entry(field.clone()).or_default();
                    *sum = sum.saturating_add(delta.units());
                    self.in_flight = self.in_flight.saturating_sub(delta.units());
                }
            }
        }
        for field in fields {
            let expected = sums.get(field).copied().unwrap_or(0);
            match Balance::of(document, field) {
                Ok(balance) if balance.units() == expected => {}
                Ok(balance) => self.differ(target, field, &expected.to_string(), &balance.to_string()),
                Err(_) => {
                    let found = document.get(field).map(ToString::to_string).unwrap_or_default();
                    self.differ(target, field, &expected.to_string(), &found);
                }
            }
        }
    }

    /// Compares a document's marks with the logs that they name: `logs` are those of them that exist.
    pub fn check_marks(&mut self, target: &Target, document: &Document, logs: &BTreeMap<ObjectId, Log>) {
        let Ok(marks) = mark::list(document) else {
            self.differ(target, mark::PAYLOGS, "an array of marks", "something else");
            return;
        };
        let mut strange = Vec::new();
        for held in marks {
            if held.as_str().is_some_and(|held| held.starts_with(mark::MOVE)) {
                continue;
            }
            let parsed = held.as_str().and_then(MarkKind::parse);
            let known = parsed.is_some_and(|(kind, id)| {
                logs.get(&id).is_some_and(|log| {
                    let ours = log.intent.legs.as_slice().iter().any(|leg| leg.target == *target);
                    let succeeded = log.verdict == Some(Verdict::Succeeded);
                    ours && (kind == MarkKind::Taken || !succeeded)
                })
            });
            if !known {
                strange.push(held.to_string());
            }
        }
        for held in strange {
            self.differ(target, mark::PAYLOGS, "marks of logs with a leg here", &held);
        }
    }

    fn differ(&mut self, target: &Target, field: &str, expected: &str, found: &str) {
        self.differences.push(Difference {
            class: target.class.to_string(),
            id: target.id.clone(),
            field: field.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }

    /// Everything that differs, once all documents were checked: documents that the logs name and nobody has shown
    /// are missing.
    #[must_use]
    pub fn finish(mut self) -> Vec<Difference> {
        for (target, sums) in std::mem::take(&mut self.sums) {
            for (field, sum) in sums {
                if sum != 0 {
                    self.differ(&target, &field, &sum.to_string(), "no such document");
                }
            }
        }
        self.differences.sort();
        self.differences
    }
}

/// Whether a document's marks say that the leg of an undecided log stands applied.
fn is_applied(document: &Document, log: &ObjectId) -> bool {
    let holds = |kind| mark::holds(document, kind, log).unwrap_or(false);
    holds(MarkKind::Taken) && !holds(MarkKind::Void) && !holds(MarkKind::Undo)
}

/// Whether the legs move what the payment says: in, out, across, and never more than its amount.
#[must_use]
pub fn legs_add_up(intent: &Intent, rules: &Rules) -> bool {
    let amount = intent.amount.map_or(0, crate::payment::Amount::units);
    let sum = |field: &str| -> i64 {
        let legs = intent.legs.as_slice().iter();
        legs.filter_map(|leg| leg.add.get(field))
            .fold(0, |sum, delta| sum.saturating_add(delta.units()))
    };
    let (account, frozen) = (sum(&rules.account), sum(&rules.frozen));
    match intent.kind {
        Kind::Recharge => account == amount && frozen == 0,
        // What no payee gets is the app's own.
        Kind::Purchase => account <= 0 && account >= amount.saturating_neg() && frozen == 0,
        Kind::Cancel => account == 0 && frozen == 0,
        Kind::Transfer => account == 0 && frozen == 0,
        Kind::Refund => account >= 0 && account <= amount && frozen == 0,
        Kind::Hold | Kind::Withdraw => account == amount.saturating_neg() && frozen == amount,
        Kind::Settle => frozen <= 0 && account <= frozen.saturating_neg() && account >= 0,
        Kind::Adjust => account.saturating_abs() == amount && frozen == 0,
    }
}
