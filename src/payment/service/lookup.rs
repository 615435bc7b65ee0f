//! Lookups of an operator: the logs of one payment, of one order or of one gateway number; counts of unfinished logs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Query, Timestamp};
use crate::payment::driver::NoAnswer;
use crate::payment::protocol::log::fields;
use crate::payment::protocol::recovery;
use crate::payment::service::PaymentService;
use crate::payment::service::errors::undecided;
use crate::payment::service::idempotency::{keys_with_prefix, settlement_key};

/// Numbers of payments that are not at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedCounts {
    /// Payments that a worker has still to bring to their end. Excludes stuck ones, and recharges that wait for their
    /// gateway.
    pub open: u64,
    /// Payments that wait for an operator.
    pub stuck: u64,
}

impl PaymentService {
    /// Counts the payments that are not at their end.
    ///
    /// # Errors
    /// 9010 if the store does not answer.
    pub async fn count_unfinished(&self) -> Result<UnfinishedCounts, CloudError> {
        let now = self.0.environment.now();
        self.count_unfinished_before(now, self.deadline()).await
    }

    /// Counts the payments that are not at their end, of those created by `created`.
    ///
    /// # Errors
    /// 9010 if the store does not answer by `deadline`.
    pub(in crate::payment) async fn count_unfinished_before(
        &self,
        created: Timestamp,
        deadline: Duration,
    ) -> Result<UnfinishedCounts, CloudError> {
        let class = &self.0.names.log_class;
        let (open, stuck) = (recovery::open_logs(created), recovery::stuck_logs());
        let (open, stuck) = futures_util::future::join(
            self.0.driver.count(class, &open, deadline),
            self.0.driver.count(class, &stuck, deadline),
        )
        .await;
        Ok(UnfinishedCounts {
            open: open.map_err(|NoAnswer| undecided())?,
            stuck: stuck.map_err(|NoAnswer| undecided())?,
        })
    }

    /// The logs that `what` names, as they are stored, oldest first. `what` is the id of a log (its settlement is found
    /// too), the number of a recharge, a `tradeNo`, a whole key, or the id or number of an order (all its payments and
    /// refunds are found). At most 1,000 per query. Reads only.
    ///
    /// # Errors
    /// 9010 if the store does not answer.
    pub async fn find_records(&self, what: &str) -> Result<Vec<Document>, CloudError> {
        let names = &self.0.names;
        let id = ObjectId::parse(what).ok();
        let by_id = |filters: &mut Vec<Filter>| {
            filters.extend(id.iter().map(|id| Filter::all().eq("objectId", id.as_str())));
        };
        let mut of_order = vec![Filter::all().eq("number", what)];
        by_id(&mut of_order);
        let orders = self.find_any(&names.order_class, of_order).await?;
        let mut of_log: Vec<Filter> = [fields::NUMBER, fields::TRADE_NO, fields::KEY, fields::REQUEST_KEY]
            .into_iter()
            .map(|field| Filter::all().eq(field, what))
            .collect();
        by_id(&mut of_log);
        of_log.extend(
            id.iter()
                .map(|id| Filter::all().eq(fields::KEY, settlement_key(id))),
        );
        for number in orders.iter().filter_map(|order| order.text("number")) {
            of_log.extend(["order", "refund"].map(|kind| keys_with_prefix(&format!("{kind}:{number}"))));
        }
        let mut logs = self.find_any(&names.log_class, of_log).await?;
        logs.sort_by_key(|log| (log.created_at(), log.object_id()));
        logs.dedup_by_key(|log| log.object_id());
        Ok(logs)
    }

    /// Finds what any of the filters matches. One query per filter: each has an index, and all in one may have none.
    async fn find_any(&self, class: &ClassName, filters: Vec<Filter>) -> Result<Vec<Document>, CloudError> {
        let deadline = self.deadline();
        let mut found = Vec::new();
        for filter in filters {
            let query = Query::new(filter).limit(Query::LIMIT_MAX);
            found.extend(self.find(class, &query, deadline).await?);
        }
        Ok(found)
    }
}
