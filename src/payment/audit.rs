//! What every balance must be, recomputed from the logs alone.
//!
//! All logs are given first ([`Auditor::log`]), then the users and orders ([`Auditor::user`], [`Auditor::order`]), all of
//! one moment; the order within each does not matter. A log that is decided says by itself what it has done; of an
//! open one the marks on the documents say how far it got.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::model::value::as_integer;
use crate::model::{Document, ObjectId, Value};
use crate::payment::kind::Kind;
use crate::payment::leg::{Leg, Target};
use crate::payment::log::{Log, LogState, Verdict};
use crate::payment::mark::{self, MarkKind};
use crate::payment::order::OrderStatus;
use crate::payment::{ProtocolError, Rules};

/// Collects what the logs say, and holds the documents against it.
#[derive(Debug)]
pub struct Auditor {
    rules: Rules,
    expected: BTreeMap<Target, Expected>,
    findings: Findings,
}

/// What the logs say about one document.
#[derive(Debug, Default)]
struct Expected {
    /// The sum of the legs that are certain to have been applied, by field.
    sums: BTreeMap<String, i128>,
    /// Legs of logs that are not decided yet.
    open: Vec<(ObjectId, Leg)>,
    /// Orders: the attempt that succeeded, and whether the order must show it by now.
    attempt: Option<(Kind, LogState)>,
}

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Users that have money, or a payment.
    pub accounts: u64,
    /// All logs.
    pub logs: u64,
    /// Logs that recovery will still finish.
    pub open: u64,
    /// Recharges whose gateway has not confirmed yet.
    pub waiting: u64,
    /// Open logs that wait for an operator.
    pub stuck: u64,
    /// The sum of all accounts and all frozen amounts.
    pub balance: i128,
    /// What open payments have taken from accounts and not given yet.
    pub in_flight: i128,
    /// Whatever is not as the logs say.
    pub differences: Vec<Difference>,
}

/// One thing that is not as the logs say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `class/id` of the document.
    pub document: String,
    /// The field, or `legs` and the like where the document itself makes no sense.
    pub field: String,
    /// What the logs say.
    pub expected: Value,
    /// What is stored.
    pub found: Value,
}

impl Auditor {
    /// An audit of the classes that `rules` name.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            expected: BTreeMap::new(),
            findings: Findings::default(),
        }
    }

    /// Takes a log into account.
    pub fn log(&mut self, document: &Document) {
        self.findings.logs = self.findings.logs.saturating_add(1);
        let log = match Log::from_document(document, &self.rules) {
            Ok(log) => log,
            Err(error) => {
                let name = document_name(self.rules.log_class.as_str(), document);
                return self.malformed(name, &error);
            }
        };
        if log.waits_for_gateway() {
            self.findings.waiting = self.findings.waiting.saturating_add(1);
        } else if log.state < LogState::Closed {
            self.findings.open = self.findings.open.saturating_add(1);
            if log.stuck.is_some() {
                self.findings.stuck = self.findings.stuck.saturating_add(1);
            }
        }
        match log.verdict {
            Some(Verdict::Failed) => {}
            Some(Verdict::Succeeded) => self.succeeded(&log),
            None => {
                for leg in log.intent.legs.as_slice() {
                    let expected = self.expected.entry(leg.target.clone()).or_default();
                    expected.open.push((log.id.clone(), leg.clone()));
                }
            }
        }
    }

    fn succeeded(&mut self, log: &Log) {
        for leg in log.intent.legs.as_slice() {
            self.expected.entry(leg.target.clone()).or_default().add(leg);
        }
        let Some(order) = &log.intent.order else { return };
        if matches!(log.intent.kind, Kind::Purchase | Kind::Cancel) {
            let target = Target::new(&self.rules.order_class, order);
            self.expected.entry(target).or_default().attempt = Some((log.intent.kind, log.state));
        }
    }

    /// Holds a user against the logs.
    pub fn user(&mut self, document: &Document) {
        let Some(id) = document.object_id() else { return };
        let target = Target::new(&self.rules.user_class, &id);
        let expected = self.expected.remove(&target);
        let fields = [self.rules.account.clone(), self.rules.frozen.clone()];
        let is_account = expected.is_some() || fields.iter().any(|field| document.get(field).is_some());
        if !is_account {
            return;
        }
        self.findings.accounts = self.findings.accounts.saturating_add(1);
        let mut expected = expected.unwrap_or_default();
        self.take_up_open_legs(&target, document, &mut expected);
        for field in fields {
            let found = self.compare(&target, &field, document, &expected);
            self.findings.balance = self.findings.balance.saturating_add(found);
        }
    }

    /// Holds an order against the logs.
    pub fn order(&mut self, document: &Document) {
        let Some(id) = document.object_id() else { return };
        let target = Target::new(&self.rules.order_class, &id);
        let mut expected = self.expected.remove(&target).unwrap_or_default();
        self.take_up_open_legs(&target, document, &mut expected);
        self.compare(&target, "refunded", document, &expected);
        let status = document.text("status").and_then(OrderStatus::from_name);
        let fits = match expected.attempt {
            None => status == Some(OrderStatus::Pending),
            // Decided, and the order may not show it yet.
            Some((_, LogState::Applied)) if status == Some(OrderStatus::Pending) => true,
            Some((Kind::Purchase, _)) => {
                matches!(status, Some(OrderStatus::Paid | OrderStatus::Refunded))
            }
            Some(_) => matches!(status, Some(OrderStatus::Cancelled | OrderStatus::Expired)),
        };
        if !fits {
            let expected = match expected.attempt {
                None => "pending",
                Some((Kind::Purchase, _)) => "paid",
                Some(_) => "cancelled",
            };
            self.differs(&target, "status", expected.into(), document.get("status"));
        }
    }

    /// Says what was found, after all logs and all documents.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        // What no document has claimed: money that was moved to or from nothing.
        for (target, expected) in std::mem::take(&mut self.expected) {
            if !expected.sums.is_empty() || expected.attempt.is_some() {
                self.differs(&target, "objectId", target.id.as_str().into(), None);
            }
        }
        self.findings
    }

    /// Counts the legs of open logs that the document's marks show as applied.
    fn take_up_open_legs(&mut self, target: &Target, document: &Document, expected: &mut Expected) {
        for (log, leg) in std::mem::take(&mut expected.open) {
            let applied = mark::holds(document, MarkKind::Taken, &log).and_then(|taken| {
                Ok(taken
                    && !mark::holds(document, MarkKind::Void, &log)?
                    && !mark::holds(document, MarkKind::Undo, &log)?)
            });
            match applied {
                Ok(false) => {}
                Ok(true) => {
                    expected.add(&leg);
                    for delta in leg.add.values() {
                        let taken = self.findings.in_flight.saturating_sub(delta.units().into());
                        self.findings.in_flight = taken;
                    }
                }
                Err(error) => self.malformed(target.to_string(), &error),
            }
        }
    }

    /// Compares one field, and answers what is stored there.
    fn compare(&mut self, target: &Target, field: &str, document: &Document, expected: &Expected) -> i128 {
        let right = expected.sums.get(field).copied().unwrap_or(0);
        let stored = document.get(field);
        let found = match stored {
            None => Some(0),
            Some(value) => as_integer(value).map(i128::from),
        };
        if found != Some(right) {
            let right = i64::try_from(right).map_or_else(|_| json!(right.to_string()), Value::from);
            self.differs(target, field, right, stored);
        }
        found.unwrap_or(0)
    }

    fn differs(&mut self, target: &Target, field: &str, expected: Value, found: Option<&Value>) {
        self.findings.differences.push(Difference {
            document: target.to_string(),
            field: field.to_owned(),
            expected,
            found: found.cloned().unwrap_or_default(),
        });
    }

    fn malformed(&mut self, document: String, error: &ProtocolError) {
        self.findings.differences.push(Difference {
            document,
            field: match error {
                ProtocolError::Malformed { field, .. } => field.clone(),
                _ => String::new(),
            },
            expected: Value::String(error.to_string()),
            found: Value::Null,
        });
    }
}

impl Expected {
    fn add(&mut self, leg: &Leg) {
        for (field, delta) in &leg.add {
            let sum = self.sums.entry(field.clone()).or_default();
            *sum = sum.saturating_add(delta.units().into());
        }
    }
}

fn document_name(class: &str, document: &Document) -> String {
    document
        .object_id()
        .map_or_else(|| class.to_owned(), |id| format!("{class}/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClassName;

    const USER: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";
    const ORDER: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";
    const RECHARGE: &str = "cccccccccccccccccccccccc";
    const PURCHASE: &str = "dddddddddddddddddddddddd";

    fn rules() -> Rules {
        Rules {
            user_class: ClassName::user(),
            log_class: ClassName::parse("Log").unwrap(),
            order_class: ClassName::parse("Order").unwrap(),
            account: "account".into(),
            frozen: "frozen".into(),
        }
    }

    fn document(value: Value) -> Document {
        serde_json::from_value(value).unwrap()
    }

    fn log(id: &str, kind: &str, state: i64, outcome: Option<&str>, add: i64) -> Document {
        let mut leg = json!({"class": "_User", "id": USER, "add": {"account": add}});
        if add < 0 {
            leg["require"] = json!({"account": {"atLeast": -add}});
        }
        let mut log = json!({
            "objectId": id, "key": id, "kind": kind, "state": state, "amount": add.abs(), "legs": [leg],
            "user": {"__type": "Pointer", "className": "_User", "objectId": USER},
        });
        if kind == "purchase" {
            log["order"] = json!({"__type": "Pointer", "className": "Order", "objectId": ORDER});
        }
        if let Some(outcome) = outcome {
            log["outcome"] = json!(outcome);
        }
        document(log)
    }

    fn user(account: i64, marks: &[&str]) -> Document {
        document(json!({"objectId": USER, "account": account, "paylogs": marks}))
    }

    fn order(status: &str) -> Document {
        document(json!({"objectId": ORDER, "status": status, "refunded": 0}))
    }

    fn audit(logs: &[Document], users: &[Document], orders: &[Document]) -> Findings {
        let mut auditor = Auditor::new(rules());
        logs.iter().for_each(|log| auditor.log(log));
        users.iter().for_each(|user| auditor.user(user));
        orders.iter().for_each(|order| auditor.order(order));
        auditor.finish()
    }

    #[test]
    fn balances_are_the_sums_of_the_logs() {
        let logs = [
            log(RECHARGE, "recharge", 5, Some("succeeded"), 1000),
            log(PURCHASE, "purchase", 5, Some("succeeded"), -300),
        ];
        let right = audit(&logs, &[user(700, &[])], &[order("paid")]);
        assert_eq!((right.accounts, right.logs, right.balance), (1, 2, 700));
        assert_eq!(right.differences, []);

        let edited = audit(&logs, &[user(701, &[])], &[order("pending")]);
        let named: Vec<_> = edited
            .differences
            .iter()
            .map(|difference| (difference.document.clone(), difference.field.as_str()))
            .collect();
        assert_eq!(
            named,
            [
                (format!("_User/{USER}"), "account"),
                (format!("Order/{ORDER}"), "status")
            ]
        );
        assert_eq!(
            (&edited.differences[0].expected, &edited.differences[0].found),
            (&json!(700), &json!(701))
        );
        let gone = audit(&logs, &[], &[order("paid")]);
        assert_eq!(gone.differences.len(), 1);
    }

    #[test]
    fn an_open_log_counts_as_far_as_its_marks_say() {
        let recharge = log(RECHARGE, "recharge", 5, Some("succeeded"), 1000);
        for (marks, account, in_flight) in [
            (vec![], 1000, 0),
            (vec![PURCHASE.to_owned()], 700, 300),
            (vec![PURCHASE.to_owned(), format!("void:{PURCHASE}")], 1000, 0),
            (vec![PURCHASE.to_owned(), format!("undo:{PURCHASE}")], 1000, 0),
        ] {
            let logs = [recharge.clone(), log(PURCHASE, "purchase", 1, None, -300)];
            let marks: Vec<_> = marks.iter().map(String::as_str).collect();
            let found = audit(&logs, &[user(account, &marks)], &[order("pending")]);
            assert_eq!(found.differences, [], "{marks:?}");
            assert_eq!((found.open, found.in_flight), (1, in_flight), "{marks:?}");
        }
    }

    #[test]
    fn money_without_a_log_and_logs_without_sense_are_found() {
        let found = audit(&[], &[user(5, &[])], &[]);
        assert_eq!(found.differences.len(), 1);
        let mut broken = log(PURCHASE, "purchase", 5, Some("succeeded"), -300);
        broken.insert("state".into(), json!(7));
        let found = audit(&[broken], &[], &[]);
        assert_eq!(found.differences[0].document, format!("Log/{PURCHASE}"));
    }

    #[test]
    fn an_unpaid_recharge_waits() {
        let found = audit(&[log(RECHARGE, "recharge", 1, None, 1000)], &[user(0, &[])], &[]);
        assert_eq!((found.open, found.waiting, found.differences.len()), (0, 1, 0));
    }
}
