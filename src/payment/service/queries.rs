//! What users may read of their money.

use serde::Serialize;

use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId, Query, Test, Timestamp};
use crate::payment::protocol::log::Log;
use crate::payment::service::orders::no_such;
use crate::payment::service::{CallerKey, Payments, Receipt, undecided};
use crate::payment::{Balance, Kind};

/// What a user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Spendable, in minor units.
    pub account: Balance,
    /// Held, in minor units.
    pub frozen: Balance,
}

/// Payments, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// The payments.
    pub payments: Vec<Receipt>,
    /// What to ask for as `before`; null at the end.
    pub next: Option<ObjectId>,
}

/// Which payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its log.
    Log(ObjectId),
    /// By what the caller called it.
    Key(Kind, CallerKey),
}

impl Payments {
    /// What `user` has.
    ///
    /// # Errors
    /// 9004, 9010.
    pub async fn balance(&self, user: &ObjectId) -> Result<Account, CloudError> {
        let document = self.read(&self.user_target(user), self.deadline()).await?;
        let document = document.ok_or_else(|| no_such("account"))?;
        let field = |key: &str| Balance::of(&document, key).map_err(|error| error.to_cloud_error());
        Ok(Account {
            account: field(&self.0.rules.account)?,
            frozen: field(&self.0.rules.frozen)?,
        })
    }

    /// The payments of `user`, newest first: `limit` of them (1 to 100), those before the log `before`.
    ///
    /// # Errors
    /// 107 (limit), 9004 (no such log of this user), 9010.
    pub async fn list(
        &self,
        user: &ObjectId,
        limit: u32,
        before: Option<&ObjectId>,
    ) -> Result<Page, CloudError> {
        if !(1..=100).contains(&limit) {
            let text = "'limit' is an integer from 1 to 100.";
            return Err(CloudError::new(ErrorCode::INVALID_JSON, text));
        }
        let deadline = self.deadline();
        let mut filter = Filter::all().eq("user", self.0.rules.user_pointer(user));
        if let Some(before) = before {
            let time = self.time_of(user, before).await?.to_date();
            let same_time = Filter::all()
                .eq("createdAt", time.clone())
                .lt("objectId", before.as_str());
            filter = filter.and_any(vec![Filter::all().lt("createdAt", time), same_time]);
        }
        let query = Query::new(filter)
            .order_by("-createdAt,-objectId")
            .limit(limit.saturating_add(1));
        let class = &self.0.rules.log_class;
        let found = self
            .0
            .driver
            .find(class, &query, deadline)
            .await
            .ok_or_else(undecided)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let shown = found.get(..limit).unwrap_or(&found);
        let readable = |document: &Document| match Log::from_document(document, &self.0.rules) {
            Ok(log) => Some(Receipt::stored(&log)),
            Err(error) => {
                let log = document.text("objectId").unwrap_or_default();
                tracing::error!(payment.id = log, "a log that cannot be read: {error}");
                None
            }
        };
        let last = shown.last().filter(|_| found.len() > shown.len());
        Ok(Page {
            next: last.and_then(Document::object_id),
            payments: shown.iter().filter_map(readable).collect(),
        })
    }

    /// When a log of `user` was made, whatever else is in it.
    async fn time_of(&self, user: &ObjectId, log: &ObjectId) -> Result<Timestamp, CloudError> {
        let filter = Filter::all()
            .eq("objectId", log.as_str())
            .eq("user", self.0.rules.user_pointer(user));
        let class = &self.0.rules.log_class;
        let query = Query::new(filter).limit(1);
        let found = self.0.driver.find(class, &query, self.deadline()).await;
        let found = found.ok_or_else(undecided)?;
        let log = found.first().ok_or_else(|| no_such("payment"))?;
        log.created_at().ok_or_else(undecided)
    }

    /// One payment of `user`.
    ///
    /// # Errors
    /// 9004 (also where it is somebody else's), 9010.
    pub async fn payment(&self, user: &ObjectId, which: &Which) -> Result<Receipt, CloudError> {
        let filter = match which {
            Which::Log(log) => Filter::all().eq("objectId", log.as_str()),
            Which::Key(kind, key) => {
                let key = key.of_payment(user, *kind);
                Filter::all().and_any(vec![
                    Filter::all().eq("key", key.as_str()),
                    Filter::all().and_key("requestKey", Test::Eq(key.into())),
                ])
            }
        };
        self.own_log(user, filter).await.map(|log| Receipt::stored(&log))
    }

    async fn own_log(&self, user: &ObjectId, filter: Filter) -> Result<Log, CloudError> {
        let log = self.log_matching(filter, self.deadline()).await?;
        log.filter(|log| log.intent.user == *user)
            .ok_or_else(|| no_such("payment"))
    }
}
