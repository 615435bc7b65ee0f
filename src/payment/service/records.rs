//! What an operator looks up: the records of one payment, of one order, or of what a gateway knows by a number.

use crate::model::{ClassName, CloudError, Document, Filter, ObjectId, Query};
use crate::payment::service::{Payments, keys, undecided};

impl Payments {
    /// The logs that `what` names, as they are stored, oldest first: by the id of a log (with the log that ends it), the
    /// number of a recharge, the gateway's number, or a whole key; and of an order, by its id or number, every payment
    /// and refund. At most 1,000. Reads only.
    ///
    /// # Errors
    /// 9010 where the store does not answer.
    pub async fn records(&self, what: &str) -> Result<Vec<Document>, CloudError> {
        let rules = &self.0.rules;
        let id = ObjectId::parse(what).ok();
        let by_id = |filters: &mut Vec<Filter>| {
            filters.extend(id.iter().map(|id| Filter::all().eq("objectId", id.as_str())));
        };
        let mut of_order = vec![Filter::all().eq("number", what)];
        by_id(&mut of_order);
        let orders = self.found(&rules.order_class, of_order).await?;
        let mut of_log: Vec<Filter> = ["number", "tradeNo", "key", "requestKey"]
            .into_iter()
            .map(|field| Filter::all().eq(field, what))
            .collect();
        by_id(&mut of_log);
        of_log.extend(
            id.iter()
                .map(|id| Filter::all().eq("key", keys::of_settlement(id))),
        );
        for number in orders.iter().filter_map(|order| order.text("number")) {
            of_log.extend(["order", "refund"].map(|kind| keys::between(&format!("{kind}:{number}"))));
        }
        let mut logs = self.found(&rules.log_class, of_log).await?;
        logs.sort_by_key(|log| (log.created_at(), log.object_id()));
        logs.dedup_by_key(|log| log.object_id());
        Ok(logs)
    }

    /// What any of the filters finds. One after the other: each has an index, and all in one may have none.
    async fn found(&self, class: &ClassName, filters: Vec<Filter>) -> Result<Vec<Document>, CloudError> {
        let deadline = self.deadline();
        let mut found = Vec::new();
        for filter in filters {
            let query = Query::new(filter).limit(Query::LIMIT_MAX);
            let some = self.0.driver.find(class, &query, deadline).await;
            found.extend(some.ok_or_else(undecided)?);
        }
        Ok(found)
    }
}
