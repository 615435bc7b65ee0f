//! Recomputes every account and order from the logs, and lists what differs.
//!
//! Works beside running payments: documents and logs are read page by page, not in one snapshot, so a difference
//! counts only if it is there, the same, each time the whole is computed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ClassName, Document, Filter, ObjectId, Query, Test, Value};
use crate::payment::PaymentConfig;
use crate::payment::invariant::{Difference, Ledger};
use crate::payment::leg::Target;
use crate::payment::log::Log;
use crate::payment::prune;
use crate::store::{ReadError, Store};

/// How often a difference must be found before it counts.
const PASSES: usize = 3;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Users looked at.
    pub accounts: u64,
    /// Orders looked at.
    pub orders: u64,
    /// Logs looked at.
    pub logs: u64,
    /// Logs that are still open.
    pub open: u64,
    /// Of those, left to an operator.
    pub stuck: u64,
    /// What open logs have taken and not yet given, in minor units.
    #[serde(rename = "inFlight")]
    pub in_flight: i64,
    /// What the logs do not account for.
    pub differences: Vec<Difference>,
}

/// Audits everything in `store`.
///
/// # Errors
/// [`ReadError`] where the store does not answer.
pub async fn audit(store: &dyn Store, config: &PaymentConfig) -> Result<Report, ReadError> {
    let mut report = pass(store, config).await?;
    for _ in 1..PASSES {
        if report.differences.is_empty() {
            break;
        }
        let before = std::mem::take(&mut report.differences);
        report = pass(store, config).await?;
        report
            .differences
            .retain(|difference| before.contains(difference));
    }
    Ok(report)
}

async fn pass(store: &dyn Store, config: &PaymentConfig) -> Result<Report, ReadError> {
    let rules = config.rules();
    let mut ledger = Ledger::new(&rules);
    let mut report = Report::default();
    let mut pages = Pages::new(store, &rules.log_class);
    while let Some(page) = pages.next().await? {
        for document in &page {
            match Log::from_document(document, &rules) {
                Ok(log) => ledger.take(log),
                Err(error) => ledger.unreadable(document, &error.to_string()),
            }
        }
    }
    report.logs = ledger.logs();
    let (open, stuck) = ledger.open();
    report.open = u64::try_from(open).unwrap_or(u64::MAX);
    report.stuck = stuck;
    for class in [&rules.user_class, &rules.order_class] {
        let mut pages = Pages::new(store, class);
        while let Some(page) = pages.next().await? {
            for document in &page {
                let Some(id) = document.object_id() else { continue };
                if *class == rules.user_class {
                    report.accounts = report.accounts.saturating_add(1);
                    ledger.check_account(&id, document);
                } else {
                    report.orders = report.orders.saturating_add(1);
                    ledger.check_order(&id, document);
                }
                let target = Target::new(class, &id);
                let logs = marked(store, config, document).await?;
                ledger.check_marks(&target, document, &logs);
            }
        }
    }
    report.in_flight = ledger.in_flight();
    report.differences = ledger.finish();
    Ok(report)
}

/// The logs that a document's marks name, as far as they exist.
async fn marked(
    store: &dyn Store,
    config: &PaymentConfig,
    document: &Document,
) -> Result<BTreeMap<ObjectId, Log>, ReadError> {
    let named: Vec<Value> = prune::logs(document)
        .unwrap_or_default()
        .iter()
        .map(|id| id.as_str().into())
        .collect();
    let rules = config.rules();
    let mut logs = BTreeMap::new();
    for chunk in named.chunks(usize::try_from(Query::LIMIT_MAX).unwrap_or(1000)) {
        let filter = Filter::all().one_of("objectId", chunk.to_vec());
        let query = Query::new(filter).limit(Query::LIMIT_MAX);
        for document in store.find(&rules.log_class, &query).await? {
            if let Ok(log) = Log::from_document(&document, &rules) {
                logs.insert(log.id.clone(), log);
            }
        }
    }
    Ok(logs)
}

/// A class, page by page in the order of ids.
struct Pages<'a> {
    store: &'a dyn Store,
    class: ClassName,
    after: Option<ObjectId>,
    done: bool,
}

impl<'a> Pages<'a> {
    fn new(store: &'a dyn Store, class: &ClassName) -> Self {
        Self {
            store,
            class: class.clone(),
            after: None,
            done: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<Document>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let filter = match &self.after {
            None => Filter::all(),
            Some(id) => Filter::all().and_key("objectId", Test::Gt(id.as_str().into())),
        };
        let query = Query::new(filter).order_by("objectId").limit(Query::LIMIT_MAX);
        let page = self.store.find(&self.class, &query).await?;
        self.after = page.last().and_then(Document::object_id);
        self.done =
            page.len() < usize::try_from(Query::LIMIT_MAX).unwrap_or(usize::MAX) || self.after.is_none();
        Ok(Some(page))
    }
}
