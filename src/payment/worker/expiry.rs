//! Expiry of orders that were not paid in time, of recharges, and of holds.

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::model::{Document, ErrorCode, Filter, ObjectId, Timestamp, Update};
use crate::payment::Refusal;
use crate::payment::protocol::log::{Log, LogState, fields};
use crate::payment::protocol::order::Order;
use crate::payment::protocol::recovery;
use crate::payment::protocol::target::Target;
use crate::payment::service::PaymentService;
use crate::payment::service::settlement_kind::SettlementKind;
use crate::payment::service::settlements::Settlement;
use crate::payment::worker::paging::next_page;

/// Documents that are expired at the same time.
const EXPIRIES_AT_ONCE: usize = 16;

impl PaymentService {
    pub(super) async fn run_expiry(&self, stop: &CancellationToken) {
        loop {
            let round = async {
                self.expire_orders().await;
                self.expire_recharges().await;
                self.expire_holds().await;
                self.0.environment.sleep(self.0.config.sweep_every).await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = round => {}
            }
        }
    }

    /// Expires the pending orders whose `expiresAt` has passed.
    pub async fn expire_orders(&self) {
        let filter = recovery::unpaid_orders(self.0.environment.now());
        let mut last: Option<ObjectId> = None;
        loop {
            let class = &self.0.names.order_class;
            let page = self.page(class, &filter, last.as_ref()).await;
            let page = page.unwrap_or_default();
            last = next_page(&page);
            stream::iter(page)
                .for_each_concurrent(EXPIRIES_AT_ONCE, |order| self.expire_document(order))
                .await;
            if last.is_none() {
                return;
            }
        }
    }

    async fn expire_document(&self, document: Document) {
        let expired = match Order::from_document(&document, &self.0.names) {
            Ok(order) => self.expire(&order, self.deadline()).await.map(|_| ()),
            Err(error) => Err(error.to_cloud_error()),
        };
        if let Err(error) = expired {
            let order = document.text("objectId").unwrap_or_default();
            tracing::warn!(object.id = order, "the order cannot be expired: {error}");
        }
    }

    /// Closes the recharges that were not paid within `recharge_expires`.
    pub async fn expire_recharges(&self) {
        let millis = i64::try_from(self.0.config.recharge_expires.as_millis()).unwrap_or(i64::MAX);
        let before: Timestamp = self.0.environment.now().plus_millis(0_i64.saturating_sub(millis));
        let filter = recovery::unpaid_recharges(before);
        let refusal = Refusal::new(ErrorCode::NOT_PAYABLE, "The recharge was not paid in time.");
        let reason = refusal.to_reason();
        let mut last: Option<ObjectId> = None;
        loop {
            let class = &self.0.names.log_class;
            let page = self.page(class, &filter, last.as_ref()).await;
            let page = page.unwrap_or_default();
            last = next_page(&page);
            let logs = page.iter().filter_map(|document| self.readable_log(document));
            stream::iter(logs.collect::<Vec<_>>())
                .map(|log| recovery::close_unpaid_recharge(&self.0.names, &log, &reason))
                .for_each_concurrent(EXPIRIES_AT_ONCE, |write| async {
                    // Not matched: it was paid after all. No answer: the next round tries again.
                    let _ = self.0.driver.write(write).await;
                })
                .await;
            if last.is_none() {
                return;
            }
        }
    }

    /// Gives back the holds that were neither captured nor released in time. The clock only decides when an expiry is
    /// tried: a hold has one settlement, so a capture that comes first stays.
    pub async fn expire_holds(&self) {
        let filter = recovery::expired_holds(self.0.environment.now());
        let mut last: Option<ObjectId> = None;
        loop {
            let class = &self.0.names.log_class;
            let page = self.page(class, &filter, last.as_ref()).await;
            let page = page.unwrap_or_default();
            last = next_page(&page);
            let logs = page.iter().filter_map(|document| self.readable_log(document));
            stream::iter(logs.collect::<Vec<_>>())
                .for_each_concurrent(EXPIRIES_AT_ONCE, |log| self.expire_hold(log))
                .await;
            if last.is_none() {
                return;
            }
        }
    }

    async fn expire_hold(&self, log: Log) {
        match self
            .settle(&log.id, Settlement::new(SettlementKind::Expired))
            .await
        {
            Ok(_) => {}
            // It was refused, or is settled already.
            Err(error) if error.code == ErrorCode::NOT_PAYABLE => {}
            Err(error) => {
                tracing::warn!(
                    payment.id = log.id.as_str(),
                    "the hold cannot be expired: {error}"
                );
                return;
            }
        }
        // Nothing is left to expire. Not matched: the log of the hold is still open, and the next round tries again.
        let write = Target::new(&self.0.names.log_class, &log.id).update(
            Filter::all().eq(fields::STATE, LogState::Closed.number()),
            Update::new().delete(fields::EXPIRES_AT),
        );
        let _ = self.0.driver.write(write).await;
    }
}
