//! Queries of users about their own money.

use serde::Serialize;

use crate::model::{CloudError, Document, ErrorCode, Filter, ObjectId, Query, Test, Timestamp};
use crate::payment::protocol::log::{Log, fields};
use crate::payment::service::errors::{no_such, undecided};
use crate::payment::service::{CallerKey, PaymentService, Receipt};
use crate::payment::{Balance, Kind};

/// Balances of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AccountBalances {
    /// Spendable, in minor units.
    pub account: Balance,
    /// Held, in minor units.
    pub frozen: Balance,
}

/// A page of payments, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PaymentPage {
    /// The payments.
    pub payments: Vec<Receipt>,
    /// The `before` of the next page; null after the last one.
    pub next: Option<ObjectId>,
}

/// Selects one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentSelector {
    /// By the id of its log.
    Log(ObjectId),
    /// By the caller's key.
    Key(Kind, CallerKey),
}

impl PaymentService {
    /// The balances of `user`.
    ///
    /// # Errors
    /// 9004, 9010.
    pub async fn balance(&self, user: &ObjectId) -> Result<AccountBalances, CloudError> {
        let document = self.read(&self.user_target(user), self.deadline()).await?;
        let document = document.ok_or_else(|| no_such("account"))?;
        let field = |key: &str| Balance::of(&document, key).map_err(|error| error.to_cloud_error());
        Ok(AccountBalances {
            account: field(&self.0.names.account)?,
            frozen: field(&self.0.names.frozen)?,
        })
    }

    /// A page of the payments of `user`, newest first: at most `limit` (1 to 100), older than the log `before`.
    ///
    /// # Errors
    /// 107 (limit), 9004 (no such log of this user), 9010.
    pub async fn list(
        &self,
        user: &ObjectId,
        limit: u32,
        before: Option<&ObjectId>,
    ) -> Result<PaymentPage, CloudError> {
        if !(1..=100).contains(&limit) {
            let text = "'limit' is an integer from 1 to 100.";
            return Err(CloudError::new(ErrorCode::INVALID_JSON, text));
        }
        let deadline = self.deadline();
        let mut filter = Filter::all().eq(fields::USER, self.0.names.user_pointer(user));
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
        let found = self.find(&self.0.names.log_class, &query, deadline).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let shown = found.get(..limit).unwrap_or(&found);
        let receipt = |document| self.readable_log(document).map(|log| Receipt::stored(&log));
        let last = shown.last().filter(|_| found.len() > shown.len());
        Ok(PaymentPage {
            next: last.and_then(Document::object_id),
            payments: shown.iter().filter_map(receipt).collect(),
        })
    }

    /// Time of creation of a log of `user`, even if the rest of the log cannot be read.
    async fn time_of(&self, user: &ObjectId, log: &ObjectId) -> Result<Timestamp, CloudError> {
        let filter = Filter::all()
            .eq("objectId", log.as_str())
            .eq(fields::USER, self.0.names.user_pointer(user));
        let query = Query::new(filter).limit(1);
        let found = self
            .find(&self.0.names.log_class, &query, self.deadline())
            .await?;
        let log = found.first().ok_or_else(|| no_such("payment"))?;
        log.created_at().ok_or_else(undecided)
    }

    /// One payment of `user`.
    ///
    /// # Errors
    /// 9004 (also for a payment of another user), 9010.
    pub async fn payment(&self, user: &ObjectId, selector: &PaymentSelector) -> Result<Receipt, CloudError> {
        let filter = match selector {
            PaymentSelector::Log(log) => Filter::all().eq("objectId", log.as_str()),
            PaymentSelector::Key(kind, key) => {
                let key = key.of_payment(user, *kind);
                Filter::all().and_any(vec![
                    Filter::all().eq(fields::KEY, key.as_str()),
                    Filter::all().and_key(fields::REQUEST_KEY, Test::Eq(key.into())),
                ])
            }
        };
        self.own_log(user, filter).await.map(|log| Receipt::stored(&log))
    }

    async fn own_log(&self, user: &ObjectId, filter: Filter) -> Result<Log, CloudError> {
        let log = self.find_log(filter, self.deadline()).await?;
        log.filter(|log| log.intent.user == *user)
            .ok_or_else(|| no_such("payment"))
    }
}
